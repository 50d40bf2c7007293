"""Downloads over real HTTP from a server that can break off, lie and resume."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from sam2_serving.downloads import DownloadError, fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class FileServer(ThreadingHTTPServer):
    """Serves CONTENT at any path; notes the requests; breaks off as often as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []
        self.breaks = 0
        self.can_resume = True
        self.states_length = True
        self.content = CONTENT
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/weights.pt"


class Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if not self.server.can_resume:
            start = 0
        body = self.server.content[start:]
        if start and not body:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if self.server.states_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks > 0:
            self.server.breaks -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FileServer]:
    server = FileServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_file_arrives_whole_and_progress_is_told(server, tmp_path):
    told: list[tuple[int, int | None]] = []
    file = fetch(
        server.url,
        tmp_path / "new",
        sha256=DIGEST,
        size=len(CONTENT),
        progress=lambda *done: told.append(done),
    )
    assert file == tmp_path / "new" / "weights.pt"
    assert file.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_file_that_is_there_means_no_network_at_all(server, tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"mine")
    assert fetch(server.url, tmp_path, sha256=DIGEST).read_bytes() == b"mine"
    assert server.ranges == []


def test_a_broken_download_is_resumed_where_it_broke(server, tmp_path):
    server.breaks = 2
    assert fetch(server.url, tmp_path, sha256=DIGEST).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=150000-", "bytes=225000-"]


def test_a_server_that_cannot_resume_is_asked_from_the_start(server, tmp_path):
    server.breaks, server.can_resume = 1, False
    assert fetch(server.url, tmp_path, sha256=DIGEST).read_bytes() == CONTENT


def test_what_an_interrupted_run_left_is_used(server, tmp_path):
    (tmp_path / "weights.pt.part").write_bytes(CONTENT[:1000])
    assert fetch(server.url, tmp_path, sha256=DIGEST).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_all_of_it_in_the_temporary_file_is_used(server, tmp_path):
    (tmp_path / "weights.pt.part").write_bytes(CONTENT)
    assert fetch(server.url, tmp_path, sha256=DIGEST).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("expected", "words"),
    [({"sha256": "0" * 64}, "SHA-256"), ({"size": 5}, "300000 bytes instead of 5")],
)
def test_wrong_content_never_gets_the_name_and_the_next_try_starts_anew(
    server, tmp_path, expected, words
):
    with pytest.raises(DownloadError, match=words):
        fetch(server.url, tmp_path, **expected)
    assert not (tmp_path / "weights.pt").exists()
    assert not (tmp_path / "weights.pt.part").exists()
    assert fetch(server.url, tmp_path, sha256=DIGEST).read_bytes() == CONTENT


def test_half_a_file_never_gets_the_name(server, tmp_path):
    server.breaks = 99
    with pytest.raises(DownloadError, match="could not be downloaded"):
        fetch(server.url, tmp_path, sha256=DIGEST)
    assert not (tmp_path / "weights.pt").exists()


def test_what_nothing_tells_the_length_of_is_refused(server, tmp_path):
    server.states_length = False
    server.breaks = 1
    with pytest.raises(DownloadError, match="without its length"):
        fetch(server.url, tmp_path)
    assert not list(tmp_path.glob("*.pt"))
    server.breaks = 0
    assert fetch(server.url, tmp_path, sha256=DIGEST).read_bytes() == CONTENT


def test_refusals_are_told_with_their_status(server, tmp_path):
    server.status = 404
    with pytest.raises(DownloadError, match="404"):
        fetch(server.url, tmp_path)
    assert len(server.ranges) == 1, "a refusal is final: asking again changes nothing"


def test_a_server_that_is_busy_is_asked_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr("sam2_serving.downloads._FIRST_PAUSE_S", 0.01)
    server.status = 503
    with pytest.raises(DownloadError, match="503"):
        fetch(server.url, tmp_path)
    assert len(server.ranges) == 5


@pytest.mark.parametrize("left", [CONTENT + b"more", b"another file"])
def test_what_cannot_be_checked_is_not_resumed(server, tmp_path, left):
    (tmp_path / "weights.pt.part").write_bytes(left)
    assert fetch(server.url, tmp_path).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_told_in_words(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="could not be written"):
        fetch(server.url, tmp_path / "file")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://host/", "http://host/a/..", "x.pt", "http://[::1/x"]
)
def test_only_http_addresses_of_files_are_fetched(tmp_path, url):
    with pytest.raises(DownloadError, match="not the http address"):
        fetch(url, tmp_path)


def test_two_at_once_fetch_it_once(server, tmp_path):
    threads = [
        threading.Thread(target=fetch, args=(server.url, tmp_path), kwargs={"sha256": DIGEST})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (tmp_path / "weights.pt").read_bytes() == CONTENT
    assert len(server.ranges) == 1
