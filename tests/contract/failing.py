"""A platform that fails, each image in a way of its own: what the workspace never does."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2

from sam2_serving.scenes import draw_scene

PNG = cv2.imencode(".png", draw_scene(11, size=(320, 240)).image[..., ::-1])[1].tobytes()
INFO = {"id": 1, "hash": "h", "width": 320, "height": 240, "updatedAt": "2026-01-01"}

WAYS = (
    "well",
    "info 500",
    "info 503",
    "info 429",
    "info 400",
    "info hangs",
    "info slow",
    "info garbage",
    "info list",
    "info empty",
    "info redirects",
    "info reset",
    "info once 500",
    "info huge",
    "info without size",
    "info of another size",
    "download 500",
    "download 404",
    "download hangs",
    "download drips",
    "download empty",
    "download text",
    "download half",
    "download breaks off",
    "download too large",
    "download bomb",
)


class FailingPlatform:
    """A server whose image n behaves as `WAYS[n - 1]` says."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def image(self, way: str) -> int:
        return WAYS.index(way) + 1

    def __enter__(self) -> FailingPlatform:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                route = self.path.rsplit("/", 1)[-1]
                way = WAYS[body["id"] - 1]
                platform.calls[way, route] += 1
                if route == "images.info":
                    self.info(way, platform.calls[way, route])
                else:
                    self.download(way)

            def info(self, way: str, call: int) -> None:
                info = {**INFO, "hash": way}
                match way.removeprefix("info "):
                    case "500" | "503" | "429" | "400" as status:
                        self.answer(int(status), b"oh")
                    case "hangs":
                        time.sleep(30)
                    case "slow":
                        time.sleep(1)
                        self.json(info)
                    case "garbage":
                        self.answer(200, b"<html>login</html>")
                    case "list":
                        self.answer(200, b"[]")
                    case "empty":
                        self.answer(200, b"")
                    case "redirects":
                        self.answer(302, b"", location="http://127.0.0.1:9/")
                    case "reset":
                        break_off(self.connection)
                    case "once 500" if call == 1:
                        self.answer(500, b"oh")
                    case "huge":
                        self.json({**info, "width": 20000, "height": 20000})
                    case "without size":
                        self.json({**info, "width": None, "height": None})
                    case "of another size":
                        self.json({**info, "width": 640, "height": 480})
                    case _:
                        self.json(info)

            def download(self, way: str) -> None:
                match way.removeprefix("download "):
                    case "500" | "404" as status:
                        self.answer(int(status), b"oh")
                    case "hangs":
                        time.sleep(30)
                    case "drips":
                        self.drip()
                    case "empty":
                        self.answer(200, b"")
                    case "text":
                        self.answer(200, b"<html>login</html>")
                    case "half":
                        self.answer(200, PNG[: len(PNG) // 2])
                    case "breaks off":
                        self.start(200, len(PNG))
                        self.wfile.write(PNG[:100])
                        break_off(self.connection)
                    case "too large":
                        self.answer(200, PNG + b"\0" * 3 * 2**20)
                    case "bomb":
                        self.answer(200, bomb())
                    case _:
                        self.answer(200, PNG)

            def drip(self) -> None:
                self.start(200, len(PNG))
                try:
                    for _ in range(100):
                        self.wfile.write(b"x")
                        time.sleep(0.3)
                except OSError:
                    pass

            def start(self, status: int, length: int, **headers: str) -> None:
                self.send_response(status)
                self.send_header("content-length", str(length))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def answer(self, status: int, content: bytes, **headers: str) -> None:
                self.start(status, len(content), **headers)
                self.wfile.write(content)

            def json(self, content: Any) -> None:
                self.answer(200, json.dumps(content).encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def break_off(connection: socket.socket) -> None:
    """End a connection in the middle."""
    connection.shutdown(socket.SHUT_RDWR)


def bomb() -> bytes:
    """A PNG whose header promises 60000 x 60000 pixels."""
    header = b"IHDR" + struct.pack(">II", 60000, 60000) + PNG[24:29]
    return PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]
