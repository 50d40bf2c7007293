"""Runs the benches one after the other and writes their tables into docs/performance.md.

Each bench also runs alone; with few repeats all of them take under half an hour. A bench that
refuses (the machine is busy) or fails leaves its old table as it was, and the exit status is 1.
Absolute times depend on the machine: the document gets them only from a GPU, whose name stands
beside them; from a processor it gets ratios, and whether a limit was kept.

    python benchmarks/run_all.py [--only click_cold track] [--device cpu] [--keep-doc] [--force]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent / "docs" / "performance.md"

BENCHES: dict[str, list[str]] = {
    "click_cold": ["--repeats", "10"],
    "click_warm": ["--repeats", "30"],
    "click_http": ["--repeats", "60"],
    "input_size": ["--repeats", "3"],
    "boxes": ["--repeats", "3"],
    "automatic": ["--repeats", "2", "--points", "8"],
    "track": ["--repeats", "2"],
    "mixed_load": ["--quick"],
    "prefetch": ["--quick"],
    "startup": ["--repeats", "5"],
    "memory": ["--quick"],
    "limits": [],
}
"""Each bench, and what makes it short."""

_ABSOLUTE = ("ms", "s")  # units whose values depend on the machine


def main() -> int:
    """Run what is asked for and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=BENCHES, default=list(BENCHES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep-doc", action="store_true", help="leave docs/performance.md alone")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    given = parser.parse_args()
    every = ["--device", given.device, "--json", *(["--force"] if given.force else [])]
    complete = True
    for name in given.only:
        record = _run(name, [*BENCHES[name], *every])
        complete &= record is not None
        if record is not None and not given.keep_doc:
            DOCUMENT.write_text(with_table(DOCUMENT.read_text(), record))
    return 0 if complete else 1


def _run(name: str, options: list[str]) -> dict[str, Any] | None:
    """Run one bench; None if it did not measure."""
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, str(HERE / f"{name}.py"), *options]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    took = f"{time.monotonic() - began:.0f} s"
    if not lines:
        print(f"{name}: no figures (exit status {done.returncode}, {took})", file=sys.stderr)
        return None
    record: dict[str, Any] = json.loads(lines[-1])
    print(f"{name} ({took})\n{table(record)}\n", flush=True)
    return record


def table(record: dict[str, Any]) -> str:
    """A bench's rows as Markdown."""
    on_gpu = record["machine"]["device"] != "cpu"
    lines = ["| Measured | Figure | Target |", "|---|---|---|"]
    for row in record["rows"]:
        secret = row["unit"] in _ABSOLUTE and not on_gpu
        kept = {True: "within the limit", False: "over the limit", None: "depends on the machine"}
        figure = kept[row["met"]] if secret else f"{row['value']:g} {row['unit']}"
        target = row["target"] and f"{row['target']} {row['unit'] if secret else ''}".strip()
        if row["met"] is False:
            target += ": **missed**"
        lines.append(f"| {row['name']} | {figure} | {target or 'none'} |")
    where = record["machine"]
    place = where["device"] if on_gpu else where["processor"]
    note = f"{place}; {where['cores']} cores, {where['threads']} threads; torch {where['torch']}."
    return "\n".join([*lines, "", note])


def with_table(document: str, record: dict[str, Any]) -> str:
    """The document with a bench's table in place of the one before.

    Raises:
        ValueError: the document has no place for it.
    """
    kind = "" if record["machine"]["device"] == "cpu" else " gpu"
    begin, end = f"<!-- bench: {record['bench']}{kind} -->", "<!-- end -->"
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(document):
        raise ValueError(f"The document has no lines {begin} and {end}.")
    return pattern.sub(lambda _: f"{begin}\n{table(record)}\n{end}", document, count=1)


if __name__ == "__main__":
    raise SystemExit(main())
