"""SAM 2.1 on torch: load a checkpoint, embed an image, predict masks. Usable alone.

Example:
    >>> model = load_model("checkpoints/nano/nano.pt")
    >>> embedding = model.embed(image)  # uint8 HxWx3, RGB
    >>> prediction = segment(model, embedding, Prompts(points=(Point(120, 80),)))
    >>> mask = model.to_mask(prediction, embedding.image_size)  # bool HxW
"""

from sam2_serving.masks.boxes import Box
from sam2_serving.model.devices import available_devices
from sam2_serving.model.errors import CheckpointError, DeviceError, ModelError
from sam2_serving.model.image import (
    ImageEmbedding,
    Prediction,
    Refine,
    SegmentationModel,
    segment,
)
from sam2_serving.model.loading import load_model
from sam2_serving.model.network import build_network, upstream_predictor
from sam2_serving.model.prompts import Point, Prompts

__all__ = [
    "Box",
    "CheckpointError",
    "DeviceError",
    "ImageEmbedding",
    "ModelError",
    "Point",
    "Prediction",
    "Prompts",
    "Refine",
    "SegmentationModel",
    "available_devices",
    "build_network",
    "load_model",
    "segment",
    "upstream_predictor",
]
