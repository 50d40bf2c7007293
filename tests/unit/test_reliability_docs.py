"""The table of faults names tests that exist."""

from __future__ import annotations

import re

from sam2_serving.pretrained import REPOSITORY


def test_every_fault_of_the_table_is_injected_by_a_test() -> None:
    text = (REPOSITORY / "docs/reliability.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`test_" in line]
    assert len(rows) > 10
    named = {name for row in rows for name in re.findall(r"`(test_\w+)`", row.split("|")[2])}
    tests = "\n".join(file.read_text() for file in (REPOSITORY / "tests").rglob("test_*.py"))
    missing = {name for name in named if f"def {name}(" not in tests}
    assert not missing, missing
