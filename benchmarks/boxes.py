"""How fast are 64 boxes on one image, beside SAM2ImagePredictor?

Ours: `segment_many` with the embedding at hand, and masks in the image's size. The peer:
`predict` once a box after `set_image`, as it is usually called. The image encoder is on neither
side.

    python benchmarks/boxes.py [--networks nano tiny] [--repeats 10] [--device cpu] [--json]
"""

from __future__ import annotations

import numpy as np
from measuring import Bench, by_turns
from network_material import NETWORKS, bench_of_networks, boxes, iou, picture, predictor, waits

from sam2_serving.model import Prompts, segment_many

BOXES = {"nano": 64, "tiny": 16}
"""A box takes as long as another: a tiny's 64 are measured on 16."""
AT_LEAST = {"nano": 3.0, "tiny": 2.0}


def measure(bench: Bench, name: str, device: str, repeats: int) -> None:
    """Add a row for one network."""
    model, image = NETWORKS[name](device), picture()
    asked = boxes(BOXES[name])
    embedding, peer = model.embed(image), predictor(model)
    peer.set_image(image)

    def ours() -> list[np.ndarray]:
        found = segment_many(model, embedding, [Prompts(box=box) for box in asked])
        return [model.to_mask(one, embedding.image_size) for one in found]

    def theirs() -> list[np.ndarray]:
        answers = [peer.predict(box=np.array(box), multimask_output=False) for box in asked]
        return [masks[0].astype(bool) for masks, _, _ in answers]

    agree = min(iou(a, b) for a, b in zip(ours(), theirs(), strict=True))
    times = by_turns({"ours": waits(model, ours), "peer": waits(model, theirs)}, repeats)
    bench.compare(
        f"{len(asked)} boxes, {name}",
        times["ours"],
        times["peer"],
        at_least=AT_LEAST[name],
        lowest_iou=round(agree, 4),
        numeric_path=model.numeric_path,
    )


if __name__ == "__main__":
    raise SystemExit(bench_of_networks(__file__, __doc__, 5, measure))
