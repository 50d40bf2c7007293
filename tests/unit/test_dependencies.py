"""What the program imports is declared, and explained."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import tomllib

REPOSITORY = Path(__file__).resolve().parents[2]
EXPLAINED = (REPOSITORY / "docs" / "architecture.md").read_text().partition("## Dependencies")[2]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> list[str]:
    """Return the top-level packages of others that the program imports."""
    found = set()
    for file in (*REPOSITORY.glob("src/**/*.py"), *REPOSITORY.glob("serve/*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return sorted(found - sys.stdlib_module_names - {"sam2_serving"})


def declared() -> set[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    all_of_them = [*project["dependencies"], *project["optional-dependencies"]["otel"]]
    return {normal(re.split(r"[=<>\[; ]", one)[0]) for one in all_of_them}


@pytest.mark.parametrize("package", imported())
def test_what_is_imported_is_declared(package: str) -> None:
    names = {normal(name) for name in packages_distributions()[package]}
    assert names & declared(), f"{package} comes from {names}"


@pytest.mark.parametrize("name", sorted(declared()))
def test_what_is_declared_is_explained(name: str) -> None:
    rows = re.findall(r"^\| ([^|]+) \|", EXPLAINED, re.M)
    explained = {normal(one.split(" ")[0]) for row in rows for one in row.split(", ")}
    assert name in explained
