"""An encode that stops after each block gives the bytes of one that does not."""

from __future__ import annotations

import pytest
import torch

from sam2_serving.model import ImageEmbedding, SegmentationModel, VideoTracker, load_model
from sam2_serving.model.devices import DtypeName
from sam2_serving.model.parts import InParts, Parts, finish, within
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene

PICTURES = [draw_scene(seed, size=(96, 80)).image for seed in (1, 2)]


def nano(dtype: DtypeName, lean: bool) -> SegmentationModel:
    network = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32").network
    model = SegmentationModel(network, "nano.yaml", torch.device("cpu"), dtype)
    if not lean:  # as on a GPU
        model.lean = None
        model._encoder = model._choose_encoder()
    return model


@pytest.fixture(scope="module", params=["lean", "float32", "bfloat16"])
def model(request) -> SegmentationModel:
    return nano("bfloat16" if request.param == "bfloat16" else "float32", request.param == "lean")


def tensors(embedding: ImageEmbedding) -> list[torch.Tensor]:
    return [embedding.features, *embedding.high_res]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(a, b, strict=True))


def results(*encodes: Parts[ImageEmbedding]) -> list[ImageEmbedding]:
    """Do one part of each in turn, and note that nothing of one is left for the next."""
    going, ended = dict(enumerate(encodes)), {}
    while going:
        for place, parts in list(going.items()):
            try:
                next(parts)
            except StopIteration as end:
                ended[place] = end.value
                del going[place]
            assert not torch.is_inference_mode_enabled()
            assert not torch.is_autocast_enabled("cpu")
    return [ended[place] for place in range(len(encodes))]


def test_two_that_take_turns_give_what_each_gives_alone(model):
    prepared = [model.prepare(picture) for picture in PICTURES]
    together = results(*(model.encode_in_parts(one) for one in prepared))
    alone = [model.encode(one) for one in prepared]
    for one, other in zip(together, alone, strict=True):
        assert same(tensors(one), tensors(other))
        assert one.image_size == other.image_size
    assert not same(tensors(alone[0]), tensors(alone[1]))


def test_it_stops_after_each_block(model):
    parts = model.encode_in_parts(model.prepare(PICTURES[0]))
    stops = sum(1 for _ in parts)
    assert stops == len(model.network.image_encoder.trunk.blocks) + 1


def test_a_tracked_frame_is_encoded_in_parts_as_well(model):
    tracker = VideoTracker(model)
    frame = tracker.prepare(PICTURES[0])
    slow, quick = InParts(lambda: tracker.encode_in_parts(frame))(), tracker.encode(frame)
    assert same([*slow.maps, slow.position], [*quick.maps, quick.position])
    assert sum(1 for _ in tracker.encode_in_parts(frame)) > 2


@pytest.mark.parametrize("usual", [True, False])
def test_upstreams_encoder_gives_these_maps(usual, monkeypatch):
    model = nano("float32", lean=False)
    if not usual:  # a backbone of another kind is one part
        monkeypatch.setattr("sam2_serving.model.encoding.Hiera", VideoTracker)
    pixels = model.prepare(PICTURES[0]).pixels
    with torch.inference_mode():
        ours = finish(model.feature_maps(pixels))
        assert any(True for _ in model.feature_maps(pixels)) == usual
        assert same(list(ours), model.network.forward_image(pixels)["backbone_fpn"])


def test_an_error_ends_it_and_leaves_nothing_switched_on(model):
    def fail() -> Parts[None]:
        yield
        raise MemoryError

    parts = within(fail(), model.arithmetic, model.device)
    next(parts)
    with pytest.raises(MemoryError):
        next(parts)
    assert not torch.is_inference_mode_enabled()
    assert not torch.is_autocast_enabled("cpu")
