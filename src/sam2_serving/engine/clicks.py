"""Clicks that wait at the same time are answered together, where the model does that."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass

from sam2_serving.engine.embeddings import EmbeddingKey
from sam2_serving.engine.first_passes import FirstPasses
from sam2_serving.engine.observing import NOBODY, Observer
from sam2_serving.model import ImageEmbedding, Prediction, Prompts, Refine, SegmentationModel
from sam2_serving.model.clicks import Click, segment_clicks
from sam2_serving.model.many import form_of


@dataclass(eq=False)
class WaitingClick:
    """One person's question, and its answer once there is one."""

    key: EmbeddingKey
    embedding: ImageEmbedding
    prompts: Prompts
    refine: Refine
    answer: Prediction | None = None

    @property
    def form(self) -> Hashable:
        """What clicks must have in common to be asked the same number of times in the same way."""
        return form_of(self.prompts), self.refine


class WaitingClicks:
    """The clicks whose turn on the device has not come.

    Each has a unit of its own in the queue. The one whose turn comes first takes others of its form
    along; when their turns come, nothing is left to do. `add` and `remove` may be called by any
    thread.
    """

    def __init__(self, first_passes: FirstPasses, observer: Observer = NOBODY) -> None:
        """Begin with none; what is made of first passes is remembered there."""
        self._first_passes = first_passes
        self._observer = observer
        self._lock = threading.Lock()
        self._waiting: dict[WaitingClick, None] = {}

    def add(self, click: WaitingClick) -> None:
        """Let a click be taken along."""
        with self._lock:
            self._waiting[click] = None

    def remove(self, click: WaitingClick) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            self._waiting.pop(click, None)

    def answer(self, model: SegmentationModel, click: WaitingClick) -> Prediction:
        """Answer a click whose turn has come, and those that it takes along.

        Raises:
            ValueError: a mask prompt of another size than the image.
        """
        if click.answer is None:
            with self._lock:
                alike = [
                    other
                    for other in self._waiting
                    if other is not click and other.answer is None and other.form == click.form
                ]
            together = [click, *alike[: model.clicks_at_once - 1]]
            try:
                self._answer(model, together)
            except Exception:
                # whose fault it is shows when each is asked alone
                self._answer(model, [click])
        assert click.answer is not None
        return click.answer

    def _answer(self, model: SegmentationModel, together: list[WaitingClick]) -> None:
        asked = [
            Click(one.embedding, one.prompts, one.refine, self._first_passes.get(self._first(one)))
            for one in together
        ]
        for one, passes in zip(together, segment_clicks(model, asked), strict=True):
            first = self._first(one)
            if first is not None:
                self._first_passes.put(first, passes.first)
            one.answer = passes.answer
        self._observer.together("clicks", len(together))

    @staticmethod
    def _first(click: WaitingClick) -> tuple[EmbeddingKey, Prompts] | None:
        """Return the name of a click's first pass; None if it has none that another may share."""
        if click.refine == "single" or click.prompts.mask is not None:
            return None
        return click.key, click.prompts.first_pass()
