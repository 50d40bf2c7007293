"""JSON within limits."""

import json

import pytest

from sam2_serving.app.bodies import MAX_DEPTH, MAX_VALUES, dump_json, parse_json
from sam2_serving.app.reporting import BadRequest


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_what_is_json_goes_through():
    content = {"a": [1, 2.5, "é\ud800", None, True], "b": {"c": []}}
    assert parse_json(dump_json(content)) == content
    assert parse_json(nested(MAX_DEPTH)) == json.loads(nested(MAX_DEPTH))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b"[-Infinity]", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"1" * 5000, "not valid JSON"),
        (nested(MAX_DEPTH + 1), "nested deeper"),
        (nested(970), r"nested deeper|not valid"),
        (nested(200_000), "not valid JSON"),
        (b"[" + b"0," * MAX_VALUES + b"0]", "more than"),
        (b'{"a":[' + b"[]," * MAX_VALUES + b"0]}", "more than"),
    ],
)
def test_what_is_none_or_too_much_is_refused_in_words(body, words):
    with pytest.raises(BadRequest, match=words):
        parse_json(body)
