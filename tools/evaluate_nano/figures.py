"""Means and shares of what was measured: what goes into `figures.json` and the card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluate_nano.automatic import Finds
from evaluate_nano.clicks import TOLERANCES
from evaluate_nano.heldout import SIZES
from evaluate_nano.prompts import WAYS, Answers, Record, Way
from evaluate_nano.tracking import Track, Tracks


@dataclass(frozen=True)
class Mean:
    """Mean and standard deviation of `of` values; 0 of nothing."""

    mean: float
    sd: float
    of: int

    @classmethod
    def over(cls, values: Iterable[float]) -> Mean:
        """Of these values."""
        listed = list(values)
        mean = float(np.mean(listed)) if listed else 0.0
        sd = float(np.std(listed, ddof=1)) if len(listed) > 1 else 0.0
        return cls(round(mean, 4), round(sd, 4), len(listed))


@dataclass(frozen=True)
class Share:
    """Share of `of` cases; 0 of nothing."""

    share: float
    of: int

    @classmethod
    def over(cls, values: Iterable[bool]) -> Share:
        """Of these cases."""
        listed = list(values)
        return cls(round(float(np.mean(listed)), 4) if listed else 0.0, len(listed))


@dataclass(frozen=True)
class WayFigures:
    """One way of asking.

    Attributes:
        box: IoU.
        click: IoU of one click's best mask by predicted IoU.
        three: IoU after three clicks.
        positive: positive clicks obeyed, first ones and corrections.
        negative: negative corrections obeyed.
        obeyed: clicks obeyed, by kind; see `Answers`.
        out_before: see `Answers`.
        said_error: mean distance of predicted and true IoU, over clicks, boxes and three clicks.
        said_correlation: of predicted and true IoU over the same answers.
    """

    box: Mean
    click: Mean
    three: Mean
    positive: Share
    negative: Share
    obeyed: dict[str, Share]
    out_before: Share
    said_error: float
    said_correlation: float


@dataclass(frozen=True)
class PromptFigures:
    """Prompts on the images of one set.

    Attributes:
        objects: how many were asked about.
        ways: by way of asking.
        oracle: IoU of the best of one click's three masks.
        filled_box: IoU of the filled box.
        flood: IoU of the flood fill with the tolerance that is best for the set.
        tolerance: that tolerance.
    """

    objects: int
    ways: dict[Way, WayFigures]
    oracle: Mean
    filled_box: Mean
    flood: Mean
    tolerance: int


@dataclass(frozen=True)
class FindFigures:
    """Automatic masks; see `evaluate_nano.automatic`.

    Attributes:
        recall: of the things to be found.
        precision: of the masks.
        again: wrong masks that are second ones of something, of all wrong masks.
        by_size: recall, by size.
    """

    recall: Share
    precision: Share
    again: Share
    by_size: dict[str, Share]


@dataclass(frozen=True)
class TrackFigures:
    """Tracking from a mask; see `evaluate_nano.tracking`.

    Attributes:
        objects: that were followed through clips as they come.
        tracked: mean IoU of each such object over the frames where it shows.
        by_size: the same by size on the first frame.
        absent: frames without the object on which no mask was given, over all clips.
        lost: frames with it on which no mask was given, over all clips.
        found_again: returns after which it was found again, over all clips.
    """

    objects: int
    tracked: Mean
    by_size: dict[str, Mean]
    absent: Share
    lost: Share
    found_again: Share


@dataclass(frozen=True)
class SetFigures:
    """All figures of one set; None for what was not measured.

    Attributes:
        prompts: clicks and boxes.
        prompts_by_size: likewise.
        found: automatic masks.
        found_trivial: the flood fill's.
        clips: drawn as they come.
        tracked: tracking.
        copied: the first mask on every frame.
    """

    prompts: PromptFigures | None = None
    prompts_by_size: dict[str, PromptFigures] = field(default_factory=dict)
    found: FindFigures | None = None
    found_trivial: FindFigures | None = None
    clips: int = 0
    tracked: TrackFigures | None = None
    copied: TrackFigures | None = None


def prompt_figures(records: Sequence[Record], tolerance: int | None = None) -> PromptFigures:
    """Figures of some objects; the flood's tolerance is the best for them unless it is given."""
    floods = {t: Mean.over(r.flood[t] for r in records) for t in TOLERANCES}
    best = tolerance or max(floods, key=lambda t: floods[t].mean)
    return PromptFigures(
        objects=len(records),
        ways={way: _way([r.answers[way] for r in records]) for way in WAYS},
        oracle=Mean.over(r.oracle for r in records),
        filled_box=Mean.over(r.filled_box for r in records),
        flood=floods[best],
        tolerance=best,
    )


def _way(answers: Sequence[Answers]) -> WayFigures:
    def obeyed(*kinds: str) -> Share:
        return Share.over(o for a in answers for kind in kinds for o in a.obeyed.get(kind, []))

    said = np.array([pair for a in answers for pair in a.said])
    flat = bool((said.std(axis=0) == 0.0).any())
    return WayFigures(
        box=Mean.over(a.box for a in answers),
        click=Mean.over(a.click for a in answers),
        three=Mean.over(a.three for a in answers),
        positive=obeyed("first", "positive"),
        negative=obeyed("negative"),
        obeyed={kind: obeyed(kind) for kind in ("first", "positive", "negative", "in_box")},
        out_before=Share.over(o for a in answers for o in a.out_before),
        said_error=round(float(np.abs(said[:, 0] - said[:, 1]).mean()), 4),
        said_correlation=0.0 if flat else round(float(np.corrcoef(said.T)[0, 1]), 4),
    )


def by_size(records: Sequence[Record], tolerance: int) -> dict[str, PromptFigures]:
    """Figures of the objects of each size; sizes without any are left out."""
    chosen = {size: [r for r in records if r.size == size] for size in SIZES}
    return {size: prompt_figures(some, tolerance) for size, some in chosen.items() if some}


def find_figures(finds: Finds) -> FindFigures:
    """Figures of automatic masks."""
    return FindFigures(
        recall=Share.over(found for _, found in finds.found),
        precision=Share.over(finds.right),
        again=Share.over(finds.again),
        by_size={s: Share.over(found for size, found in finds.found if size == s) for s in SIZES},
    )


def track_figures(plain: Sequence[Track], back: Sequence[Track]) -> TrackFigures:
    """Figures of tracking.

    Args:
        plain: objects of clips as they come.
        back: objects of clips that were chosen because they leave and come back.
    """

    def share(of: Callable[[Track], list[bool]]) -> Share:
        return Share.over(value for track in [*plain, *back] for value in of(track))

    shown = [(t.size, float(np.mean(t.ious))) for t in plain if t.ious]
    return TrackFigures(
        objects=len(plain),
        tracked=Mean.over(value for _, value in shown),
        by_size={s: Mean.over(value for size, value in shown if size == s) for s in SIZES},
        absent=share(lambda t: t.absent),
        lost=share(lambda t: t.lost),
        found_again=share(lambda t: t.returns),
    )


def tracking(tracks: Tracks) -> tuple[TrackFigures, TrackFigures]:
    """Figures of the tracker, and of the first mask copied."""
    return track_figures(tracks.plain, tracks.back), track_figures(
        tracks.copied, tracks.copied_back
    )
