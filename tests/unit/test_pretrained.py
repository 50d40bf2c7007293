"""The table of checkpoints, and a pretrained one that really comes over the network."""

from __future__ import annotations

import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from sam2_serving import pretrained
from sam2_serving.downloads import DownloadError
from sam2_serving.model import build_network, load_model
from sam2_serving.pretrained import checkpoint_file, find_pretrained, pretrained_models


def test_names_and_aliases_are_unique_in_any_case():
    names = [n.lower() for m in pretrained_models() for n in (m.name, *m.aliases)]
    assert len(names) == len(set(names))


def test_every_name_finds_its_row():
    for model in pretrained_models():
        for name in (model.name, model.name.upper(), *model.aliases):
            assert find_pretrained(name) is model
    with pytest.raises(KeyError, match="there are: tiny"):
        find_pretrained("enormous")


def test_every_row_of_sam_2_1_can_be_checked_after_a_download():
    rows = [m for m in pretrained_models() if m.name.startswith("SAM 2.1")]
    assert len(rows) == 4
    assert all(m.sha256 and len(m.sha256) == 64 for m in rows)
    assert all(m.checkpoint.startswith("https://") for m in rows)


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table with one tiny of random weights, behind an HTTP server of this machine."""
    served = tmp_path / "served"
    served.mkdir()
    torch.manual_seed(1)
    torch.save({"model": build_network("sam2.1_hiera_t.yaml").state_dict()}, served / "tiny.pt")
    content = (served / "tiny.pt").read_bytes()
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    row = {
        "Model": "Tiny",
        "meta": {
            "model_name": "Tiny",
            "model_files": {"checkpoint": f"http://127.0.0.1:{server.server_port}/tiny.pt"},
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        },
    }
    (tmp_path / "models.json").write_text(json.dumps([row]))
    monkeypatch.setattr(pretrained, "MODELS_FILE", tmp_path / "models.json")
    pretrained_models.cache_clear()
    yield row, tmp_path
    pretrained_models.cache_clear()
    server.shutdown()
    server.server_close()


def test_a_pretrained_model_comes_over_the_network_once_and_serves(table):
    _, folder = table
    told = []
    file = checkpoint_file(find_pretrained("tiny"), folder / "new", lambda *done: told.append(done))
    assert told[-1] == (file.stat().st_size,) * 2
    told.clear()
    assert checkpoint_file(find_pretrained("tiny"), folder / "new", told.append) == file
    assert told == []
    assert load_model(file, "cpu", "float32").config_name == "sam2.1_hiera_t.yaml"


def test_a_file_that_is_not_the_published_one_is_refused(table):
    row, folder = table
    row["meta"]["sha256"] = "0" * 64
    (folder / "models.json").write_text(json.dumps([row]))
    pretrained_models.cache_clear()
    with pytest.raises(DownloadError, match="damaged"):
        checkpoint_file(find_pretrained("tiny"), folder / "new")
    assert list((folder / "new").glob("*.pt")) == []
