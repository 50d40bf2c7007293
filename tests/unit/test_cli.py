"""The command line as a person uses it, in a process of its own where that matters."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from sam2_serving.cli import main
from sam2_serving.demo import app_command
from sam2_serving.masks import decode_rle
from sam2_serving.pretrained import REPOSITORY
from sam2_serving.scenes import draw_scene
from sam2_serving.settings import server_settings

COMMAND = [sys.executable, "-m", "sam2_serving.cli"]


@pytest.fixture
def scene(tmp_path):
    scene = draw_scene(4, size=(240, 180))
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    return scene


def test_models_lists_every_name(capsys):
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    for name in ("tiny", "small", "base+", "large", "nano"):
        assert f"\n{name} " in printed


def test_what_needs_no_network_does_not_wait_for_torch():
    """Importing it takes seconds."""
    look = "import sys; from sam2_serving.cli import main; main(['models']); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True).stdout
    assert "nano" in modules
    assert not {"torch", "cv2", "fastapi", "supervisely"} & set(modules.split())


def test_download_takes_every_name_or_none(capsys):
    assert main(["download", "nano"]) == 0
    assert "nano.pt" in capsys.readouterr().out
    assert main(["download", "nano", "gigantic"]) == 2
    said = capsys.readouterr()
    assert "gigantic" in said.err
    assert "nano.pt" not in said.out, "a wrong name is found before anything is fetched"


def test_segment_writes_the_same_mask_in_every_form(scene, tmp_path, capsys):
    ys, xs = np.nonzero(scene.masks[0])
    box = [str(v) for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)]
    outputs = {name: tmp_path / f"{name}.out" for name in ("overlay", "mask", "rle")}
    options = [word for name, file in outputs.items() for word in (f"--{name}", str(file))]
    picture = str(tmp_path / "scene.png")
    assert main(["segment", picture, "--box", *box, "--device", "cpu", *options]) == 0
    mask = np.asarray(Image.open(outputs["mask"]))
    assert mask.shape == (180, 240)
    assert set(np.unique(mask)) <= {0, 255}
    told = json.loads(outputs["rle"].read_text())
    np.testing.assert_array_equal(decode_rle(told["segmentation"]), mask == 255)
    assert np.asarray(Image.open(outputs["overlay"])).shape == (180, 240, 3)
    assert f"{(mask == 255).sum()} pixels" in capsys.readouterr().out


def test_segment_without_outputs_named_writes_an_overlay_here(scene, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "scene.png", "--point", "120", "90", "--negative", "5", "5"]) == 0
    assert (tmp_path / "scene-overlay.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["segment", "missing.png", "--point", "1", "1"], "cannot be read"),
        (["segment", "scene.png"], "Say what to segment"),
        (["segment", "scene.png", "--box", "9", "9", "3", "3"], "box is empty"),
        (["segment", "scene.png", "--point", "1", "1", "--model", "huge"], "there are: tiny"),
        (["segment", "scene.png", "--point", "1", "1", "--device", "cuda:77"], "no device"),
        (["segment", "note.txt", "--point", "1", "1"], "damaged or of an unknown kind"),
        (["segment", "scene.png", "--point", "999", "1"], "outside the image of 240 x 180"),
        (["segment", "scene.png", "--point", "nan", "1"], "outside the image"),
        (["segment", "scene.png", "--box", "500", "1", "600", "9"], "outside the image"),
        (
            ["segment", "scene.png", "--point", "1", "1", "--mask", "no/where.png"],
            "cannot be written",
        ),
        (["segment", "scene.png", "--point", "1", "1", "--mask", "./scene.png"], "image itself"),
        (["demo", "missing-folder"], "no folder"),
        (["demo", "--port", "8123", "--app-port", "8123"], "must differ"),
    ],
)
def test_mistakes_end_in_a_sentence_and_code_2(
    scene, tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("no picture")
    picture = (tmp_path / "scene.png").read_bytes()
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert (tmp_path / "scene.png").read_bytes() == picture


def test_a_wrong_setting_is_named(monkeypatch, capsys):
    monkeypatch.setenv("SAM2_SERVING_PORT", "abc")
    server_settings.cache_clear()
    assert main(["models"]) == 2
    server_settings.cache_clear()
    assert "SAM2_SERVING_PORT" in capsys.readouterr().err


def test_compile_says_what_lacks_before_anything_is_done(monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert main(["compile", "--model", "tiny", "--device", "cpu"]) == 2
    assert "no C++ compiler 'no-such-compiler'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--port", "0"], ["--port", "x"], ["--app-port", "0"]]
)
def test_a_port_that_is_none_is_refused(capsys, arguments):
    with pytest.raises(SystemExit):
        main(["demo", *arguments])
    assert "no port" in capsys.readouterr().err


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_demo_names_a_port_that_is_taken(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["demo", "--port", port, "--app-port", str(free_port())]) == 2
    assert f"Port {port} is taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(signal.SIGINT, id="Ctrl-C"),
        pytest.param(signal.SIGHUP, id="terminal closed", marks=pytest.mark.long),
    ],
)
def test_demo_starts_both_serves_nano_and_stops_both(tmp_path, end):
    page, app = free_port(), free_port()
    environment = {**os.environ, "SAM2_SERVING_DATA_DIR": str(tmp_path)}
    ports = ["--port", str(page), "--app-port", str(app)]
    demo = subprocess.Popen(
        [*COMMAND, "demo", *ports, "--device", "cpu"],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert f"http://127.0.0.1:{page}" in _until_ready(demo)
        assert httpx.get(f"http://127.0.0.1:{page}/").status_code == 200
        online = httpx.post(f"http://127.0.0.1:{app}/is_online", json={}).json()
        assert online == {"is_online": True}
    finally:
        demo.send_signal(end)
        assert demo.wait(30) == 0
    for port in (page, app):
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/")
    logs = [file.name for file in Path(tmp_path, "logs").iterdir()]
    assert sorted(logs) == ["app.log", "workspace.log"]


def _until_ready(demo: subprocess.Popen[str]) -> str:
    said = ""
    assert demo.stdout is not None
    for line in demo.stdout:
        said += line
        if line.startswith("Logs are"):
            return said
    raise AssertionError(said)


def test_serve_becomes_the_app_and_keeps_what_the_user_set(tmp_path, monkeypatch):
    """Contract tests start an app this way; here is what it is told, and from where."""
    became = []
    monkeypatch.setattr(os, "execv", lambda *words: became.append((*words, os.getcwd())))
    monkeypatch.chdir(tmp_path)
    for name in ("HOST", "PORT", "MODEL", "DEVICE", "CHECKPOINTS_DIR"):
        monkeypatch.setenv(f"SAM2_SERVING_{name}", "0")
    monkeypatch.setenv("SAM2_SERVING_DATA_DIR", "data")
    server_settings.cache_clear()
    assert main(["serve", "--host", "::1", "--port", "8123", "--model", "nano"]) == 0
    server_settings.cache_clear()
    command = app_command("::1", 8123)
    assert became == [(command[0], command, str(REPOSITORY))]
    told = {name: os.environ[f"SAM2_SERVING_{name}"] for name in ("PORT", "MODEL", "DATA_DIR")}
    assert told == {"PORT": "8123", "MODEL": "nano", "DATA_DIR": str(tmp_path / "data")}
