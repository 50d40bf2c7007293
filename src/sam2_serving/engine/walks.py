"""Where one who goes through a row of pictures will be next.

Nothing here knows what the pictures are: a place is a number, the next picture's is one larger.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from itertools import pairwise

MAX_WALKERS = 4096
STOPS_REMEMBERED = 4
NEAR = 3
"""A longer step is a jump: whoever jumped goes on in the direction of before."""


class Walks:
    """Where walkers were last; those not seen for longest are forgotten first. Thread-safe.

    A walker is one person in one row of pictures; a stop is whatever names a picture there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: OrderedDict[Hashable, tuple[int, ...]] = OrderedDict()

    def stopped_at(self, walker: Hashable, stop: int) -> tuple[int, ...]:
        """Remember a stop; returns the latest stops, the newest last, none twice in a row."""
        with self._lock:
            stops = self._stops.get(walker, ())
            if stops[-1:] != (stop,):
                stops = (*stops, stop)[-STOPS_REMEMBERED:]
            self._stops[walker] = stops
            self._stops.move_to_end(walker)
            while len(self._stops) > MAX_WALKERS:
                self._stops.popitem(last=False)
            return stops


def next_places(places: Sequence[int], count: int) -> list[int]:
    """Guess where a walker goes next.

    Two equal steps are a stride. Otherwise the last short step tells the direction, however many
    jumps came after it; at first it is forward.

    Args:
        places: the latest places, the newest last; not empty.
        count: so many guesses, the likeliest first.

    Returns:
        places, some of which may not exist.
    """
    here = places[-1]
    steps = [after - before for before, after in pairwise(places)]
    short = [step for step in steps if 0 < abs(step) <= NEAR]
    direction = -1 if short and short[-1] < 0 else 1
    guesses = [here + direction * ahead for ahead in range(1, count + 1)]
    if len(steps) > 1 and steps[-1] == steps[-2] and abs(steps[-1]) > 1:
        guesses = [here + steps[-1], *guesses]
    return guesses[:count]
