"""Who may use the device, when; what is remembered; what is dropped."""

from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.embeddings import ImageKey
from sam2_serving.engine.engine import Engine, EngineStats, ImageSource, Segmentation
from sam2_serving.engine.errors import Busy, Cancelled, EngineClosed
from sam2_serving.engine.scheduler import Priority

__all__ = [
    "Busy",
    "CancelToken",
    "Cancelled",
    "Engine",
    "EngineClosed",
    "EngineStats",
    "ImageKey",
    "ImageSource",
    "Priority",
    "Segmentation",
]
