"""Faults on purpose: what a client sees of each, and what was done."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from workspace_film import Film, figure_on, serving_film
from workspace_http import Settings


@pytest.fixture
def faulty(settings: Settings) -> Iterator[Film]:
    with serving_film(settings(faults=True)) as film:
        yield film


def _plan(film: Film, **plan: object) -> Any:
    body = {"share": 1.0, "hang_s": 0.3, "slow_s": 0.3, **plan}
    answer = film.running.page("PUT", "/workspace/faults", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _add(film: Film, client: httpx.Client, object_id: int, frame: int = 0) -> httpx.Response:
    body = {"entityId": film.video_id, "figures": [figure_on(object_id, frame)]}
    url = f"{film.running.url}/public/api/v3/figures.bulk.add"
    return client.post(url, json=body, headers={"x-api-key": film.api.token}, timeout=10)


def _outcome(film: Film, client: httpx.Client, object_id: int) -> str:
    """Say what the client sees: an error's name, a status, or that the JSON is cut."""
    try:
        answer = _add(film, client, object_id)
    except httpx.TransportError as error:
        return type(error).__name__
    if answer.status_code != 200:
        return str(answer.status_code)
    try:
        answer.json()
    except json.JSONDecodeError:
        return "cut"
    return "ok"


CLOSED = {"RemoteProtocolError", "ReadError"}
SEEN = {
    "error": ({"500"}, 0, 0.0),
    "hang": (CLOSED, 0, 0.3),
    "slow": ({"ok"}, 1, 0.3),
    "reset": (CLOSED, 0, 0.0),
    "broken": ({"cut"}, 0, 0.0),
}


def test_each_way(faulty: Film, caplog: pytest.LogCaptureFixture) -> None:
    thing = faulty.object_of("cat")
    for way, (seen, stored, seconds) in SEEN.items():
        before = len(faulty.listed())
        _plan(faulty, routes=["figures.bulk.add"], ways=[way])
        # On a fresh connection and on one that was used before.
        with httpx.Client() as client, caplog.at_level(logging.ERROR, "uvicorn"):
            for _ in range(2):
                start = time.monotonic()
                assert _outcome(faulty, client, thing) in seen, way
                assert seconds <= time.monotonic() - start < seconds + 3, way
                other = client.post(f"{faulty.running.url}/public/api/v3/instance.version", json={})
                assert other.status_code == 200
        assert caplog.records == [], way
        assert len(faulty.listed()) - before == 2 * stored, way
        counts = faulty.running.page("GET", "/workspace/faults").json()
        assert (counts["calls"], counts["counts"]) == (2, {way: 2})
    faulty.running.page("DELETE", "/workspace/faults")
    with httpx.Client() as client:
        assert _outcome(faulty, client, thing) == "ok"
    assert faulty.running.page("GET", "/workspace/faults").json()["plan"] is None


def test_stored_then_broken(faulty: Film) -> None:
    """Both forms come, each figure is stored once, and a refusal stays a refusal."""
    thing = faulty.object_of("cat")
    _plan(faulty, routes=["figures.bulk.add"], ways=["stored_then_broken"])
    with httpx.Client() as client:
        outcomes = [_outcome(faulty, client, thing) for _ in range(12)]
        assert len(faulty.listed()) == 12
        assert "cut" in outcomes
        assert CLOSED & set(outcomes)
        assert set(outcomes) <= {"cut", *CLOSED}
        assert _add(faulty, client, thing, frame=45).status_code == 400
    assert len(faulty.listed()) == 12


def test_a_run_can_be_repeated(faulty: Film) -> None:
    def outcomes(seed: int, between: int) -> list[str]:
        _plan(faulty, share=0.5, ways=["error", "broken"], seed=seed)
        seen = []
        with httpx.Client() as client:
            for _ in range(24):
                for _ in range(between):  # other routes do not change the sequence
                    client.post(f"{faulty.running.url}/public/api/v3/instance.version", json={})
                seen.append(_outcome(faulty, client, 0))
        return seen

    first = outcomes(1, 0)
    assert outcomes(1, 2) == first
    assert outcomes(2, 0) != first
    assert {"500", "cut", "400"} == set(first)
    assert 4 < first.count("400") < 20


def test_the_share(faulty: Film) -> None:
    _plan(faulty, share=0.2, ways=["error"], seed=3)
    with httpx.Client() as client:
        for _ in range(300):
            client.post(f"{faulty.running.url}/public/api/v3/instance.version", json={})
    counts = faulty.running.page("GET", "/workspace/faults").json()
    assert counts["calls"] == 300
    assert 40 <= counts["counts"]["error"] <= 80


def test_wrong_plans(faulty: Film) -> None:
    good = {"share": 0.2, "ways": ["error"]}
    for odd in (
        {"share": 1.5},
        {"ways": []},
        {"ways": ["fire"]},
        {"routes": ["figures.burn"]},
        {"hang_s": -1.0},
        {"surprise": 1},
    ):
        answer = faulty.running.page("PUT", "/workspace/faults", json={**good, **odd})
        assert answer.status_code == 400
        assert next(iter(odd)) in answer.json()["error"]
    guest = {"x-api-key": faulty.running.member("guest", None)}
    for method in ("GET", "PUT", "DELETE"):
        answer = faulty.running.page(method, "/workspace/faults", json=good, headers=guest)
        assert answer.status_code == 403


def test_off_unless_the_settings_say_so(film: Film) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = film.running.page(
            method, "/workspace/faults", json={"share": 1.0, "ways": ["error"]}
        )
        assert answer.status_code == 403
        assert "SAM2_SERVING_WORKSPACE_FAULTS" in answer.json()["error"]
    assert film.add(figure_on(film.object_of("cat"), 0)).status_code == 200


def test_the_page_is_never_at_fault(faulty: Film) -> None:
    _plan(faulty, ways=["error"])
    assert faulty.running.page("GET", "/workspace/api/media").status_code == 200
    assert faulty.running.post("instance.version", {}).status_code == 500
