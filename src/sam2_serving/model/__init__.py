"""SAM 2.1 on torch: load a checkpoint, embed, predict masks, find all, track. Usable alone.

Example:
    >>> model = load_model("checkpoints/nano/nano.pt")
    >>> embedding = model.embed(image)  # uint8 HxWx3, RGB
    >>> prediction = segment(model, embedding, Prompts(points=(Point(120, 80),)))
    >>> mask = model.to_mask(prediction, embedding.image_size)  # bool HxW
    >>> masks = [found.mask() for found in find_all(model, image)]
"""

from sam2_serving.masks.boxes import Box
from sam2_serving.model.automatic import find_all
from sam2_serving.model.automatic_settings import AutomaticSettings
from sam2_serving.model.devices import available_devices
from sam2_serving.model.errors import (
    CheckpointError,
    CompileError,
    DeviceError,
    InputSizeError,
    ModelError,
)
from sam2_serving.model.found_mask import FoundMask
from sam2_serving.model.image import (
    ImageEmbedding,
    Prediction,
    Refine,
    SegmentationModel,
    segment,
)
from sam2_serving.model.loading import load_model
from sam2_serving.model.many import segment_many
from sam2_serving.model.network import build_network
from sam2_serving.model.prompts import Point, Prompts
from sam2_serving.model.tracked import TrackedMask
from sam2_serving.model.video import VideoTracker

__all__ = [
    "AutomaticSettings",
    "Box",
    "CheckpointError",
    "CompileError",
    "DeviceError",
    "FoundMask",
    "ImageEmbedding",
    "InputSizeError",
    "ModelError",
    "Point",
    "Prediction",
    "Prompts",
    "Refine",
    "SegmentationModel",
    "TrackedMask",
    "VideoTracker",
    "available_devices",
    "build_network",
    "find_all",
    "load_model",
    "segment",
    "segment_many",
]
