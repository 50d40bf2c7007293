"""What is asked of the platform for the sake of pictures that nobody has opened yet."""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sam2_serving.app import dataset_orders
from sam2_serving.app.dataset_orders import LIFETIME_S, RETRY_S, DatasetOrders
from sam2_serving.app.media import MediaLibrary
from sam2_serving.app.platform import api
from sam2_serving.app.platform.api import TRIES, Caller, PlatformClient
from sam2_serving.app.prefetching import REST_S, LookAhead, SmartCacheState
from sam2_serving.app.requests import SmartToolContext
from sam2_serving.engine import Engine
from sam2_serving.model import load_model
from sam2_serving.pretrained import REPOSITORY

DATASET = 5


class Platform(ThreadingHTTPServer):
    """Answers about ten images of one dataset, or refuses; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.status = 200
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                route = self.path.rsplit("/", 1)[1]
                platform.asked[route] += 1
                answer = json.dumps(platform.record(route, body)).encode()
                self.send_response(platform.status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def record(self, route: str, body: dict[str, int]) -> dict[str, object]:
        if route == "images.list":
            return {"entities": [{"id": id, "name": f"{id}.png"} for id in range(1, 11)]}
        return {"id": body["id"], "hash": f"hash {body['id']}", "datasetId": DATASET}

    @property
    def caller(self) -> Caller:
        return Caller(f"http://127.0.0.1:{self.server_port}", "token")


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client() -> Iterator[PlatformClient]:
    client = PlatformClient(5)
    yield client
    client.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    nano = load_model(REPOSITORY / "checkpoints/nano/nano.pt", "cpu", "float32")
    with Engine(nano, store_bytes=2**28) as engine:
        yield engine


def context(image_id: int) -> SmartToolContext:
    return SmartToolContext.model_validate({"positive": [], "negative": [], "image_id": image_id})


def test_a_platform_in_trouble_is_left_alone_for_a_while(
    platform: Platform,
    client: PlatformClient,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "PAUSE_S", 0.01)
    now = [0.0]
    library = MediaLibrary(client, max_bytes=2**20, max_pixels=10**6)
    ahead = LookAhead(library, client, 2, clock=lambda: now[0])
    opened = [library.find(platform.caller, context(id)) for id in (1, 2, 3)]
    platform.asked.clear()
    platform.status = 429

    def open_all() -> None:
        for id, media in zip((1, 2, 3), opened, strict=True):
            ahead.opened(engine, platform.caller, context(id), media)
            time.sleep(0.1)

    open_all()
    assert platform.asked == {"images.list": TRIES}
    platform.status = 200
    now[0] = REST_S - 1
    open_all()
    assert platform.asked == {"images.list": TRIES}
    now[0] = REST_S
    open_all()
    assert platform.asked["images.list"] == TRIES + 1
    for _ in range(500):
        if platform.asked["images.download"]:
            return
        time.sleep(0.01)
    raise AssertionError("nothing was begun after the rest")


def test_a_dataset_that_is_too_large_is_not_listed_again_and_again(
    platform: Platform, client: PlatformClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_orders, "MAX_IMAGES", 5)
    now = [0.0]
    orders = DatasetOrders(client, clock=lambda: now[0])
    for now[0] in (0, RETRY_S + 1, LIFETIME_S - 1):
        assert 7 not in orders.of(platform.caller, DATASET, 7)
    assert platform.asked["images.list"] == 1
    now[0] = LIFETIME_S
    orders.of(platform.caller, DATASET, 7)
    assert platform.asked["images.list"] == 2


def test_a_new_image_is_looked_for_in_a_dataset_that_is_known_whole(
    platform: Platform, client: PlatformClient
) -> None:
    now = [0.0]
    orders = DatasetOrders(client, clock=lambda: now[0])
    for now[0] in (0, RETRY_S - 1, RETRY_S + 1):
        orders.of(platform.caller, DATASET, 11)
    assert platform.asked["images.list"] == 2


def test_nobody_knows_what_is_beside_an_image_that_is_not_in_the_list(
    platform: Platform, client: PlatformClient, engine: Engine
) -> None:
    library = MediaLibrary(client, max_bytes=2**20, max_pixels=10**6)
    ahead = LookAhead(library, client, 2)
    for id in (9, 77):
        media = library.find(platform.caller, context(id))
        platform.asked.clear()
        ahead.opened(engine, platform.caller, context(id), media)
        time.sleep(0.3)
    assert not platform.asked, "what is beside the image before is of no use now"


def test_no_more_of_a_request_is_held_than_is_of_use(
    platform: Platform, client: PlatformClient, engine: Engine
) -> None:
    library = MediaLibrary(client, max_bytes=2**20, max_pixels=10**6)
    named = SmartCacheState.model_validate({"image_hashes": ["x" * 512] * 10_000})
    asked = weakref.ref(named)
    with engine._embedder.foreground():
        LookAhead(library, client, 2).named(engine, platform.caller, named)
        del named
        assert asked() is None, "its plan waits, but without what nobody will get to"
