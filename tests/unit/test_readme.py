"""What README shows is run, so that it stays true."""

from __future__ import annotations

import os
import re
import shlex

import pytest
from PIL import Image

from sam2_serving.cli import main
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_clip, draw_scene
from sam2_serving.workspace.samples import write_video

STATIC = REPOSITORY / "src" / "sam2_serving" / "workspace" / "static"
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
    # What talks to a running app is in tests/contract/test_documents.py.
    examples = re.findall(r"```python\n(.*?)```", README, re.S)
    [example] = [one for one in examples if "127.0.0.1" not in one]
    exec(compile(example, "README.md", "exec"), {"__name__": "__main__"})
    pixels, predicted_iou = capsys.readouterr().out.split()
    assert int(pixels) > 0
    assert 0 <= float(predicted_iou) <= 1


@pytest.mark.parametrize(
    "command", re.findall(r"^\.venv/bin/sam2-serving (.*?)(?:  +#.*)?$", README, re.M)
)
def test_the_commands_run(photo, command):
    assert main(shlex.split(command)) == 0


CLI = (REPOSITORY / "docs" / "cli.md").read_text()
SHOWN = re.findall(
    r"^sam2-serving (.*)$", "\n".join(re.findall(r"```sh\n(.*?)```", CLI, re.S)), re.M
)


@pytest.mark.long
@pytest.mark.parametrize("command", [one for one in SHOWN if "photo.jpg" in one or "clip" in one])
def test_the_commands_of_the_reference_run(photo, command):
    assert main(shlex.split(command)) == 0


DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
DOCUMENTS += sorted((REPOSITORY / "docs").glob("*.md"))


def anchors(document):
    titles = re.findall(r"^#+ (.+)$", document.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_into_the_repository_leads_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        file = document.parent / name if name else document
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_name_what_there_is(document):
    """Commands that take long, or need Docker or a network: their targets and files exist."""
    makefile = (REPOSITORY / "Makefile").read_text()
    shown = "\n".join(re.findall(r"```(?:sh)?\n(.*?)```", document.read_text(), re.S))
    for target in re.findall(r"^make (\w[\w-]*)", shown, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for path in re.findall(r"(?<=[ =])((?:docker|tests|tools|benchmarks)/[\w./-]+)", shown):
        assert (REPOSITORY / path).exists(), path


def test_the_table_of_controls_has_every_key():
    table = README.partition("### Controls")[2].partition("\n## ")[0]
    shown = re.sub(r" ?\+ (?=\w|[←→↑↓])", "+", table).replace("left click", "click")
    shown = shown.replace("drag with the right button", "right drag")
    rows = (STATIC / "views" / "keys.js").read_text().partition("/** An action of two")[0]
    listed = re.findall(r"keys: \[([^\]]*)\]", rows)
    keys = {key for row in listed for key in re.findall(r'"([^"]+)"', row)}
    assert len(keys) > 30
    missing = [key for key in keys if not re.search(rf"(?<![\w+]){re.escape(key)}(?!\w)", shown)]
    assert not missing


FIGURES = {
    "click, embedding stored": ("warm click, nano", "warm click, tiny"),
    "first click on an image": ("cold click, nano, float32", "cold click, tiny, float32"),
    "many boxes on one image (64; tiny: 16)": ("64 boxes, nano", "16 boxes, tiny"),
    "everything in a drawn scene, 8 points a side": (
        "nano, 8 points a side, scene 640x480",
        "tiny, 8 points a side, scene 640x480",
    ),
    "tracking, 4 objects": (
        "nano, 4 objects, 24 frames",
        "tiny, 4 objects, two frames with a full memory bank",
    ),
}
"""Questions of README's table, and the rows of docs/performance.md that answer them."""


def measured(name):
    performance = (REPOSITORY / "docs" / "performance.md").read_text()
    found = re.search(rf"^\| {re.escape(name)} \| ([\d.]+) times", performance, re.M)
    return f"{float(found[1]):.2f}" if found else "not measured"


@pytest.mark.parametrize("question", FIGURES)
def test_figures_are_those_of_the_benches(question):
    """`UPDATE_DOCS=1` writes them anew."""
    nano, tiny = map(measured, FIGURES[question])
    line = f"| {question} | {nano} | {tiny} |"
    file = REPOSITORY / "README.md"
    if os.environ.get("UPDATE_DOCS"):
        text = re.sub(rf"^\| {re.escape(question)} \|.*$", line, file.read_text(), flags=re.M)
        file.write_text(text)
    else:
        assert line in README
