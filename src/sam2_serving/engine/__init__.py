"""Who may use the device, when; what is remembered; what is dropped."""

from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.doubts import Doubt, DoubtRules
from sam2_serving.engine.embedder import ImageSource
from sam2_serving.engine.embedding_files import DiskTier
from sam2_serving.engine.embeddings import ImageKey
from sam2_serving.engine.engine import Engine, Segmentation
from sam2_serving.engine.errors import Busy, Cancelled, EngineClosed, OutOfMemory
from sam2_serving.engine.observing import Observer
from sam2_serving.engine.scheduler import Priority
from sam2_serving.engine.stats import EngineStats
from sam2_serving.engine.tracking import Tracking
from sam2_serving.engine.tracking_request import (
    Frames,
    Keyframe,
    ObjectOnFrame,
    ObjectToTrack,
    TrackedFrame,
    TrackingRequest,
)

__all__ = [
    "Busy",
    "CancelToken",
    "Cancelled",
    "DiskTier",
    "Doubt",
    "DoubtRules",
    "Engine",
    "EngineClosed",
    "EngineStats",
    "Frames",
    "ImageKey",
    "ImageSource",
    "Keyframe",
    "ObjectOnFrame",
    "ObjectToTrack",
    "Observer",
    "OutOfMemory",
    "Priority",
    "Segmentation",
    "TrackedFrame",
    "Tracking",
    "TrackingRequest",
]
