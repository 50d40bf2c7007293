"""Answers prompts on images: who may use the device when, what is remembered, what is dropped."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.embeddings import (
    EmbeddingKey,
    EmbeddingStore,
    ImageKey,
    StoreCounters,
    Tier,
)
from sam2_serving.engine.errors import Cancelled, EngineClosed
from sam2_serving.engine.first_passes import FirstPasses
from sam2_serving.engine.scheduler import Priority, Scheduler
from sam2_serving.model import ImageEmbedding, Prompts, Refine, SegmentationModel, segment
from sam2_serving.model.loading import free_cached_memory


@dataclass(frozen=True)
class ImageSource:
    """An image that may not have been fetched yet.

    Attributes:
        key: what pixels they are.
        load: fetches them, RGB uint8 HxWx3; called only if no embedding is stored. Whatever it
            raises reaches the one who asked.
    """

    key: ImageKey
    load: Callable[[], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class Segmentation:
    """An answer.

    Attributes:
        mask: bool HxW of the whole image.
        predicted_iou: the network's estimate of the mask's quality, 0 to 1.
        numeric_path: answers to equal requests with equal id are equal byte for byte.
    """

    mask: npt.NDArray[np.bool_]
    predicted_iou: float
    numeric_path: str


@dataclass(frozen=True)
class EngineStats:
    """What the engine holds and did."""

    store_bytes: int
    store: StoreCounters
    waiting: dict[Priority, int]


class Engine:
    """One model on one device, shared by any number of threads.

    A new model is a new engine, so that nothing made by the old one can reach an answer of the
    new one.
    """

    def __init__(
        self,
        model: SegmentationModel,
        *,
        store_bytes: int,
        host_store_bytes: int = 0,
        queue_limit: int = 256,
    ) -> None:
        """Start the device thread.

        Args:
            model: from now on used by this engine only.
            store_bytes: budget of the embeddings on the device.
            host_store_bytes: budget of those that no longer fit there; of no use on a CPU.
            queue_limit: units of work that may wait.
        """
        self.numeric_path = model.numeric_path
        self._model: SegmentationModel | None = model
        self._scheduler = Scheduler(queue_limit)
        on_cpu = model.device.type == "cpu"
        self._store = EmbeddingStore(
            Tier(model.device, store_bytes),
            None if on_cpu else Tier(torch.device("cpu"), host_store_bytes),
            transfer=lambda copy: self._scheduler.run(Priority.CLICK_ENCODE, copy),
        )
        self._first_passes = FirstPasses()
        self._closing = threading.Lock()

    def segment(
        self,
        source: ImageSource,
        prompts: Prompts,
        *,
        refine: Refine = "two_pass",
        cancel: CancelToken | None = None,
    ) -> Segmentation:
        """Segment one object; blocks until the answer is there.

        A pure function of the image and the prompts, whatever came before.

        Args:
            source: the image.
            prompts: not empty.
            refine: see `sam2_serving.model.segment`.
            cancel: gives the request up while it waits.

        Raises:
            Busy: too much work is waiting.
            Cancelled: `cancel` was used.
            EngineClosed: the model was stopped.
            ValueError: no prompts, or pixels or a mask prompt of a wrong shape.
        """
        if prompts.is_empty:
            raise ValueError("There is nothing to segment: give a click, a box or a mask.")
        key = self._key(source.key)
        try:
            embedding = self._store.get_or_make(key, lambda: self._encode(source, cancel), cancel)
            return self._scheduler.run(
                Priority.CLICK_DECODE,
                lambda: self._decode(key, embedding, prompts, refine),
                cancel,
            )
        except CancelledError as error:
            raise Cancelled("The request was given up.") from error

    def stats(self) -> EngineStats:
        """Return what the engine holds and did."""
        return EngineStats(self._store.nbytes, self._store.counters, self._scheduler.depth())

    def close(self) -> None:
        """Stop: what waits fails with `EngineClosed`, the device's memory is given back."""
        with self._closing:
            self._store.close()
            self._scheduler.close()
            self._first_passes = FirstPasses()
            if self._model is not None:
                device = self._model.device
                self._model = None
                gc.collect()
                free_cached_memory(device)

    def __enter__(self) -> Engine:
        """Return the engine; it is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _key(self, image: ImageKey) -> EmbeddingKey:
        model = self._open_model()
        return EmbeddingKey(model.fingerprint, model.input_size, model.dtype, image)

    def _encode(self, source: ImageSource, cancel: CancelToken | None) -> ImageEmbedding:
        if cancel is not None and cancel.cancelled:
            raise CancelledError
        # Here and not on the device thread: a large image takes long to fetch and to resize.
        prepared = self._open_model().prepare(source.load())
        return self._scheduler.run(
            Priority.CLICK_ENCODE, lambda: self._open_model().encode(prepared), cancel
        )

    def _decode(
        self, key: EmbeddingKey, embedding: ImageEmbedding, prompts: Prompts, refine: Refine
    ) -> Segmentation:
        model = self._open_model()
        prediction = segment(
            model,
            embedding,
            prompts,
            refine,
            remember=lambda first, make: self._first_passes.get_or_make((key, first), make),
        )
        mask = model.to_mask(prediction, embedding.image_size)
        return Segmentation(mask, prediction.predicted_iou, self.numeric_path)

    def _open_model(self) -> SegmentationModel:
        if self._model is None:
            raise EngineClosed("The model was stopped.")
        return self._model
