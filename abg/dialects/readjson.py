"""JSON as agents and vendors really write it: fast where it is plain, lenient where it is not.

``msgspec`` with a ``Struct`` of only the needed fields reads a body of 500 kB in well under a
millisecond, but fails whole on what JavaScript and Python write without a thought: half an emoji,
NaN, a byte order mark, a control character in a string, very deep nesting, numbers beyond a
double. Such texts go to the standard library's reader. What even that cannot read is scanned for
the two words that matter most. Nothing here raises.

Nothing here is made to build millions of objects either: of a long text only the fields that are
needed are read, each for itself, and a text of more than ``MOST_PARTS`` values is not read whole.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

__all__ = ["TOO_LARGE", "crowded", "last_object", "read", "reader", "scan"]

LONG = 65_536
"""Bytes up to which a text is read as it stands, whatever its fields hold."""
MOST_FIELD_PARTS = 50_000
MOST_PARTS = 1_000_000
"""Values of one field, and of a text that is read whole: 20 MB of ``[],[],…`` took five seconds
and a gigabyte. The longest context of a model in JSON inside JSON stays well below."""


class TooLarge:
    """Stands for a field's value that nobody built: neither text, number, list nor object."""


TOO_LARGE = TooLarge()

S = TypeVar("S", bound=msgspec.Struct)

_LENIENT = json.JSONDecoder(strict=False)
_DECODE = msgspec.json.Decoder().decode
_LIST = msgspec.json.Decoder(list[msgspec.Raw]).decode
_FAILURES = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)
_KEY = rb'"%s"\s*:\s*(?=\{)'
_SCANNED = {
    word: re.compile(rb'"' + word.encode() + rb'"\s*:\s*"((?:[^"\\]|\\.){1,512})"')
    for word in ("model", "session_id", "prompt_cache_key", "id")
}


def reader(shape: type[S]) -> Callable[[bytes], S | None]:
    """What reads JSON objects into one shape, whatever else they hold.

    It returns the object, or None if the text is no JSON object.

    Args:
        shape: a ``Struct`` whose fields all have defaults. Their types are ``Any`` (checked by
            whoever uses them), another such ``Struct`` or a list of them; each may be ``None``.
            An ``Any`` of very many values is ``TOO_LARGE``.
    """
    decode = msgspec.json.Decoder(shape).decode
    apart = _apart(shape)

    def shaped(data: bytes) -> S | None:
        try:
            return decode(data) if len(data) <= LONG else cast("S", apart(data))
        except _FAILURES:
            pass
        value = _lenient(data)
        return cast("S", _shaped(shape, value)) if isinstance(value, dict) else None

    return shaped


def read(data: bytes) -> Any:
    """Any JSON value; None if nobody can read it, or it is of too many parts."""
    if crowded(data):
        return None
    try:
        return _DECODE(data)
    except _FAILURES:
        return _lenient(data)


def scan(data: bytes, word: str) -> str | None:
    """The first text under this key in what may be no JSON at all."""
    found = _SCANNED[word].search(data)
    if found is None:
        return None
    text = read(b'"' + found.group(1) + b'"')
    return text if isinstance(text, str) else None


def last_object(data: bytes, word: str) -> dict[str, Any] | None:
    """The last object under this key, in the end of a text that is too large to be read whole."""
    places = [found.end() for found in re.finditer(_KEY % word.encode(), data)]
    rest = data[places[-1] :] if places else b""
    if not rest or crowded(rest):
        return None
    try:
        value, _ = _LENIENT.raw_decode(rest.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def crowded(data: bytes, most: int = MOST_PARTS) -> bool:
    """Whether a text may hold more values than this: each stands behind a comma or a bracket."""
    return len(data) > most and data.count(b",") + data.count(b"[") + data.count(b"{") > most


def _apart(shape: Any) -> Callable[[bytes], Any]:
    """Reads an object's fields one by one, past all that is not asked for.

    The function that is returned raises what ``msgspec`` raises where the text is no object.
    """
    fields = _fields(shape)
    raw = [(name, msgspec.Raw, msgspec.Raw()) for name, _ in fields]
    decode = msgspec.json.Decoder(msgspec.defstruct(shape.__name__, raw)).decode
    takers = [(name, _taker(kind)) for name, kind in fields]

    def read_apart(data: bytes) -> Any:
        found = decode(data)
        told = {}
        for name, take in takers:
            value = getattr(found, name)
            if len(value):
                taken = take(bytes(value))
                if taken is not _UNFIT:
                    told[name] = taken
        return shape(**told)

    return read_apart


def _taker(kind: Any) -> Callable[[bytes], Any]:
    """Reads one field's text; what is not as its type says is left out."""
    if kind is Any:
        return _any
    if typing.get_origin(kind) is not list:
        one = reader(kind)

        def take_one(data: bytes) -> Any:
            found = one(data)
            return _UNFIT if found is None else found

        return take_one
    each = reader(typing.get_args(kind)[0])

    def take_all(data: bytes) -> Any:
        if crowded(data) or not data.startswith(b"["):
            return _UNFIT
        return [item for item in map(each, map(bytes, _LIST(data))) if item is not None]

    return take_all


def _any(data: bytes) -> Any:
    if data.startswith((b"[", b"{")) and crowded(data, MOST_FIELD_PARTS):
        return TOO_LARGE
    return _DECODE(data)


def _lenient(data: bytes) -> Any:
    if crowded(data):
        return None
    try:
        return json.loads(data, strict=False)
    except RecursionError:
        return None
    except ValueError:
        pass
    try:
        return _LENIENT.decode(data.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def _shaped(shape: Any, value: dict[str, Any]) -> Any:
    """A ``Struct`` from a read object; what is not as the shape says is left out."""
    told = {}
    for name, kind in _fields(shape):
        if name in value:
            found = _fitted(kind, value[name])
            if found is not _UNFIT:
                told[name] = found
    return shape(**told)


_UNFIT = object()


def _fitted(kind: Any, value: Any) -> Any:
    if kind is Any or value is None:
        return value
    if typing.get_origin(kind) is list:
        inner = typing.get_args(kind)[0]
        if not isinstance(value, list):
            return _UNFIT
        return [_shaped(inner, item) for item in value if isinstance(item, dict)]
    return _shaped(kind, value) if isinstance(value, dict) else _UNFIT


def _fields(shape: Any) -> list[tuple[str, Any]]:
    hints = typing.get_type_hints(shape)
    return [(name, _plain(hints[name])) for name in shape.__struct_fields__]


def _plain(kind: Any) -> Any:
    """The type without its ``None``."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return next(k for k in typing.get_args(kind) if k is not type(None))
    return kind
