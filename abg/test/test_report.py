"""Totals over the ledger: every amount once, in the group it belongs to."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abg.cli import client, main
from abg.config.zone import MACHINE_ZONE
from abg.home.present import columns
from abg.home.tables import plain_cells, report_rows
from abg.ledger import Damage, Entry, Event, encode
from abg.report import KEYS, parse_since, report, rows_of
from abg.test.standin import own_places

UTC = timezone.utc
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def entry(cost="0.10", ts=NOON, **more):
    facts = {
        "session_id": "s",
        "model": "claude-opus-5-5",
        "input_tokens": 10,
        "output_tokens": 2,
        "action": "allow",
        "agent": "claude-code",
    }
    return Entry(ts=ts, cost_usd=Decimal(cost), session_total_usd=Decimal(0), **(facts | more))


def totals(records, *by, **more):
    found = report(records, by, UTC, **more)
    return {t.key: t.cost_usd for t in found.totals}


def test_calls_are_summed_by_group():
    records = [entry(), entry("0.20", model="gpt-6"), entry("0.05")]
    assert totals(records, "model") == {
        ("claude-opus-5-5",): Decimal("0.15"),
        ("gpt-6",): Decimal("0.20"),
    }
    found = report(records, ("session",), UTC).totals[0]
    assert (found.requests, found.input_tokens, found.output_tokens) == (3, 30, 6)


def test_the_dearest_comes_first_and_days_in_their_order():
    records = [entry("1"), entry("9", ts=NOON + timedelta(days=1)), entry("5", session_id="t")]
    assert [t.key for t in report(records, ("day",), UTC).totals] == [
        ("2026-11-25",),
        ("2026-11-26",),
    ]
    assert [t.key for t in report(records, ("session",), UTC).totals] == [("s",), ("t",)]


@pytest.mark.parametrize(
    ("by", "key"),
    [
        ("day", "2026-11-26"),
        ("week", "2026-W48"),
        ("month", "2026-11"),
        ("session", "s"),
        ("model", "claude-opus-5-5"),
        ("agent", "claude-code"),
        ("subagent", ""),
        ("project", "p"),
        ("auth", "api_key"),
        ("dialect", ""),
    ],
)
def test_every_key(by, key):
    late = entry(ts=datetime(2026, 11, 25, 23, 30, tzinfo=UTC), project="p", auth="api_key")
    assert report([late], (by,), ZoneInfo("Europe/Berlin")).totals[0].key == (key,)


@pytest.mark.parametrize(
    ("ts", "zone", "keys"),
    [
        ("0001-01-01T00:00:00", "America/New_York", ("0001-01-01", "0001-W01", "0001-01")),
        ("9999-12-31T23:59:59", "Asia/Tokyo", ("9999-12-31", "9999-W52", "9999-12")),
    ],
)
def test_a_time_at_the_ends_of_all_times_has_a_day(ts, zone, keys):
    line = entry(ts=datetime.fromisoformat(ts).replace(tzinfo=UTC))
    found = report([line], ("day", "week", "month"), ZoneInfo(zone))
    assert [total.key for total in found.totals] == [keys]


@pytest.mark.parametrize(
    "zone", [ZoneInfo("America/New_York"), ZoneInfo("Asia/Tokyo"), MACHINE_ZONE]
)
def test_the_ends_of_all_times_are_moments(zone):
    since = parse_since("0001-01-01", NOON, zone)
    until = parse_since("9999-12-31T23:59", NOON, zone)
    assert len(totals([entry()], "day", since=since, until=until)) == 1


def test_several_keys_at_once():
    records = [entry(), entry(session_id="t"), entry()]
    assert set(totals(records, "day", "session")) == {("2026-11-25", "s"), ("2026-11-25", "t")}


def test_adjustments_count_in_their_session_and_other_events_do_not():
    adjust = Event(NOON, "adjust", {"session_id": "s", "cost_usd": Decimal("-0.04")})
    records = [entry(), adjust, Event(NOON, "reset", {"session_id": "s"})]
    assert totals(records, "session") == {("s",): Decimal("0.06")}
    assert totals([adjust], "model") == {("",): Decimal("-0.04")}
    assert report(records, ("session",), UTC).all.requests == 1


def test_refused_calls_are_counted_apart():
    found = report([entry(), entry("0", action="block")], ("session",), UTC).all
    assert (found.requests, found.blocked, found.input_tokens) == (1, 1, 10)


def test_what_a_plan_pays_and_what_was_estimated_is_said():
    plan = {"auth": "subscription"}
    records = [
        entry(**plan),
        entry("0.30", cost_source="estimated"),
        Event(NOON, "adjust", {"cost_usd": Decimal("0.01"), **plan}),
    ]
    found = report(records, (), UTC)
    assert found.all.notional_usd == Decimal("0.11")
    assert found.all.estimated_usd == Decimal("0.30")
    assert found.totals[0].key == ()


def test_only_the_time_asked_for():
    records = [entry("1"), entry("2", ts=NOON + timedelta(hours=1))]
    assert totals(records, since=NOON + timedelta(minutes=1)) == {(): 2}
    assert totals(records, until=NOON + timedelta(minutes=1)) == {(): 1}


def test_damaged_lines_are_handed_on_and_count_for_nothing():
    found = report([Damage("no JSON"), entry()], (), UTC)
    assert found.damaged == (Damage("no JSON"),)
    assert found.all.requests == 1


AMOUNTS = st.decimals(0, 100, places=6)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda cost, hours, session: entry(
                cost, NOON + timedelta(hours=hours), session_id=session
            ),
            AMOUNTS,
            st.integers(0, 100),
            st.sampled_from("abc"),
        ),
        max_size=20,
    ),
    st.lists(st.sampled_from(KEYS), max_size=3, unique=True),
)
def test_groups_add_up_to_the_whole_however_they_are_cut(records, by):
    found = report(records, by, UTC)
    assert sum((t.cost_usd for t in found.totals), Decimal(0)) == found.all.cost_usd
    assert found.all.cost_usd == sum((r.cost_usd for r in records), Decimal(0))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("today", datetime(2026, 11, 24, 23, tzinfo=UTC)),
        ("7d", NOON - timedelta(days=7)),
        ("24h", NOON - timedelta(days=1)),
        ("90m", NOON - timedelta(minutes=90)),
        ("2026-11-01", datetime(2026, 10, 31, 23, tzinfo=UTC)),
        ("2026-11-01T00:00:00Z", datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_moments(text, moment):
    assert parse_since(text, NOON, ZoneInfo("Europe/Berlin")) == moment


@pytest.mark.parametrize("text", ["", "d", "yesterday", "7y", "999999999d", "2026-13-01"])
def test_what_is_no_moment(text):
    with pytest.raises(ValueError, match=r"no day|too long"):
        parse_since(text, NOON, UTC)


def test_the_table():
    records = [entry(), entry("1.50", session_id="evil\x1b[2J"), entry("0", session_id="")]
    lines = list(columns(list(report_rows(report(records, ("session",), UTC)))))
    assert lines[0].split()[:3] == ["SESSION", "REQUESTS", "BLOCKED"]
    assert "\x1b" not in lines[1] and "$1.50" in lines[1]
    assert lines[-1].split()[0] == "all" and lines[-1].endswith("$1.60")
    assert lines[-2].startswith("-")


def test_the_table_says_what_is_notional_only_where_something_is():
    plan = report([entry(auth="subscription")], ("day",), UTC)
    assert "NOTIONAL" in next(iter(columns(list(report_rows(plan)))))


def test_cells_are_no_formulas_for_a_spreadsheet():
    row = rows_of(report([entry("0.0000001", session_id="=cmd()")], ("session",), UTC))[0]
    cells = plain_cells(row)
    assert cells["session"] == "'=cmd()"
    assert cells["cost_usd"] == "0.0000001"
    assert cells["requests"] == "1"


def test_nothing_from_a_ledger_steers_a_terminal():
    # One that came with a cloned repository holds whatever its author liked.
    forged = "x\n[abg] \x1b[2J \x9b2J \u202e \ud800"
    row = rows_of(report([entry("1", session_id=forged)], ("session",), UTC))[0]
    assert plain_cells(row)["session"].isprintable()
    text = client.dumps({"names": [forged, "\N{GRINNING FACE} é"]})
    assert all(line.isprintable() for line in text.split("\n"))
    assert "\N{GRINNING FACE} é" in text
    assert json.loads(text)["names"][0] == forged


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """A ledger of two calls, where the command looks for it."""
    path = own_places(monkeypatch, tmp_path).ledger
    monkeypatch.setenv("ABG_TIMEZONE", "UTC")
    path.write_bytes(encode(entry()) + encode(entry("0.2", session_id="t")) + b"broken\n")
    return path


def test_the_command_prints_a_table_and_names_damaged_lines(ledger, capsys):
    assert main(["report", "--by", "session"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["SESSION", "t", "s", "all"]
    assert "not counted: ledger.jsonl:3" in err


def test_the_command_prints_json(ledger, capsys):
    assert main(["report", "--json", "--by", "session,model"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["by"] == ["session", "model"]
    assert [row["cost_usd"] for row in data["totals"]] == [0.2, 0.1]
    assert data["all_usd"] == 0.3


def test_the_command_prints_csv(ledger, capsys):
    assert main(["report", "--csv", "--by", "session"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["session"], row["cost_usd"]) for row in rows] == [("t", "0.2"), ("s", "0.1")]


@pytest.mark.parametrize("form", [[], ["--csv"]])
def test_a_time_without_calls(ledger, capsys, form):
    assert main(["report", "--until", "2020-01-01", *form]) == 0
    assert capsys.readouterr().out == ("" if form else "no call in this time\n")


def test_wrong_arguments(ledger, capsys):
    assert main(["report", "--by", "colour"]) == 2
    assert main(["report", "--since", "yesterday"]) == 1
    assert "no day or length of time" in capsys.readouterr().err


def test_a_ledger_that_is_not_there_yet(ledger, tmp_path, capsys):
    assert main(["report", "--ledger", str(tmp_path / "none.jsonl")]) == 1
    assert "there is no ledger yet" in capsys.readouterr().err


def test_many_damaged_lines_are_not_all_printed(ledger, capsys):
    ledger.write_bytes(b"x\n" * 9)
    assert main(["report"]) == 0
    assert "and 4 more damaged lines" in capsys.readouterr().err


def test_a_ledger_that_cannot_be_read_is_said(ledger, tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    assert main(["report", "--ledger", str(ledger / "x")]) == 1
    assert "ledger" in capsys.readouterr().err
