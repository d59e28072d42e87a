"""The book: who may pass, who waits, who is refused, and what is left when a call ends."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from abg.book import Ask, Book, Verdict
from abg.budget import daily_budget, parse_budget, session_budget
from abg.call import Scope
from abg.finding import Finding
from abg.ledger import Entry, Event, Posting

UTC = timezone.utc
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
D = Decimal
ALLOW, BLOCK, WAIT = Verdict.ALLOW, Verdict.BLOCK, Verdict.WAIT


def row(name="x", **keys):
    return parse_budget({"name": name, "limit_usd": None, "max_requests": None, **keys}, "test")


class Stage:
    """A book, a clock, and short words."""

    def __init__(self, *rows, session="5", daily=None, zone=UTC, **settings):
        self.rows = [
            session_budget(None if session is None else D(session)),
            daily_budget(None if daily is None else D(daily)),
            *rows,
        ]
        self.settings = {"zone": zone, **settings}
        self.book = self.make()
        self.now = NOON
        self.ids = 0

    def make(self) -> Book:
        return Book(self.rows, **self.settings)

    def ask(self, hold="0.1", session="s", floor=None, may_wait=True, **more):
        self.ids += 1
        extra = {k: more.pop(k) for k in ("fingerprint", "thread") if k in more}
        return Ask(
            str(self.ids),
            Scope(session, **more),
            D(hold),
            D(floor if floor is not None else hold),
            may_wait=may_wait,
            **extra,
        )

    def admit(self, hold="0.1", session="s", **more):
        ask = self.ask(hold, session, **more)
        decision = self.book.admit(ask, self.now)
        return ask.id, decision

    def verdict(self, *args, **more):
        return self.admit(*args, **more)[1].verdict

    def settle(self, id, cost, **more):
        return self.book.settle(id, D(cost), self.now, **more)

    def spend(self, cost, session="s", **more):
        id, decision = self.admit(cost, session, **more)
        assert decision.verdict is ALLOW
        return self.settle(id, cost)

    def say(self, event, **data):
        self.book.apply(Event(self.now, event, data))

    def woken(self):
        return {id: decision.verdict for id, decision in self.book.woken(self.now)}

    def reasons(self, *args, **more):
        return [f.message() for f in self.admit(*args, **more)[1].findings]


class TestSpentIsRefused:
    def test_the_call_that_crosses_the_cap_is_the_last(self):
        stage = Stage()
        for _ in range(4):
            stage.spend("1.2")
        assert stage.spend("0.34").session_total == D("5.14")
        assert stage.reasons() == ["Session budget exhausted: $5.14 >= $5.00"]

    def test_reaching_the_cap_exactly_is_enough(self):
        stage = Stage()
        stage.spend("5")
        assert stage.verdict() is BLOCK

    def test_other_sessions_go_on(self):
        stage = Stage()
        stage.spend("5")
        assert stage.verdict(session="t") is ALLOW

    def test_the_day_is_shared_and_ends_at_midnight_of_the_zone(self):
        stage = Stage(daily="6", zone=ZoneInfo("Europe/Berlin"))
        stage.spend("3", "a")
        stage.spend("3", "b")
        _, decision = stage.admit(session="c")
        assert decision.verdict is BLOCK
        (found,) = decision.findings
        assert found.message() == "Daily budget exhausted: $6.00 >= $6.00"
        assert found.frees_at == datetime(2026, 11, 25, 23, tzinfo=UTC)
        stage.now = found.frees_at - timedelta(milliseconds=1)
        assert stage.verdict(session="c") is BLOCK
        stage.now = found.frees_at
        assert stage.verdict(session="c") is ALLOW

    def test_every_budget_that_blocks_is_named_and_when_it_frees_up(self):
        stage = Stage(row("runaway", per="session", window="10m", limit_usd=4), daily="5")
        stage.spend("2")
        stage.now += MINUTE
        id, _ = stage.admit("2")
        stage.settle(id, "4")
        _, decision = stage.admit()
        assert [(f.budget, f.kind, f.key, f.frees_at) for f in decision.findings] == [
            ("session", "session", "s", None),
            ("daily", "daily", "", NOON + timedelta(hours=12)),
            ("runaway", "budget", "s", NOON + 11 * MINUTE),
        ]
        assert not decision.busy

    def test_a_limit_of_nothing_and_no_limit(self):
        stage = Stage(session="0")
        _, decision = stage.admit()
        assert decision.verdict is BLOCK
        assert decision.findings[0].frees_at is None
        stage = Stage(session=None)
        for _ in range(3):
            stage.spend("1000")

    def test_api_billing_can_be_stopped_where_a_plan_was_meant(self):
        stage = Stage(row("plan only", match={"auth": "api_key"}, limit_usd=0))
        assert stage.verdict(auth="api_key") is BLOCK
        assert stage.verdict(auth="subscription") is ALLOW

    def test_a_budget_that_only_warns_blocks_nothing(self):
        stage = Stage(row("codex", match={"agent": "codex"}, limit_usd=1, action="warn"))
        assert [w.budget for w in stage.spend("0.9", agent="codex").warnings] == ["codex"]
        assert [w.budget for w in stage.spend("0.9", agent="codex").warnings] == ["codex"]
        assert stage.spend("0.9", agent="other").warnings == ()

    def test_the_default_session_starts_anew_each_day(self):
        stage = Stage()
        stage.spend("5", "default")
        _, decision = stage.admit(session="default")
        midnight = NOON + timedelta(hours=12)
        assert decision.findings[0].frees_at == midnight
        stage.now = midnight
        assert stage.verdict(session="default") is ALLOW
        assert stage.book.session_total("default") == 0
        assert stage.book.session_total("default", NOON) == 5

    def test_a_more_specific_row_counts_instead_of_the_sessions(self):
        stage = Stage(row("bugs", per="session", match={"session": "bug*"}, limit_usd=2))
        stage.spend("2", "bug 1")
        assert stage.reasons(session="bug 1") == ["Budget 'bugs' exhausted: $2.00 >= $2.00"]
        assert stage.verdict(session="bug 2") is ALLOW
        stage.spend("2", "s")
        assert stage.verdict(session="s") is ALLOW


class TestWarnings:
    def test_the_cost_of_the_call_itself_counts(self):
        stage = Stage(daily="20")
        assert stage.spend("3.99").warnings == ()
        warnings = stage.spend("0.02").warnings
        assert [w.warning() for w in warnings] == ["Budget warning: session=$4.01/5.00"]

    def test_the_lowest_share_counts(self):
        stage = Stage(row("x", limit_usd=10, warn_at=[0.5, 0.9]))
        assert [w.budget for w in stage.spend("5").warnings] == ["session", "x"]

    def test_a_call_warns_of_the_day_it_was_admitted_on(self):
        stage = Stage(session=None, daily="10")
        id, _ = stage.admit()
        stage.now += timedelta(hours=13)
        settled = stage.settle(id, "9")
        assert [w.budget for w in settled.warnings] == ["daily"]
        assert settled.today_total == 0
        assert settled.session_total == 9

    def test_a_rolling_window_warns_as_it_is(self):
        stage = Stage(row("x", window="10m", limit_usd=10), session=None)
        stage.spend("9")
        id, _ = stage.admit()
        stage.now += 11 * MINUTE
        assert stage.settle(id, "1").warnings == ()


class TestReservations:
    def test_a_call_ends_exactly_once(self):
        stage = Stage()
        id, _ = stage.admit()
        stage.settle(id, "0.2")
        with pytest.raises(KeyError):
            stage.settle(id, "0.2")
        with pytest.raises(KeyError):
            stage.book.void(id, NOON)
        assert stage.book.session_total("s") == D("0.2")

    def test_a_call_cannot_be_asked_twice(self):
        stage = Stage()
        ask = stage.ask()
        stage.book.admit(ask, NOON)
        with pytest.raises(ValueError, match="already"):
            stage.book.admit(ask, NOON)
        stage.spend("4.95")
        waiting, decision = stage.admit()
        assert decision.verdict is WAIT
        with pytest.raises(ValueError, match="already"):
            stage.book.admit(Ask(waiting, Scope("s"), D(1), D(1)), NOON)

    def test_a_call_cannot_earn_money(self):
        stage = Stage()
        id, _ = stage.admit()
        with pytest.raises(ValueError, match="less than nothing"):
            stage.settle(id, "-0.01")
        stage.settle(id, "0")

    def test_a_void_call_leaves_nothing(self):
        stage = Stage()
        id, _ = stage.admit("4")
        assert [hold.amount for hold in stage.book.holds()] == [4]
        assert stage.book.void(id, NOON).session_total == 0
        assert stage.book.holds() == []
        assert stage.book.status(NOON).sessions == {}

    def test_holds_are_listed(self):
        stage = Stage()
        first, _ = stage.admit("0.2", agent="codex")
        stage.now += SECOND
        second, _ = stage.admit("0.3")
        assert [(h.id, h.scope.agent, h.amount, h.since) for h in stage.book.holds()] == [
            (first, "codex", D("0.2"), NOON),
            (second, "unknown", D("0.3"), NOON + SECOND),
        ]

    def test_a_hold_counts_until_it_ends_also_beyond_its_window(self):
        stage = Stage(row("x", window="10m", limit_usd=1), session=None)
        id, _ = stage.admit("1")
        stage.now += 30 * MINUTE
        assert stage.verdict() is WAIT
        stage.settle(id, "1")
        assert stage.woken() == {"2": ALLOW}, "its cost counts half an hour ago"

    def test_a_call_is_charged_to_the_scopes_and_the_instant_it_was_admitted_in(self):
        stage = Stage(row("opus", match={"model": "opus*"}, window="day", limit_usd=9))
        id, decision = stage.admit(model="opus-5")
        assert decision.at == NOON
        stage.now += timedelta(hours=20)
        stage.settle(id, "3")
        rows = {r["name"]: r["spent_usd"] for r in stage.book.status(NOON).budgets}
        assert rows == {"session": 3, "daily": 3, "opus": 3}
        rows = {r["name"]: r["spent_usd"] for r in stage.book.status(stage.now).budgets}
        assert rows == {"session": 3, "daily": 0, "opus": 0}

    def test_an_instant_is_cut_to_the_millisecond_as_the_ledger_keeps_it(self):
        stage = Stage()
        stage.now = NOON + timedelta(microseconds=1999)
        assert stage.admit()[1].at == NOON + timedelta(milliseconds=1)


class TestEstimate:
    def test_a_call_passes_while_others_hold_less_than_the_rest(self):
        stage = Stage()
        stage.spend("4")
        assert stage.verdict("0.9") is ALLOW
        assert stage.verdict("0.9") is ALLOW, "the one that crosses"
        assert stage.verdict("0.1") is WAIT

    def test_a_lone_session_behaves_as_without_reservations(self):
        stage = Stage()
        stage.spend("4.99")
        id, decision = stage.admit("3")
        assert decision.verdict is ALLOW
        assert decision.hold == 3
        stage.settle(id, "0.5")
        assert stage.verdict() is BLOCK

    def test_nobody_waits_once_the_spend_alone_has_reached_the_cap(self):
        stage = Stage()
        running, _ = stage.admit("3")
        last, _ = stage.admit("3")
        waiting, decision = stage.admit()
        assert decision.verdict is WAIT
        stage.settle(running, "5")
        assert stage.woken() == {waiting: BLOCK}
        assert stage.verdict() is BLOCK
        stage.settle(last, "1")


class TestAfter:
    def test_holds_do_not_matter(self):
        stage = Stage(row("calm", max_requests=2), enforcement="after")
        for _ in range(16):
            assert stage.verdict("3") is ALLOW
        stage.settle("1", "5")
        assert stage.verdict() is BLOCK

    def test_there_is_no_other_word(self):
        with pytest.raises(ValueError, match="no such enforcement: 'softly'"):
            Stage(enforcement="softly")


class TestStrict:
    def stage(self, *rows, **more):
        return Stage(*rows, enforcement="strict", **more)

    def test_a_call_may_hold_what_is_left(self):
        stage = self.stage()
        assert stage.admit("3", floor="1")[1].hold == 3
        assert stage.admit("3", floor="1")[1].hold == 2
        id, decision = stage.admit("3", floor="1")
        assert decision.verdict is WAIT
        assert [f.message() for f in decision.findings] == [
            "Session budget held by running requests: "
            "$0.00 spent + $5.00 held + $1.00 needed > $5.00"
        ]
        stage.settle("1", "0.5")
        (woken,) = stage.book.woken(NOON)
        assert (woken[0], woken[1].verdict, woken[1].hold) == (id, ALLOW, D("2.5"))

    def test_a_call_that_would_not_fit_alone_is_refused_at_once(self):
        stage = self.stage()
        stage.spend("4.2")
        running, _ = stage.admit("0.5")
        assert stage.reasons("3", floor="1") == [
            "Session budget does not cover this request: $4.20 spent + $1.00 needed > $5.00"
        ]
        stage.settle(running, "0")

    def test_exactly_what_is_left_fits(self):
        stage = self.stage()
        stage.spend("4")
        id, decision = stage.admit("1")
        assert decision.verdict is ALLOW
        stage.settle(id, "1")
        assert stage.verdict("0.1") is BLOCK

    def test_when_a_window_will_cover_it(self):
        stage = self.stage(row("x", window="10m", limit_usd=2), session=None, daily="2")
        stage.spend("0.5")
        stage.now += MINUTE
        stage.spend("1")
        _, decision = stage.admit("1.5")
        assert [(f.budget, f.why, f.frees_at) for f in decision.findings] == [
            ("daily", "short", NOON + timedelta(hours=12)),
            ("x", "short", NOON + 11 * MINUTE),
        ]
        _, decision = stage.admit("3")
        assert [f.frees_at for f in decision.findings] == [None, None]

    def test_the_tightest_limit_decides_what_it_may_hold(self):
        stage = self.stage(
            row("x", limit_usd=3),
            row("dear", limit_usd=None, max_usd_per_request=2),
            row("calm", max_requests=9),
        )
        assert stage.admit("4", floor="1")[1].hold == 2
        assert stage.admit("4", floor="1")[1].hold == 1

    def test_the_small_may_not_overtake_the_large(self):
        stage = self.stage()
        stage.admit("4")
        large, decision = stage.admit("3", floor="3")
        assert decision.verdict is WAIT
        small, decision = stage.admit("0.5")
        assert decision.verdict is WAIT, "though there is room for it"
        assert decision.findings[0].needed == D("3.5")
        assert stage.verdict("0.5", session="t") is ALLOW, "another session is another account"
        stage.settle("1", "1")
        assert list(stage.woken()) == [large, small]


class TestRequests:
    def test_a_number_of_requests_is_a_limit_like_any_other(self):
        stage = Stage(row("calm", per="session", max_requests=2, window="day"))
        first, _ = stage.admit()
        second, _ = stage.admit()
        third, decision = stage.admit()
        assert decision.verdict is WAIT
        assert decision.findings[0].message() == (
            "Budget 'calm' held by running requests: 0 made + 2 running >= 2 requests"
        )
        assert stage.verdict(session="t") is ALLOW
        stage.settle(first, "0.1")
        assert stage.woken() == {}
        stage.settle(second, "0")
        assert stage.woken() == {third: ALLOW}, "what cost nothing was no request"
        stage.settle(third, "0.1")
        _, decision = stage.admit()
        assert decision.verdict is BLOCK
        assert decision.findings[0].message() == "Budget 'calm' exhausted: 2 >= 2 requests"
        assert decision.findings[0].frees_at == NOON + timedelta(hours=12)

    def test_in_strict_mode_too(self):
        stage = Stage(row("calm", max_requests=1), enforcement="strict", session=None)
        stage.admit()
        assert stage.verdict() is WAIT
        stage.settle("1", "0.1")
        assert stage.woken() == {"2": BLOCK}

    def test_no_request_at_all(self):
        stage = Stage(row("none", max_requests=0))
        assert stage.reasons() == ["Budget 'none' exhausted: 0 >= 0 requests"]

    def test_the_price_of_one_request(self):
        stage = Stage(row("cheap", limit_usd=None, max_usd_per_request="0.5"))
        assert stage.verdict("0.5") is ALLOW
        assert stage.reasons("0.51") == [
            "Budget 'cheap' does not cover one request so dear: $0.51 needed > $0.50"
        ]

    def test_in_strict_mode_the_least_bound_counts(self):
        stage = Stage(row("cheap", limit_usd=None, max_usd_per_request="0.5"), enforcement="strict")
        assert stage.admit("3", floor="0.2")[1].hold == D("0.5")
        assert stage.admit("0.4", floor="0.2")[1].hold == D("0.4")
        assert stage.verdict("3", floor="0.6") is BLOCK


class TestLoops:
    def stage(self, **more):
        return Stage(max_identical=3, **more)

    def send(self, stage, message=b"again", **more):
        return stage.admit(fingerprint=message, thread="t", **more)

    def test_the_same_message_passes_so_many_times_in_a_row(self):
        stage = self.stage()
        for _ in range(3):
            id, decision = self.send(stage)
            assert decision.verdict is ALLOW
            stage.settle(id, "0.01")
        _, decision = self.send(stage)
        assert decision.verdict is BLOCK
        (found,) = decision.findings
        assert (found.kind, found.key, found.budget) == ("loop", "s", "max_identical_requests")
        assert self.send(stage)[1].verdict is BLOCK
        assert self.send(stage, b"other")[1].verdict is ALLOW
        assert self.send(stage)[1].verdict is ALLOW

    def test_another_session_or_an_unknown_message_is_no_repetition(self):
        stage = self.stage()
        for _ in range(3):
            self.send(stage)
        assert self.send(stage, session="r")[1].verdict is ALLOW
        assert self.send(stage, None)[1].verdict is ALLOW

    def test_a_retry_of_what_the_vendor_failed_is_none(self):
        stage = self.stage()
        for _ in range(5):
            id, _ = self.send(stage)
            stage.settle(id, "0")
            id, _ = self.send(stage)
            stage.settle(id, "0.01", failed=True)
        assert self.send(stage)[1].verdict is ALLOW

    def test_a_session_that_starts_again_may_repeat(self):
        stage = self.stage()
        for _ in range(3):
            self.send(stage)
        stage.say("reset", session_id="s")
        assert self.send(stage)[1].verdict is ALLOW


def test_one_call_too_dear_for_a_row_that_only_warns_is_told_by_what_it_cost():
    stage = Stage(
        row("dear", limit_usd=None, max_usd_per_request=2, action="warn"),
        row("free", limit_usd=None, max_usd_per_request=None, max_requests=9, action="warn"),
    )
    warned = [stage.spend(usd).warnings for usd in ("2", "2.01")]
    assert [[f.warning() for f in found] for found in warned] == [
        [],
        ["Budget warning: session=$4.01/5.00", "Budget warning: dear=$2.01/2.00 for one request"],
    ]


class TestShadow:
    def test_nothing_blocks_and_nothing_waits(self):
        stage = Stage(
            row("x", limit_usd=4),
            row("cheap", limit_usd=None, max_usd_per_request=1),
            block_on_limit=False,
        )
        assert stage.admit("1")[1].would_block == ()
        assert stage.admit("5")[1].would_block[0].budget == "cheap"
        stage.settle("1", "5")
        _, decision = stage.admit("1")
        assert (decision.verdict, decision.hold, decision.findings) == (ALLOW, 1, ())
        assert [f.budget for f in decision.would_block] == ["session", "x"]

    def test_strict_mode_holds_the_whole_bound(self):
        stage = Stage(enforcement="strict", block_on_limit=False)
        assert stage.admit("4", floor="1")[1].hold == 4
        assert stage.admit("4", floor="1")[1].hold == 4
        _, decision = stage.admit("6", floor="6")
        assert [f.why for f in decision.would_block] == ["short"]

    def test_the_kill_switch_still_kills(self):
        stage = Stage(block_on_limit=False)
        stage.say("block", session_id="s")
        assert stage.verdict() is BLOCK

    def test_loops_are_only_told(self):
        stage = Stage(block_on_limit=False, max_identical=1)
        stage.admit(fingerprint=b"a")
        assert stage.admit(fingerprint=b"a")[1].would_block[0].kind == "loop"


class TestPowerAtRunTime:
    def test_the_kill_switch_for_one_and_for_all(self):
        stage = Stage()
        stage.say("block", session_id="s")
        assert stage.reasons() == ["This session is blocked by hand"]
        assert stage.verdict(session="t") is ALLOW
        stage.say("block", session_id="*")
        assert stage.reasons(session="t") == ["All sessions are blocked by hand"]
        stage.say("unblock", session_id="*")
        assert stage.verdict() is ALLOW

    def test_a_raise_lets_the_next_request_pass(self):
        stage = Stage()
        stage.spend("5")
        assert stage.verdict() is BLOCK
        stage.say("raise", session_id="s", by_usd=D(2))
        assert stage.spend("1.9").warnings[0].limit == 7
        stage.spend("0.1")
        assert stage.reasons() == ["Session budget exhausted: $7.00 >= $7.00"]

    def test_a_raise_for_a_time(self):
        stage = Stage()
        stage.spend("5")
        stage.say("raise", session_id="s", by_usd=D(2), for_seconds=3600)
        assert stage.verdict() is ALLOW
        stage.now += timedelta(hours=1)
        assert stage.verdict() is BLOCK

    def test_a_reset_starts_every_window_of_the_session_again(self):
        stage = Stage(
            row("runaway", per="session", window="10m", limit_usd=3),
            row("helpers", per="subagent", limit_usd=3),
            daily="20",
        )
        stage.spend("3", subagent="a")
        stage.spend("3", "s\x1fx", subagent="a")
        stage.say("reset", session_id="s")
        assert stage.book.session_total("s") == 0
        assert stage.verdict(subagent="a") is ALLOW
        assert stage.book.today_total(NOON) == 6, "what was spent today stays spent"
        assert stage.book.status(NOON).sessions == {"s\x1fx": 3, "s": 0}

    def test_what_was_reset_does_not_come_back_with_the_clock(self):
        stage = Stage(row("helpers", per="subagent", window="10m", limit_usd=3))
        stage.spend("3", subagent="a")
        stage.now += 10 * MINUTE
        stage.say("reset", session_id="s")
        stage.now -= MINUTE
        assert stage.verdict(subagent="a") is ALLOW

    def test_a_call_that_ends_after_a_reset_counts_in_the_new_budget(self):
        stage = Stage()
        id, _ = stage.admit()
        stage.say("reset", session_id="s")
        assert stage.settle(id, "1").session_total == 1

    def test_a_reset_without_a_session_resets_nothing(self):
        stage = Stage()
        stage.spend("1")
        stage.say("reset")
        assert stage.book.session_total("s") == 1


class TestWaiting:
    def full(self, **more):
        """A session whose cap is held, so that the next one waits."""
        stage = Stage(**more)
        stage.admit("5")
        return stage

    def test_settling_wakes(self):
        stage = self.full()
        id, decision = stage.admit("0.5")
        assert (decision.verdict, decision.hold, decision.busy) == (WAIT, 0, True)
        assert len(stage.book.holds()) == 1, "a waiting call holds nothing"
        assert stage.book.waiting == 1
        assert stage.woken() == {}
        stage.now += SECOND
        stage.settle("1", "1")
        ((woken, decision),) = stage.book.woken(stage.now)
        assert (woken, decision.verdict, decision.at) == (id, ALLOW, stage.now)
        assert stage.book.woken(stage.now) == []
        stage.settle(id, "0.1")

    @pytest.mark.parametrize(
        "event",
        [
            ("raise", {"session_id": "s", "by_usd": D(1)}),
            ("raise", {"budget": "session", "to_usd": D(9)}),
        ],
    )
    def test_a_raise_wakes(self, event):
        stage = self.full()
        id, _ = stage.admit()
        stage.say(event[0], **event[1])
        assert stage.woken() == {id: ALLOW}

    def test_the_kill_switch_and_a_reset(self):
        stage = self.full()
        stage.spend("1", "t")
        stage.say("block", session_id="s")
        id, decision = stage.admit()
        assert decision.verdict is BLOCK
        stage.say("unblock", session_id="s")
        id, decision = stage.admit()
        assert decision.verdict is WAIT
        stage.say("block", session_id="*")
        assert stage.woken() == {id: BLOCK}
        stage.say("unblock", session_id="*")
        stage = Stage()
        stage.spend("4.5")
        stage.admit("1")
        id, decision = stage.admit()
        assert decision.verdict is WAIT
        stage.say("reset", session_id="s")
        assert stage.woken() == {id: ALLOW}

    def test_a_window_edge_wakes_and_is_foreseen(self):
        stage = Stage(row("x", window="10m", limit_usd=2), session=None, busy_wait=20 * MINUTE)
        stage.spend("1.5")
        stage.now += MINUTE
        stage.admit("0.6")
        id, decision = stage.admit()
        assert decision.verdict is WAIT
        assert stage.book.next_wake() == NOON + 10 * MINUTE
        stage.now = NOON + 10 * MINUTE
        assert stage.woken() == {id: ALLOW}
        assert stage.book.next_wake() is None

    def test_midnight_wakes(self):
        stage = Stage(session=None, daily="2")
        stage.now = midnight = NOON + timedelta(hours=12)
        stage.now -= 30 * SECOND
        stage.spend("1.5")
        stage.admit("0.6")
        id, decision = stage.admit()
        assert decision.verdict is WAIT
        assert stage.book.next_wake() == midnight
        stage.now = midnight
        assert stage.woken() == {id: ALLOW}

    def test_a_raise_that_runs_out_is_foreseen(self):
        stage = Stage()
        stage.spend("5")
        stage.say("raise", session_id="s", by_usd=D(1), for_seconds=10)
        stage.admit("1")
        id, decision = stage.admit()
        assert decision.verdict is WAIT
        assert stage.book.next_wake() == NOON + 10 * SECOND
        stage.now += 10 * SECOND
        assert stage.woken() == {id: BLOCK}

    def test_nobody_waits_longer_than_promised(self):
        stage = self.full(busy_wait=60 * SECOND)
        id, _ = stage.admit("0.3")
        assert stage.book.next_wake() == NOON + 60 * SECOND
        stage.now += 60 * SECOND - timedelta(milliseconds=1)
        assert stage.woken() == {}
        stage.now += timedelta(milliseconds=1)
        ((woken, decision),) = stage.book.woken(stage.now)
        assert (woken, decision.verdict, decision.busy) == (id, BLOCK, True)
        assert decision.findings[0].message() == (
            "Session budget held by running requests: "
            "$0.00 spent + $5.00 held + $0.30 needed > $5.00"
        )
        assert stage.book.waiting == 0

    def test_whoever_fits_at_the_last_moment_is_admitted(self):
        stage = self.full()
        id, _ = stage.admit()
        stage.now += 60 * SECOND
        stage.settle("1", "1")
        assert stage.woken() == {id: ALLOW}

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_when_the_clock_is_set_nobody_waits_longer_or_shorter(self, hours):
        stage = self.full()
        id, _ = stage.admit()
        for ticks, step in ((0, 0), (20, 0), (20, hours)):
            stage.now = NOON + ticks * SECOND + timedelta(hours=step)
            stage.book.look(stage.now, 100.0 + ticks)
            assert stage.woken() == {}
        assert stage.book.next_wake() == stage.now + 40 * SECOND
        later, _ = stage.admit()
        stage.now += 40 * SECOND
        stage.book.look(stage.now, 160.0)
        assert stage.woken() == {id: BLOCK}
        stage.now += 20 * SECOND
        stage.book.look(stage.now, 180.0)
        assert stage.woken() == {later: BLOCK}

    def test_how_the_clock_was_set_while_nobody_waited_is_nothing_to_who_waits_now(self):
        stage = self.full()
        id, _ = stage.admit()
        stage.book.look(stage.now, 1.0)
        stage.book.leave(id)
        stage.now += timedelta(hours=1)
        stage.admit()
        stage.book.look(stage.now, 2.0)
        assert stage.book.next_wake() == stage.now + 60 * SECOND

    def test_a_call_that_may_not_wait_is_busy_at_once(self):
        stage = self.full()
        _, decision = stage.admit(may_wait=False)
        assert (decision.verdict, decision.busy) == (BLOCK, True)
        assert stage.book.waiting == 0
        stage = self.full(busy_wait=timedelta(0))
        assert stage.verdict() is BLOCK

    def test_whoever_leaves_is_forgotten_and_makes_way(self):
        stage = Stage(enforcement="strict")
        stage.admit("4")
        large, _ = stage.admit("3")
        small, decision = stage.admit("1")
        assert decision.verdict is WAIT
        assert stage.book.leave(large)
        assert not stage.book.leave(large)
        assert not stage.book.leave("nobody")
        assert stage.woken() == {small: ALLOW}

    def test_order_is_kept_across_sessions(self):
        stage = Stage(session=None, daily="5")
        stage.admit("5", "a")
        ids = [stage.admit("2", session)[0] for session in "bcab"]
        stage.settle("1", "0.5")
        assert list(stage.woken()) == ids[:3], "2 + 2 < 4.5: so the third is the one that crosses"
        assert stage.book.waiting == 1
        for id in ids[:3]:
            stage.settle(id, "0.1")
        assert stage.woken() == {ids[3]: ALLOW}

    def test_a_whole_swarm_of_one_session_waits_in_order(self):
        stage = self.full()
        ids = [stage.admit("0.5")[0] for _ in range(20)]
        stage.now += SECOND
        assert stage.woken() == {}
        stage.settle("1", "4")
        assert list(stage.woken()) == ids[:2], "4 + 0.5 + 0.5: the second one crosses"
        assert stage.book.leave(ids[2])
        stage.settle(ids[0], "0.1")
        assert list(stage.woken()) == ids[3:4]
        stage.now += 60 * SECOND
        assert stage.woken() == dict.fromkeys(ids[4:], BLOCK)

    def test_nobody_waits_for_an_account_that_is_not_his(self):
        stage = Stage(row("opus", match={"model": "opus"}, limit_usd=1), daily="50")
        stage.admit("1", model="opus")
        waiting, decision = stage.admit(model="opus")
        assert decision.verdict is WAIT
        assert stage.verdict(model="sonnet") is ALLOW
        stage.settle("1", "0.1")
        assert stage.woken() == {waiting: ALLOW}

    def test_the_queue_is_the_budgets_and_not_the_whole_world(self):
        """One waits for its session; a later one of another session passes the shared day."""
        stage = Stage(daily="50")
        stage.admit("5", "a")
        assert stage.verdict(session="a") is WAIT
        assert stage.verdict(session="b") is ALLOW

    def test_no_deadlock_when_two_wait_crosswise(self):
        stage = Stage(
            row("m", match={"model": "m"}, limit_usd=2),
            row("p", match={"project": "p"}, limit_usd=2),
            session=None,
            enforcement="strict",
        )
        stage.admit("2", model="m")
        stage.admit("2", project="p")
        both, decision = stage.admit("2", model="m", project="p")
        assert decision.verdict is WAIT
        other, decision = stage.admit("1", project="p")
        assert decision.verdict is WAIT
        stage.settle("2", "0")
        assert stage.woken() == {other: ALLOW}, "the first waits for m alone by now"
        stage.settle("1", "0")
        assert stage.woken() == {}, "and for p again"
        last, decision = stage.admit("1", project="p")
        assert decision.verdict is WAIT, "where it stands before whoever comes later"
        stage.settle(other, "0")
        assert stage.woken() == {both: ALLOW}
        stage.settle(both, "0")
        assert stage.woken() == {last: ALLOW}


def entry(session, cost, at=NOON, **more):
    return Posting(at, session, D(cost), "allow", **more)


class TestReplay:
    ROWS = (
        row("runaway", per="session", window="10m", limit_usd=8),
        row("opus", match={"model": "claude-opus-*"}, window="day", limit_usd=10),
        row("helpers", per="subagent", limit_usd=3),
        row("calm", per="agent", max_requests=5, window="1h"),
        row("shop", match={"project": "shop", "auth": "api_key"}, limit_usd=9),
    )

    def stage(self):
        return Stage(*self.ROWS, daily="20")

    def rows(self, stage):
        return {
            (r["name"], r["key"]): (r["spent_usd"], r.get("requests"))
            for r in stage.book.status(stage.now).budgets
        }

    def test_a_line_counts_in_the_scopes_that_it_names(self):
        stage = self.stage()
        stage.book.apply(
            entry(
                "s",
                "1",
                model="claude-sonnet-5",
                model_requested="opus-latest",
                model_scope="claude-opus-5-5",
                agent="codex",
                subagent="x",
                project="shop",
                auth="api_key",
            )
        )
        stage.book.apply(entry("s", "2", model="m", model_requested="claude-opus-4"))
        stage.book.apply(entry("s", "0", model="m"))
        assert self.rows(stage) == {
            ("session", "s"): (3, None),
            ("daily", ""): (3, None),
            ("runaway", "s"): (3, None),
            ("opus", ""): (3, None),
            ("helpers", "s/x"): (1, None),
            ("calm", "codex"): (1, 1),
            ("calm", "unknown"): (2, 1),
            ("shop", ""): (1, None),
        }

    def test_a_whole_entry_does_as_well(self):
        stage = self.stage()
        whole = Entry(NOON, "s", "claude-opus-4", 1, 2, D("0.5"), D("0.5"), "allow")
        stage.book.apply(whole)
        assert stage.book.session_total("s") == D("0.5")
        assert self.rows(stage)["opus", ""] == (D("0.5"), None)

    def test_an_adjustment_goes_to_the_call_it_corrects(self):
        stage = self.stage()
        yesterday = NOON - timedelta(days=1)
        stage.book.apply(entry("s", "1", yesterday, model="claude-opus-4", agent="codex"))
        data = {"session_id": "s", "cost_usd": D("-0.4"), "agent": "codex"}
        data |= {"model": "claude-opus-4", "at": yesterday.isoformat()}
        stage.say("adjust", **data)
        assert stage.book.session_total("s") == D("0.6")
        assert stage.book.today_total(NOON) == 0
        assert stage.book.today_total(yesterday) == D("0.6")
        stage.say("adjust", **{**data, "at": "2026-11-25T11:00:00Z", "cost_usd": D(2)})
        stage.say("adjust", **{**data, "at": NOON, "cost_usd": D(2)})
        for unreadable in ("then", 7, datetime(2026, 11, 25, 11)):  # noqa: DTZ001
            stage.say("adjust", **{**data, "at": unreadable, "cost_usd": D(2)})
        assert stage.book.today_total(NOON) == 10
        assert self.rows(stage)["calm", "codex"] == (8, 0), "it is no request of its own"

    def test_an_event_without_session_is_the_default_ones(self):
        stage = Stage()
        stage.say("adjust", cost_usd=D(1))
        assert stage.book.session_total("default", NOON) == 1

    def test_what_was_spent_before_a_reset_is_not_given_back(self):
        stage = self.stage()
        stage.book.apply(entry("s", "1"))
        stage.now += MINUTE
        stage.say("reset", session_id="s")
        data = {"session_id": "s", "at": NOON.isoformat()}
        stage.say("adjust", **data, cost_usd=D("-0.4"))
        assert stage.book.session_total("s") == 0
        assert stage.book.today_total(NOON) == D("0.6")
        stage.say("adjust", **data, cost_usd=D("0.3"))
        assert stage.book.session_total("s") == D("0.3"), "but dearer is dearer"

    def test_a_call_that_ended_after_a_reset_is_corrected_in_its_session(self):
        stage = self.stage()
        stage.now += MINUTE
        stage.say("reset", session_id="s")
        stage.book.apply(entry("s", "1", NOON))
        data = {"session_id": "s", "at": NOON.isoformat(), "cost_usd": D("-0.4")}
        stage.say("adjust", **data, reset=False)
        assert stage.book.session_total("s") == D("0.6")
        stage.say("adjust", **data, reset=True)
        assert stage.book.session_total("s") == D("0.6")

    def test_events_of_other_kinds_change_nothing(self):
        stage = Stage()
        stage.say("rotate", file=2, reason="month")
        stage.say("repair", what="cut")
        assert stage.book.status(NOON).sessions == {}

    def test_the_default_sessions_total_is_of_the_last_lines_day(self):
        stage = Stage()
        stage.book.apply(entry("default", "1", NOON - timedelta(days=1)))
        assert stage.book.session_total("default") == 1
        stage.book.apply(entry("x", "1", NOON))
        assert stage.book.session_total("default") == 0

    def test_a_dump_is_json_and_comes_back_with_everything(self):
        stage = self.stage()
        stage.spend("1.5", model="claude-opus-4", agent="codex", subagent="x")
        stage.now += MINUTE
        stage.spend("0.25", "default", project="shop", auth="api_key")
        stage.say("reset", session_id="t")
        stage.say("block", session_id="t")
        stage.say("raise", session_id="s", by_usd=D(1), for_seconds=600)
        again = self.stage()
        again.now = stage.now
        again.book.load(json.loads(json.dumps(stage.book.dump())))
        assert again.book.digest() == stage.book.digest()
        assert again.book.status(stage.now) == stage.book.status(stage.now)
        assert again.verdict(session="t") is BLOCK
        assert again.book.dump() == stage.book.dump()

    def test_other_limits_are_no_other_way_of_counting(self):
        assert Stage(session="5").book.digest() == Stage(session="9").book.digest()
        assert self.stage().book.digest() != Stage().book.digest()


class TestStatus:
    def test_a_row_says_where_a_budget_stands(self):
        berlin = ZoneInfo("Europe/Berlin")
        stage = Stage(row("runaway", per="session", window="10m", limit_usd=1), zone=berlin)
        stage.spend("1.25")
        stage.say("raise", session_id="s", by_usd=D(2))
        stage.admit("0.5", "t")
        status = stage.book.status(NOON)
        assert status.sessions == {"s": D("1.25")}
        assert status.today_total == D("1.25")
        assert status.blocked == []
        shown = {(r["name"], r["key"]): r for r in status.budgets}
        assert shown["session", "s"] == {
            "name": "session",
            "kind": "session",
            "per": "session",
            "key": "s",
            "window": "lifetime",
            "limit_usd": 7,
            "configured_usd": 5,
            "spent_usd": D("1.25"),
            "held_usd": 0,
            "warn_at": [D("0.8")],
            "action": "block",
            "resets_at": None,
            "frees_at": None,
        }
        assert shown["session", "t"]["held_usd"] == D("0.5")
        assert shown["daily", ""]["resets_at"] == "2026-11-26T00:00:00+01:00"
        assert shown["daily", ""]["limit_usd"] is None
        assert shown["runaway", "s"]["frees_at"] == "2026-11-25T13:10:00+01:00"
        assert shown["runaway", "t"]["spent_usd"] == 0

    def test_requests_stand_in_the_same_row(self):
        stage = Stage(row("calm", max_requests=5), session=None)
        stage.spend("1")
        stage.admit()
        (calm,) = [r for r in stage.book.status(NOON).budgets if r["name"] == "calm"]
        assert (calm["requests"], calm["requests_running"], calm["max_requests"]) == (1, 1, 5)

    def test_of_many_sessions_only_the_last_have_rows_but_all_have_totals(self):
        stage = Stage()
        for number in range(300):
            stage.spend("0.01", f"s{number}")
        stage.admit("0.01", "s0")
        status = stage.book.status(NOON)
        assert len(status.sessions) == 300
        keys = [r["key"] for r in status.budgets if r["name"] == "session"]
        assert len(keys) == 201
        assert keys[0] == "s299"
        assert keys[-1] == "s0"

    def test_a_session_with_a_budget_of_its_own_has_one_row(self):
        stage = Stage(row("bugs", per="session", match={"session": "bug*"}, limit_usd=2))
        stage.spend("1", "bug 1")
        rows = stage.book.status(NOON).budgets
        assert [(r["name"], r["key"]) for r in rows] == [("daily", ""), ("bugs", "bug 1")]

    def test_one_session_can_be_looked_at_also_before_its_first_call(self):
        stage = Stage(row("helpers", per="subagent", limit_usd=1), daily="20")
        stage.spend("1", "a", subagent="x")
        stage.spend("1", "b", subagent="x")
        for name, spent in (("a", 1), ("new", 0)):
            status = stage.book.status(NOON, name)
            assert status.sessions == {name: spent}
            assert status.today_total == 2
            keys = [(r["name"], r["key"]) for r in status.budgets]
            helpers = [("helpers", "a/x")] if spent else []
            assert keys == [("session", name), ("daily", ""), *helpers]
        assert stage.book.status(NOON, "").sessions == {}
        assert list(stage.book.status(NOON, recent=1).sessions) == ["b"]

    def test_the_limit_in_force(self):
        stage = Stage(row("bugs", per="session", match={"session": "bug*"}, limit_usd=2))
        stage.say("raise", session_id="bug 1", by_usd=D(1))
        limit = stage.book.limit
        assert limit(NOON, session="s") == 5
        assert limit(NOON, session="bug 1") == 3
        assert limit(NOON, budget="bugs") == 2
        assert limit(NOON, budget="bugs", session="bug 1") == 3
        assert limit(NOON, budget="daily") is None
        assert limit(NOON, budget="nothing of that name") is None


class TestStreamsThatUseABudgetUp:
    def test_the_youngest_ends_of_those_that_together_reach_a_limit(self):
        stage = Stage(row("calm", max_requests=9), daily=None)
        stage.spend("1")
        ids = [stage.admit()[0] for _ in range(3)]
        other, _ = stage.admit(session="t")
        running = {ids[0]: D(2), ids[1]: D("1.5"), other: D(4)}
        assert stage.book.overrun(running, NOON) == {}
        running[ids[1]] = D(2)
        ((id, finding),) = stage.book.overrun(running, NOON).items()
        assert id == ids[1]
        assert finding.message() == "Session budget exhausted: $5.00 >= $5.00"

    def test_not_where_nothing_blocks(self):
        stage = Stage(block_on_limit=False)
        id, _ = stage.admit()
        assert stage.book.overrun({id: D(9)}, NOON) == {}


class TestDecisions:
    def test_whether_a_narrower_bound_could_change_them(self):
        stage = Stage(row("cheap", max_usd_per_request=3), enforcement="strict", max_identical=1)
        _, passed = stage.admit("1", fingerprint=b"a")
        _, loop = stage.admit("1", fingerprint=b"a")
        _, dear = stage.admit("4")
        stage.spend("2")
        _, short = stage.admit("3")
        _, waits = stage.admit("2.5")
        assert [d.final for d in (passed, loop, dear, short, waits)] == [
            True,
            True,
            False,
            False,
            False,
        ]

    def test_a_call_that_cannot_even_be_asked_for(self):
        reason = Finding("strict", "strict", "tools[0]")
        ask = Ask("1", Scope("s"), D(1), D(1), unfit=reason)
        decision = Stage().book.admit(ask, NOON)
        assert (decision.verdict, decision.final, decision.busy) == (BLOCK, True, False)
        assert decision.findings == (reason,)
        stage = Stage(block_on_limit=False)
        decision = stage.book.admit(ask, NOON)
        assert (decision.verdict, decision.would_block) == (ALLOW, (reason,))
        stage.settle("1", "1")
        stage.say("block", session_id="*")
        assert stage.book.admit(ask, NOON).findings[0].kind == "blocked"
