"""The model that a command uses, on its device."""

from __future__ import annotations

from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.models import fetch_checkpoint
from sam2_serving.engine.all_cores import with_all_cores
from sam2_serving.model import ModelError, SegmentationModel, load_model
from sam2_serving.pretrained import PretrainedModel
from sam2_serving.settings import server_settings


def load_known(model: PretrainedModel, device: str) -> SegmentationModel:
    """Return the network, ready on the device; its checkpoint is fetched if need be.

    Raises:
        UsageError: the checkpoint could not be fetched, or is no good; there is no such device; or
            the model does not take images of the size in the settings.
    """
    checkpoint, settings = fetch_checkpoint(model), server_settings()
    try:
        return with_all_cores(
            lambda: load_model(checkpoint, device, settings.dtype, input_size=settings.input_size)
        )
    except ModelError as error:
        raise UsageError(str(error)) from error
