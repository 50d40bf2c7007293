from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
import requests
import supervisely as sly
from starlette.types import Receive, Scope, Send
from test_workspace_strict import GOOD
from workspace_gallery import Ids
from workspace_http import OWNER_TOKEN, SESSION_TOKEN, Running, serving


@pytest.mark.parametrize("token", [None, "wrong-token", ""])
@pytest.mark.parametrize("route", sorted(set(GOOD) - {"instance.version"}))
def test_a_token_is_needed(lasting: Running, route: str, token: str | None) -> None:
    answer = lasting.post(route, GOOD[route], token)
    assert answer.status_code == 401
    assert "x-api-key" in answer.json()["error"]


def test_the_version_needs_none(lasting: Running) -> None:
    assert lasting.post("instance.version", {}, None).json() == {"version": "6.16.0"}


CALLS: dict[str, Callable[[sly.Api, int, int], object]] = {
    "info": lambda api, image, dataset: api.image.get_info_by_id(image),
    "download": lambda api, image, dataset: api.image.download_np(image),
    "bulk": lambda api, image, dataset: api.image.download_bytes(dataset, [image]),
    "list": lambda api, image, dataset: api.image.get_list(dataset),
    "dataset": lambda api, image, dataset: api.dataset.get_info_by_id(dataset),
    "annotation": lambda api, image, dataset: api.annotation.download(image),
    "figures": lambda api, image, dataset: api.image.figure.download(dataset, [image]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_limited_member(
    workspace: Running, api: sly.Api, call: Callable[[sly.Api, int, int], object]
) -> None:
    cats = api.dataset.get_info_by_name(1, "cats")
    dogs = api.dataset.get_info_by_name(1, "dogs/small")
    guest = workspace.api(workspace.member("guest", [cats.id]))
    assert call(guest, api.image.get_list(cats.id)[0].id, cats.id) is not None
    with pytest.raises(requests.HTTPError) as refused:
        call(guest, api.image.get_list(dogs.id)[0].id, dogs.id)
    assert refused.value.response.status_code == 403
    assert "guest has no right" in refused.value.response.json()["error"]


OTHER_CALLS: dict[str, Callable[[sly.Api, Ids], object]] = {
    "video info": lambda api, ids: api.video.get_info_by_id(ids.clip),
    "video list": lambda api, ids: api.video.get_list(ids.films),
    "video": lambda api, ids: api.video._download(ids.clip),
    "frame": lambda api, ids: api.video.frame.download_np(ids.clip, 0),
    "frames": lambda api, ids: api.video.frame.download_nps(ids.clip, [0, 1]),
    "volume info": lambda api, ids: api.volume.get_info_by_id(ids.volume),
    "volume list": lambda api, ids: api.volume.get_list(ids.scans),
    "volume": lambda api, ids: api.volume._download(ids.volume),
    "slice": lambda api, ids: api.post("volumes.slices.images.download", _slice(ids.volume)),
    "cloud info": lambda api, ids: api.pointcloud.get_info_by_id(ids.cloud),
    "cloud list": lambda api, ids: api.pointcloud.get_list(ids.street),
    "cloud": lambda api, ids: api.pointcloud._download(ids.cloud),
    "photos": lambda api, ids: api.pointcloud.get_list_related_images_batch(ids.street, [1]),
    "photo": lambda api, ids: api.pointcloud.download_related_image(ids.photo),
}


def _slice(volume_id: int) -> dict[str, object]:
    normal = {"x": 0, "y": 0, "z": 1}
    body = {"volumeId": volume_id, "sliceIndex": 0, "normal": normal}
    return {**body, "windowCenter": 0, "windowWidth": 1}


@pytest.mark.parametrize("call", OTHER_CALLS.values(), ids=OTHER_CALLS)
def test_a_member_without_right_on_other_media(
    gallery: Running, ids: Ids, call: Callable[[sly.Api, Ids], object]
) -> None:
    assert call(gallery.api(), ids) is not None
    pictures = gallery.api().dataset.get_info_by_name(1, "albums")
    guest = gallery.api(gallery.member("guest", [pictures.id]))
    with pytest.raises(requests.HTTPError) as refused:
        call(guest, ids)
    assert refused.value.response.status_code == 403
    assert "guest has no right" in refused.value.response.json()["error"]


def test_a_hash_is_no_way_around(workspace: Running, api: sly.Api) -> None:
    cats = api.dataset.get_info_by_name(1, "cats")
    dogs = api.dataset.get_info_by_name(1, "dogs/small")
    token = workspace.member("guest", [cats.id])
    content_hash = api.image.get_list(dogs.id)[0].hash
    route = "images.bulk.download-by-hash"
    assert workspace.post(route, {"hashes": [content_hash]}, token).status_code == 403
    assert workspace.post(route, {"hashes": [content_hash]}).status_code == 200


def test_a_limited_member_sees_only_theirs(workspace: Running, api: sly.Api) -> None:
    cats = api.dataset.get_info_by_name(1, "cats")
    guest = workspace.api(workspace.member("guest", [cats.id]))
    assert [one.name for one in guest.dataset.get_list(1)] == ["cats"]
    assert {one.dataset_id for one in guest.image.get_list(project_id=1)} == {cats.id}


def test_a_revoked_token_is_worth_nothing(workspace: Running) -> None:
    token = workspace.member("guest", None)
    assert workspace.post("images.info", GOOD["images.info"], token).status_code == 200
    assert workspace.page("DELETE", "/workspace/api/members/guest").ok
    assert workspace.post("images.info", GOOD["images.info"], token).status_code == 401
    assert workspace.page("DELETE", "/workspace/api/members/guest").status_code == 404


def test_members_give_no_tokens(workspace: Running) -> None:
    headers = {"x-api-key": workspace.member("guest", None)}
    body = {"login": "friend"}
    answer = workspace.page("PUT", "/workspace/api/members", json=body, headers=headers)
    assert answer.status_code == 403


def test_tokens_are_not_on_the_disk(workspace: Running, tmp_path) -> None:
    token = workspace.member("guest", None)
    content = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*.sqlite*"))
    assert b"guest" in content
    assert token.encode() not in content
    assert OWNER_TOKEN.encode() not in content


FOREIGN = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_other_sites_are_refused(lasting: Running, headers: dict[str, str]) -> None:
    body = {"title": "x", "color": "#000000"}
    for path in ("/workspace/api/classes", f"/net/{SESSION_TOKEN}/x", "/public/api/v3/images.info"):
        answer = lasting.page("POST", path, json=body, headers=headers)
        assert answer.status_code == 403
        assert "other sites" in answer.json()["error"]
    for path in ("/workspace/requests", "/workspace/api/media", "/"):
        assert lasting.page("GET", path, headers=headers).status_code == 403


def test_a_link_to_the_page_may_stand_anywhere(lasting: Running) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert lasting.page("GET", "/", headers=headers).status_code == 200
    assert lasting.page("GET", "/workspace/requests", headers=headers).status_code == 403


def test_the_pages_own_requests_pass(workspace: Running) -> None:
    headers = {"Origin": workspace.url, "Sec-Fetch-Site": "same-origin"}
    body = {"title": "x", "color": "#000000"}
    answer = workspace.page("POST", "/workspace/api/classes", json=body, headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "path", ["/workspace/api/session", "/workspace/requests", f"/net/{SESSION_TOKEN}/x"]
)
def test_a_name_that_points_here_is_refused(lasting: Running, path: str) -> None:
    """DNS rebinding: a foreign name that resolves to this machine."""
    answer = lasting.page("GET", path, headers={"Host": "evil.example"})
    assert answer.status_code == 403
    assert "evil.example" in answer.json()["error"]


def test_a_token_opens_the_page_routes_under_any_name(lasting: Running) -> None:
    headers = {"Host": "workspace:8080", "x-api-key": OWNER_TOKEN}
    answer = lasting.page("GET", "/workspace/api/session", headers=headers)
    assert answer.json()["login"] == "owner"


@pytest.fixture
def from_afar(lasting: Running) -> Iterator[Running]:
    """The same workspace, as another machine reaches it."""

    async def moved(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # the workspace's start and end are not this server's
        await lasting.app({**scope, "client": ("192.0.2.7", 50_000)}, receive, send)

    with serving(moved) as url:
        yield Running(url, lasting.app)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]:8080"])
def test_a_name_makes_nobody_the_owner(from_afar: Running, host: str) -> None:
    for method, path in (
        ("GET", "/workspace/api/session"),
        ("GET", "/workspace/requests"),
        ("PUT", "/workspace/api/members"),
        ("POST", f"/net/{SESSION_TOKEN}/x"),
    ):
        headers = {"Host": host, "X-Forwarded-For": "127.0.0.1"}
        answer = from_afar.page(method, path, json={"login": "intruder"}, headers=headers)
        assert answer.status_code == 403
        assert "/?token=" in answer.json()["error"]


def test_a_token_opens_the_page_from_afar(from_afar: Running) -> None:
    with requests.Session() as browser:
        opened = browser.get(f"{from_afar.url}/?token={OWNER_TOKEN}", timeout=10)
        assert (opened.status_code, opened.url) == (200, f"{from_afar.url}/")
        cookie = opened.history[0].headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        session = browser.get(f"{from_afar.url}/workspace/api/session", timeout=10)
        assert session.json()["login"] == "owner"


def test_a_members_token_opens_their_page(workspace: Running) -> None:
    token = workspace.member("guest", None)
    with requests.Session() as browser:
        browser.get(f"{workspace.url}/?token={token}", timeout=10)
        session = browser.get(f"{workspace.url}/workspace/api/session", timeout=10)
        assert session.json()["login"] == "guest"


def test_a_wrong_token_opens_nothing(from_afar: Running) -> None:
    answer = from_afar.page("GET", "/?token=wrong")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def _in_chunks(megabytes: int) -> Iterator[bytes]:
    yield b'{"x": "'
    for _ in range(megabytes):
        yield b"a" * (1 << 20)
    yield b'"}'


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=B"])
@pytest.mark.parametrize(
    "path", ["/public/api/v3/images.info", "/workspace/api/classes", f"/net/{SESSION_TOKEN}/x"]
)
def test_a_huge_body_without_a_length_is_refused(lasting: Running, path: str, kind: str) -> None:
    headers = {"x-api-key": OWNER_TOKEN, "content-type": kind}
    body = _in_chunks(lasting.app.state.workspace.settings.max_request_mb + 1)
    answer = lasting.page("POST", path, data=body, headers=headers)
    assert answer.status_code == 413
    assert "MiB" in answer.json()["error"]


@pytest.mark.parametrize(
    "path", ["/public/api/v3/file-storage.bulk.upload?teamId=1", "/workspace/api/classes"]
)
def test_a_strangers_body_is_not_read(lasting: Running, path: str) -> None:
    """The answer comes before the body: nothing of it is sent here."""
    address = ("127.0.0.1", int(lasting.url.rsplit(":")[-1]))
    with socket.create_connection(address, timeout=10) as client:
        client.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nx-api-key: wrong\r\n"
            "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n".encode()
        )
        assert client.recv(100).startswith(b"HTTP/1.1 401 ")


def test_a_huge_body_is_refused_unread(lasting: Running) -> None:
    headers = {"Content-Length": str(10**12), "x-api-key": OWNER_TOKEN}
    path = f"{lasting.url}/public/api/v3/images.info"
    with requests.Session() as session:
        request = requests.Request("POST", path, headers=headers).prepare()
        request.headers["Content-Length"] = str(10**12)
        answer = session.send(request, timeout=10)
    assert answer.status_code == 413


def test_pages_cannot_be_framed_or_run_foreign_scripts(lasting: Running) -> None:
    policy = lasting.page("GET", "/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
