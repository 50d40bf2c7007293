"""Tables of the documentation that are made from the program: they are those of today.

`UPDATE_DOCS=1 pytest tests/unit/app/test_app_documents.py` writes them anew.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from sam2_serving.app.batched import DataRequest, StatesRequest
from sam2_serving.app.inference import requests as inference
from sam2_serving.app.inference.settings import InferenceSettings
from sam2_serving.app.prefetching import SmartCacheRequest
from sam2_serving.app.requests import DeployRequest, SmartToolRequest
from sam2_serving.app.tracking import requests as tracking
from sam2_serving.settings import ServerSettings

REPOSITORY = Path(__file__).resolve().parents[3]
TOOL = REPOSITORY / "tools" / "document_requests.py"
BEGIN, END = "<!-- made from the program -->\n", "<!-- end -->"
MODELS = (
    SmartToolRequest,
    StatesRequest,
    DataRequest,
    tracking.TrackRequest,
    tracking.InlineTrackRequest,
    tracking.TrackApiRequest,
    tracking.TrackFilesSettings,
    tracking.ResultsRequest,
    inference.ImageRequest,
    inference.ImagesRequest,
    inference.BoxesRequest,
    inference.UrlRequest,
    inference.VideoRequest,
    inference.ProjectRequest,
    inference.JobRequest,
    InferenceSettings,
    SmartCacheRequest,
    DeployRequest,
)


def _tool():
    spec = importlib.util.spec_from_file_location("document_requests", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _made(name: str) -> str:
    tool = _tool()
    return (
        tool.settings_table(ServerSettings) if name == "settings" else tool.request_tables(MODELS)
    )


@pytest.mark.parametrize("name", ["api", "settings"])
def test_the_tables_are_those_of_the_program(name):
    document = REPOSITORY / "docs" / f"{name}.md"
    head, _, rest = document.read_text().partition(BEGIN)
    shown, mark, tail = rest.partition(END)
    assert mark, "the document has no place for the tables"
    made = _made(name)
    if os.environ.get("UPDATE_DOCS"):
        document.write_text(head + BEGIN + made + END + tail)
    else:
        assert shown == made, "run again with UPDATE_DOCS=1 and read what changed"
