"""The model that a command uses, on its device."""

from __future__ import annotations

from sam2_serving.commands.errors import UsageError
from sam2_serving.commands.models import fetch_checkpoint
from sam2_serving.model import ModelError, SegmentationModel, load_model
from sam2_serving.pretrained import PretrainedModel
from sam2_serving.settings import server_settings


def load_known(model: PretrainedModel, device: str) -> SegmentationModel:
    """Return the network, ready on the device; its checkpoint is fetched if need be.

    Raises:
        UsageError: the checkpoint could not be fetched, or is no good; or there is no such device.
    """
    checkpoint = fetch_checkpoint(model)
    try:
        return load_model(checkpoint, device, server_settings().dtype)
    except ModelError as error:
        raise UsageError(str(error)) from error
