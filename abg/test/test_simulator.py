"""Swarms at their caps, the short form of ``benchmarks/simulate.py``: promises in every step.

The swarm itself compares the book with sums of its own, sees to it that nobody overtakes, waits
too long or is refused while others' holds could make room, and lets the proxy crash and restart.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import count

import pytest
from attrs import evolve

from abg.book import Book
from abg.budget import parse_budget
from abg.judging import Judge, Judgement
from abg.simulate import MIX, Broken, Report, plan, simulate
from abg.simulate.report import quantile
from abg.simulate.swarm import Swarm
from abg.waiting import Queue

SIXTEEN = evolve(MIX, parallel=((16, 16, 1),))


def report(mode, swarms, mix=MIX, seed="test"):
    found = Report(mode)
    for number in range(swarms):
        found.add(simulate(plan(f"{seed} {number}", mix), mode, mix))
    return found


def test_sixteen_at_once_overshoot_by_one_call_and_not_by_sixteen():
    over, in_mean_calls = report("estimate", 20, SIXTEEN).overshoot(16, 16)
    assert quantile(over, 0.5) <= 1
    assert quantile(over, 0.95) <= 2
    plain, plain_in_mean_calls = report("after", 20, SIXTEEN).overshoot(16, 16)
    assert quantile(plain_in_mean_calls, 0.5) > 10
    assert quantile(plain, 0.5) > 4 * quantile(over, 0.5)
    assert quantile(plain_in_mean_calls, 0.5) > 4 * quantile(in_mean_calls, 0.5)


def test_strict_is_never_over_and_leaves_little():
    found = report("strict", 25)
    over, _ = found.overshoot(1, 16)
    assert over[-1] == 0
    assert found.calls > 2000
    for cap, least in ((20, Decimal("0.95")), (5, Decimal("0.85"))):
        used = found.used(cap, small=True)
        assert sum(used) / len(used) >= least


def test_a_lone_agent_meets_the_same_cap_with_and_without_reservations():
    alone = evolve(MIX, parallel=((1, 1, 1),), shared=0.0)
    for number in range(4):
        chosen = plan(f"alone {number}", alone)
        after, estimate = (simulate(chosen, mode, alone) for mode in ("after", "estimate"))
        assert (after.calls, after.over) == (estimate.calls, estimate.over)
        assert estimate.waited == 0


@pytest.mark.parametrize("mode", ["after", "estimate", "strict"])
def test_crashes_aborts_errors_and_impatience_break_no_promise(mode):
    hard = evolve(
        MIX, aborted=0.2, failed=0.2, crashed=0.05, left_waiting=0.5, shared=0.5, caps=(("2", 1),)
    )
    found = report(mode, 25, hard)
    assert found.crashes > 5


def test_the_same_seed_gives_the_same_figures():
    once, again = (list(report("estimate", 3).lines()) for _ in range(2))
    assert once == again
    assert any("parallel" in line for line in once)
    assert any("tenth" in line for line in once)
    assert list(report("estimate", 3, seed="other").lines()) != once


class TestItWouldNotice:
    """The simulator's own eyes: a book that is wrong does not get by."""

    def broken(self, mode="estimate", mix=SIXTEEN):
        with pytest.raises(Broken) as raised:
            report(mode, 30, mix)
        return str(raised.value)

    @pytest.fixture
    def judge(self, monkeypatch):
        """Spoil what the book's judge finds."""
        honest = Judge.judge

        def spoil(spoilt):
            def judge(self, *asked):
                return spoilt(honest(self, *asked), asked)

            monkeypatch.setattr(Judge, "judge", judge)

        return spoil

    def test_a_cent_lost(self, monkeypatch):
        honest = Book.settle

        def settle(book, id, cost, now, **more):
            return honest(book, id, cost * Decimal("0.999"), now, **more)

        monkeypatch.setattr(Book, "settle", settle)
        assert "the book's total is" in self.broken()

    def test_a_restart_that_forgets(self, monkeypatch):
        monkeypatch.setattr(Book, "apply", lambda book, line: None)
        assert "a restart changes" in self.broken()

    def test_nobody_being_woken(self, monkeypatch):
        monkeypatch.setattr(Book, "woken", lambda book, now: [])
        monkeypatch.setattr(Book, "next_wake", lambda book: None)
        assert "nobody moves" in self.broken()

    def test_a_cap_that_stops_nobody(self, monkeypatch, judge):
        monkeypatch.setattr("abg.simulate.swarm.MOST_CALLS", 300)
        judge(lambda found, asked: Judgement(asked[2]))
        assert "nothing stops" in self.broken()

    def test_a_strict_cap_crossed(self, judge):
        judge(lambda found, asked: Judgement(asked[2]))
        assert "crosses a strict limit" in self.broken("strict")

    def test_more_held_than_was_asked(self, judge):
        def double(found, asked):
            found.grant *= 2
            return found

        judge(double)
        assert "may not hold" in self.broken()

    def test_a_refusal_too_soon(self, monkeypatch, judge):
        def harsh(found, asked):
            found.spent += [finding for _, finding in found.lacking]
            return found

        judge(harsh)
        monkeypatch.setattr("abg.decision.Decision.busy", False)
        assert "is refused at" in self.broken()

    def test_a_budget_that_nobody_set(self, monkeypatch):
        daily = parse_budget({"name": "odd", "window": "day", "limit_usd": 1}, "test")
        monkeypatch.setattr("abg.simulate.swarm.daily_budget", lambda limit: daily)
        assert "there is no budget odd" in self.broken()

    def test_a_wait_too_short(self, monkeypatch):
        monkeypatch.setattr(Swarm, "busy_wait", Swarm.busy_wait / 2)
        assert "has waited" in self.broken()

    def test_overtaking_by_those_who_come(self, monkeypatch, judge):
        turns = count()

        def forgetful(found, asked):
            if next(turns) % 2:
                found.lacking.clear()
            return found

        judge(forgetful)
        monkeypatch.setattr(Queue, "want", lambda queue, waiting: None)
        assert "overtakes one that waits" in self.broken()

    def test_overtaking_by_those_who_wait(self, monkeypatch):
        monkeypatch.setattr(
            Queue, "__iter__", lambda queue: iter(list(queue._waiting.values())[::-1])
        )
        assert "overtakes call" in self.broken()

    def test_a_client_that_cannot_leave(self, monkeypatch):
        monkeypatch.setattr(Book, "leave", lambda book, id: False)
        assert "did not wait" in self.broken(mix=evolve(SIXTEEN, left_waiting=0.9))
