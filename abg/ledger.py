"""One line of the ledger: what is written for each call, and how it is read again.

A line is one JSON object. Its first keys stand in an order that people and scripts rely on
(contract 11); then come keys that are written only when they say something; ``prev``, the digest
of the line before, is always the last. ``docs/ledger.md`` explains every key.

No name can forge a line: everything passes the JSON encoder, and what a terminal or a line
splitter might react to (control characters, U+0085, U+2028, bidirectional marks) is escaped.
Amounts are written in full, as JSON numbers without exponent, and read exactly from their text.

Values only: no I/O, no clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from operator import attrgetter
from typing import Any

import msgspec
from attrs import evolve, field, frozen

from abg.money import ZERO, show_exactly

__all__ = [
    "LONGEST_LINE",
    "LONGEST_TEXT",
    "Damage",
    "Entry",
    "Event",
    "Posting",
    "Record",
    "decode",
    "digest",
    "encode",
    "posting",
    "sound",
]

DIGEST_CHARS = 16
"""Length of ``prev``: 64 bits make an accident visible; no chain can stop a forger."""

LONGEST_TEXT = 1000
"""Characters of one text that are kept: a client may name a model a megabyte long."""

LONGEST_LINE = 4000
"""Bytes above which a line is looked through for texts that are too long."""

MOST_USD = Decimal(10) ** 12
LEAST_USD = Decimal(10) ** -40
"""An amount beyond these (and not zero) is no amount: the line is damaged."""


@frozen
class Entry:
    """One billable or refused call; amounts in USD, times in milliseconds."""

    ts: datetime
    """Admission, timezone-aware; kept to the millisecond."""
    session_id: str
    model: str
    """As answered, else as asked."""
    input_tokens: int
    """Uncached input."""
    output_tokens: int
    """Reasoning included."""
    cost_usd: Decimal
    session_total_usd: Decimal
    """The session's total after this line."""
    action: str
    """``allow``, ``warn`` or ``block``."""
    request_id: str = ""
    agent: str = "unknown"
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    status: int = 0
    """What the client was answered; 0: nothing."""
    duration_ms: int = 0
    ttft_ms: int | None = None
    """From sending to the first byte of the answer."""
    end: str = "complete"
    """How it ended: ``complete``, ``client_gone``, ``crash``, ``blocked``, …"""
    cost_source: str = "measured"
    """``measured``, ``estimated`` or ``none``."""
    price: str = "table"
    """``table``, ``user`` or ``assumed``."""
    # From here on: written only when set.
    hold_usd: Decimal | None = None
    """What was reserved."""
    bound_usd: Decimal | None = None
    """The proven upper bound (strict mode)."""
    model_requested: str | None = None
    """As asked, where it differs from ``model``."""
    model_scope: str | None = None
    """The requested model as the price table resolved it, where budgets go by another name."""
    reason: str | None = None
    would_block: tuple[str, ...] | None = None
    """Budgets that would have blocked if blocking were on."""
    budgets: tuple[str, ...] | None = None
    """Names of the budgets in which money was reserved."""
    subagent: str | None = None
    thread: str | None = None
    parent: str | None = None
    project: str | None = None
    auth: str | None = None
    """``api_key`` or ``subscription``."""
    session_source: str | None = None
    request_class: str | None = None
    endpoint: str | None = None
    dialect: str | None = None
    tier: str | None = None
    speed: str | None = None
    geo: str | None = None
    web_searches: int | None = None
    marks: tuple[str, ...] | None = None
    """Why a count or a cost is not simply what the vendor said."""
    response_id: str | None = None
    open: str | None = None
    """The id under which the real usage may still come."""
    models: Mapping[str, Any] | None = None
    """Usage by model, where one answer was billed at several."""

    @property
    def event(self) -> None:
        """A call is no event; readers that only ask for this need not look at the class."""
        return None


class Posting(msgspec.Struct):
    """What totals need of a call's line: an ``Entry`` in short, read twice as fast."""

    ts: datetime
    session_id: str
    cost_usd: Decimal
    action: str
    model: str = ""
    agent: str = "unknown"
    request_id: str = ""
    status: int = 0
    end: str = "complete"
    model_requested: str | None = None
    model_scope: str | None = None
    budgets: tuple[str, ...] | None = None
    subagent: str | None = None
    project: str | None = None
    auth: str | None = None
    open: str | None = None
    event: str | None = None
    ts_ms: int = 0
    prev: str | None = None


_RESERVED = frozenset({"ts", "ts_ms", "event", "action", "prev"})


def _free_keys(_: Event, __: Any, data: Mapping[str, Any]) -> None:
    taken = _RESERVED.intersection(data)
    if taken:
        raise ValueError(f"an event's data cannot have the key {min(taken)!r}")


@frozen
class Event:
    """A line that is no call: ``reset``, ``raise``, ``block``, ``adjust``, ``rotate``, …"""

    ts: datetime
    event: str
    data: Mapping[str, Any] = field(factory=dict, validator=_free_keys)
    """More keys, written beside the others; decoded numbers are int or Decimal."""

    @property
    def session_id(self) -> str | None:
        """The session it speaks of, if it speaks of one."""
        value = self.data.get("session_id")
        return value if isinstance(value, str) else None

    @property
    def cost_usd(self) -> Decimal:
        """What it adds to the spend of its scope; an ``adjust`` may take away."""
        value = self.data.get("cost_usd", 0)
        return value if isinstance(value, Decimal) else Decimal(value)


@frozen
class Damage:
    """A line that cannot be read: kept in the file, counted for nothing."""

    reason: str
    number: int = 0
    """Line number in its file, from 1; 0: not placed yet."""
    offset: int = 0
    """Byte at which the line begins."""
    file: str = ""

    def at(self, file: str, number: int, offset: int) -> Damage:
        """The same, with its place."""
        return evolve(self, file=file, number=number, offset=offset)

    def __str__(self) -> str:
        return f"{self.file}:{self.number} (byte {self.offset}): {self.reason}"


Record = Entry | Event


class _Line(msgspec.Struct, omit_defaults=True):
    """All keys of a call's line in their order; those with a default are left out at it.

    For writing, times and amounts are put in as finished text: a Struct does not look at types
    when it is made, and a ``Raw`` costs nothing to write.
    """

    ts: datetime
    session_id: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    session_total_usd: Decimal
    action: str
    request_id: str
    agent: str
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    status: int
    duration_ms: int
    ttft_ms: int | None
    end: str
    cost_source: str
    price: str
    hold_usd: Decimal | None = None
    bound_usd: Decimal | None = None
    model_requested: str | None = None
    model_scope: str | None = None
    reason: str | None = None
    would_block: tuple[str, ...] | None = None
    budgets: tuple[str, ...] | None = None
    subagent: str | None = None
    thread: str | None = None
    parent: str | None = None
    project: str | None = None
    auth: str | None = None
    session_source: str | None = None
    request_class: str | None = None
    endpoint: str | None = None
    dialect: str | None = None
    tier: str | None = None
    speed: str | None = None
    geo: str | None = None
    web_searches: int | None = None
    marks: tuple[str, ...] | None = None
    response_id: str | None = None
    open: str | None = None
    models: dict[str, Any] | None = None
    event: str | None = None
    ts_ms: int = 0
    prev: str | None = None


_FIELDS = _Line.__struct_fields__[:-3]
_values = attrgetter(*_FIELDS)
_write = msgspec.json.Encoder().encode
_read_line = msgspec.json.Decoder(_Line).decode
_read_posting = msgspec.json.Decoder(Posting).decode

_NOT_PLAIN = (
    msgspec.MsgspecError,
    ValueError,
    OverflowError,
    InvalidOperation,
    RecursionError,
)
"""What the strict readers raise for a line that the lenient one should look at."""

_VISIBLE_TROUBLE = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def digest(line: bytes) -> str:
    """What the next line's ``prev`` must be; ``line`` is without its line feed."""
    return sha256(line).hexdigest()[:DIGEST_CHARS]


def encode(record: Entry | Event, prev: str | None = None) -> bytes:
    """The line of a record, ended by its only line feed. Never raises.

    Args:
        prev: the digest of the line before; None leaves the key out.
    """
    make = _entry_line if isinstance(record, Entry) else _event_line
    try:
        line = make(record, prev)  # type: ignore[arg-type]
        if len(line) > LONGEST_LINE:
            line = make(_shortened(record), prev)  # type: ignore[arg-type]
    except UnicodeEncodeError:  # half an emoji, as JavaScript cuts them
        line = make(_shortened(record), prev)  # type: ignore[arg-type]
    if not line.isascii() or b"\x7f" in line:
        line = _VISIBLE_TROUBLE.sub(_escape, line.decode()).encode()
    return line + b"\n"


def decode(line: bytes) -> Entry | Event | Damage:
    """What a line says; its line feed may be there or not. Never raises."""
    try:
        read = _read_line(line)
        cost, ts = read.cost_usd, read.ts
        if (
            (LEAST_USD <= cost <= MOST_USD or not cost)
            and read.action in _ACTIONS
            and read.event is None
            and ts.tzinfo is timezone.utc
        ):
            if read.ts_ms:
                ts = ts.replace(microsecond=read.ts_ms * 1000)
            return Entry(ts, *msgspec.structs.astuple(read)[1:-3])
    except _NOT_PLAIN:
        pass
    return _decode_leniently(line)


def posting(line: bytes) -> Posting | Entry | Event | Damage:
    """What totals need of a line: a ``Posting`` where that is enough, else as ``decode``."""
    try:
        read = _read_posting(line)
        cost = read.cost_usd
        if (
            (LEAST_USD <= cost <= MOST_USD or not cost)
            and read.action in _ACTIONS
            and read.event is None
            and read.open is None
            and read.ts.tzinfo is timezone.utc
        ):
            if read.ts_ms:
                read.ts = read.ts.replace(microsecond=read.ts_ms * 1000)
            return read
    except _NOT_PLAIN:
        pass
    return decode(line)


# -- writing -------------------------------------------------------------------------------------


def _entry_line(entry: Entry, prev: str | None) -> bytes:
    v = _values(entry)
    hold, bound, models = v[19], v[20], v[42]
    second, millisecond = _time(v[0])
    fields: Any = (
        second,
        *v[1:5],
        _amount(v[5]),
        _amount(v[6]),
        *v[7:19],
        None if hold is None else _amount(hold),
        None if bound is None else _amount(bound),
        *v[21:42],
        None if models is None else _plain(models),
        None,
        millisecond,
        prev,
    )
    return _write(_Line(*fields))


def _event_line(event: Event, prev: str | None) -> bytes:
    second, millisecond = _time(event.ts)
    fields: dict[str, Any] = {"ts": second, "event": event.event}
    fields.update(_plain(event.data))
    if millisecond:
        fields["ts_ms"] = millisecond
    if prev is not None:
        fields["prev"] = prev
    return _write(fields)


def _time(ts: datetime) -> tuple[str, int]:
    if ts.tzinfo is not timezone.utc:
        ts = ts.astimezone(timezone.utc)
    return ts.isoformat()[:19] + "Z", ts.microsecond // 1000


def _amount(amount: Decimal) -> msgspec.Raw:
    return msgspec.Raw(show_exactly(amount).encode())


def _plain(value: Any) -> Any:
    """Amounts as numbers in full, and whatever JSON has no form for as its text."""
    if value is None or isinstance(value, (bool, int, str, msgspec.Raw)):
        return value
    if isinstance(value, Decimal):
        return _amount(value) if value.is_finite() else str(value)
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return str(value)


def _shortened(record: Entry | Event) -> Entry | Event:
    """The record with texts that can be encoded, none of them beyond bounds."""
    if isinstance(record, Event):
        return Event(
            record.ts, sound(record.event, LONGEST_TEXT), sound(record.data, LONGEST_TEXT)
        )
    return Entry(*(sound(value, LONGEST_TEXT) for value in _values(record)))


def sound(value: Any, longest: int | None = None) -> Any:
    """The same with texts that any encoder takes: a lone surrogate is shown as ``\\ud83d``."""
    if isinstance(value, str):
        if not value.isascii():
            value = value.encode("utf-8", "backslashreplace").decode()
        if longest is not None and len(value) > longest:
            value = value[: longest - 1] + "…"
        return value
    if isinstance(value, Mapping):
        return {sound(str(key), longest): sound(item, longest) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(sound(item, longest) for item in value)
    if isinstance(value, list):
        return [sound(item, longest) for item in value]
    return value


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


# -- reading leniently ---------------------------------------------------------------------------

_ACTIONS = frozenset({"allow", "warn", "block"})


def _decode_leniently(line: bytes) -> Entry | Event | Damage:
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
    data = {key: value for key, value in read.items() if key not in _RESERVED}
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
        "action": {"blocked": "block"}.get(action, action if action in _ACTIONS else "allow"),
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
            return ts.replace(microsecond=milliseconds * 1000) if milliseconds else ts
        except (AttributeError, TypeError, ValueError, OverflowError, OSError):
            raise _Unreadable(f"{key} is no time") from None
    raise _Unreadable("no ts")


def _parse_time(text: str) -> datetime:
    if len(text) == 10:
        # Only a day: its noon in UTC lies in that day in nearly every zone of the world.
        return datetime.fromisoformat(text).replace(hour=12)
    if text[-1:] in ("Z", "z"):
        text = text[:-1] + "+00:00"
    # Python 3.10 reads fractions of three or six digits only.
    return datetime.fromisoformat(_FRACTION.sub(lambda found: f".{found[1]:0<6.6}", text, count=1))


_FRACTION = re.compile(r"\.(\d+)")


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


_MOST_TOKENS = 10**15


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
    for name in _FIELDS
    if name not in ("ts", "session_id", "cost_usd", "action")
}
