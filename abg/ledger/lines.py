"""A record as one line of JSON, and back.

The first keys stand in an order that people and scripts rely on (contract 11); then come keys that
are written only when they say something; ``prev``, the digest of the line before, is the last.
No name can forge a line: everything passes the JSON encoder. Amounts are written in full, as JSON
numbers without exponent, and read exactly from their text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from operator import attrgetter
from typing import Any

import msgspec

from abg.ledger.lenient import decode_leniently
from abg.ledger.records import ACTIONS, LEAST_USD, MOST_USD, Damage, Entry, Event, Posting
from abg.ledger.texts import LONGEST_TEXT, escape_troublesome, sound
from abg.money import show_exactly

__all__ = ["LONGEST_LINE", "decode", "digest", "encode", "posting"]

DIGEST_CHARS = 16
"""Length of ``prev``: 64 bits make an accident visible; no chain can stop a forger."""

LONGEST_LINE = 4000
"""Bytes above which a line is looked through for texts that are too long."""


class _Line(msgspec.Struct, omit_defaults=True, gc=False):
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


_line: Any = _Line
"""For mypy: of other types than it will read."""
_values = attrgetter(*_Line.__struct_fields__[:-3])  # without event, ts_ms, prev
_write = msgspec.json.Encoder().encode
_TO_THE_SECOND = len('"2026-11-25T10:00:00')
_read_line = msgspec.json.Decoder(_Line).decode
_read_posting = msgspec.json.Decoder(Posting).decode

_MILLISECONDS = [timedelta(milliseconds=count) for count in range(1000)]

_NOT_PLAIN = (
    msgspec.MsgspecError,
    ValueError,
    OverflowError,
    InvalidOperation,
    RecursionError,
)
"""What the strict readers raise for a line that the lenient one should look at."""


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
        line = escape_troublesome(line)
    return line + b"\n"


def decode(line: bytes) -> Entry | Event | Damage:
    """What a line says; its line feed may be there or not. Never raises."""
    try:
        read = _read_line(line)
        cost, ts = read.cost_usd, read.ts
        if (
            (LEAST_USD <= cost <= MOST_USD or not cost)
            and read.action in ACTIONS
            and read.event is None
            and ts.tzinfo is timezone.utc
        ):
            if read.ts_ms:
                ts = _at_millisecond(ts, read.ts_ms)
            return Entry(ts, *msgspec.structs.astuple(read)[1:-3])
    except _NOT_PLAIN:
        pass
    return decode_leniently(line)


def posting(line: bytes) -> Posting | Entry | Event | Damage:
    """What totals need of a line: a ``Posting`` where that is enough, else as ``decode``."""
    try:
        read = _read_posting(line)
        cost = read.cost_usd
        if (
            (LEAST_USD <= cost <= MOST_USD or not cost)
            and read.action in ACTIONS
            and read.event is None
            and read.open is None
            and read.ts.tzinfo is timezone.utc
        ):
            if read.ts_ms:
                read.ts = _at_millisecond(read.ts, read.ts_ms)
            return read
    except _NOT_PLAIN:
        pass
    return decode(line)


def _at_millisecond(ts: datetime, millisecond: int) -> datetime:
    if 0 < millisecond < 1000 and not ts.microsecond:
        return ts + _MILLISECONDS[millisecond]  # a fifth of what ``replace`` costs (0.6 µs)
    return ts.replace(microsecond=millisecond * 1000)


def _entry_line(entry: Entry, prev: str | None) -> bytes:
    second, millisecond = _time(entry.ts)
    hold, bound, models = entry.hold_usd, entry.bound_usd, entry.models
    return _write(
        # By place, in the order of its keys: names would cost as much as the values.
        _line(
            second,
            entry.session_id,
            entry.model,
            entry.input_tokens,
            entry.output_tokens,
            _amount(entry.cost_usd),
            _amount(entry.session_total_usd),
            entry.action,
            entry.request_id,
            entry.agent,
            entry.cache_read_tokens,
            entry.cache_write_tokens,
            entry.reasoning_tokens,
            entry.status,
            entry.duration_ms,
            entry.ttft_ms,
            entry.end,
            entry.cost_source,
            entry.price,
            hold if hold is None else _amount(hold),
            bound if bound is None else _amount(bound),
            entry.model_requested,
            entry.model_scope,
            entry.reason,
            entry.would_block,
            entry.budgets,
            entry.subagent,
            entry.thread,
            entry.parent,
            entry.project,
            entry.auth,
            entry.session_source,
            entry.request_class,
            entry.endpoint,
            entry.dialect,
            entry.tier,
            entry.speed,
            entry.geo,
            entry.web_searches,
            entry.marks,
            entry.response_id,
            entry.open,
            models if models is None else _plain(models),
            None,
            millisecond,
            prev,
        )
    )


def _event_line(event: Event, prev: str | None) -> bytes:
    second, millisecond = _time(event.ts)
    fields: dict[str, Any] = {"ts": second, "event": event.event}
    fields.update(_plain(event.data))
    if millisecond:
        fields["ts_ms"] = millisecond
    if prev is not None:
        fields["prev"] = prev
    return _write(fields)


def _time(ts: datetime) -> tuple[msgspec.Raw, int]:
    """The second as text, ``…:01Z``, and the milliseconds in it."""
    if ts.tzinfo is not timezone.utc:
        ts = ts.astimezone(timezone.utc)
    # msgspec writes a time in a tenth of what it costs to take the fraction from it before.
    return msgspec.Raw(_write(ts)[:_TO_THE_SECOND] + b'Z"'), ts.microsecond // 1000


def _amount(amount: Decimal) -> msgspec.Raw:
    text = str(amount)
    if "E" in text:
        text = show_exactly(amount)  # rarely needed, and three times as slow
    elif text[-1] == "0":
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        if text == "-0":
            text = "0"
    return msgspec.Raw(text)


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
        return Event(record.ts, sound(record.event, LONGEST_TEXT), sound(record.data, LONGEST_TEXT))
    return Entry(*(sound(value, LONGEST_TEXT) for value in _values(record)))
