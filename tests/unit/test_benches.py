"""Benches that tell right from wrong, in a short form."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sam2_serving.pretrained import REPOSITORY


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("way", ["/track", "/track_stream"])
def test_memory_of_a_tracking_job_does_not_grow(way):
    """By 340 frames: one that is kept would take 140 kB, prepared for the network 770 kB."""
    bench = REPOSITORY / "benchmarks/tracking_memory.py"
    ran = subprocess.run(
        [sys.executable, bench, "--frames", "60", "400", "--ways", way],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_one_network_is_in_memory_and_the_store_takes_what_it_may():
    bench = REPOSITORY / "benchmarks/memory.py"
    ran = subprocess.run(
        [sys.executable, bench, "--quick", "--force", "--models", "nano"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
