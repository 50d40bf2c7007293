"""Turns measurements into the tables of the card."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from evaluate_nano.images import TOLERANCES, Record
from evaluate_nano.tracking import Tracks

_SIZES = ("small", "medium", "large")
Measured = dict[str, tuple[list[Record], Tracks]]


def figures(records: list[Record], tracks: Tracks) -> dict[str, Any]:
    """The figures of one difficulty, as they go into `figures.json`."""
    result: dict[str, Any] = {"objects": len(records)}
    for kind in ("click", "click_oracle", "box", "three", "filled_box"):
        values = [r.ious[kind] for r in records]
        result[kind] = {"mean": round(float(np.mean(values)), 4), "sd": round(_sd(values), 4)}
    flood = {t: float(np.mean([r.ious[f"flood_{t}"] for r in records])) for t in TOLERANCES}
    best = max(flood, key=lambda t: flood[t])
    result["flood"] = {"mean": round(flood[best], 4), "tolerance": best}
    said = np.array([pair for r in records for pair in r.said])
    result["predicted_iou"] = {
        "mean_error": round(float(np.abs(said[:, 0] - said[:, 1]).mean()), 4),
        "correlation": round(float(np.corrcoef(said.T)[0, 1]), 4),
    }
    kinds = sorted({kind for r in records for kind in r.obeyed})
    result["obeyed"] = {k: _share(o for r in records for o in r.obeyed.get(k, [])) for k in kinds}
    result["track"] = {
        "objects": tracks.objects,
        "tracked": round(float(np.mean(tracks.tracked)), 4),
        "copied": round(float(np.mean(tracks.copied)), 4),
        "absent_recognised": _share(tracks.absent),
        "found_again": _share(tracks.found_again),
    }
    return result


def _sd(values: list[float]) -> float:
    return float(np.std(values, ddof=1))


def _share(values: Iterable[bool]) -> dict[str, float | int]:
    listed = list(values)
    return {"share": round(float(np.mean(listed)), 4) if listed else 0.0, "of": len(listed)}


def markdown(measured: Measured, speed: tuple[float, float]) -> str:
    """The tables of the card."""
    table = {name: figures(*both) for name, both in measured.items()}
    return "\n\n".join([_main(table), _by_size(measured), _tracking(table), _speed(speed)])


def _rows(table: dict[str, dict[str, Any]], rows: list[tuple[str, Callable[[Any], str]]]) -> str:
    head = ["| | " + " | ".join(table) + " |", "|---|" + "---|" * len(table)]
    body = [f"| {name} | " + " | ".join(of(f) for f in table.values()) + " |" for name, of in rows]
    return "\n".join(head + body)


def _main(table: dict[str, dict[str, Any]]) -> str:
    def mean(kind: str) -> Callable[[Any], str]:
        return lambda f: f"{f[kind]['mean']:.3f}"

    def obeyed(kind: str) -> Callable[[Any], str]:
        def cell(f: Any) -> str:
            share = f["obeyed"].get(kind, {"share": 0.0, "of": 0})
            return f"{share['share']:.1%} of {share['of']}"

        return cell

    return _rows(
        table,
        [
            ("objects", lambda f: str(f["objects"])),
            ("**box**, mean IoU", mean("box")),
            ("**1 click**, best of three by predicted IoU", mean("click")),
            ("1 click, best of three by true IoU", mean("click_oracle")),
            ("**3 clicks** with corrections", mean("three")),
            ("trivial: box filled", mean("filled_box")),
            (
                "trivial: flood fill from the click",
                lambda f: f"{f['flood']['mean']:.3f} (tolerance {f['flood']['tolerance']})",
            ),
            ("first positive click is in the mask", obeyed("positive, first click")),
            ("positive correction is in the mask", obeyed("positive, correction")),
            ("negative correction is out of the mask", obeyed("negative, correction")),
            ("negative click in a box is out of the mask", obeyed("negative, in a box")),
            ("... was out before the click", obeyed("outside without the click")),
            ("predicted IoU, mean error", lambda f: f"{f['predicted_iou']['mean_error']:.3f}"),
            ("predicted IoU, correlation", lambda f: f"{f['predicted_iou']['correlation']:.2f}"),
        ],
    )


def _by_size(measured: Measured) -> str:
    lines = [
        "| size | set | objects | box | 1 click | 3 clicks | box filled |",
        "|---|---|---|---|---|---|---|",
    ]
    for size in _SIZES:
        for name, (records, _) in measured.items():
            chosen = [r for r in records if r.size == size]
            if chosen:
                cells = [
                    f"{np.mean([r.ious[kind] for r in chosen]):.3f}"
                    for kind in ("box", "click", "three", "filled_box")
                ]
                lines.append(f"| {size} | {name} | {len(chosen)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _tracking(table: dict[str, dict[str, Any]]) -> str:
    def share(kind: str) -> Callable[[Any], str]:
        return lambda f: f"{f['track'][kind]['share']:.1%} of {f['track'][kind]['of']}"

    return _rows(
        table,
        [
            ("objects followed", lambda f: str(f["track"]["objects"])),
            ("**30 frames from a mask**, mean IoU", lambda f: f"{f['track']['tracked']:.3f}"),
            ("trivial: first mask copied", lambda f: f"{f['track']['copied']:.3f}"),
            ("frames without the object: no mask given", share("absent_recognised")),
            ("objects that came back: IoU >= 0.5 on the last frame", share("found_again")),
        ],
    )


def _speed(speed: tuple[float, float]) -> str:
    return (
        f"On one core: encode {speed[0]:.0f} ms, decode {speed[1]:.0f} ms (medians of 30, with "
        "other work on the machine)."
    )
