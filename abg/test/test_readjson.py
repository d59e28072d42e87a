"""JSON as it really comes: fast where plain, lenient where not, and never an exception."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg.dialects import readjson
from abg.dialects.counts import MOST, Counts, mapping, text
from abg.dialects.readjson import last_object, read, reader, scan


class Inner(msgspec.Struct):
    a: Any = None


class Shape(msgspec.Struct):
    model: Any = None
    inner: Inner | None = None
    many: list[Inner] | None = None


READ = reader(Shape)
EMOJI = b'{"model":"m","text":"cut \\ud83d emoji","inner":{"a":1},"many":[{"a":2}]}'


def seen(found: Shape | None) -> Any:
    return None if found is None else msgspec.to_builtins(found)


def shape(model: Any = None, inner: Any = None, many: Any = None) -> dict[str, Any]:
    return {"model": model, "inner": inner, "many": many}


LENIENT = {
    "plain": (b'{"model":"m","other":[1,{"x":"y"}]}', shape("m")),
    "nested": (
        b'{"inner":{"a":1,"b":2},"many":[{"a":2},{}]}',
        shape(None, {"a": 1}, [{"a": 2}, {"a": None}]),
    ),
    "null everywhere": (b'{"model":null,"inner":null,"many":null}', shape()),
    "half an emoji": (EMOJI, shape("m", {"a": 1}, [{"a": 2}])),
    "not a number": (b'{"model":"m","x":NaN}', shape("m")),
    "beyond a double": (b'{"model":"m","x":1e999}', shape("m")),
    "a byte order mark": (b'\xef\xbb\xbf{"model":"m"}', shape("m")),
    "a control character": (b'{"model":"m","x":"a\x01b\nc"}', shape("m")),
    "bytes that are no UTF-8": (b'{"x":"\xff\xfe","model":"m\xff"}', shape("m\ufffd")),
    "UTF-16": ('{"model":"m"}'.encode("utf-16"), shape("m")),
    "as deep as may be": (b'{"x":' + b"[" * 500 + b"]" * 500 + b',"model":"m"}', shape("m")),
    "not as the shape says": (b'{"model":[1],"inner":5,"many":{"a":1}}', shape([1])),
    "a list with other things in it": (b'{"many":[1,{"a":3},null]}', shape(many=[{"a": 3}])),
    "a key that is spelt otherwise": (b'{"mod\\u0065l":"m"}', shape("m")),
    "the last of two": (b'{"model":"a","model":"b"}', shape("b")),
}


@pytest.mark.parametrize("name", LENIENT)
def test_read_all_the_same(name: str) -> None:
    body, expected = LENIENT[name]
    assert seen(READ(body)) == expected


NONE = {
    "empty": b"",
    "no JSON": b"<html>",
    "a list": b'[{"model":"m"}]',
    "a text": b'"model"',
    "cut": b'{"model":"m","x":',
    "deep": b'{"x":' + b"[" * 2000 + b"]" * 2000 + b',"model":"m"}',
    "two": b'{"model":"m"}{}',
    "a number of very many digits": b'{"model":' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("name", NONE)
def test_no_object(name: str) -> None:
    assert READ(NONE[name]) is None


def test_far_too_deep_for_anyone() -> None:
    body = b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    assert READ(body) is None
    assert read(body) is None


def test_bytes_that_are_no_utf8_and_too_deep() -> None:
    assert read(b'["\xff",' + b"[" * 200_000) is None


def test_read_any_value() -> None:
    assert read(b"[1,2]") == [1, 2]
    assert read(b"[NaN]") != []
    assert read(b"nonsense") is None


@given(st.binary(max_size=60))
def test_nothing_raises(data: bytes) -> None:
    READ(data)
    read(data)
    scan(data, "model")
    last_object(data, "usage")


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["model", "inner", "many", "x"]), JSONS))
def test_both_readers_agree(value: dict[str, Any]) -> None:
    plain = json.dumps(value).encode()
    lenient = readjson._shaped(Shape, json.loads(plain))
    assert repr(seen(READ(plain))) == repr(seen(lenient))


# -- what is no JSON -------------------------------------------------------------------------------


def test_scanning_for_a_word() -> None:
    assert scan(b'{"a":1,,"model" : "m\\u0031","model":"z"', "model") == "m1"
    assert scan(b'"model":"a\\"b"', "model") == 'a"b'
    assert scan(b'"model":5', "model") is None
    assert scan(b'"model":"\\ud83d\\q"', "model") is None


def test_the_last_object_of_a_text_too_large() -> None:
    body = b'x","usage":{"a":1},"y":"\\"usage\\":{}","usage": {"a":{"b":2}} , "z":1'
    assert last_object(body, "usage") == {"a": {"b": 2}}
    assert last_object(b'"usage":{"a":', "usage") is None
    assert last_object(b'"usage":5', "usage") is None
    assert last_object(b'"usage":' + b'{"a":' * 200_000, "usage") is None


# -- counts ----------------------------------------------------------------------------------------

COUNTS: list[tuple[Any, int | None, bool]] = [
    (5, 5, False),
    (0, 0, False),
    (None, None, False),
    (1.0, 1, False),
    (1e3, 1000, False),
    (1.5, 2, True),
    ("5", 5, True),
    ("5.2", 6, True),
    ("many", None, True),
    ("nan", None, True),
    ("", None, True),
    (-1, None, True),
    (-0.5, None, True),
    (float("nan"), None, True),
    (float("inf"), MOST, True),
    (float("-inf"), None, True),
    (10**30, MOST, True),
    (10**400, MOST, True),
    ("1e400", MOST, True),
    (True, None, True),
    ([], None, True),
    ({"a": 1}, None, True),
]


@pytest.mark.parametrize(("value", "expected", "odd"), COUNTS)
def test_a_count(value: Any, expected: int | None, odd: bool) -> None:
    counts = Counts()
    found = counts.get({"n": value}, "n")
    assert (found, counts.odd) == (expected, odd)
    assert found is None or type(found) is int


def test_a_count_that_is_missing() -> None:
    counts = Counts()
    assert counts.get({}, "n") is None
    assert counts.whole({}, "n") == 0
    assert not counts.odd


def test_objects_and_texts() -> None:
    assert mapping({"a": 1}) == {"a": 1}
    assert mapping([1]) == {}
    assert text("a") == "a"
    assert text("") is None
    assert text(5) is None
