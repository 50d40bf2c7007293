"""What all benches share: arguments, the machine, measuring by turns, tables and JSON.

A bench is a script with one question. It measures ours and the peer (the `sam2` package used the
usual way) by turns in one run, so that whatever slows the machine slows both:

    def main() -> int:
        given = arguments(__doc__, repeats=20)
        bench = Bench(__file__, given)
        times = by_turns({"ours": click, "peer": predict}, given.repeats)
        bench.compare("nano", times["ours"], times["peer"], at_least=3.0)
        return bench.finish()
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from sam2_serving.cores import cores_left, leave_cores_to_the_device
from sam2_serving.engine.all_cores import with_all_cores
from sam2_serving.model.devices import all_cores

BUSY_SHARE = 0.3
"""Of each core, used by others: above it nothing is measured."""
_LOOK_S = 2.0
_REFUSED = 3  # exit status of a bench that did not measure; 1 is a target that was missed


def arguments(
    doc: str | None, repeats: int, add: Callable[[argparse.ArgumentParser], object] | None = None
) -> argparse.Namespace:
    """Read the command line: `repeats`, `json`, `force`, `device`, and what `add` adds.

    Starts the script anew, if it must, with all cores left to what is measured.
    """
    if cores_left() is None:
        leave_cores_to_the_device()
        os.execv(sys.executable, [sys.executable, *sys.argv])
    parser = argparse.ArgumentParser(description=(doc or "").strip().splitlines()[0])
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--force", action="store_true", help="measure on a busy machine too")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    if add is not None:
        add(parser)
    return parser.parse_args()


@dataclass(frozen=True)
class Machine:
    """Where something was measured.

    Attributes:
        processor: its name and the instruction set that torch uses.
        cores: that this process may use.
        threads: that torch uses.
        device: "cpu" or the GPU's name.
        busy: share of the cores, 0 to 1, that others used while it was looked at.
        load: mean number of processes that wanted a core in the last minute.
        torch: its version.
    """

    processor: str
    cores: int
    threads: int
    device: str
    busy: float
    load: float
    torch: str

    @classmethod
    def here(cls, device: str) -> Machine:
        """Look at this machine for two seconds."""
        cpu = torch.device(device).type == "cpu"
        return cls(
            processor=f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}",
            cores=len(os.sched_getaffinity(0)),
            threads=all_cores(),
            device="cpu" if cpu else torch.cuda.get_device_name(device),
            busy=round(_busy_share(_LOOK_S), 2),
            load=round(os.getloadavg()[0], 1),
            torch=torch.__version__,
        )

    def __str__(self) -> str:
        return (
            f"{self.processor}; {self.cores} cores, {self.threads} threads; {self.device}; "
            f"torch {self.torch}; others use {self.busy:.0%}, load {self.load}"
        )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _busy_share(seconds: float) -> float:
    """Share of all cores' time that was used, by whomever, while this process sleeps.

    The load average would count the bench before this one.
    """

    def ticks() -> tuple[int, int]:
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        values = [int(value) for value in fields]
        return sum(values) - values[3] - values[4], sum(values)  # idle and waiting for a disk

    if sys.platform != "linux":
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    used, everything = ticks()
    time.sleep(seconds)
    used_then, everything_then = ticks()
    return (used_then - used) / max(1, everything_then - everything)


@dataclass(frozen=True)
class Times:
    """How long equal calls took, seconds, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median, seconds."""
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        """The time that 95 % do not exceed (nearest rank), seconds."""
        ordered = sorted(self.seconds)
        return ordered[max(0, -(-95 * len(ordered) // 100) - 1)]


def by_turns(
    calls: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 1
) -> dict[str, Times]:
    """Time calls one after the other, again and again; who begins changes each time.

    Each is called as `seconds_apart` does.

    Args:
        calls: by name. On a GPU each must wait for its own result.
        repeats: times that each is measured.
        warm_up: times that each is called before.
    """
    names = list(calls)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warm_up + repeats):
        for name in names if turn % 2 else reversed(names):
            passed = seconds_apart(calls[name])
            if turn >= warm_up:
                taken[name].append(passed)
    return {name: Times(tuple(values)) for name, values in taken.items()}


def seconds_apart(call: Callable[[], object]) -> float:
    """Time a call on a thread of its own, with all cores.

    OpenMP's helpers stay with the thread that computed, and those of one, waiting, would slow the
    other's (`sam2_serving.cores`).
    """

    def timed() -> float:
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun

    return with_all_cores(timed)


@dataclass
class Row:
    """One line of a bench's table.

    Attributes:
        name: what was measured.
        value: the figure that counts.
        unit: of the value: "times the peer's speed", "ms", "MiB", "%", ...
        target: in words, or "".
        met: whether the target was reached; None without one.
        details: medians, p95 and whatever else helps to read it.
    """

    name: str
    value: float
    unit: str
    target: str = ""
    met: bool | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Bench:
    """Rows of one bench; refuses to begin on a busy machine."""

    def __init__(self, file: str, given: argparse.Namespace) -> None:
        """Look at the machine.

        Args:
            file: of the script; its stem is the bench's name.
            given: from `arguments`.

        Raises:
            SystemExit: others use the machine and `--force` is not given.
        """
        self.name = Path(file).stem
        self.rows: list[Row] = []
        self._json = bool(given.json)
        self.machine = Machine.here(given.device)
        if self.machine.busy > BUSY_SHARE and not given.force:
            print(f"Not measured: the machine is busy. {self.machine}", file=sys.stderr)
            raise SystemExit(_REFUSED)

    def compare(
        self, name: str, ours: Times, peer: Times, at_least: float | None = None, **details: Any
    ) -> float:
        """Add a row with how many times as fast as the peer ours is, by medians."""
        ratio = peer.median / ours.median
        pairs = [theirs / mine for mine, theirs in zip(ours.seconds, peer.seconds, strict=True)]
        self.state(
            name,
            ratio,
            "times the peer's speed",
            at_least=at_least,
            ours_median_ms=_ms(ours.median),
            ours_p95_ms=_ms(ours.p95),
            peer_median_ms=_ms(peer.median),
            peer_p95_ms=_ms(peer.p95),
            pairs=f"{min(pairs):.2f} to {max(pairs):.2f}",
            **details,
        )
        return ratio

    def state(
        self,
        name: str,
        value: float,
        unit: str,
        at_least: float | None = None,
        at_most: float | None = None,
        **details: Any,
    ) -> None:
        """Add a row with any figure, and what it should be."""
        target, met = "", None
        if at_least is not None:
            target, met = f">= {at_least:g}", value >= at_least
        if at_most is not None:
            target, met = f"<= {at_most:g}", value <= at_most
        self.rows.append(Row(name, round(value, 3), unit, target, met, details))

    def finish(self) -> int:
        """Print everything; the exit status: 0 if all targets were met, else 1."""
        if self._json:
            record = {"bench": self.name, "machine": asdict(self.machine)}
            print(json.dumps({**record, "rows": [asdict(row) for row in self.rows]}))
        else:
            self._print()
        sys.stdout.flush()
        return 0 if all(row.met is not False for row in self.rows) else 1

    def _print(self) -> None:
        print(f"{self.name}: {self.machine}")
        width = max((len(row.name) for row in self.rows), default=0)
        for row in self.rows:
            verdict = {None: "", True: "met", False: "MISSED"}[row.met]
            print(f"  {row.name:{width}}  {row.value:9.3f} {row.unit}  {row.target} {verdict}")
            for key, value in row.details.items():
                print(f"  {'':{width}}    {key.replace('_', ' ')}: {value}")


def _ms(seconds: float) -> float:
    return round(seconds * 1000.0, 2)
