"""What people change at run time: raised limits and the kill switch, folded from events."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from abg.budget import daily_budget, parse_budget, session_budget
from abg.call import Scope
from abg.ledger import Event
from abg.overrides import EXPIRED_KEPT, Overrides
from abg.rules import Rules
from abg.shapes import Shapes

NOON = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
D = Decimal


@pytest.fixture
def overrides():
    return Overrides()


def checks(session="s"):
    rules = Rules(
        [
            session_budget(D(5)),
            daily_budget(D(20)),
            parse_budget(
                {"name": "runaway", "per": "session", "window": "10m", "limit_usd": 8},
                "test",
            ),
            parse_budget(
                {
                    "name": "bugs",
                    "per": "session",
                    "match": {"session": "bug*"},
                    "limit_usd": 2,
                    "max_requests": 10,
                },
                "test",
            ),
            parse_budget({"name": "open", "limit_usd": None, "max_requests": 9}, "test"),
        ],
        Shapes(timezone.utc),
    )
    selection, keys = rules.of(Scope(session))
    return {(c.name, c.kind): (c, keys[c.index]) for c in selection.checks}


def limits(overrides, session="s", now=NOON):
    return {
        name if kind != "requests" else f"{name} requests": overrides.limit(check, key, now)
        for (name, kind), (check, key) in checks(session).items()
    }


def change(**data):
    return Event(NOON, "raise", data)


def test_a_sessions_own_budget_is_raised_whichever_row_it_is(overrides):
    overrides.apply(change(session_id="s", by_usd=D(2)))
    overrides.apply(change(session_id="bug 1", by_usd=D(3)))
    assert limits(overrides)["session"] == 7
    assert limits(overrides)["runaway"] == 8
    assert limits(overrides, "t")["session"] == 5
    assert limits(overrides, "bug 1")["bugs"] == 5
    assert limits(overrides, "bug 1")["bugs requests"] == 10


def test_a_budget_is_raised_for_everybody_or_for_one(overrides):
    overrides.apply(change(budget="runaway", by_usd=1))
    overrides.apply(change(budget="runaway", session_id="s", by_usd=D("0.5")))
    overrides.apply(change(budget="daily", session_id="s", to_usd=D(30)))
    assert limits(overrides)["runaway"] == D("9.5")
    assert limits(overrides, "t")["runaway"] == 9
    assert limits(overrides, "t")["daily"] == 30


def test_raises_add_up_in_the_order_in_which_they_were_made(overrides):
    for data in ({"by_usd": D(1)}, {"to_usd": D(10)}, {"by_usd": D(2)}):
        overrides.apply(change(session_id="s", **data))
    assert limits(overrides)["session"] == 12


def test_a_limit_that_is_set_replaces_what_was_before(overrides):
    for to in (10, 3, 7):
        overrides.apply(change(session_id="s", by_usd=D(1), for_seconds=60))
        overrides.apply(change(session_id="s", to_usd=D(to)))
    assert limits(overrides)["session"] == 7
    assert len(overrides.dump()["raises"]) == 1
    overrides.apply(change(session_id="s", to_usd=D(99), for_seconds=60))
    assert limits(overrides)["session"] == 99
    assert limits(overrides, now=NOON + HOUR)["session"] == 7, "only for a time"
    overrides.apply(Event(NOON + EXPIRED_KEPT + HOUR, "raise", {"session_id": "t", "to_usd": D(1)}))
    assert len(overrides.dump()["raises"]) == 2, "what has run out is forgotten"
    assert limits(overrides)["session"] == 7


def test_what_only_lowers_never_raises(overrides):
    for to in (4, 3, 8):
        overrides.apply(change(session_id="s", to_usd=D(to), at_most=True))
        overrides.apply(change(budget="open", to_usd=D(to), at_most=True))
    assert limits(overrides)["session"] == limits(overrides)["open"] == 3
    overrides.apply(change(session_id="s", to_usd=D(6)))
    assert limits(overrides)["session"] == 6
    again = Overrides()
    again.load(json.loads(json.dumps(overrides.dump())))
    assert limits(again) == limits(overrides)


def test_a_limit_is_never_below_nothing(overrides):
    overrides.apply(change(session_id="s", by_usd=D(-9)))
    overrides.apply(change(budget="daily", to_usd=D(-1)))
    assert limits(overrides)["session"] == limits(overrides)["daily"] == 0
    overrides.apply(change(session_id="s", by_usd=D(0)))
    assert limits(overrides)["session"] == 0


def test_a_void_raise_replaces_none_that_is_valid(overrides):
    overrides.apply(change(budget="daily", to_usd=D(30)))
    overrides.apply(change(budget="daily", to_usd=D(99), configured_usd=D(15)))
    assert limits(overrides)["daily"] == 30


def test_a_decision_looks_at_its_own_raises_only(overrides):
    for number in range(10_000):
        overrides.apply(change(session_id=f"run-{number}", to_usd=D(2)))
    check, key = checks("run-77")["session", "session"]
    assert overrides.limit(check, key, NOON) == 2
    assert len(list(overrides._concerning(check, key))) == 1


def test_a_limit_can_be_set_where_there_was_none(overrides):
    assert limits(overrides)["open"] is None
    overrides.apply(change(budget="open", by_usd=D(1)))
    assert limits(overrides)["open"] is None
    overrides.apply(change(budget="open", to_usd=D(4)))
    assert limits(overrides)["open"] == 4


def test_a_raise_for_a_time_ends_exactly_then(overrides):
    overrides.apply(change(session_id="s", by_usd=D(2), for_seconds=3600))
    assert overrides.dump()["raises"]
    assert limits(overrides, now=NOON + HOUR - timedelta(milliseconds=1))["session"] == 7
    assert limits(overrides, now=NOON + HOUR)["session"] == 5
    assert overrides.ends_after(NOON) == NOON + HOUR
    assert overrides.ends_after(NOON + HOUR) is None


def test_old_raises_are_forgotten(overrides):
    overrides.apply(change(session_id="s", by_usd=D(2), for_seconds=60))
    late = Event(NOON + EXPIRED_KEPT + HOUR, "raise", {"session_id": "t", "by_usd": D(1)})
    overrides.apply(late)
    assert len(overrides.dump()["raises"]) == 1


def test_a_raise_is_void_once_the_configured_limit_is_another(overrides):
    overrides.apply(change(budget="daily", to_usd=D(99), configured_usd=D(15)))
    assert limits(overrides)["daily"] == 20
    overrides.apply(change(budget="daily", to_usd=D(30), configured_usd=D("20.00")))
    assert limits(overrides)["daily"] == 30


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"session_id": "s"},
        {"session_id": 5, "by_usd": D(1)},
        {"session_id": "s", "by_usd": "much"},
        {"session_id": "s", "by_usd": D(1), "for_seconds": "long"},
        {"session_id": "s", "by_usd": D(1), "for_seconds": D("1e400")},
    ],
)
def test_what_cannot_be_understood_changes_nothing(overrides, data):
    overrides.apply(change(**data))
    assert not overrides.dump()["raises"]


def test_for_a_very_long_time_is_for_a_hundred_years(overrides):
    overrides.apply(change(session_id="s", by_usd=D(1), for_seconds=10**12))
    assert limits(overrides, now=NOON + 36499 * timedelta(days=1))["session"] == 6


def test_the_kill_switch(overrides):
    def say(event, session):
        overrides.apply(Event(NOON, event, {"session_id": session}))

    assert overrides.blocks("s") is None
    say("block", "s")
    assert (overrides.blocks("s"), overrides.blocks("t")) == ("s", None)
    say("block", "*")
    assert (overrides.blocks("s"), overrides.blocks("t")) == ("s", "*")
    say("unblock", "s")
    assert overrides.blocks("s") == "*"
    say("unblock", "u")
    say("block", "t")
    say("unblock", "*")
    assert overrides.blocks("t") is None, "all means all"
    overrides.apply(Event(NOON, "block", {}))
    overrides.apply(Event(NOON, "rotate", {"session_id": "t"}))
    assert overrides.dump()["blocked"] == []


def test_a_dump_is_json_and_comes_back(overrides):
    overrides.apply(change(session_id="s", by_usd=D("2.5"), for_seconds=60))
    overrides.apply(change(budget="daily", to_usd=D(30), configured_usd=D(20)))
    overrides.apply(Event(NOON, "block", {"session_id": "x"}))
    overrides.apply(change(session_id="t", to_usd=D(3), token="id1"))
    assert overrides.granted == {"id1"}
    again = Overrides()
    again.load(json.loads(json.dumps(overrides.dump())))
    assert again.dump() == overrides.dump()
    assert limits(again) == limits(overrides)
    assert again.blocks("x") == "x"
