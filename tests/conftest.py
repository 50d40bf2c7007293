"""For all tests."""

import gc
import sys
from pathlib import Path

import pytest

# The SDK imports by name every module it finds on the stack when it is first imported. Under
# pytest-xdist one of them has a name that cannot be imported.
sys.modules.setdefault("__channelexec__", sys.modules["__main__"])

HERE = Path(__file__).parent
STARTING = (
    "test_start_modes",
    "test_ways_to_deploy",
    "test_switching",
    "test_serve_page",
    "test_smaller_input",
)
"""Contract tests that start apps of their own, or with a page."""
UNITS = ("contract", "faults", "starting", "browser", "parity")
"""Tests that share what takes long to start or to compute, those that take longest first, so that
the workers end together; all other files fill up what is left, each a unit of its own."""


def _unit(path: Path) -> str:
    """What goes to one worker as a whole."""
    below = path.relative_to(HERE)
    if path.stem in STARTING:
        return "starting"
    return below.parts[0] if below.parts[0] in UNITS else str(below)


def _place(item: pytest.Item) -> int:
    unit = _unit(item.path)
    return UNITS.index(unit) if unit in UNITS else len(UNITS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)


def pytest_collection_finish() -> None:
    """Take what was imported out of every later collection: the engine collects when it closes."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give each worker whole units: two of them never start the same app."""
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _unit(config.rootpath / nodeid.partition("::")[0])

    config.option.loadscopereorder = False  # the order of the items counts
    return Units(config, log)
