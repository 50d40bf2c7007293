"""Carry an order out: for one picture, for many at once, or as a job."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from supervisely.sly_logger import logger

from sam2_serving.app import telemetry
from sam2_serving.app.inference.answers import Answers
from sam2_serving.app.inference.jobs import Failure, InferenceJob
from sam2_serving.app.inference.named import Picture
from sam2_serving.app.inference.predictions import Json
from sam2_serving.app.inference.settings import InferenceSettings
from sam2_serving.app.inference.uploads import Uploads
from sam2_serving.app.patience import Patience
from sam2_serving.app.reporting import (
    AppError,
    BadRequest,
    MediaNotFound,
    MediaTooLarge,
    NotEnoughMemory,
    PermissionDenied,
    Unexpected,
    UnreadableMedia,
    as_app_error,
)
from sam2_serving.engine import Busy, Cancelled, CancelToken

PICTURES_AT_ONCE = 4
_TOLD = 3
_OF_THE_PICTURE = (
    BadRequest,
    MediaNotFound,
    MediaTooLarge,
    NotEnoughMemory,
    PermissionDenied,
    Unexpected,
    UnreadableMedia,
)
"""What is wrong with one picture says nothing about the next; anything else ends a job."""


@dataclass(frozen=True)
class Order:
    """What is done with each picture."""

    settings: InferenceSettings
    uploads: Uploads | None


@dataclass(frozen=True)
class Runs:
    """Carries orders out. Thread-safe.

    Attributes:
        patience_s: how long a job puts up with a platform that fails.
        answer_bytes: largest answer to a request for many pictures at once.
    """

    answers: Answers
    patience_s: float
    answer_bytes: int

    def _predict(self, picture: Picture, order: Order, cancel: CancelToken, at_once: bool) -> Json:
        media, origin = picture.open()
        outcome = self.answers.answer(media, order.settings, cancel, at_once=at_once)
        telemetry.predictions.inc()
        return outcome.prediction(origin)

    def _stored(self, prediction: Json, order: Order, patience: Patience) -> bytes:
        """Store a prediction if that is wanted; returns what is told, as JSON."""
        uploads = order.uploads
        told = prediction if uploads is None else uploads.store(prediction, patience)
        return json.dumps(told, separators=(",", ":")).encode()

    def one(self, picture: Picture, order: Order, cancel: CancelToken) -> bytes:
        """Answer for one picture that somebody waits for; JSON. Raises what is wrong."""
        prediction = self._predict(picture, order, cancel, at_once=True)
        return self._stored(prediction, order, Patience(self.patience_s, cancel))

    def many(self, pictures: Sequence[Picture], order: Order, cancel: CancelToken) -> bytes:
        """Answer for many pictures: a list in their order, as JSON.

        Raises:
            MediaTooLarge: the list has more than `answer_bytes`.
            AppError: what is wrong with the first picture that has no prediction; names it.
        """
        patience = Patience(self.patience_s, cancel)

        def predict(picture: Picture) -> bytes:
            try:
                prediction = self._predict(picture, order, cancel, at_once=False)
                return self._stored(prediction, order, patience)
            except (Busy, Cancelled):
                raise
            except Exception as error:
                raise _with_name(picture.name, as_app_error(error)) from error

        parts: list[bytes] = []
        room = self.answer_bytes
        with closing(_in_order(pictures, predict, cancel)) as found:
            for part in found:
                parts.append(part)
                room -= len(part)
                if room < 0:
                    raise MediaTooLarge(
                        "The answer would be too large: ask for fewer pictures at once, or use "
                        "the same route with _async at its end."
                    )
        return b"[%b]" % b",".join(parts)

    def as_job(
        self, job: InferenceJob, find: Callable[[], Sequence[Picture]], order: Order
    ) -> Failure | None:
        """Hand the predictions of many pictures to a job, in their order.

        Args:
            job: whose client fetches them.
            find: returns the pictures; may ask the platform.
            order: what is done with each.

        Returns:
            which pictures have no prediction and why; None if all have.

        Raises:
            AppError: something is wrong that is not one picture's.
        """
        patience = Patience(self.patience_s, job.cancel)
        pictures = patience.insist(find)
        job.begin(len(pictures))
        failures: list[Failure] = []

        def predict(picture: Picture) -> bytes | Failure:
            try:
                prediction = self._patiently(picture, order, patience)
                return self._stored(prediction, order, patience)
            except (Busy, Cancelled):
                raise
            except Exception as error:
                problem = as_app_error(error)
                if not isinstance(problem, _OF_THE_PICTURE):
                    raise
                return Failure(type(problem).__name__, f"{picture.name}: {problem}")

        with closing(_in_order(pictures, predict, job.cancel)) as results:
            for result in results:
                if isinstance(result, Failure):
                    logger.warning("A picture has no prediction", extra={"error": result.sentence})
                    failures.append(result)
                    job.pass_over()
                else:
                    job.put(result)
        return _summary(failures, len(pictures))

    def _patiently(self, picture: Picture, order: Order, patience: Patience) -> Json:
        while True:
            try:
                return patience.insist(
                    lambda: self._predict(picture, order, patience.cancel, at_once=False)
                )
            except Busy as busy:
                patience.rest(busy.retry_after_s)


def _in_order(
    pictures: Sequence[Picture], work: Callable[[Picture], Any], cancel: CancelToken
) -> Generator[Any, None, None]:
    """Yield what `work` returns, in order; a few pictures are worked on at a time, no more.

    Must be closed by the thread that takes the results: it waits for what is still worked on.
    """
    ahead: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(PICTURES_AT_ONCE, thread_name_prefix="inference") as pool:
        try:
            for picture in pictures:
                if cancel.cancelled:
                    raise Cancelled("The request was stopped.")
                # in this request's context: its token stays out of the log
                ahead.append(pool.submit(copy_context().run, work, picture))
                if len(ahead) >= PICTURES_AT_ONCE:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        except BaseException:
            # nobody wants the others any more, and nobody should wait for them
            cancel.cancel()
            for future in ahead:
                future.cancel()
            raise


def _summary(failures: list[Failure], count: int) -> Failure | None:
    if not failures or count == 1:
        return failures[0] if failures else None
    said = "; ".join(one.sentence.rstrip(".") for one in failures[:_TOLD])
    more = len(failures) - _TOLD
    rest = f"; and {more} more" if more > 0 else ""
    kinds = {one.kind for one in failures}
    kind = kinds.pop() if len(kinds) == 1 else "SomePicturesFailed"
    return Failure(kind, f"{len(failures)} of {count} have no prediction: {said}{rest}.")


def _with_name(name: str, error: AppError) -> AppError:
    named = type(error)(f"{name}: {error}")
    named.status, named.retry_after_s = error.status, error.retry_after_s
    return named
