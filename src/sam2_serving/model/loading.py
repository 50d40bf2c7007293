"""From a checkpoint file to a model that is ready to use."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import torch

from sam2_serving.masks.boxes import Box
from sam2_serving.model.agreement import example_picture, measure_agreement, remembered_verdict
from sam2_serving.model.checkpoints import load_checkpoint, parameter_count
from sam2_serving.model.compiled import load_encoder
from sam2_serving.model.compiled_encoder import CompiledEncoder
from sam2_serving.model.devices import (
    DtypeName,
    fast_dtype,
    give_freed_memory_back,
    keep_freed_memory,
    resolve_device,
)
from sam2_serving.model.errors import CheckpointError
from sam2_serving.model.image import SegmentationModel
from sam2_serving.model.prompts import Prompts

logger = logging.getLogger(__name__)

_LARGE = 20_000_000
"""Parameters from which a network's maps take hundreds of MiB."""


def load_model(
    checkpoint: str | Path,
    device: str = "auto",
    dtype: Literal["auto"] | DtypeName = "auto",
    verdict_dir: Path | None = None,
    input_size: int | None = None,
    compiled_dir: Path | None = None,
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
        compiled_dir: where compiled image encoders lie; what is there for this very model is used
            if its masks agree with the eager one's. Its code is run: trust the folder. None: eager.

    Raises:
        CheckpointError: the file cannot be used, or its network computes nothing of use.
        DeviceError: there is no such device.
        InputSizeError: this network does not take images of that size.
    """
    place = resolve_device(device)
    network, config_name = load_checkpoint(checkpoint, input_size)
    parameters = parameter_count(network)
    if place.type == "cpu":
        keep_freed_memory(512 if parameters >= _LARGE else 64)
    wanted = fast_dtype(place, parameters) if dtype == "auto" else dtype
    model = SegmentationModel(network, config_name, place, wanted)
    verdicts = verdict_dir or Path.home() / ".cache" / "sam2-serving" / "agreement"
    if dtype == "auto" and wanted != "float32":
        model = _fast_or_exact(model, verdicts)
    if compiled_dir is not None:
        model = _compiled_or_eager(model, compiled_dir, verdicts)
    _try_out(model)
    return model


def with_compiled(model: SegmentationModel, encoder: CompiledEncoder) -> SegmentationModel:
    """Return the same model with its image encoder compiled."""
    return SegmentationModel(
        model.network,
        model.config_name,
        model.device,
        model.dtype,
        model.fingerprint,
        model.clicks_at_once,
        encoder,
    )


def compiled_verdict(fast: SegmentationModel, eager: SegmentationModel, folder: Path) -> bool:
    """Tell whether a model with a compiled encoder gives the eager one's masks.

    Args:
        fast: of `with_compiled`.
        eager: what was given there.
        folder: where verdicts are kept.
    """
    verdict = remembered_verdict(fast, folder, lambda: measure_agreement(fast, eager))
    logger.info("compiled against eager: %s", verdict)
    return verdict.same if fast.dtype == "float32" else verdict.agrees


def _fast_or_exact(fast: SegmentationModel, verdicts: Path) -> SegmentationModel:
    exact = SegmentationModel(
        fast.network, fast.config_name, fast.device, "float32", fast.fingerprint
    )
    verdict = remembered_verdict(fast, verdicts, lambda: measure_agreement(fast, exact))
    logger.info("%s against float32: %s", fast.dtype, verdict)
    return fast if verdict.agrees else exact


def _compiled_or_eager(eager: SegmentationModel, folder: Path, verdicts: Path) -> SegmentationModel:
    encoder = load_encoder(eager, folder)
    if encoder is None:
        return eager
    fast = with_compiled(eager, encoder)
    try:
        if compiled_verdict(fast, eager, verdicts):
            return fast
        logger.warning("The image encoder is eager: the compiled one gives other masks.")
    except Exception as error:
        # whatever the code of a file does when it is run
        logger.warning("The image encoder is eager: the compiled one failed: %s", error)
    return eager


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
