"""What README shows is run, so that it stays true."""

from __future__ import annotations

import re
import shlex

import pytest
from PIL import Image

from sam2_serving.cli import main
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_clip, draw_scene
from sam2_serving.workspace.samples import write_video

README = (REPOSITORY / "README.md").read_text()


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A folder with the files that the snippets name."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(draw_scene(2, size=(400, 320)).image).save("photo.jpg")
    write_video(tmp_path / "clip.mp4", draw_clip(6, frames=4, size=(400, 320)).frames, "mp4v")
    (tmp_path / "checkpoints").symlink_to(REPOSITORY / "checkpoints")
    return tmp_path


def test_the_python_example_runs(photo, capsys):
    [example] = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(example, "README.md", "exec"), {"__name__": "__main__"})
    pixels, predicted_iou = capsys.readouterr().out.split()
    assert int(pixels) > 0
    assert 0 <= float(predicted_iou) <= 1


@pytest.mark.parametrize(
    "command", re.findall(r"^\.venv/bin/sam2-serving (.*?)(?:  +#.*)?$", README, re.M)
)
def test_the_commands_run(photo, command):
    assert main(shlex.split(command)) == 0


def test_every_link_into_the_repository_leads_somewhere():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    for link in links:
        assert (REPOSITORY / link).exists(), link


def test_make_knows_the_commands_that_are_shown():
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in re.findall(r"^make (\w[\w-]*)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
