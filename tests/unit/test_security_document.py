"""The tests that the threat model names exist, and so do its settings."""

import re

from sam2_serving.pretrained import REPOSITORY
from sam2_serving.settings import ServerSettings

DOCUMENT = (REPOSITORY / "docs" / "security.md").read_text()


def test_every_named_test_exists():
    defined = {
        name
        for file in (REPOSITORY / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.M)
    }
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT))
    assert len(named) > 20
    assert named - defined == set()


def test_every_threat_has_a_test():
    rows = re.findall(
        r"^\| (.*) \|$", DOCUMENT.partition("## Threats")[2].partition("\n## ")[0], re.M
    )
    assert len(rows) > 10
    assert [row for row in rows[2:] if "`test_" not in row] == []


def test_every_named_setting_exists():
    names = set(re.findall(r"SAM2_SERVING_(?!WORKSPACE_)([A-Z_]+)", DOCUMENT))
    assert {name.lower() for name in names} <= ServerSettings.model_fields.keys()
