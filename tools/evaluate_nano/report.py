"""Turns figures into the tables of the card."""

from __future__ import annotations

from collections.abc import Callable

from evaluate_nano.figures import (
    FindFigures,
    Mean,
    PromptFigures,
    SetFigures,
    Share,
    TrackFigures,
    WayFigures,
)
from evaluate_nano.heldout import SIZES
from evaluate_nano.prompts import WAYS
from evaluate_nano.speed import Speed
from evaluate_nano.targets import TARGETS, Target, Verdict, verdicts

Table = dict[str, SetFigures]


def markdown(table: Table, speed: Speed | None) -> str:
    """Everything that was measured, as it stands in the card."""
    parts = [targets(table)]
    if all(f.prompts for f in table.values()):
        parts += [_prompts(table), _sizes(table)]
    if all(f.found for f in table.values()):
        parts.append(_found(table))
    if all(f.tracked for f in table.values()):
        parts.append(_tracked(table))
    if speed:
        parts.append(speed.in_words())
    return "\n\n".join(parts)


def targets(table: Table) -> str:
    """The table of targets: what was needed, what was measured, met or missed."""
    judged = {(v.target.name, v.difficulty): v for v in verdicts(table)}
    rows = []
    for target in TARGETS:
        cells = [target.name]
        for difficulty in table:
            sign = "<=" if target.at_most else ">="
            verdict = judged.get((target.name, difficulty))
            cells += [f"{sign} {_number(target, target.limit(difficulty))}", *_judged(verdict)]
        rows.append(cells)
    head = ["", *(word for name in table for word in ("needed", f"**{name}**", ""))]
    return _table(head, rows)


def _judged(verdict: Verdict | None) -> tuple[str, str]:
    if verdict is None:
        return "not measured", ""
    written = dict.fromkeys(_number(verdict.target, v) for v in verdict.values.values())
    return " / ".join(written), "met" if verdict.met else "**missed**"


def _number(target: Target, value: float) -> str:
    if target.percent:
        return f"{value * 100:.1f} %".replace(".0 %", " %")
    return f"{value:.3f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _rows(table: Table, rows: list[tuple[str, Callable[[SetFigures], str]]]) -> str:
    return _table(["", *table], [[name, *(of(f) for f in table.values())] for name, of in rows])


def _mean(value: Mean) -> str:
    return f"{value.mean:.3f}"


def _share(value: Share) -> str:
    return f"{value.share:.1%} of {value.of}".replace("%", " %") if value.of else "none came"


def _prompts(table: Table) -> str:
    def of(read: Callable[[PromptFigures], str]) -> Callable[[SetFigures], str]:
        return lambda f: read(f.prompts) if f.prompts else ""

    def ways(read: Callable[[WayFigures], str]) -> Callable[[SetFigures], str]:
        def cell(p: PromptFigures) -> str:
            every = [read(p.ways[way]) for way in WAYS]
            return every[0] if len(set(every)) == 1 else " / ".join(every)

        return of(cell)

    def obeyed(kind: str) -> Callable[[SetFigures], str]:
        return of(lambda p: " / ".join(_share(p.ways[way].obeyed[kind]) for way in WAYS))

    return _rows(
        table,
        [
            ("objects", of(lambda p: str(p.objects))),
            ("**box**, mean IoU", ways(lambda w: _mean(w.box))),
            ("**1 click**, best of three by predicted IoU", ways(lambda w: _mean(w.click))),
            ("1 click, best of three by true IoU (oracle)", of(lambda p: _mean(p.oracle))),
            (
                "**3 clicks** with corrections: single / two_pass / fed back",
                of(lambda p: " / ".join(_mean(p.ways[way].three) for way in WAYS)),
            ),
            ("trivial: box filled", of(lambda p: _mean(p.filled_box))),
            (
                "trivial: flood fill from the click",
                of(lambda p: f"{_mean(p.flood)} (tolerance {p.tolerance})"),
            ),
            ("first click is in the mask", ways(lambda w: _share(w.obeyed["first"]))),
            ("positive correction is in the mask", obeyed("positive")),
            ("negative correction is out of the mask", obeyed("negative")),
            ("negative click in a box is out of the mask", obeyed("in_box")),
            ("... was out before the click", ways(lambda w: _share(w.out_before))),
            ("predicted IoU, mean error", ways(lambda w: f"{w.said_error:.3f}")),
            ("predicted IoU, correlation", ways(lambda w: f"{w.said_correlation:.2f}")),
        ],
    )


def _sizes(table: Table) -> str:
    rows = []
    for size in SIZES:
        for name, figures in table.items():
            some = figures.prompts_by_size.get(size)
            if some is None:
                continue
            single, double = some.ways["single"], some.ways["two_pass"]
            found = figures.found.by_size[size] if figures.found else None
            tracked = figures.tracked.by_size[size] if figures.tracked else None
            rows.append(
                [
                    *(size, name, str(some.objects), _mean(double.box), _mean(double.click)),
                    f"{_mean(single.three)} / {_mean(double.three)}",
                    *(_mean(some.filled_box), _mean(some.flood)),
                    f"{found.share:.2f}" if found and found.of else "",
                    f"{_mean(tracked)} of {tracked.of}" if tracked and tracked.of else "",
                ]
            )
    head = ["size", "set", "objects", "box", "1 click", "3 clicks: single / two_pass"]
    return _table([*head, "box filled", "flood", "automatic: recall", "tracked"], rows)


def _found(table: Table) -> str:
    def both(read: Callable[[FindFigures], str]) -> Callable[[SetFigures], str]:
        def cell(f: SetFigures) -> str:
            assert f.found
            assert f.found_trivial
            return f"{read(f.found)}; flood {read(f.found_trivial)}"

        return cell

    return _rows(
        table,
        [
            ("automatic masks, **recall** at IoU 0.5", both(lambda f: _share(f.recall))),
            ("automatic masks, **precision**", both(lambda f: _share(f.precision))),
            ("of the wrong ones: second masks of something", both(lambda f: _share(f.again))),
        ],
    )


def _tracked(table: Table) -> str:
    def both(read: Callable[[TrackFigures], str]) -> Callable[[SetFigures], str]:
        def cell(f: SetFigures) -> str:
            assert f.tracked
            assert f.copied
            return f"{read(f.tracked)}; copied {read(f.copied)}"

        return cell

    return _rows(
        table,
        [
            ("clips", lambda f: str(f.clips)),
            ("objects followed", lambda f: str(f.tracked.objects if f.tracked else 0)),
            ("**30 frames from a mask**, mean IoU", both(lambda t: _mean(t.tracked))),
            ("frames without the object: no mask given", both(lambda t: _share(t.absent))),
            ("frames with the object: no mask given", both(lambda t: _share(t.lost))),
            ("came back: found again", both(lambda t: _share(t.found_again))),
        ],
    )
