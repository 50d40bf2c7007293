"""How fast is a click on an image that is embedded, beside SAM2ImagePredictor?

Ours: `segment` with a box and a click (two passes; the first is remembered, as the engine does),
and the mask in the image's size. The peer: `predict` with the same prompts and the logits of an
earlier `predict`.

    python benchmarks/click_warm.py [--networks nano tiny] [--repeats 30] [--device cpu] [--json]
"""

from __future__ import annotations

import numpy as np
from measuring import Bench, by_turns
from network_material import NETWORKS, bench_of_networks, boxes, iou, picture, predictor, waits

from sam2_serving.model import Point, Prediction, Prompts, segment


def measure(bench: Bench, name: str, device: str, repeats: int) -> None:
    """Add a row for one network."""
    model, image = NETWORKS[name](device), picture()
    [box] = boxes(1)
    inside = Point((box.x0 + box.x1) // 2, (box.y0 + box.y1) // 2)
    prompts = Prompts((inside, Point(box.x0, box.y0, positive=False)), box)
    embedding, peer = model.embed(image), predictor(model)
    peer.set_image(image)
    firsts: dict[int, Prediction] = {}

    def ours() -> np.ndarray:
        found = segment(
            model, embedding, prompts, remember=lambda _, make: firsts.get(0) or keep(make())
        )
        return model.to_mask(found, embedding.image_size)

    def keep(first: Prediction) -> Prediction:
        firsts[0] = first
        return first

    clicks, labels = np.array([point[:2] for point in prompts.points]), np.array([1, 0])
    _, _, guess = peer.predict(clicks[:1], labels[:1], np.array(box), multimask_output=False)

    def theirs() -> np.ndarray:
        masks, _, _ = peer.predict(clicks, labels, np.array(box), guess, multimask_output=False)
        return np.asarray(masks[0].astype(bool))

    agree = iou(ours(), theirs())
    times = by_turns({"ours": waits(model, ours), "peer": waits(model, theirs)}, repeats)
    bench.compare(
        f"warm click, {name}", times["ours"], times["peer"], at_least=1.0, iou=round(agree, 4)
    )


if __name__ == "__main__":
    raise SystemExit(bench_of_networks(__file__, __doc__, 20, measure))
