"""Bodies drawn from the JSON schemas of a server's routes: right, almost right, and nonsense."""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Schema = Mapping[str, Any]
Known = Mapping[str, Sequence[Any]]
"""By a field's name: values that name something that is there: such a body gets further in."""

LARGEST = 2**31
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.0, 1e300,
    float("nan"), float("inf"), "", " ", "\0", "\ud800", "0", "null", "../../etc/passwd", "/",
    "a" * 5000, "'; drop table figures; --", "%s%n", "{0.__class__}",
    "\u202e\u0000\uffff", "é" * 40, [], {}, [[]], [None], {"": None}, [[[[]]]],
    [0] * 300, {"x": "1", "y": None}, {"type": "bitmap", "data": []}, "2024-13-45T99:99:99Z",
)  # fmt: skip
"""What programs stumble over."""

_WORDS = st.text(string.ascii_letters + string.digits + "_-./ é", max_size=12)
anything = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=6,
)


@dataclass(frozen=True)
class Drawer:
    """Draws values that fit a schema, with the ids of things that exist.

    Attributes:
        definitions: what `$ref` points to, by its last name.
        known: see `Known`.
    """

    definitions: Mapping[str, Schema]
    known: Known

    def body(self, schema: Schema) -> st.SearchStrategy[Any]:
        """Values that fit; some with one place changed to something odd; some with no sense."""
        fitting = self.value(schema, "", 0)
        spoilt = st.tuples(fitting, st.randoms(use_true_random=False), anything).map(_spoil)
        return fitting | spoilt | spoilt | spoilt | anything

    def value(self, schema: Schema, name: str, depth: int) -> st.SearchStrategy[Any]:
        """Values that fit a schema; those that are known for a field of this name come often."""
        fitting = self._value(schema, name, depth)
        if name not in self.known or depth > 8:
            return fitting
        known = st.sampled_from(list(self.known[name]))
        return known | known | known | fitting

    def _value(self, schema: Schema, name: str, depth: int) -> st.SearchStrategy[Any]:
        if depth > 8 or not schema:
            return st.sampled_from(ODD)
        if "$ref" in schema:
            target = self.definitions[schema["$ref"].rpartition("/")[2]]
            return self._value(target, name, depth + 1)
        for several in ("anyOf", "oneOf", "allOf"):
            if several in schema:
                return st.one_of([self._value(one, name, depth + 1) for one in schema[several]])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if "const" in schema:
            return st.just(schema["const"])
        return self._of_type(schema, name, depth)

    def _of_type(self, schema: Schema, name: str, depth: int) -> st.SearchStrategy[Any]:
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                lowest = min(schema.get("minItems", 0), 4)
                highest = max(lowest, min(schema.get("maxItems", 3), 4))
                item = self.value(schema.get("items", {}), name, depth + 1)
                return st.lists(item, min_size=lowest, max_size=highest)
            case "integer":
                low = schema.get("minimum", schema.get("exclusiveMinimum", -LARGEST))
                high = schema.get("maximum", schema.get("exclusiveMaximum", LARGEST))
                near = st.integers(int(max(low, 0)), int(min(high, 300)))
                return near | near | st.integers(int(low), int(high))
            case "number":
                return st.floats(-10, 1000) | st.floats(allow_nan=False, allow_infinity=False)
            case "boolean":
                return st.booleans()
            case "null":
                return st.none()
            case "string":
                return st.text(max_size=min(schema.get("maxLength", 20), 20))
        return st.sampled_from(ODD)

    def _object(self, schema: Schema, depth: int) -> st.SearchStrategy[Any]:
        fields = {
            key: self.value(one, key, depth + 1)
            for key, one in schema.get("properties", {}).items()
        }
        needed = set(schema.get("required", ()))
        # what is known is what leads further in
        needed |= {key for key in fields if key in self.known and depth < 2}
        if not fields:
            return st.dictionaries(_WORDS, anything, max_size=3)
        return st.fixed_dictionaries(
            {key: one for key, one in fields.items() if key in needed},
            optional={key: one for key, one in fields.items() if key not in needed},
        )


def _spoil(drawn: tuple[Any, Any, Any]) -> Any:
    """Put something odd at one place of a body."""
    body, chance, odd = drawn
    copy = json.loads(json.dumps(body))
    places: list[tuple[Any, Any]] = []

    def collect(value: Any) -> None:
        items = value.items() if isinstance(value, dict) else ()
        items = enumerate(value) if isinstance(value, list) else items
        for key, inner in list(items):
            places.append((value, key))
            collect(inner)

    collect(copy)
    if not places:
        return odd
    holder, key = chance.choice(places)
    if isinstance(holder, dict) and chance.random() < 0.2:
        del holder[key]
    else:
        holder[key] = odd
    return copy


def raw(body: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Bytes of a body: its JSON, now and then cut or with a byte changed."""
    whole = body.map(lambda value: json.dumps(value).encode())
    cut = st.tuples(whole, st.floats(0, 1)).map(lambda two: two[0][: int(two[1] * len(two[0]))])
    changed = st.tuples(whole, st.floats(0, 0.999), st.integers(0, 255)).map(_change)
    return whole | whole | whole | whole | cut | changed | st.binary(max_size=64)


def _change(drawn: tuple[bytes, float, int]) -> bytes:
    content, place, value = drawn
    if not content:
        return bytes([value])
    at = int(place * len(content))
    return content[:at] + bytes([value]) + content[at + 1 :]


def resident_bytes(process_id: int) -> int:
    """Memory that a process really has."""
    status = Path(f"/proc/{process_id}/status").read_text()
    line = next(one for one in status.splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def open_files(process_id: int) -> int:
    """Handles that a process holds."""
    return len(list(Path(f"/proc/{process_id}/fd").iterdir()))
