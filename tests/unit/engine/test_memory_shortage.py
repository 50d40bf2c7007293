"""A device that is out of memory: what is kept goes first, the work is done smaller, nobody dies.

The device is the processor, whose memory is limited at real parts of the network, or by the
system for a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from test_engine import CLICK, NANO, SCENES, Library

from sam2_serving.app.reporting import as_app_error
from sam2_serving.engine import Engine, OutOfMemory
from sam2_serving.masks import Box
from sam2_serving.model import Prompts, SegmentationModel, load_model

ENCODER = "image_encoder.trunk.patch_embed"
DECODER = "sam_mask_decoder.transformer.layers.0.norm1"
EMBEDDING = 512 * 1024
BUDGET = 8 * EMBEDDING


def limit(
    model: SegmentationModel, part: str, exceeds: Callable[[torch.Tensor], bool]
) -> list[int]:
    """Let a part of the network have no memory for what `exceeds`; returns a list of its calls."""
    calls = []

    def check(_: torch.nn.Module, given: tuple[Any, ...]) -> None:
        short = exceeds(given[0])
        calls.append(int(short))
        if short:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    model.network.get_submodule(part).register_forward_pre_hook(check)
    return calls


@pytest.fixture
def model() -> SegmentationModel:
    return load_model(NANO, "cpu", "float32")


@pytest.fixture
def engine(model: SegmentationModel) -> Iterator[Engine]:
    with Engine(model, store_bytes=BUDGET) as engine:
        yield engine


@pytest.fixture(scope="module")
def masks() -> list[np.ndarray]:
    """What is answered with memory enough."""
    with Engine(load_model(NANO, "cpu", "float32"), store_bytes=2**30) as engine:
        return [engine.segment(Library().source(n), CLICK).mask for n in range(len(SCENES))]


def test_what_is_kept_goes_first_and_less_is_kept_from_then_on(
    model: SegmentationModel, engine: Engine, masks: list[np.ndarray]
) -> None:
    capacity = 5 * EMBEDDING
    calls = limit(model, ENCODER, lambda _: engine.stats().store_bytes + EMBEDDING > capacity)
    for round in range(3):
        for number, mask in enumerate(masks):
            found = engine.segment(Library().source(number), CLICK)
            assert np.array_equal(found.mask, mask), (round, number)
    assert sum(calls) == 1, "the store does not grow into the limit again"
    assert engine.stats().store_bytes > EMBEDDING


def test_what_never_fits_is_told_and_what_fits_is_answered(
    model: SegmentationModel, engine: Engine, masks: list[np.ndarray]
) -> None:
    short = [True]
    calls = limit(model, ENCODER, lambda _: short[0])
    for _ in range(2):
        with pytest.raises(OutOfMemory) as caught:
            engine.segment(Library().source(0), CLICK)
    assert calls == [1, 1, 1, 1], "each is tried twice, no more"
    told = as_app_error(caught.value)
    assert (told.status, bool(told.retry_after_s)) == (503, True)
    assert "not enough memory" in str(told)
    short[0] = False
    assert np.array_equal(engine.segment(Library().source(0), CLICK).mask, masks[0])


def test_many_prompts_are_answered_one_by_one(model: SegmentationModel, engine: Engine) -> None:
    prompts = [Prompts(box=Box(5 + 4 * n, 5, 80 + 4 * n, 80)) for n in range(10)]
    together = engine.segment_many(Library().source(0), prompts)
    calls = limit(model, DECODER, lambda tokens: tokens.shape[0] > 1)
    alone = engine.segment_many(Library().source(0), prompts)
    assert sum(calls) == 4, "two units, each tried twice"
    for one, other in zip(together, alone, strict=True):
        union = np.count_nonzero(one.mask | other.mask)
        assert np.count_nonzero(one.mask & other.mask) >= 0.999 * union


HUNGRY = """
import resource, sys
import numpy as np
sys.path.insert(0, {folder!r})
from test_engine import CLICK, Library, new_engine
from sam2_serving.app.reporting import as_app_error
from sam2_serving.engine import ImageKey, ImageSource

def huge():
    return np.zeros((12_000, 12_000, 3), np.uint8)

engine = new_engine()
before = engine.segment(Library().source(0), CLICK).mask
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 500 * 2**20, resource.RLIM_INFINITY))
try:
    engine.segment(ImageSource(ImageKey("image", "", "huge"), huge), CLICK)
except Exception as error:
    print(type(error).__name__, as_app_error(error).status)
for n in range(10):
    engine.segment(Library().source(n), CLICK)
print(np.array_equal(engine.segment(Library().source(0), CLICK).mask, before))
"""


@pytest.mark.long
def test_a_picture_that_the_machine_has_no_memory_for() -> None:
    """With a limit of the system's own: torch's or numpy's allocator fails."""
    folder = __file__.rsplit("/", 1)[0]
    run = subprocess.run(
        [sys.executable, "-c", HUNGRY.format(folder=folder)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    failed, answered = run.stdout.split("\n")[-3:-1]
    assert failed.endswith(" 503"), run.stdout
    assert answered == "True"
