"""Which platform a request may name."""

from __future__ import annotations

import pytest

from sam2_serving.app.addresses import ServerPolicy, normal_address
from sam2_serving.app.reporting import BadRequest


@pytest.mark.parametrize(
    ("address", "normal"),
    [
        ("https://app.example.com/", "https://app.example.com"),
        ("HTTPS://App.Example.com:443", "https://app.example.com"),
        ("app.example.com", "http://app.example.com"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://host/prefix/", "http://host/prefix"),
    ],
)
def test_one_form_for_one_address(address: str, normal: str) -> None:
    assert normal_address(address) == normal


@pytest.mark.parametrize(
    "address",
    ["", "/", "ftp://host", "file:///etc/passwd", "http://", "http://a:b@host", "http://h:x",
     "http://host?x=1", "http://host#x", "http://[::1", "javascript:alert(1)//"],
)  # fmt: skip
def test_no_address(address: str) -> None:
    with pytest.raises(BadRequest):
        normal_address(address)


@pytest.mark.parametrize(
    "named",
    [
        "http://evil.example",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.example",
        "https://app.example.com/other",
        "https://app.example.com@evil.example",
        5,
        ["https://app.example.com"],
    ],
)
def test_others_are_refused(named: object) -> None:
    with pytest.raises(BadRequest):
        ServerPolicy("https://app.example.com").check(named)


def test_configured_and_allowed_ones_are_used() -> None:
    policy = ServerPolicy("https://app.example.com", ["http://other:80/"])
    assert policy.check(None) == "https://app.example.com"
    assert policy.check("https://APP.example.com/") == "https://app.example.com"
    assert policy.check("http://other") == "http://other"


def test_without_a_platform_none_may_be_named() -> None:
    assert ServerPolicy(None).check(None) is None
    with pytest.raises(BadRequest):
        ServerPolicy(None).check("http://127.0.0.1:8080")
