"""In which order people go through the images of a dataset."""

from __future__ import annotations

import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sam2_serving.app.platform.api import Caller, PlatformClient
from sam2_serving.app.platform.projects import Projects

MAX_IMAGES = 20_000
"""Of a dataset; of a larger one, what comes after the first ones is not known. Its list is not
fetched again for their sake."""
MAX_DATASETS = 64
LIFETIME_S = 300.0
RETRY_S = 30.0
"""An image that is not in the list may be a new one: then the list is fetched again, if it is as
old as this."""


@dataclass(frozen=True)
class DatasetOrder:
    """The ids of a dataset's images, in the orders in which a tool may show them."""

    orders: tuple[array[int], ...]

    @classmethod
    def of(cls, images: Sequence[tuple[int, str]]) -> DatasetOrder:
        """Order (id, name) by id and by name."""
        by_id = array("q", sorted(id for id, _ in images))
        by_name = array("q", (id for id, _ in sorted(images, key=lambda one: (one[1], one[0]))))
        return cls((by_id,) if by_id == by_name else (by_id, by_name))

    def __contains__(self, image_id: int) -> bool:
        """Tell whether an image is in the dataset."""
        return image_id in self.orders[0]

    def walked(self, image_ids: Sequence[int]) -> tuple[array[int], list[int]]:
        """Return the order in which these images lie closest together, and their places in it.

        Images that are not in the dataset have no place.
        """
        walks = [
            (order, [order.index(id) for id in image_ids if id in order]) for order in self.orders
        ]
        return min(walks, key=lambda walk: sum(abs(b - a) for a, b in pairwise(walk[1])))


@dataclass(frozen=True)
class _Known:
    order: DatasetOrder
    since: float
    whole: bool


class DatasetOrders:
    """Remembers the orders of datasets for a while, for each caller alone. Thread-safe."""

    def __init__(
        self, platform: PlatformClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._platform = platform
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str, int], _Known] = OrderedDict()

    def of(self, caller: Caller, dataset_id: int, image_id: int) -> DatasetOrder:
        """Return the order of the dataset that an image is in; blocks.

        Raises:
            AppError: what the platform says to this caller.
        """
        name = (caller.server, caller.token_hash, dataset_id)
        now = self._clock()
        with self._lock:
            known = self._known.get(name)
        if known is not None:
            age = now - known.since
            as_expected = image_id in known.order or not known.whole
            if age < RETRY_S or (age < LIFETIME_S and as_expected):
                return known.order
        images = Projects(self._platform, caller).image_names(dataset_id, MAX_IMAGES)
        order = DatasetOrder.of(images)
        with self._lock:
            self._known[name] = _Known(order, now, len(images) < MAX_IMAGES)
            self._known.move_to_end(name)
            while len(self._known) > MAX_DATASETS:
                self._known.popitem(last=False)
        return order
