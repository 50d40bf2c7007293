"""Results of first passes, so that the next click on the same object costs one decode."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from sam2_serving.engine.embeddings import EmbeddingKey
from sam2_serving.model import Prediction, Prompts

FirstPassKey = tuple[EmbeddingKey, Prompts]


class FirstPasses:
    """The latest first passes, least recently used out first.

    Used by the device thread only. What it holds equals what a new first pass would give, so
    that nothing depends on whether it was still there.
    """

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._predictions: OrderedDict[FirstPassKey, Prediction] = OrderedDict()

    def clear(self) -> None:
        """Forget all."""
        self._predictions.clear()

    def get(self, key: FirstPassKey | None) -> Prediction | None:
        """Return the remembered first pass, if there is one."""
        return None if key is None else self._predictions.get(key)

    def put(self, key: FirstPassKey, prediction: Prediction) -> None:
        """Remember a first pass, as the latest."""
        self.get_or_make(key, lambda: prediction)

    def get_or_make(self, key: FirstPassKey, make: Callable[[], Prediction]) -> Prediction:
        """Return the remembered first pass, or make and remember it."""
        if key not in self._predictions:
            made = make()
            # The best of three masks is a part of a tensor that holds all three.
            self._predictions[key] = replace(made, logits=made.logits.clone())
            if len(self._predictions) > self._limit:
                self._predictions.popitem(last=False)
        self._predictions.move_to_end(key)
        return self._predictions[key]
