"""Which callers are pages of other sites."""

import pytest

from sam2_serving.app.origins import comes_from_elsewhere


@pytest.mark.parametrize(
    ("headers", "listens_on"),
    [
        ({"host": "127.0.0.1:8000"}, "127.0.0.1"),
        ({"host": "localhost:8000"}, "127.0.0.1"),
        ({"host": "[::1]:8000"}, "::1"),
        ({}, "127.0.0.1"),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, "127.0.0.1"),
        ({"host": "localhost:8000", "sec-fetch-site": "same-origin"}, "127.0.0.1"),
        ({"host": "gpu-box:8000"}, "192.0.2.7"),
        ({"host": "gpu-box:8000", "origin": "https://gpu-box:8000"}, "192.0.2.7"),
        ({"host": "app:8000"}, None),
    ],
)
def test_own_pages_and_programs_may(headers, listens_on):
    assert not comes_from_elsewhere(headers, listens_on)


@pytest.mark.parametrize(
    ("headers", "listens_on"),
    [
        ({"host": "evil.example"}, "127.0.0.1"),
        ({"host": "evil.example", "origin": "http://evil.example"}, "127.0.0.1"),
        ({"host": "localhost:8000", "origin": "http://evil.example"}, "127.0.0.1"),
        ({"host": "localhost:8000", "origin": "null"}, "127.0.0.1"),
        ({"host": "localhost:8000", "origin": "http://[broken"}, "127.0.0.1"),
        ({"host": "[broken"}, "127.0.0.1"),
        ({"host": "localhost:8000", "sec-fetch-site": "cross-site"}, "127.0.0.1"),
        ({"host": "localhost:8000", "sec-fetch-site": "same-site"}, "127.0.0.1"),
        ({"host": "gpu-box:8000", "origin": "http://evil.example"}, "192.0.2.7"),
    ],
)
def test_pages_of_other_sites_may_not(headers, listens_on):
    assert comes_from_elsewhere(headers, listens_on)
