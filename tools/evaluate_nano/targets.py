"""What nano has to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evaluate_nano.figures import SetFigures, TrackFigures, WayFigures
from sam2_serving.model import Refine

REFINES: tuple[Refine, ...] = ("single", "two_pass")
SETS = ("easy", "hard")


@dataclass(frozen=True)
class Target:
    """A figure that has to be reached on both sets.

    Attributes:
        name: in the card.
        easy: limit on the easy set.
        hard: limit on the hard set.
        value: the figure for a refine setting, None if it was not measured.
        at_most: whether the figure must not be above the limit; else, not below.
        percent: whether it is written as a percentage.
    """

    name: str
    easy: float
    hard: float
    value: Callable[[SetFigures, Refine], float | None]
    at_most: bool = False
    percent: bool = False

    def limit(self, difficulty: str) -> float:
        """The limit on a set."""
        return self.easy if difficulty == "easy" else self.hard

    def met(self, difficulty: str, value: float) -> bool:
        """Whether a figure reaches it."""
        limit = self.limit(difficulty)
        return value <= limit if self.at_most else value >= limit


def _way(of: Callable[[WayFigures], float]) -> Callable[[SetFigures, Refine], float | None]:
    return lambda f, refine: of(f.prompts.ways[refine]) if f.prompts else None


def _tracked(of: Callable[[TrackFigures], float]) -> Callable[[SetFigures, Refine], float | None]:
    return lambda f, _: of(f.tracked) if f.tracked else None


TARGETS = (
    Target("box, mean IoU", 0.92, 0.80, _way(lambda w: w.box.mean)),
    Target("1 click, best by predicted IoU", 0.88, 0.72, _way(lambda w: w.click.mean)),
    Target("3 clicks with corrections", 0.92, 0.80, _way(lambda w: w.three.mean)),
    Target("positive click obeyed", 0.99, 0.97, _way(lambda w: w.positive.share), percent=True),
    Target("negative click obeyed", 0.97, 0.92, _way(lambda w: w.negative.share), percent=True),
    Target("predicted IoU, mean error", 0.06, 0.10, _way(lambda w: w.said_error), at_most=True),
    Target("predicted IoU, correlation", 0.7, 0.7, _way(lambda w: w.said_correlation)),
    Target(
        "automatic masks, recall at IoU 0.5",
        0.85,
        0.6,
        lambda f, _: f.found.recall.share if f.found else None,
    ),
    Target(
        "automatic masks, precision",
        0.9,
        0.8,
        lambda f, _: f.found.precision.share if f.found else None,
    ),
    Target("30 frames from a mask, mean IoU", 0.88, 0.75, _tracked(lambda t: t.tracked.mean)),
    Target("object absent recognised", 0.9, 0.8, _tracked(lambda t: t.absent.share), percent=True),
    Target("object found again", 0.8, 0.6, _tracked(lambda t: t.found_again.share), percent=True),
)


@dataclass(frozen=True)
class Verdict:
    """Whether a target was reached on a set.

    Attributes:
        target: which.
        difficulty: "easy" or "hard".
        values: the figure for each refine setting (equal where the setting plays no part).
    """

    target: Target
    difficulty: str
    values: dict[Refine, float]

    @property
    def met(self) -> bool:
        """Whether it was reached with every refine setting."""
        return all(self.target.met(self.difficulty, value) for value in self.values.values())


def verdicts(table: dict[str, SetFigures]) -> list[Verdict]:
    """Judge everything that was measured, target by target."""
    found = []
    for target in TARGETS:
        for difficulty, figures in table.items():
            values = {refine: target.value(figures, refine) for refine in REFINES}
            known = {refine: value for refine, value in values.items() if value is not None}
            if known:
                found.append(Verdict(target, difficulty, known))
    return found
