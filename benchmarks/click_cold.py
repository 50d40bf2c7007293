"""How fast is the first click on an image, beside SAM2ImagePredictor?

From pixels in memory to the mask in the image's size, both sides: ours `embed` and `segment`, in
the number format that is served on this device; the peer `set_image` and `predict` in float32.
The target is for processors with AVX512-BF16 and stands only there.

    python benchmarks/click_cold.py [--networks nano tiny] [--repeats 5] [--device cpu] [--json]
"""

from __future__ import annotations

import numpy as np
from measuring import Bench, by_turns
from network_material import NETWORKS, bench_of_networks, boxes, iou, picture, predictor, waits

from sam2_serving.model import Prompts, SegmentationModel, segment
from sam2_serving.model.checkpoints import parameter_count
from sam2_serving.model.devices import fast_dtype

AT_LEAST = 1 / 0.6


def measure(bench: Bench, name: str, device: str, repeats: int) -> None:
    """Add a row for one network."""
    exact, image = NETWORKS[name](device), picture()
    dtype = fast_dtype(exact.device, parameter_count(exact.network))
    model = SegmentationModel(
        exact.network, exact.config_name, exact.device, dtype, exact.fingerprint
    )
    [box] = boxes(1)
    peer = predictor(model)

    def ours() -> np.ndarray:
        embedding = model.embed(image)
        return model.to_mask(segment(model, embedding, Prompts(box=box)), embedding.image_size)

    def theirs() -> np.ndarray:
        peer.set_image(image)
        masks, _, _ = peer.predict(box=np.array(box), multimask_output=False)
        return np.asarray(masks[0].astype(bool))

    agree = iou(ours(), theirs())
    times = by_turns({"ours": waits(model, ours), "peer": waits(model, theirs)}, repeats)
    bench.compare(
        f"cold click, {name}, {dtype}",
        times["ours"],
        times["peer"],
        at_least=AT_LEAST if dtype == "bfloat16" else None,
        iou=round(agree, 4),
    )


if __name__ == "__main__":
    raise SystemExit(bench_of_networks(__file__, __doc__, 5, measure))
