"""Segments images and tracks through videos: who may use the device when, what is remembered."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from functools import partial
from weakref import WeakSet

import numpy as np
import numpy.typing as npt
import torch

from sam2_serving.engine.automatic import AutomaticJob
from sam2_serving.engine.cancel import CancelToken
from sam2_serving.engine.clicks import WaitingClick, WaitingClicks
from sam2_serving.engine.embedder import Embedder, ImageSource
from sam2_serving.engine.embedding_files import DiskTier, EmbeddingFiles
from sam2_serving.engine.embedding_format import origin_of
from sam2_serving.engine.embeddings import (
    EmbeddingKey,
    EmbeddingStore,
    ImageKey,
    Tier,
)
from sam2_serving.engine.errors import Cancelled, EngineClosed, OutOfMemory
from sam2_serving.engine.first_passes import FirstPasses
from sam2_serving.engine.held_states import HeldStates
from sam2_serving.engine.observing import NOBODY, Observer, timed
from sam2_serving.engine.prefetch import Plan
from sam2_serving.engine.scheduler import Priority, Scheduler
from sam2_serving.engine.stats import DeviceMemory, EngineStats
from sam2_serving.engine.tracking import Tracking
from sam2_serving.engine.tracking_request import Frames, TrackingRequest
from sam2_serving.engine.turns import DeviceTurns
from sam2_serving.model import (
    AutomaticSettings,
    FoundMask,
    ImageEmbedding,
    Prediction,
    Prompts,
    Refine,
    SegmentationModel,
    segment,
)
from sam2_serving.model.automatic import Progress
from sam2_serving.model.loading import free_cached_memory
from sam2_serving.model.many import PROMPTS_AT_ONCE, form_of, segment_many


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
        disk: DiskTier | None = None,
        held_bytes: int = 64 * 2**20,
        queue_limit: int = 256,
        client_limit: int | None = None,
        ahead_share: float = 0.25,
        observer: Observer = NOBODY,
    ) -> None:
        """Start the device thread.

        Args:
            model: from now on used by this engine only.
            store_bytes: budget of the embeddings on the device.
            host_store_bytes: budget of those that no longer fit there; of no use on a CPU.
            disk: where embeddings are kept that outlive the engine, if its budget is not 0; costs
                one encode now.
            held_bytes: budget of what ended tracking jobs leave for the next ones.
            queue_limit: units of work that may wait.
            client_limit: units that may wait for one client; default: as many as may wait at all.
            ahead_share: part of `store_bytes` that embeddings may take which nobody has asked for
                yet; 0: none are made.
            observer: is told how long things take.
        """
        self._observer = observer
        self.numeric_path = model.numeric_path
        self.input_size = model.input_size
        self.compiled = model.compiled is not None
        self._model: SegmentationModel | None = model
        self._scheduler = Scheduler(
            queue_limit,
            client_limit,
            on_arrival=lambda: self._embedder.make_way(),
            observer=observer,
            free_memory=self._free_memory,
        )
        on_cpu = model.device.type == "cpu"
        self._files = self._open_files(disk, model) if disk and disk.budget else None
        self._store = EmbeddingStore(
            Tier(model.device, store_bytes),
            None if on_cpu else Tier(torch.device("cpu"), host_store_bytes),
            transfer=lambda copy: self._scheduler.run(Priority.CLICK_ENCODE, copy),
            files=self._files,
            ahead_bytes=int(store_bytes * ahead_share),
        )
        self._embedder = Embedder(self._open_model, self._scheduler, self._store, observer)
        self._first_passes = FirstPasses()
        self._waiting_clicks = WaitingClicks(self._first_passes, observer)
        self._held_states = HeldStates(held_bytes)
        self._trackings: WeakSet[Tracking] = WeakSet()
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
            Busy: too much work is waiting, all in all or of this client.
            Cancelled: `cancel` was used.
            EngineClosed: the model was stopped.
            OutOfMemory: the device has no memory for it.
            ValueError: no prompts, or pixels or a mask prompt of a wrong shape.
        """
        if prompts.is_empty:
            raise ValueError("There is nothing to segment: give a click, a box or a mask.")
        key = self._embedder.key(source.key)
        try:
            with self._embedder.foreground():
                embedding = self._embedder.embedding(source, Priority.CLICK_ENCODE, cancel)
                click = WaitingClick(key, embedding, prompts, refine)
                decode = self._together if self._open_model().clicks_at_once > 1 else self._alone
                with timed(self._observer, "decode"):
                    finish = decode(click, cancel, source.client)
                with timed(self._observer, "enlarge"):
                    return finish()
        except CancelledError as error:
            raise Cancelled("The request was given up.") from error

    def segment_many(
        self,
        source: ImageSource,
        prompts: Sequence[Prompts],
        *,
        refine: Refine = "two_pass",
        cancel: CancelToken | None = None,
    ) -> list[Segmentation]:
        """Segment many objects of one image, several in one run of the decoder.

        Args and errors as of `segment`; the answers are in the order of the prompts, and agree
        with those of `segment` up to rounding.
        """
        found = dict(self.segment_each(source, prompts, refine=refine, cancel=cancel))
        return [found[at] for at in range(len(prompts))]

    def segment_each(
        self,
        source: ImageSource,
        prompts: Sequence[Prompts],
        *,
        refine: Refine = "two_pass",
        cancel: CancelToken | None = None,
    ) -> Iterator[tuple[int, Segmentation]]:
        """As `segment_many`, but one at a time: masks of a large image take much memory.

        Yields:
            the place of a prompt, and its answer; prompts of one form in their order, form by form.
        """
        if any(one.is_empty for one in prompts):
            raise ValueError("There is nothing to segment: give a click, a box or a mask.")
        job = object()
        try:
            embedding = self._embedder.embedding(source, Priority.MANY, cancel)
            order = sorted(range(len(prompts)), key=lambda at: form_of(prompts[at]))
            units = [
                order[at : at + PROMPTS_AT_ONCE] for at in range(0, len(order), PROMPTS_AT_ONCE)
            ]
            for unit in units:
                asked = [prompts[at] for at in unit]
                decode = partial(self._decode_many, embedding, asked, refine)
                with timed(self._observer, "decode"):
                    try:
                        found = self._scheduler.run(
                            Priority.MANY, decode, cancel, job, source.client
                        )
                    except OutOfMemory:
                        if len(unit) == 1:
                            raise
                        found = self._one_by_one(embedding, asked, refine, source.client, cancel)
                self._observer.together("prompts", len(unit))
                for at, finish in zip(unit, found, strict=True):
                    yield at, finish()
        except CancelledError as error:
            raise Cancelled("The request was given up.") from error

    def track(
        self,
        request: TrackingRequest,
        frames: Frames,
        cancel: CancelToken | None = None,
        client: str = "",
    ) -> Tracking:
        """Return a job that tracks objects while it is iterated over.

        Args:
            request: what to follow, and where.
            frames: of the video.
            cancel: ends the job within one unit of work.
            client: who asks; clients are served in turn.

        Raises:
            EngineClosed: the model was stopped.
        """
        turns = DeviceTurns(self._scheduler, Priority.TRACK, cancel or CancelToken(), client)
        tracking = Tracking(request, frames, self._open_model(), turns, self._held_states)
        self._trackings.add(tracking)
        return tracking

    def find_all(
        self,
        source: ImageSource,
        settings: AutomaticSettings,
        *,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> Iterator[FoundMask]:
        """Find everything in an image while the result is iterated over, on the caller's thread.

        Args:
            source: the image; its embedding is shared with clicks.
            settings: what to ask and what to keep.
            cancel: ends the search within one batch of points.
            progress: told (batches of points done, all) after each.

        Returns:
            masks, as soon as their crop is through; see `sam2_serving.model.find_all`. Iterating
            raises `Cancelled`, `EngineClosed` and whatever the source raises.

        Raises:
            EngineClosed: the model was stopped.
        """
        self._open_model()
        token = cancel or CancelToken()

        def embed_whole(load: Callable[[], npt.NDArray[np.uint8]]) -> ImageEmbedding:
            loaded = replace(source, load=load)
            return self._embedder.embedding(loaded, Priority.MANY, token)

        turns = DeviceTurns(self._scheduler, Priority.AUTOMATIC, token, source.client)
        job = AutomaticJob(self._open_model, settings, turns, source.load, embed_whole)
        return job.find(progress)

    def look_ahead(self, client: str, topic: Hashable, plan: Plan[ImageSource]) -> None:
        """Encode what a client will need next, while the device is idle and nobody waits.

        Returns at once. Errors of the plan are counted and told to nobody. What is made takes a
        bounded share of the store, and is given up the instant that anything else is asked for.

        Args:
            client: whose plan it is; plans are carried out in turn between clients.
            topic: a client's new plan takes the place of the one on the same topic.
            plan: given a token that tells when to stop fetching, says how to find each image, the
                most urgent first. Called on another thread, and again if it had to make way.
        """
        self._embedder.look_ahead(client, topic, plan)

    def kept_size(self, image: ImageKey) -> tuple[int, int] | None:
        """Return (height, width) of an image whose embedding is kept on disk, else None.

        Raises:
            EngineClosed: the model was stopped.
        """
        kept = None if self._files is None else self._files.read(self._embedder.key(image))
        return None if kept is None else kept.image_size

    def stats(self) -> EngineStats:
        """Return what the engine holds and did."""
        model = self._model
        return EngineStats(
            store_bytes=self._store.nbytes,
            store=self._store.counters,
            waiting=self._scheduler.depth(),
            ahead=self._embedder.stats(),
            files=None if self._files is None else self._files.counters,
            memory=None if model is None else DeviceMemory.of(model.device),
        )

    def close(self) -> None:
        """Stop: what waits fails with `EngineClosed`, the device's memory is given back."""
        with self._closing:
            self._embedder.close()
            self._store.close()
            self._scheduler.close()
            self._first_passes.clear()
            self._held_states.close()
            for tracking in list(self._trackings):
                tracking.release()
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

    def _open_files(self, disk: DiskTier, model: SegmentationModel) -> EmbeddingFiles:
        scheduler = self._scheduler

        def from_gpu(embedding: ImageEmbedding) -> ImageEmbedding:
            return scheduler.run(Priority.PREFETCH, embedding.on_cpu)

        origin = origin_of(model)
        if model.device.type == "cpu":
            return EmbeddingFiles(disk, origin)
        return EmbeddingFiles(disk, origin, from_gpu)

    def _decode_many(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompts], refine: Refine
    ) -> list[Callable[[], Segmentation]]:
        predictions = segment_many(self._open_model(), embedding, prompts, refine)
        return [self._finish(one, embedding.image_size) for one in predictions]

    def _alone(
        self, click: WaitingClick, cancel: CancelToken | None, client: str
    ) -> Callable[[], Segmentation]:
        decode = partial(self._decode, click.key, click.embedding, click.prompts, click.refine)
        return self._scheduler.run(Priority.CLICK_DECODE, decode, cancel, client=client)

    def _together(
        self, click: WaitingClick, cancel: CancelToken | None, client: str
    ) -> Callable[[], Segmentation]:
        def answer() -> Callable[[], Segmentation]:
            prediction = self._waiting_clicks.answer(self._open_model(), click)
            return self._finish(prediction, click.embedding.image_size)

        self._waiting_clicks.add(click)
        try:
            return self._scheduler.run(Priority.CLICK_DECODE, answer, cancel, client=client)
        finally:
            self._waiting_clicks.remove(click)

    def _decode(
        self, key: EmbeddingKey, embedding: ImageEmbedding, prompts: Prompts, refine: Refine
    ) -> Callable[[], Segmentation]:
        model = self._open_model()
        prediction = segment(
            model,
            embedding,
            prompts,
            refine,
            remember=lambda first, make: self._first_passes.get_or_make((key, first), make),
        )
        return self._finish(prediction, embedding.image_size)

    def _one_by_one(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        refine: Refine,
        client: str,
        cancel: CancelToken | None,
    ) -> list[Callable[[], Segmentation]]:
        """Answer what does not fit the device together; equal to it up to rounding."""

        def decode(one: Prompts) -> Callable[[], Segmentation]:
            prediction = segment(self._open_model(), embedding, one, refine)
            return self._finish(prediction, embedding.image_size)

        return [
            self._scheduler.run(Priority.MANY, partial(decode, one), cancel, client=client)
            for one in prompts
        ]

    def _free_memory(self) -> None:
        """Drop what is only kept to be faster; on the device thread."""
        self._store.make_room()
        self._first_passes.clear()
        self._held_states.clear()
        gc.collect()
        if self._model is not None:
            free_cached_memory(self._model.device)

    def _finish(
        self, prediction: Prediction, image_size: tuple[int, int]
    ) -> Callable[[], Segmentation]:
        """Return how to make the answer.

        Enlarging a mask to a large image takes longer than the decoder on a CPU: it is left to the
        thread of the one who asks. What lies on a GPU is enlarged there, at once.
        """

        def make() -> Segmentation:
            mask = SegmentationModel.to_mask(prediction, image_size)
            return Segmentation(mask, prediction.predicted_iou, self.numeric_path)

        if prediction.logits.device.type == "cpu":
            return make
        made = make()
        return lambda: made

    def _open_model(self) -> SegmentationModel:
        if self._model is None:
            raise EngineClosed("The model was stopped.")
        return self._model
