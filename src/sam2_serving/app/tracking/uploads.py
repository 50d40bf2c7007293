"""Store tracked figures on the platform: each exactly once, never over a person's work.

`figures.bulk.add` is not safe to repeat. After an answer that leaves it open whether figures were
stored, the figures that are younger than all that were known before are read back, and only what
is missing is sent again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby

from sam2_serving.app.patience import Patience
from sam2_serving.app.platform.video import NewFigure, VideoFigure, VideoFigures
from sam2_serving.app.reporting import MediaNotFound, PlatformUnavailable
from sam2_serving.app.tracking.claims import Claim

FIGURES_A_CALL = 100

Cell = tuple[int, int]
"""(object id, frame): what has one tracked mask, which may be several polygons."""


class Uploads:
    """Stores the figures of one job. Belongs to one thread at a time."""

    def __init__(
        self,
        figures: VideoFigures,
        known: Iterable[VideoFigure],
        newest: int,
        track_id: int | str,
        patience: Patience,
    ) -> None:
        """Take what is known.

        Args:
            figures: of the video.
            known: the job's objects' figures at its start.
            newest: the highest id of any figure of the video then.
            track_id: goes with every figure.
            patience: with a platform that fails.
        """
        self._figures = figures
        self._track_id = track_id
        self._patience = patience
        self._known: dict[Cell, dict[int, VideoFigure]] = defaultdict(dict)
        self._seen = newest
        self._newest_at_start = newest
        self._own: set[int] = set()
        self._too_late: set[int] = set()
        self._in_doubt = False
        for figure in known:
            self._learn(figure)

    def store(self, figures: Sequence[NewFigure], lost: Collection[Cell], claim: Claim) -> None:
        """Store a batch: what a person drew stays, what a model drew there is replaced.

        Args:
            figures: to store.
            lost: where an object was looked for and is not.
            claim: what may be written.

        Raises:
            AppError: the platform says no, or fails for longer than there is patience.
        """
        with claim.writing():
            self._clear([cell for cell in lost if claim.allows(*cell)])
            wanted = [one for one in figures if claim.allows(one.object_id, one.frame)]
            for batch in _batched(wanted, FIGURES_A_CALL):
                self._store_batch(batch)

    def _clear(self, cells: Collection[Cell]) -> None:
        """Remove what a model drew in these cells."""

        def attempt() -> None:
            self._see(self._figures.since(self._seen))
            self._look_again(cells)
            self._remove_old([cell for cell in cells if not self._has_persons(cell)])

        if cells:
            self._patience.insist(attempt)

    def settle(self, claim: Claim) -> None:
        """Remove what came too late; and what came twice, if it was ever open what was stored."""
        if not self._own:
            return
        with claim.writing():
            self._patience.insist(self._remove_late)
            if self._in_doubt:
                self._patience.insist(lambda: self._remove_twice(claim))

    def _remove_twice(self, claim: Claim) -> None:
        twice = [
            one.id
            for one in self._figures.since(self._newest_at_start)
            if not one.by_person
            and one.id not in self._own
            and claim.allows(one.object_id, one.frame)
            and self._own & self._known[one.object_id, one.frame].keys()
        ]
        self._remove(twice)

    def _store_batch(self, figures: Sequence[NewFigure]) -> None:
        """Store one call's worth; each attempt looks again, as people go on working meanwhile."""
        missing, unclear = list(figures), False

        def attempt() -> None:
            nonlocal missing, unclear
            younger = self._figures.since(self._seen)
            if unclear:
                self._in_doubt = True
                stored = self._stored_whole(missing, younger)
                missing = [one for one in missing if _cell(one) not in stored]
            self._see(younger)
            self._look_again({_cell(one) for one in missing})
            missing = [one for one in missing if not self._has_persons(_cell(one))]
            self._remove_old({_cell(one) for one in missing})
            if missing:
                unclear = True
                ids = self._figures.add(missing, self._track_id)
                for one, id in zip(missing, ids, strict=True):
                    self._learn_own(VideoFigure(id, one.object_id, one.frame, one.kind, False, ""))

        self._patience.insist(attempt)

    def _see(self, younger: Iterable[VideoFigure]) -> None:
        """Learn what is new. If a person drew just before we stored, ours came too late."""
        for figure in younger:
            self._learn(figure)
            self._seen = max(self._seen, figure.id)
            if figure.by_person:
                cell = self._known[figure.object_id, figure.frame]
                self._too_late |= {id for id in cell.keys() & self._own if id > figure.id}

    def _remove_late(self) -> None:
        self._see(self._figures.since(self._seen))
        late = self._figures.named(sorted(self._too_late))
        self._remove([one.id for one in late if not one.by_person])
        self._too_late.clear()

    def _stored_whole(
        self, figures: Sequence[NewFigure], younger: Iterable[VideoFigure]
    ) -> set[Cell]:
        """Learn which cells an unclear call has filled; what is there in part is not its work."""
        wanted = Counter(map(_cell, figures))
        found: dict[Cell, list[VideoFigure]] = defaultdict(list)
        for one in younger:
            if not one.by_person:
                found[one.object_id, one.frame].append(one)
        whole = {cell for cell, count in wanted.items() if len(found[cell]) == count}
        for cell in whole:
            for one in found[cell]:
                self._learn_own(one)
        return whole

    def _look_again(self, cells: Collection[Cell]) -> None:
        """Learn what became of the figures in these cells: people change and remove some."""
        known = [id for cell in cells for id in self._known[cell]]
        now = {one.id: one for one in self._figures.named(known)}
        for cell in cells:
            self._known[cell] = {id: now[id] for id in self._known[cell] if id in now}

    def _remove_old(self, cells: Collection[Cell]) -> None:
        self._remove([id for cell in cells for id in self._known[cell]])
        for cell in cells:
            self._known[cell].clear()

    def _remove(self, figure_ids: Sequence[int]) -> None:
        try:
            if figure_ids:
                self._figures.remove(figure_ids)
        except MediaNotFound as error:
            # Somebody removed one of them since the last look: the next attempt looks again.
            raise PlatformUnavailable("Some figures could not be removed.") from error

    def _has_persons(self, cell: Cell) -> bool:
        return any(one.by_person for one in self._known[cell].values())

    def _learn(self, figure: VideoFigure) -> None:
        self._known[figure.object_id, figure.frame][figure.id] = figure

    def _learn_own(self, figure: VideoFigure) -> None:
        self._learn(figure)
        self._own.add(figure.id)


def _cell(figure: NewFigure) -> Cell:
    return figure.object_id, figure.frame


def _batched(figures: Sequence[NewFigure], size: int) -> Iterator[Sequence[NewFigure]]:
    """Yield calls' worth of figures; a cell is never split over two calls."""
    batch: list[NewFigure] = []
    for _, together in groupby(figures, key=_cell):
        cell = list(together)
        if batch and len(batch) + len(cell) > size:
            yield batch
            batch = []
        batch += cell
    if batch:
        yield batch
