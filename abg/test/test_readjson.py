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
from abg.dialects.readjson import LONG, MOST_PARTS, TOO_LARGE, last_object, read, reader, scan


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
    # Of 2,000 levels Python 3.10 reads none, and 3.13 all.
    "deep": b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b',"model":"m"}',
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


# -- what is long ---------------------------------------------------------------------------------

LEFT_OUT = b'"text":"' + b"x" * LONG + b'"'


@pytest.mark.parametrize("name", LENIENT)
def test_the_fields_of_a_long_text_are_the_same(name: str) -> None:
    body, expected = LENIENT[name]
    if name == "UTF-16":
        return
    before, brace, after = body.partition(b"{")
    assert seen(READ(before + brace + LEFT_OUT + b"," + after)) == expected


@given(st.dictionaries(st.sampled_from(["model", "inner", "many", "x"]), JSONS))
def test_read_apart_or_at_once(value: dict[str, Any]) -> None:
    plain = json.dumps(value).encode()
    assert repr(seen(READ(b"{" + LEFT_OUT + (b"," if value else b"") + plain[1:]))) == repr(
        seen(READ(plain))
    )


def test_no_field_of_very_many_values_is_built() -> None:
    bomb = b"[" + b"[]," * MOST_PARTS + b"1]"
    found = READ(b'{"model":' + bomb + b',"inner":{"a":' + bomb + b'},"many":[{"a":7}]}')
    assert found is not None
    assert found.model is TOO_LARGE
    assert found.inner is not None
    assert found.inner.a is TOO_LARGE
    assert found.many is not None
    assert [item.a for item in found.many] == [7]
    found = READ(b'{"model":"m","many":' + bomb + b"}")
    assert found is not None
    assert (found.model, found.many) == ("m", None)


def test_a_long_field_of_one_value_is_read() -> None:
    found = READ(b'{"model":"' + b"," * MOST_PARTS * 2 + b'","inner":{"a":[1]}}')
    assert found is not None
    assert len(found.model) == MOST_PARTS * 2
    assert found.inner == Inner([1])


def test_nothing_of_very_many_values_is_read_whole() -> None:
    bomb = b'{"model":"m","x":[' + b"[]," * MOST_PARTS + b'"\\ud83d"]}'
    assert READ(bomb) is None
    assert scan(bomb, "model") == "m"
    assert read(bomb) is None
    assert last_object(b'"usage":' + bomb, "usage") is None


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
