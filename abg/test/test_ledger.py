"""A line says what its record says, to people, scripts and the next start; none can be forged."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from attrs import evolve, fields
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.ledger import LONGEST_TEXT, Damage, Entry, Event, decode, digest, encode, posting, sound
from abg.ledger.records import MOST_USD

UTC = timezone.utc
TS = datetime(2026, 4, 19, 14, 22, 1, tzinfo=UTC)

CONTRACT = Entry(
    ts=TS,
    session_id="default",
    model="claude-sonnet-4-6",
    input_tokens=4821,
    output_tokens=312,
    cost_usd=Decimal("0.019143"),
    session_total_usd=Decimal("4.12"),
    action="allow",
)


def test_the_first_keys_are_those_of_the_contract_in_its_order() -> None:
    expected = (
        b'{"ts":"2026-04-19T14:22:01Z","session_id":"default","model":"claude-sonnet-4-6",'
        b'"input_tokens":4821,"output_tokens":312,"cost_usd":0.019143,"session_total_usd":4.12,'
        b'"action":"allow",'
    )
    assert encode(CONTRACT).startswith(expected)
    keys = list(json.loads(encode(CONTRACT, "0123456789abcdef")))
    assert keys[8:] == [
        *("request_id", "agent", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"),
        *("status", "duration_ms", "ttft_ms", "end", "cost_source", "price", "prev"),
    ]


FULL = evolve(
    CONTRACT,
    ts=TS + timedelta(milliseconds=7),
    request_id="req_1",
    agent="claude-code",
    ttft_ms=900,
    hold_usd=Decimal("0.5"),
    bound_usd=Decimal("12.75"),
    model_requested="claude-sonnet",
    model_scope="claude-sonnet-4-6-20260401",
    reason="because",
    would_block=("session",),
    budgets=("session", "daily"),
    subagent="s",
    thread="t",
    parent="p",
    project="abg",
    auth="api_key",
    session_source="agent",
    request_class="main",
    endpoint="messages",
    dialect="anthropic",
    tier="standard",
    speed="fast",
    geo="us",
    web_searches=2,
    marks=("clamped",),
    response_id="msg_1",
    open="resp_1",
    models={"claude-sonnet-4-6": {"input_tokens": 4821}},
)


def test_every_key_comes_back() -> None:
    assert all(
        getattr(FULL, field.name) != field.default
        for field in fields(Entry)
        if field.default is None
    )
    assert decode(encode(FULL, "x")) == FULL
    assert decode(encode(CONTRACT)) == CONTRACT
    assert list(json.loads(encode(FULL, "x")))[-1] == "prev"


def test_milliseconds_are_kept_in_a_key_of_their_own() -> None:
    line = json.loads(encode(FULL))
    assert (line["ts"], line["ts_ms"]) == ("2026-04-19T14:22:01Z", 7)
    assert "ts_ms" not in json.loads(encode(CONTRACT))


def test_a_time_with_a_fraction_takes_the_milliseconds_of_their_own_key() -> None:
    line = encode(FULL).replace(b"14:22:01Z", b"14:22:01.5Z")
    for read in (decode(line), posting(line)):
        assert read.ts == FULL.ts


def test_any_time_zone_is_written_as_utc() -> None:
    east = TS.astimezone(timezone(timedelta(hours=9)))
    assert encode(evolve(CONTRACT, ts=east)) == encode(CONTRACT)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0.000000000000000001", "0.000000000000000001"),
        ("1E-7", "0.0000001"),
        ("1E+3", "1000"),
        ("0.0191430", "0.019143"),
        ("0", "0"),
        ("-0", "0"),
        ("123456789012.123456789", "123456789012.123456789"),
    ],
)
def test_amounts_are_numbers_in_full_without_exponent(amount: str, text: str) -> None:
    line = encode(evolve(CONTRACT, cost_usd=Decimal(amount)))
    assert f'"cost_usd":{text},'.encode() in line
    read = decode(line)
    assert isinstance(read, Entry)
    assert read.cost_usd == Decimal(amount)


NASTY = [
    'x","cost_usd":0,"y":"',
    "x\n{}",
    "x\r\n",
    "\x00\x1b[2J",
    "\u0085\u2028\u2029",
    "\u202egnp.exe",
    "\u200b\ufeff",
    "\x7f\x9b31m",
    "é漢字🙂",
]


@pytest.mark.parametrize("name", NASTY)
def test_no_name_forges_a_line_or_moves_a_cursor(name: str) -> None:
    entry = evolve(CONTRACT, session_id=name, model=name, marks=(name,), models={name: {"n": 1}})
    line = encode(entry)
    assert decode(line) == entry
    assert len(line.decode().splitlines()) == 1
    assert line.count(b"\n") == 1
    assert all(c.isprintable() or c == "\n" for c in line.decode())


def test_half_an_emoji_is_shown_and_stays_distinct() -> None:
    lines = {encode(evolve(CONTRACT, model=name)) for name in ("m\ud83d", "m\ud83e")}
    assert {decode(line).model for line in lines} == {"m\\ud83d", "m\\ud83e"}  # type: ignore[union-attr]
    event = Event(TS, "block", {"session_id": "s\udc00", "list": ["\ud800"]})
    assert decode(encode(event)) == Event(
        TS, "block", {"session_id": "s\\udc00", "list": ["\\ud800"]}
    )


def test_a_name_a_megabyte_long_is_cut() -> None:
    read = decode(encode(evolve(CONTRACT, model="m" * 1_000_000, marks=("x" * 5000,))))
    assert isinstance(read, Entry) and read.marks is not None
    assert len(read.model) == len(read.marks[0]) == LONGEST_TEXT
    assert read.model.endswith("…")


# -- events --------------------------------------------------------------------------------------


def test_an_event_carries_whatever_it_is_told() -> None:
    data = {
        "session_id": "s",
        "cost_usd": Decimal("-0.0000001"),
        "at": TS,
        "budgets": ("a", "b"),
        "some": {"x": None, "y": True, "z": {1}},
        "odd": Decimal("NaN"),
        "else": 1.5,
        "totals": msgspec.Raw(b'{"s":"1.5"}'),
    }
    line = encode(Event(TS, "adjust", data), "feed")
    assert line == (
        b'{"ts":"2026-04-19T14:22:01Z","event":"adjust","session_id":"s","cost_usd":-0.0000001,'
        b'"at":"2026-04-19T14:22:01Z","budgets":["a","b"],"some":{"x":null,"y":true,"z":[1]},'
        b'"odd":"NaN","else":"1.5","totals":{"s":"1.5"},"prev":"feed"}\n'
    )
    read = decode(line)
    assert isinstance(read, Event)
    assert (read.event, read.session_id) == ("adjust", "s")
    assert read.cost_usd == Decimal("-0.0000001")


def test_an_event_without_session_and_cost_says_so() -> None:
    event = Event(TS + timedelta(milliseconds=5), "block", {"session_id": 7, "cost_usd": 1})
    assert event.session_id is None
    assert event.cost_usd == 1
    assert Event(TS, "block").cost_usd == 0
    assert decode(encode(event)) == event
    assert CONTRACT.event is None


def test_an_event_cannot_take_the_keys_of_the_line() -> None:
    with pytest.raises(ValueError, match="'prev'"):
        Event(TS, "x", {"prev": "forged"})


# -- reading what others wrote -------------------------------------------------------------------


def read(text: str | bytes) -> Entry | Event | Damage:
    return decode(text.encode() if isinstance(text, str) else text)


BASE = '"session_id":"s","cost_usd":0.1'

TIMES = [
    ("2026-04-19", datetime(2026, 4, 19, 12, tzinfo=UTC)),
    ("2026-04-19T14:22:01", TS),
    ("2026-04-19 14:22:01", TS),
    ("2026-04-19T14:22:01Z", TS),
    ("2026-04-19T14:22:01z", TS),
    ("2026-04-19T16:22:01+02:00", TS),
    ("2026-04-19T14:22:01.5", TS + timedelta(milliseconds=500)),
    ("2026-04-19T14:22:01.123456789Z", TS + timedelta(microseconds=123456)),
    # Python 3.10 reads none of these by itself.
    ("20260419", datetime(2026, 4, 19, 12, tzinfo=UTC)),
    ("20260419T142201Z", TS),
    ("2026-04-19T14:22:01+0000", TS),
    ("2026-04-19 10:52:01 -0330", TS),
    ("2026-04-19T16:22:01+02", TS),
    ("2026-04-19T14:22:01,5Z", TS + timedelta(milliseconds=500)),
    ("2026-04-19T14Z", TS.replace(minute=0, second=0)),
]


@pytest.mark.parametrize("key", ["ts", "date", "timestamp"])
@pytest.mark.parametrize(("text", "ts"), TIMES)
def test_other_tools_times_are_read(key: str, text: str, ts: datetime) -> None:
    line = read(f'{{"{key}":"{text}",{BASE}}}')
    assert isinstance(line, Entry)
    assert line.ts == ts


def test_a_moment_in_seconds_is_read() -> None:
    line = read(f'{{"timestamp":{int(TS.timestamp())}.5,{BASE}}}')
    assert isinstance(line, Entry)
    assert line.ts == TS + timedelta(milliseconds=500)
    line = read(f'{{"ts":"2026-04-19T14:22:01Z","ts_ms":7,{BASE}}}')
    assert isinstance(line, Entry)
    assert line.ts == TS + timedelta(milliseconds=7)


def test_the_original_tools_lines_are_read_exactly() -> None:
    line = read(
        '{"date":"2026-04-19T14:22:01","session_id":"s","model":"gpt-4o","input_tokens":4821.0,'
        '"output_tokens":"312","cost_usd":1.9143000000000002e-02,"session_total_usd":null,'
        '"action":"BLOCKED","status":"yes","marks":"none","models":[],"budgets":["a",1]}'
    )
    assert line == Entry(
        ts=TS,
        session_id="s",
        model="gpt-4o",
        input_tokens=4821,
        output_tokens=312,
        cost_usd=Decimal("0.019143000000000002"),
        session_total_usd=Decimal("0.019143000000000002"),
        action="block",
        budgets=("a", "1"),
    )


def test_what_plays_no_part_in_a_total_may_be_broken() -> None:
    line = read(
        b'{"ts":"2026-04-19T14:22:01Z","session_id":"s","model":"\xff","cost_usd":0.1,'
        b'"action":"what","input_tokens":1e99,"output_tokens":[],"hold_usd":"x","thread":5,'
        b'"models":{"m":1},"session_total_usd":-1,"unknown":{"x":1}}'
    )
    assert isinstance(line, Entry)
    assert (line.model, line.action, line.input_tokens) == ("\\udcff", "allow", 0)
    assert (line.hold_usd, line.thread, line.models) == (None, "5", {"m": 1})


def test_a_session_is_default_where_none_is_named() -> None:
    line = read('{"date":"2026-04-19","session":"x","cost_usd":0}')
    assert isinstance(line, Entry) and line.session_id == "x"
    line = read('{"date":"2026-04-19","cost_usd":"0E-99"}')
    assert isinstance(line, Entry) and (line.session_id, line.cost_usd) == ("default", 0)


@pytest.mark.parametrize(
    "around", [b"\xef\xbb\xbf%s", b"%s\r", b"%s\r\n", b"\0\0\0%s", b"  %s  ", b"%s\n"]
)
def test_traces_of_editors_and_power_losses_around_a_line_do_no_harm(around: bytes) -> None:
    line = encode(CONTRACT)[:-1]
    assert decode(around % line) == CONTRACT


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not JSON"),
        ("\0\0\0", "not JSON"),
        ('{"ts":"2026', "not JSON"),
        ("{} {}", "not JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("[" * 100_000, "nested too deep"),
        ("{}", "no ts"),
        (f'{{"ts":null,{BASE}}}', "no ts"),
        (f'{{"ts":"yesterday",{BASE}}}', "ts is no time"),
        (f'{{"date":"",{BASE}}}', "date is no time"),
        (f'{{"ts":"2026-04-19T14:22:60Z",{BASE}}}', "ts is no time"),
        (f'{{"ts":[],{BASE}}}', "ts is no time"),
        (f'{{"ts":1e99,{BASE}}}', "ts is no time"),
        (f'{{"ts":"0001-01-01T00:00:00+09:00",{BASE}}}', "ts is no time"),
        ('{"date":"2026-04-19","session_id":"s"}', "no readable amount"),
        ('{"date":"2026-04-19","cost_usd":NaN}', "not JSON: NaN is no number"),
        ('{"date":"2026-04-19","cost_usd":"NaN"}', "no readable amount"),
        ('{"date":"2026-04-19","cost_usd":"sNaN"}', "no readable amount"),
        ('{"date":"2026-04-19","cost_usd":"much"}', "no readable amount"),
        ('{"date":"2026-04-19","cost_usd":true}', "no readable amount"),
        ('{"date":"2026-04-19","cost_usd":1e13}', "no readable amount"),
        ('{"date":"2026-04-19","cost_usd":1e-41}', "no readable amount"),
        ('{"date":"2026-04-19","cost_usd":1e999999999999999999999}', "not JSON"),
        ('{"date":"2026-04-19","cost_usd":-0.1}', "cannot cost less"),
        ('{"date":"2026-04-19","session_id":5,"cost_usd":1}', "session_id is no text"),
        (b'{"date":"2026-04-19","session_id":"\xff","cost_usd":1}', "session_id is no text"),
        ('{"date":"2026-04-19","event":5}', "event is no text"),
        ('{"date":"2026-04-19","event":"adjust","cost_usd":"x"}', "no readable amount"),
        ('{"event":"adjust"}', "no ts"),
        ('{"date":"2026-04-19","cost_usd":' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_a_line_that_cannot_be_counted_is_damage_with_its_reason(
    line: str | bytes, reason: str
) -> None:
    found = read(line)
    assert isinstance(found, Damage)
    assert reason in found.reason
    assert isinstance(posting(line if isinstance(line, bytes) else line.encode()), Damage)
    placed = found.at("ledger.jsonl", 3, 99)
    assert str(placed).startswith("ledger.jsonl:3 (byte 99): ")


# -- the short reading ---------------------------------------------------------------------------


def test_totals_read_a_call_in_short() -> None:
    assert posting(encode(CONTRACT)).ts == TS  # type: ignore[union-attr]
    line = encode(evolve(FULL, open=None), "feed")
    short = posting(line)
    assert not isinstance(short, (Entry, Event, Damage))
    assert (short.ts, short.cost_usd, short.prev) == (FULL.ts, FULL.cost_usd, "feed")
    assert (short.session_id, short.model_scope, short.project) == (
        FULL.session_id,
        FULL.model_scope,
        FULL.project,
    )


@pytest.mark.parametrize(
    "line",
    [
        encode(FULL),  # an open id needs the whole entry
        encode(CONTRACT).replace(b"01Z", b"01"),
        encode(CONTRACT).replace(b"allow", b"ALLOW"),
        encode(Event(TS, "reset", {"session_id": "s"})),
        f'{{"ts":"2026-04-19T14:22:01Z","action":"what",{BASE}}}'.encode(),
        f'{{"ts":"2026-04-19T14:22:01","action":"allow",{BASE}}}'.encode(),
        f'{{"ts":"2026-04-19T14:22:01Z","action":"allow","event":"x",{BASE}}}'.encode(),
        f'{{"date":"2026-04-19",{BASE}}}'.encode(),
    ],
)
def test_what_is_no_plain_call_is_read_whole(line: bytes) -> None:
    assert posting(line) == decode(line)
    assert not isinstance(decode(line), Damage)


texts = st.text(max_size=20)
amounts = st.decimals(0, MOST_USD, allow_nan=False, places=18) | st.decimals(
    0, 1, allow_nan=False, places=12
)
counts = st.integers(0, 10**9)
moments = st.integers(-(10**12), 10**13).map(lambda ms: TS + timedelta(milliseconds=ms))
optional_texts = st.none() | texts
entries = st.builds(
    Entry,
    ts=moments,
    session_id=texts,
    model=texts,
    input_tokens=counts,
    output_tokens=counts,
    cost_usd=amounts,
    session_total_usd=amounts,
    action=st.sampled_from(["allow", "warn", "block"]),
    request_id=texts,
    ttft_ms=st.none() | counts,
    hold_usd=st.none() | amounts,
    reason=optional_texts,
    marks=st.none() | st.lists(texts, min_size=1, max_size=3).map(tuple),
    project=optional_texts,
    open=optional_texts,
)


@given(entries)
@settings(max_examples=150, deadline=None)
def test_any_entry_survives_its_line(entry: Entry) -> None:
    line = encode(entry, digest(b"before"))
    assert line.count(b"\n") == 1 and line.endswith(b"}\n")
    assert decode(line) == entry
    assert json.loads(line, parse_float=Decimal)["cost_usd"] == entry.cost_usd


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["ts", "date", "ts_ms", "cost_usd", "session_id", "action", "event", "open"])


@given(
    st.fixed_dictionaries({"ts": st.just("2026-04-19T14:22:01Z"), "cost_usd": st.just(0.5)}),
    st.dictionaries(keys, json_values, max_size=4),
    st.integers(0, 400),
    st.binary(max_size=8),
)
@settings(max_examples=300, deadline=None)
def test_the_readers_never_raise_and_never_disagree(
    base: dict[str, Any], more: dict[str, Any], at: int, bytes_in_between: bytes
) -> None:
    whole = json.dumps({**base, **more}).encode()
    for line in (whole, whole[:at] + bytes_in_between + whole[at:], bytes_in_between):
        entry, short = decode(line), posting(line)
        assert isinstance(entry, Damage) == isinstance(short, Damage)
        if isinstance(entry, Entry):
            assert not isinstance(short, (Event, Damage))
            for name in ("ts", "session_id", "cost_usd", "action", "open"):
                assert getattr(short, name) == getattr(entry, name)
        if not isinstance(entry, Damage):
            assert decode(encode(entry)) == entry or isinstance(entry, Event)


def test_sound_texts_leave_other_values_alone() -> None:
    assert sound([1, None, ("a", {"b": 2.5})]) == [1, None, ("a", {"b": 2.5})]
