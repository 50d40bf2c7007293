"""What README shows of the app over HTTP is run against it, with curl and with the SDK."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from live import REPOSITORY, RunningApp
from PIL import Image

from sam2_serving.scenes import draw_scene

README = (REPOSITORY / "README.md").read_text()
ADDRESS = "127.0.0.1:8000"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the picture that the snippets name."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(draw_scene(2, size=(400, 320)).image).save("photo.jpg")
    return tmp_path


def test_curl(app: RunningApp, here: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    [block] = [one for one in re.findall(r"```sh\n(.*?)```", README, re.S) if "curl" in one]
    commands = re.findall(r"^curl (?:.*\\\n)*.*$", block, re.M)
    assert len(commands) == 2
    for command in commands:
        ours = command.replace(ADDRESS, f"127.0.0.1:{app.port}")
        answer = subprocess.run(ours, shell=True, capture_output=True, timeout=60, check=True)
        assert json.loads(answer.stdout)["annotation"]["objects"], answer.stdout


def test_the_sdk(app: RunningApp, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [example] = [one for one in re.findall(r"```python\n(.*?)```", README, re.S) if ADDRESS in one]
    exec(compile(example.replace(ADDRESS, f"127.0.0.1:{app.port}"), "README.md", "exec"), {})
    assert "car_mask" in capsys.readouterr().out
