"""From a checkpoint file to a model that is ready to use."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import torch

from sam2_serving.masks.boxes import Box
from sam2_serving.model.agreement import example_picture, measure_agreement, remembered_verdict
from sam2_serving.model.checkpoints import load_checkpoint, parameter_count
from sam2_serving.model.devices import (
    DtypeName,
    fast_dtype,
    give_freed_memory_back,
    keep_freed_memory,
    resolve_device,
    share_freed_memory,
)
from sam2_serving.model.errors import CheckpointError
from sam2_serving.model.image import SegmentationModel
from sam2_serving.model.prompts import Prompts

logger = logging.getLogger(__name__)

_LARGE = 20_000_000
"""Parameters from which a network's maps are larger than what the C library keeps by itself."""


def load_model(
    checkpoint: str | Path,
    device: str = "auto",
    dtype: Literal["auto"] | DtypeName = "auto",
    verdict_dir: Path | None = None,
    input_size: int | None = None,
) -> SegmentationModel:
    """Load a checkpoint and make it ready on a device.

    Args:
        checkpoint: a file that `load_checkpoint` reads; its network is recognised by itself.
        device: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.
        dtype: `auto` takes the device's fast number format if its masks agree with float32's,
            else float32; any other value is taken as it is.
        verdict_dir: where verdicts of that agreement are kept; default: the user's cache.
        input_size: side of the square that images are resized to, pixels: smaller is faster and
            coarser; default: what the network was trained with.

    Raises:
        CheckpointError: the file cannot be used, or its network computes nothing of use.
        DeviceError: there is no such device.
        InputSizeError: this network does not take images of that size.
    """
    place = resolve_device(device)
    network, config_name = load_checkpoint(checkpoint, input_size)
    parameters = parameter_count(network)
    if place.type == "cpu":
        share_freed_memory()
        if parameters >= _LARGE:
            keep_freed_memory()
    wanted = fast_dtype(place, parameters) if dtype == "auto" else dtype
    model = SegmentationModel(network, config_name, place, wanted)
    if dtype != "auto" or wanted == "float32":
        _try_out(model)
        return model

    exact = SegmentationModel(network, config_name, place, "float32", model.fingerprint)
    folder = verdict_dir or Path.home() / ".cache" / "sam2-serving" / "agreement"
    verdict = remembered_verdict(model, folder, lambda: measure_agreement(model, exact))
    logger.info("%s against float32: %s", wanted, verdict)
    chosen = model if verdict.agrees else exact
    _try_out(chosen)
    return chosen


def _try_out(model: SegmentationModel) -> None:
    """Segment a drawing, so that weights of no use are found now and not by the first click."""
    embedding = model.embed(example_picture())
    prediction = model.predict(embedding, Prompts(box=Box(50, 40, 150, 140)))
    if not prediction.logits.isfinite().all():
        raise CheckpointError("These weights give no finite numbers: the checkpoint is of no use.")


def free_cached_memory(device: torch.device) -> None:
    """Give memory that a dropped model left in the allocator back to the device."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.empty_cache()
    else:
        give_freed_memory_back()
