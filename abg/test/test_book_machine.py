"""The book as a state machine against a model that counts everything anew at every question.

The model keeps nothing but the lines of a ledger, the calls in flight and the queue; each sum and
each decision is worked out from those by the letter of the rules. Time jumps to window edges and
over nights in which the clocks are changed, and steps back; the proxy restarts from its lines or
from a dump in the middle.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from abg.book import Ask, Book, Verdict
from abg.budget import daily_budget, parse_budget, session_budget
from abg.call import Scope
from abg.ledger import Entry, Event, encode, posting
from abg.waiting import STEP

UTC = timezone.utc
D = Decimal
CENT = D("0.01")
BUSY_WAIT = timedelta(seconds=60)
MILLISECOND = timedelta(milliseconds=1)
MOST_BACK = timedelta(minutes=50)


def row(name, **keys):
    return parse_budget({"name": name, "limit_usd": None, "max_requests": None, **keys}, "test")


ROWS = (
    session_budget(D(5)),
    daily_budget(D(9)),
    row("runaway", per="session", window="10m", limit_usd=3),
    row("minute", per="session", window="1m", limit_usd=2),
    row("bugs", per="session", match={"session": "bug*"}, limit_usd=2),
    row("opus", match={"model": "opus*"}, window="day", limit_usd=4),
    row("helpers", per="subagent", window="1h", limit_usd=2),
    row("calm", per="agent", max_requests=6, window="1h"),
    row("month", window="month", limit_usd=30, action="warn"),
    row("week", per="model", window="week", limit_usd=12),
    row("dear", max_usd_per_request=3),
)

NIGHTS = {
    "UTC": datetime(2028, 2, 28, 23, 40, tzinfo=UTC),  # before a leap day
    "Europe/Berlin": datetime(2026, 3, 28, 22, 50, tzinfo=UTC),  # a day of 23 hours
    "America/Havana": datetime(2026, 11, 1, 3, 50, tzinfo=UTC),  # midnight twice
}

scopes = st.builds(
    Scope,
    session=st.sampled_from(["a", "b", "bug 1", "default"]),
    agent=st.sampled_from(["claude-code", "codex"]),
    subagent=st.sampled_from(["", "", "h"]),
    model=st.sampled_from(["opus-5", "sonnet-5"]),
)
SHARES = (0, 3, 10, 50, 100, 130)
"""Percent of its hold that a call turns out to cost."""

cents = st.integers(0, 250).map(lambda n: n * CENT)


@frozen
class Line:
    """An entry, or (``requests`` False) an adjustment, as the model remembers it."""

    scope: Scope
    at: datetime
    cost: Decimal
    requests: bool = True
    to_session: bool = True
    """Whether it counts by session and sub-agent."""


@frozen
class Waiting:
    ask: Ask
    deadline: datetime


class Model:
    """The rules by the letter; nothing is remembered but what came in."""

    def __init__(self, mode, zone):
        self.mode = mode
        self.zone = zone
        self.lines: list[Line | Event] = []
        self.open: dict[str, tuple[Ask, Decimal, datetime]] = {}
        self.queue: list[Waiting] = []

    # -- sums --------------------------------------------------------------------------------

    def key(self, budget, scope):
        return {
            "session": scope.session,
            "subagent": f"{scope.session}/{scope.subagent}",
            "model": scope.model,
            "agent": scope.agent,
            "none": "",
        }[budget.per]

    def fits(self, budget, scope):
        if budget.per == "subagent" and not scope.subagent:
            return False
        return all(
            any(fnmatchcase(getattr(scope, what), glob) for glob in globs)
            for what, globs in budget.match
        )

    def speaks(self, budget, scope):
        if budget.name == "session" and fnmatchcase(scope.session, "bug*"):
            return False
        return self.fits(budget, scope)

    def inside(self, budget, session, at, now):
        window = budget.window
        if window.kind == "rolling":
            return at > now - window.length
        local, local_now = at.astimezone(self.zone), now.astimezone(self.zone)
        if window.kind == "day" or (budget.per == "session" and session == "default"):
            return local.date() == local_now.date()
        if window.kind == "week":
            return local.isocalendar()[:2] == local_now.isocalendar()[:2]
        if window.kind == "month":
            return (local.year, local.month) == (local_now.year, local_now.month)
        return True

    def spent(self, budget, key, now, requests=False):
        total = D(0)
        by_session = budget.per in ("session", "subagent")
        for line in self.lines:
            if isinstance(line, Event):
                if line.event == "reset" and by_session and key.split("/")[0] == line.session_id:
                    total = D(0)
                continue
            if (
                self.fits(budget, line.scope)
                and self.key(budget, line.scope) == key
                and (line.to_session or not by_session)
                and self.inside(budget, line.scope.session, line.at, now)
            ):
                total += line.requests if requests else line.cost
        return total

    def held(self, budget, key, requests=False):
        return sum(
            (
                D(1) if requests else hold
                for ask, hold, _ in self.open.values()
                if self.fits(budget, ask.scope) and self.key(budget, ask.scope) == key
            ),
            D(0),
        )

    def limit(self, budget, session, now):
        limit = budget.limit_usd
        own = "bugs" if fnmatchcase(session, "bug*") else "session"
        for line in self.lines:
            if isinstance(line, Event) and line.event == "raise":
                data = line.data
                whose = data.get("budget", own if data.get("session_id") == session else None)
                until = line.ts + timedelta(seconds=data.get("for_seconds", 10**9))
                if whose == budget.name and now < until:
                    limit = (
                        data["to_usd"] if "to_usd" in data else max(D(0), limit + data["by_usd"])
                    )
        return limit

    def blocked(self, session):
        names: set[str] = set()
        for line in self.lines:
            if isinstance(line, Event) and line.event == "block":
                names.add(line.session_id)
            elif isinstance(line, Event) and line.event == "unblock":
                names = set() if line.session_id == "*" else names - {line.session_id}
        return bool(names & {session, "*"})

    # -- decisions ---------------------------------------------------------------------------

    def decide(self, ask, now, wanted):
        """(verdict, names of the budgets that say so, what it may hold, budgets it lacks)."""
        if self.blocked(ask.scope.session):
            return Verdict.BLOCK, ["block"], D(0), []
        spent, lacking, behind, grant = [], [], [], ask.hold
        for budget in ROWS:
            if budget.action == "warn" or not self.speaks(budget, ask.scope):
                continue
            key = self.key(budget, ask.scope)
            for requests in (False, True):
                limit = (
                    budget.max_requests if requests else self.limit(budget, ask.scope.session, now)
                )
                if limit is None:
                    continue
                have = self.spent(budget, key, now, requests)
                held = self.held(budget, key, requests)
                need = D(1) if requests else ask.floor
                account = (budget.name, key, requests)
                if have >= limit:
                    spent.append(budget.name)
                elif self.mode == "after":
                    continue
                elif self.mode == "strict" and have + need > limit:
                    spent.append(budget.name)
                elif (
                    have + held + need > limit
                    if self.mode == "strict"
                    else held and have + held >= limit
                ):
                    lacking.append(account)
                else:
                    if account in wanted:
                        behind.append(account)
                    if self.mode == "strict" and not requests:
                        grant = min(grant, limit - have - held)
            if budget.max_usd_per_request is not None:
                dearest = budget.max_usd_per_request
                if (ask.floor if self.mode == "strict" else ask.hold) > dearest:
                    spent.append(budget.name)
                elif self.mode == "strict":
                    grant = min(grant, dearest)
        if spent:
            return Verdict.BLOCK, spent, D(0), []
        if lacking or behind:
            names = [account[0] for account in lacking + behind]
            return Verdict.WAIT, names, D(0), lacking
        return Verdict.ALLOW, [], grant, []

    def woken(self, now):
        fates, wanted, stay = [], set(), []
        for waiting in self.queue:
            verdict, names, grant, lacking = self.decide(waiting.ask, now, wanted)
            if verdict is Verdict.WAIT and now < waiting.deadline:
                wanted.update(lacking)
                stay.append(waiting)
                continue
            if verdict is Verdict.WAIT:
                verdict = Verdict.BLOCK
            if verdict is Verdict.ALLOW:
                self.open[waiting.ask.id] = (waiting.ask, grant, now)
            fates.append((waiting.ask.id, verdict, sorted(names), grant))
        self.queue = stay
        return fates, wanted


class BookMachine(RuleBasedStateMachine):
    mode = "estimate"

    @initialize(zone=st.sampled_from(sorted(NIGHTS)))
    def begin(self, zone):
        self.zone = ZoneInfo(zone)
        self.now = self.latest = NIGHTS[zone]
        self.ticks = 0.0
        """Seconds of a clock that nobody sets."""
        self.model = Model(self.mode, self.zone)
        self.wanted: set = set()
        self.records: list[Entry | Event] = []
        self.book = self.make()
        self.dumped = None
        self.outside = False
        """Something other than a call has moved a sum, a limit or the clock."""
        self.ids = 0

    def make(self):
        return Book(ROWS, self.zone, enforcement=self.mode, busy_wait=BUSY_WAIT)

    # -- what happens ------------------------------------------------------------------------

    @rule(scope=scopes, hold=cents, share=st.integers(0, 100))
    def one_asks(self, scope, hold, share):
        self.admit(scope, hold, share)

    @rule(scope=scopes, holds=st.lists(cents, min_size=2, max_size=5), share=st.integers(0, 100))
    def a_swarm_asks(self, scope, holds, share):
        for hold in holds:
            self.admit(scope, hold, share)

    @precondition(lambda self: self.model.queue)
    @rule(seconds=st.sampled_from([1, 20, 59.999]), data=st.data())
    def others_ask_while_some_wait(self, seconds, data):
        """Of the same session, or of another that shares a budget with it."""
        self.go(self.now + timedelta(seconds=seconds))
        if self.model.queue:
            scope = data.draw(st.sampled_from(self.model.queue)).ask.scope
            if data.draw(st.booleans()):
                scope = evolve(scope, session="b", subagent="")
            self.admit(scope, data.draw(cents), data.draw(st.integers(0, 100)))

    def admit(self, scope, hold, share):
        self.ids += 1
        floor = hold * share / 100 if self.mode == "strict" else hold
        ask = Ask(f"{self.ids}", scope, hold, floor)
        self.book.look(self.now, self.ticks)
        decision = self.book.admit(ask, self.now)
        self.book.look(self.now, self.ticks)
        verdict, names, grant, lacking = self.model.decide(ask, self.now, self.wanted)
        assert decision.verdict is verdict
        assert sorted(f.budget for f in decision.findings) == sorted(names)
        assert decision.hold == grant
        for finding in decision.findings:
            assert finding.message()
        if verdict is Verdict.ALLOW:
            self.model.open[ask.id] = (ask, grant, self.now)
        elif verdict is Verdict.WAIT:
            self.model.queue.append(Waiting(ask, self.now + BUSY_WAIT))
            self.wanted.update(lacking)

    @precondition(lambda self: self.model.open)
    @rule(data=st.data(), percents=st.lists(st.sampled_from(SHARES), min_size=1, max_size=3))
    def calls_end(self, data, percents):
        for percent in percents:
            if self.model.open:
                self.settle(data.draw(st.sampled_from(sorted(self.model.open))), percent)

    def settle(self, id, percent):
        ask, hold, at = self.model.open.pop(id)
        cost = hold * (min(percent, 100) if self.mode == "strict" else percent) / 100
        settled = self.book.settle(id, cost, self.now)
        self.write(ask.scope, at, cost)
        session = ask.scope.session
        assert settled.session_total == self.model.spent(ROWS[0], session, at)
        assert settled.today_total == self.model.spent(ROWS[1], "", self.now)
        self.check_warnings(settled, ask.scope, at)
        self.wake()

    def check_warnings(self, settled, scope, at):
        expected = []
        for budget in ROWS:
            moment = self.now if budget.window.kind == "rolling" else at
            key = self.model.key(budget, scope)
            for limit, requests in (
                (self.model.limit(budget, scope.session, self.now), False),
                (budget.max_requests, True),
            ):
                if limit is None or not self.model.speaks(budget, scope):
                    continue
                if self.model.spent(budget, key, moment, requests) >= limit * D("0.8"):
                    expected.append(budget.name)
        assert [w.budget for w in settled.warnings] == expected

    @precondition(lambda self: self.model.queue and self.model.open)
    @rule(data=st.data())
    def those_who_hold_end_cheaply(self, data):
        for id in data.draw(st.permutations(sorted(self.model.open))):
            if id in self.model.open:
                self.settle(id, data.draw(st.sampled_from([0, 3, 10])))

    @precondition(lambda self: self.model.queue)
    @rule(data=st.data())
    def leave(self, data):
        waiting = data.draw(st.sampled_from(self.model.queue))
        self.model.queue.remove(waiting)
        assert self.book.leave(waiting.ask.id)
        self.wake()

    @rule(session=st.sampled_from(["a", "bug 1", "default"]))
    def reset(self, session):
        self.say(Event(self.now, "reset", {"session_id": session}))

    @rule(session=st.sampled_from(["a", "bug 1", "*"]), back=st.sampled_from(["a", "*", "*"]))
    def kill_switch(self, session, back):
        self.say(Event(self.now, "block", {"session_id": session}))
        self.say(Event(self.now, "unblock", {"session_id": back}))

    @rule(
        whose=st.sampled_from(
            [{"session_id": "a"}, {"session_id": "bug 1"}, {"budget": "daily"}, {"budget": "opus"}]
        ),
        change=st.sampled_from([{"by_usd": D(1)}, {"to_usd": D(6)}, {"by_usd": D("-0.5")}]),
        term=st.sampled_from([{}, {"for_seconds": 30}, {"for_seconds": 600}]),
    )
    def raise_limit(self, whose, change, term):
        self.say(Event(self.now, "raise", {**whose, **change, **term}))

    @rule(scope=scopes, cost=st.integers(-60, 60), ago=st.integers(0, 700))
    def adjust(self, scope, cost, ago):
        at = self.now - timedelta(seconds=ago)
        resets = [
            line.ts
            for line in self.model.lines
            if isinstance(line, Event)
            and line.event == "reset"
            and line.session_id == scope.session
        ]
        data = {
            "session_id": scope.session,
            "agent": scope.agent,
            "subagent": scope.subagent,
            "model": scope.model,
            "at": at.isoformat(),
            "cost_usd": cost * CENT,
        }
        event = Event(self.now, "adjust", data)
        gone = cost < 0 and bool(resets) and at < resets[-1]
        self.book.apply(event)
        self.records.append(event)
        self.model.lines.append(Line(scope, at, cost * CENT, False, not gone))
        self.outside = True
        self.wake()

    @rule(seconds=st.sampled_from([0.001, 1, 7, 29, 59.999]))
    def advance(self, seconds):
        self.go(self.now + timedelta(seconds=seconds))

    @rule(seconds=st.sampled_from([60, 600, 1799, 3600, 40000, 90000, 700000]))
    def advance_far(self, seconds):
        to = self.now + timedelta(seconds=seconds)
        # No call runs for days, and of days long gone no sums are kept.
        for id, (_, _, at) in sorted(self.model.open.items()):
            if to - at > timedelta(days=1) and id in self.model.open:
                self.settle(id, 50)
        self.go(to)

    @rule(edge=st.sampled_from(["midnight", "minute", "ten"]), early=st.booleans())
    def advance_to_an_edge(self, edge, early):
        if edge == "midnight":
            local = self.now.astimezone(self.zone).date() + timedelta(days=1)
            to = datetime(local.year, local.month, local.day, tzinfo=self.zone).astimezone(UTC)
        else:
            length = timedelta(minutes=1 if edge == "minute" else 10)
            edges = [line.at + length for line in self.model.lines if isinstance(line, Line)]
            to = min((at for at in edges if at > self.now), default=self.now)
        self.go(to - MILLISECOND if early and to - MILLISECOND > self.now else to)

    @rule(seconds=st.sampled_from([0.001, 1, 61, 601]))
    def step_back(self, seconds):
        """Somebody sets the clock; nobody waits longer for it, but for less than a second."""
        before = self.now
        self.outside = True
        self.now = max(self.now - timedelta(seconds=seconds), self.latest - MOST_BACK)
        back = before - self.now
        if back >= STEP:
            self.model.queue = [Waiting(w.ask, w.deadline - back) for w in self.model.queue]
        self.wake()

    @rule()
    def dump(self):
        self.dumped = (len(self.records), json.loads(json.dumps(self.book.dump())))

    @rule(from_dump=st.booleans())
    def restart(self, from_dump):
        """The proxy dies: what runs is charged as held, what waits is gone."""
        for ask, hold, at in self.model.open.values():
            self.write(ask.scope, at, hold)
        self.model.open, self.model.queue, self.wanted = {}, [], set()
        self.book, done = self.make(), 0
        if from_dump and self.dumped is not None:
            done, dumped = self.dumped
            self.book.load(dumped)
        for record in self.records[done:]:
            self.book.apply(posting(encode(record)))

    # -- inside ------------------------------------------------------------------------------

    def write(self, scope, at, cost):
        """One call's line, in the ledger and in the model."""
        self.records.append(
            Entry(
                at,
                scope.session,
                "as answered",
                1,
                1,
                cost,
                D(0),
                "allow",
                agent=scope.agent,
                subagent=scope.subagent or None,
                model_scope=scope.model,
            )
        )
        if cost:
            self.model.lines.append(Line(scope, at, cost))

    def say(self, event):
        self.book.apply(event)
        self.records.append(event)
        self.model.lines.append(event)
        self.outside = True
        self.wake()

    def go(self, to):
        """On to an instant, as the engine does: woken whenever the book has asked for it."""
        for _ in range(1000):
            due = self.book.next_wake()
            assert (due is None) == (not self.model.queue)
            if due is None or due > to:
                break
            self.pass_to(max(self.now, due))
            self.wake()
        else:
            raise AssertionError("woken for nothing, again and again")
        if self.model.queue:
            # In between nothing would have been decided.
            quiet = self.now + (to - self.now) / 2
            assert self.book.woken(quiet) == []
        self.pass_to(to)
        self.wake()

    def pass_to(self, to):
        """Time passes, by both clocks."""
        self.ticks += (to - self.now).total_seconds()
        self.now = to
        self.latest = max(self.latest, to)

    def wake(self):
        fates = [
            (id, d.verdict, sorted(f.budget for f in d.findings), d.hold)
            for id, d in self.book.woken(self.now, self.ticks)
        ]
        expected, self.wanted = self.model.woken(self.now)
        assert fates == expected

    @invariant()
    def everything_adds_up(self):
        status = self.book.status(self.now)
        shown = {(r["name"], r["key"]): r for r in status.budgets}
        seen = {line.scope for line in self.model.lines if isinstance(line, Line)}
        seen.update(ask.scope for ask, _, _ in self.model.open.values())
        for budget in ROWS:
            keys = {self.model.key(budget, s) for s in seen if self.model.speaks(budget, s)}
            for key in keys:
                spent = self.model.spent(budget, key, self.now)
                held = self.model.held(budget, key)
                row = shown.get((budget.name, key))
                if row is None:
                    assert (spent, held) == (0, 0)
                    continue
                assert (row["spent_usd"], row["held_usd"]) == (spent, held)
                if budget.max_requests is not None:
                    assert row["requests"] == self.model.spent(budget, key, self.now, True)
                    assert row["requests_running"] == self.model.held(budget, key, True)
                if self.mode == "strict" and budget.action == "block" and not self.outside:
                    assert budget.limit_usd is None or spent + held <= budget.limit_usd
        for session in {scope.session for scope in seen}:
            total = self.model.spent(ROWS[0], session, self.now)
            assert self.book.session_total(session, self.now) == total
        assert len(self.book.holds()) == len(self.model.open)
        assert self.book.waiting == len(self.model.queue)


class Estimate(BookMachine):
    mode = "estimate"


class Strict(BookMachine):
    mode = "strict"


class After(BookMachine):
    mode = "after"


SETTINGS = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestEstimate, TestStrict, TestAfter = Estimate.TestCase, Strict.TestCase, After.TestCase
TestEstimate.settings = TestStrict.settings = TestAfter.settings = SETTINGS


calls = st.lists(st.tuples(scopes, cents, st.integers(0, 4000)), max_size=12)


@given(calls=calls, data=st.data(), ask=st.tuples(scopes, cents), later=st.integers(0, 5000))
@settings(max_examples=60, deadline=None)
def test_no_decision_depends_on_the_order_in_which_calls_ended(calls, data, ask, later):
    """The same calls, admitted at the same instants, settled in any order, or replayed."""
    start = NIGHTS["Europe/Berlin"]
    end = start + timedelta(seconds=4000 + later)
    admitted = [
        (f"{n}", Ask(f"{n}", scope, D(0), D(0)), start + timedelta(seconds=at), cost)
        for n, (scope, cost, at) in enumerate(calls)
    ]
    admitted.sort(key=lambda call: call[2])
    books = []
    for order in (admitted, data.draw(st.permutations(admitted))):
        book = Book(ROWS, UTC, enforcement="estimate")
        passed = [
            call for call in admitted if book.admit(call[1], call[2]).verdict is Verdict.ALLOW
        ]
        for id, _, _, cost in [call for call in order if call in passed]:
            book.settle(id, cost, end)
        books.append(book)
    scope, hold = ask
    last = Ask("last", scope, hold, hold)
    first, second = (book.status(end) for book in books)
    assert first.sessions == second.sessions
    assert first.today_total == second.today_total
    key = lambda row: (row["name"], row["key"])  # noqa: E731
    assert sorted(first.budgets, key=key) == sorted(second.budgets, key=key)
    assert books[0].admit(last, end) == books[1].admit(last, end)
