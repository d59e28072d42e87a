"""JSON that breaks off: what stands there whole is kept, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg.dialects import readjson
from abg.dialects.cutjson import closed


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b'{"a":1,"b":2', b'{"a":1}'),
        (b'{"a":1,"b":2,', b'{"a":1,"b":2}'),
        (b'{"a":1,"b":"x,y', b'{"a":1}'),
        (b'{"a":1,"b":"x\\', b'{"a":1}'),
        (b'{"a":{"b":3', b'{"a":{}}'),
        (b'{"a":{"b":3},"c', b'{"a":{"b":3}}'),
        (b'{"a":{"b":3}', b'{"a":{"b":3}}'),
        (b'{"a":[1,[2,3],4', b'{"a":[1,[2,3]]}'),
        (b'{"a":"}]\\"","b":{', b'{"a":"}]\\"","b":{}}'),
        (b'{"a":1]', b"{}"),
        (b"{", b"{}"),
        (b'{"a":{}} {"b":1}, more', b'{"a":{}}'),
        (b"[1,", b"[1]"),
        (b"12", b""),
        (b"", b""),
    ],
)
def test_what_stands_whole(text: bytes, kept: bytes) -> None:
    assert closed(text) == kept


def test_what_is_too_much_is_not_looked_through() -> None:
    assert closed(b"[" + b"1," * readjson.MOST_PARTS) == b""


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5)), st.data())
def test_each_cut_keeps_what_came_before(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value).encode()
    found = json.loads(closed(text[: data.draw(st.integers(1, len(text)))]))
    assert list(found.items()) == list(value.items())[: len(found)]


@given(st.dictionaries(st.text(max_size=3), VALUES), st.integers(1, 200))
def test_each_beginning_becomes_json(value: dict[str, Any], at: int) -> None:
    json.loads(closed(json.dumps(value, ensure_ascii=False).encode()[:at]))
