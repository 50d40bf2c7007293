"""The frame that benches share, and the tables that they write."""

from __future__ import annotations

import sys
from itertools import count

import pytest

from sam2_serving.pretrained import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))

from measuring import Times, by_turns
from run_all import BENCHES, DOCUMENT, table, with_table


def record(device="cpu", met=True):
    machine = {"processor": "A chip", "cores": 2, "threads": 1, "device": device, "torch": "2"}
    rows = [
        {"name": "speed", "value": 3.5, "unit": "times", "target": ">= 3", "met": True},
        {"name": "wait", "value": 7.25, "unit": "ms", "target": "<= 8", "met": met},
    ]
    return {"bench": "click_http", "machine": machine, "rows": rows}


def test_every_bench_has_a_place_in_the_document():
    document = DOCUMENT.read_text()
    for name in BENCHES:
        assert "| wait |" in with_table(document, {**record(), "bench": name})


def test_absolute_times_are_written_for_a_gpu_only():
    assert "7.25" not in table(record())
    assert "within the limit" in table(record())
    assert "over the limit | <= 8 ms: **missed**" in table(record(met=False))
    assert "7.25 ms" in table(record(device="A GPU"))


def test_a_table_takes_the_place_of_the_one_before_and_of_nothing_else():
    document = "a\n<!-- bench: click_http -->\nold\n<!-- end -->\nb\n<!-- end -->\n"
    written = with_table(document, record())
    assert "old" not in written
    assert with_table(written, record()) == written
    assert written.startswith("a\n")
    assert written.endswith("\n<!-- end -->\nb\n<!-- end -->\n")
    with pytest.raises(ValueError, match="bench: click_http gpu"):
        with_table(document, record(device="A GPU"))


def test_who_begins_changes_and_warm_up_is_not_counted():
    order, clock = [], count()
    times = by_turns(
        {name: lambda n=name: order.append((n, next(clock))) for name in ("ours", "peer")}, 3
    )
    assert [name for name, _ in order] == ["peer", "ours", "ours", "peer"] * 2
    assert len(times["ours"].seconds) == len(times["peer"].seconds) == 3


def test_p95_is_the_value_that_95_percent_do_not_exceed():
    assert Times(tuple(range(1, 101))).p95 == 95
    assert Times(tuple(range(1, 21))).p95 == 19
    assert Times((4.0,)).p95 == 4.0
