"""Lines that the strict reader does not take: of older versions, other tools, people's hands."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from attrs import fields

from abg.ledger.records import ACTIONS, LEAST_USD, MOST_USD, RESERVED, Damage, Entry, Event
from abg.ledger.texts import sound
from abg.money import ZERO

__all__ = ["decode_leniently"]

_MOST_TOKENS = 10**15


def decode_leniently(line: bytes) -> Entry | Event | Damage:
    """For lines of older versions, of the original tool, and of people's hands.

    A call's line counts if its time, session and cost can be read, whatever else is broken.
    """
    try:
        # Bytes that are no UTF-8 become lone surrogates: harmless outside the session's name.
        text = line.decode("utf-8-sig", "surrogateescape").strip("\r\n")
        text = text.lstrip("\0")  # the hole that a power loss may leave before a line
        read = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
        if not isinstance(read, dict):
            return Damage("not a JSON object")
        return _event(read) if read.get("event") is not None else _entry(read)
    except _Unreadable as error:
        return Damage(str(error))
    except RecursionError:
        return Damage("nested too deep")
    except (ValueError, InvalidOperation) as error:
        return Damage(f"not JSON: {error}")


class _Unreadable(Exception):
    """Why a line that is JSON is no record."""


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _event(read: dict[str, Any]) -> Event:
    event = read["event"]
    if not isinstance(event, str):
        raise _Unreadable("event is no text")
    ts = _read_time(read)
    if "cost_usd" in read:
        read["cost_usd"] = _read_amount(read["cost_usd"])
    data = {key: value for key, value in read.items() if key not in RESERVED}
    return Event(ts, sound(event), sound(data))


def _entry(read: dict[str, Any]) -> Entry:
    ts = _read_time(read)
    cost = _read_amount(read.get("cost_usd"))
    if cost < 0:
        raise _Unreadable("a call cannot cost less than nothing")
    session = read.get("session_id", read.get("session", "default"))
    if not isinstance(session, str) or sound(session) != session:
        raise _Unreadable("session_id is no text")
    action = str(read.get("action", "allow")).lower()
    fields: dict[str, Any] = {
        "ts": ts,
        "session_id": session,
        "model": "",
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_usd": cost,
        "session_total_usd": cost,
        "action": {"blocked": "block"}.get(action, action if action in ACTIONS else "allow"),
    }
    for name, read_field in _LENIENT.items():
        value = read.get(name)
        if value is not None:
            try:
                fields[name] = read_field(value)
            except _Unreadable:
                pass  # it has no part in any total
    return Entry(**fields)


def _read_time(read: dict[str, Any]) -> datetime:
    """``ts``, or ``date`` or ``timestamp`` as other tools wrote it; without a zone it is UTC."""
    for key in ("ts", "date", "timestamp"):
        value = read.pop(key, None)
        if value is None:
            continue
        try:
            if isinstance(value, (int, Decimal)):
                return datetime.fromtimestamp(float(value), timezone.utc)
            ts = _parse_time(value.strip())
            if ts.tzinfo is not timezone.utc:
                ts = ts.astimezone(timezone.utc) if ts.tzinfo else ts.replace(tzinfo=timezone.utc)
            milliseconds = read.get("ts_ms")
            if isinstance(milliseconds, int) and 0 < milliseconds < 1000:
                return ts.replace(microsecond=milliseconds * 1000)
            return ts
        except (AttributeError, TypeError, ValueError, OverflowError, OSError):
            raise _Unreadable(f"{key} is no time") from None
    raise _Unreadable("no ts")


def _parse_time(text: str) -> datetime:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(text)
    year, month, day, hour, minute, second, fraction, zulu, hours, minutes = found.groups()
    # Only a day: its noon in UTC lies in that day in nearly every zone of the world.
    of_day = f"{hour or 12}:{minute or '00'}:{second or '00'}.{fraction or '0':0<6.6}"
    zone = "+00:00" if zulu else f"{hours}:{minutes or '00'}" if hours else ""
    return datetime.fromisoformat(f"{year}-{month}-{day}T{of_day}{zone}")


_TIME = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)"
    r"(?:[Tt _](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?)?"
    r" ?(?:([Zz])|([+-]\d\d)(?::?(\d\d))?)?",
    re.ASCII,
)
"""ISO 8601 as it is written: what Python reads of it differs from version to version, and a line
that counts must count under each of them."""


def _read_amount(value: Any) -> Decimal:
    if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool):
        try:
            amount = Decimal(value)
            if LEAST_USD <= abs(amount) <= MOST_USD:
                return amount
            if not amount:
                return ZERO
        except InvalidOperation:
            pass
    raise _Unreadable("no readable amount of USD")


def _read_count(value: Any) -> int:
    try:
        count = Decimal(value)
        if abs(count) < _MOST_TOKENS:
            return int(count)
    except (TypeError, ValueError, InvalidOperation):
        pass
    raise _Unreadable("no readable count")


def _read_text(value: Any) -> str:
    text: str = sound(value if isinstance(value, str) else str(value))
    return text


def _read_texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _Unreadable("no list of texts")
    return tuple(_read_text(item) for item in value)


def _read_mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Unreadable("no object")
    mapping: dict[str, Any] = sound(value)
    return mapping


_READERS: dict[str, Callable[[Any], Any]] = {
    "str": _read_text,
    "int": _read_count,
    "Decimal": _read_amount,
    "tuple[str, ...]": _read_texts,
    "Mapping[str, Any]": _read_mapping,
}
_LENIENT = {
    name: _READERS[Entry.__annotations__[name].removesuffix(" | None")]
    for name in (a.name for a in fields(Entry))
    if name not in ("ts", "session_id", "cost_usd", "action")
}
