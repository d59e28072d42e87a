"""One swarm of agents that works until it is stopped, on the real book, with a clock of its own.

A thread asks, waits or runs, is aborted, failed, cut by a crash of the proxy, thinks, and asks
again, until it is refused once: then it stops, as the real agents do. What the book says is
checked at every step against sums kept apart, in whole picodollars; a difference, a broken
promise, is a ``Broken``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from random import Random

from attrs import frozen

from abg.book import Ask, Book, Decision, Finding, Verdict
from abg.budget import daily_budget, session_budget
from abg.call import Call, Scope
from abg.estimate import History, estimate
from abg.ledger import Posting
from abg.money import ZERO
from abg.simulate.mix import MIX, Mix, Plan, Turn, dollars, threads
from abg.simulate.run import RATES, Run, input_bound, input_cost, usage
from abg.usage import Reading, Sampling

__all__ = ["Broken", "Outcome", "Swarm", "simulate"]

START = datetime(2026, 11, 25, 6, tzinfo=timezone.utc)
BUSY_WAIT = timedelta(seconds=60)
MIN_OUTPUT = 1024
"""As ``strict_min_output_tokens``."""
HIGH_RATE = 200
"""Output tokens a second by which an aborted call is charged (``abg.presume``)."""
RETRIES = 3
MOST_CALLS = 20_000
"""Of a swarm; more would mean that nothing stops it."""
CHECKPOINT_LINES = 20
CHECKPOINTS = 0.5
"""Share of restarts that begin with a dump instead of the whole ledger."""


class Broken(AssertionError):
    """A promise that the book did not keep."""


@frozen
class Outcome:
    """What came of one swarm under one kind of enforcement."""

    plan: Plan
    enforcement: str
    calls: int
    waited: int
    busy: int
    crashes: int
    dearest: Decimal
    """The dearest call that ran, USD."""
    mean: Decimal
    over: Decimal
    """USD by which the budget was crossed that was crossed furthest."""
    used: tuple[tuple[Decimal, Decimal, Decimal], ...]
    """For each budget that stopped somebody: limit, spend at the end, and the least that a
    refused call would have needed (0: the budget was used up)."""


def simulate(plan: Plan, enforcement: str, mix: Mix = MIX) -> Outcome:
    """Let one swarm work until every thread has been stopped.

    Raises:
        Broken: the book did not do what it promises.
    """
    return Swarm(plan, enforcement, mix).run()


class Swarm:
    """The agents, their world, and the sums that the book is held against."""

    busy_wait = BUSY_WAIT
    """How long the book lets a call wait."""

    def __init__(self, plan: Plan, enforcement: str, mix: Mix) -> None:
        self._plan, self._mode, self._mix = plan, enforcement, mix
        self._agents = threads(plan, mix)
        self._chance = Random(plan.seed + " world")
        self._now = START
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = 0
        self._histories = [History() for _ in range(plan.sessions)]
        self._running: dict[str, Run] = {}
        self._waiting: dict[str, Run] = {}
        self._ledger: list[Posting] = []
        self._checkpoint: tuple[int, object] = (0, None)
        self._spent = [0] * plan.sessions
        self._day: dict[date, int] = {}
        self._stopped: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
        self._calls = self._waited = self._busy = self._crashes = 0
        self._dearest = self._sum = 0
        self._book = self._new_book()

    def run(self) -> Outcome:
        for number, agent in enumerate(self._agents):
            self._later(agent.think(), partial(self._ask, number, agent.turn(), 0))
        while self._events:
            self._now, _, act = heapq.heappop(self._events)
            act()
        if self._running or self._waiting or self._book.holds() or self._book.waiting:
            raise Broken(f"{self._plan.seed}: nobody moves any more")
        return self._outcome()

    # -- what agents do ----------------------------------------------------------------------

    def _ask(self, number: int, turn: Turn, retries: int) -> None:
        self._order += 1
        self._calls += 1
        if self._calls > MOST_CALLS:
            raise Broken(f"{self._plan.seed}: nothing stops this swarm")
        session = self._agents[number].session
        run = Run(f"call {self._order}", number, session, turn, retries, self._now)
        run.hold, run.floor = self._needs(run)
        ask = Ask(
            run.id,
            Scope(f"session {session}", "simulated", "", turn.model.name),
            run.hold,
            run.floor,
            thread=str(number),
        )
        decision = self._book.admit(ask, self._now)
        if decision.verdict is Verdict.WAIT:
            self._waited += 1
            self._waiting[run.id] = run
            if self._chance.random() < self._mix.left_waiting:
                self._later(self._chance.uniform(0, 60), partial(self._leave, run))
            self._plan_wake()
        elif decision.verdict is Verdict.BLOCK:
            self._refused(run, decision)
        else:
            if any(other.session == session for other in self._waiting.values()):
                raise Broken(f"{self._plan.seed}: {run.id} overtakes one that waits")
            self._start(run, decision)

    def _needs(self, run: Run) -> tuple[Decimal, Decimal]:
        """What the call would hold, and from which hold on it makes sense."""
        turn = run.turn
        if self._mode == "strict":
            least = min(MIN_OUTPUT, turn.allowance) * turn.model.output
            bound = input_bound(turn)
            return dollars(bound + turn.allowance * turn.model.output), dollars(bound + least)
        call = Call("simulated", "", max_output_tokens=turn.allowance, body_bytes=turn.body_bytes)
        likely = estimate(call, RATES[turn.model.name], self._histories[run.session])
        return likely, likely

    def _leave(self, run: Run) -> None:
        """The client of a waiting call goes away; its agent tries again later."""
        if self._waiting.pop(run.id, None) is None:
            return
        if not self._book.leave(run.id):
            raise Broken(f"{self._plan.seed}: {run.id} did not wait")
        self._later(5, partial(self._ask, run.number, run.turn, run.retries))
        self._wake()

    def _start(self, run: Run, decision: Decision) -> None:
        agent, turn, chance = self._agents[run.number], run.turn, self._chance
        run.at, run.held = decision.at, decision.hold
        if not run.floor <= run.held <= run.hold:
            raise Broken(f"{self._plan.seed}: {run.id} may not hold {run.held}")
        if self._mode == "strict":
            room = int(run.held.scaleb(12)) - input_bound(turn)
            run.limit = min(turn.allowance, room // turn.model.output)
        self._running[run.id] = run
        fate = agent.fate()
        if fate == "done":
            self._later(turn.seconds, partial(self._done, run))
        elif fate == "failed":
            self._later(chance.uniform(1, 5), partial(self._failed, run))
        else:
            share = chance.uniform(0.1, 0.9)
            end = self._aborted if fate == "aborted" else self._crashed
            self._later(turn.seconds * share, partial(end, run, share))

    # -- how calls end -----------------------------------------------------------------------

    def _done(self, run: Run) -> None:
        turn = run.turn
        output = min(turn.output, run.limit)
        cost = input_cost(turn) + output * turn.model.output
        if self._end(run, cost):
            reading = Reading((Sampling(usage(turn, output)),))
            call = Call("simulated", "", body_bytes=turn.body_bytes)
            self._histories[run.session].add(call, reading, dollars(cost))
            self._go_on(run)

    def _aborted(self, run: Run, share: float) -> None:
        """The user stops the agent's call; what it cost is presumed."""
        turn = run.turn
        if self._mode == "strict":
            output = run.limit
        else:
            streamed = turn.output * share * (0.2 if turn.hidden else 1)
            sampled = turn.seconds * share * HIGH_RATE
            output = min(run.limit, int(max(streamed, sampled)))
        if self._end(run, input_cost(turn) + output * turn.model.output):
            self._go_on(run)

    def _failed(self, run: Run) -> None:
        """The vendor's error costs nothing; the client tries again, thrice."""
        if not self._end(run, 0):
            return
        if run.retries < RETRIES:
            again = partial(self._ask, run.number, run.turn, run.retries + 1)
            self._later(2**run.retries, again)
        else:
            self._go_on(run)

    def _crashed(self, run: Run, share: float) -> None:
        """The proxy dies: all that runs is charged as held, all that waits is cut off."""
        if run.id not in self._running:
            return
        self._crashes += 1
        running, waiting = self._running, self._waiting
        self._running, self._waiting = {}, {}
        for lost in running.values():
            self._write(lost, int(lost.held.scaleb(12)))
        self._book = self._new_book()
        done, dump = self._checkpoint
        if dump is not None and self._chance.random() < CHECKPOINTS:
            self._book.load(dump)
        else:
            done = 0
        for line in self._ledger[done:]:
            self._book.apply(line)
        for session, spent in enumerate(self._spent):
            if self._book.session_total(f"session {session}") != dollars(spent):
                raise Broken(f"{self._plan.seed}: a restart changes the total of {session}")
        for lost in (*running.values(), *waiting.values()):
            self._later(self._chance.uniform(1, 5), partial(self._ask, lost.number, lost.turn, 0))

    def _go_on(self, run: Run) -> None:
        agent = self._agents[run.number]
        self._later(agent.think(), partial(self._ask, run.number, agent.turn(), 0))

    def _end(self, run: Run, cost: int) -> bool:
        """Settle; False: a crash has ended it before."""
        if self._running.pop(run.id, None) is None:
            return False
        self._write(run, cost)
        settled = self._book.settle(run.id, dollars(cost), self._now, failed=not cost)
        if settled.session_total != dollars(self._spent[run.session]):
            raise Broken(f"{self._plan.seed}: the book's total is {settled.session_total}")
        if len(self._ledger) % CHECKPOINT_LINES == 0:
            self._checkpoint = (len(self._ledger), self._book.dump())
        self._wake()
        return True

    def _write(self, run: Run, cost: int) -> None:
        plan, day = self._plan, run.at.date()
        if cost:
            session, amount = f"session {run.session}", dollars(cost)
            self._ledger.append(Posting(run.at, session, amount, "allow", run.turn.model.name))
        self._spent[run.session] += cost
        self._day[day] = self._day.get(day, 0) + cost
        self._dearest = max(self._dearest, cost)
        self._sum += cost
        if self._mode == "strict" and (
            self._spent[run.session] > plan.cap
            or (plan.daily is not None and self._day[day] > plan.daily)
        ):
            raise Broken(f"{plan.seed}: {run.id} crosses a strict limit")

    # -- refusals and waking -----------------------------------------------------------------

    def _refused(self, run: Run, decision: Decision) -> None:
        """The agent stops; was it right to refuse it?"""
        waited = self._now - run.asked
        if waited > BUSY_WAIT or (decision.busy and waited < BUSY_WAIT):
            raise Broken(f"{self._plan.seed}: {run.id} has waited {waited}")
        if decision.busy:
            self._busy += 1
            return
        for found in decision.findings:
            spent, limit = self._stands(run, found)
            short = self._mode == "strict" and spent + run.floor > limit
            if spent < limit and not short:
                raise Broken(f"{self._plan.seed}: {run.id} is refused at {spent} of {limit}")
            self._stopped[found.budget, found.key] = (limit, run.floor if short else ZERO)

    def _stands(self, run: Run, found: Finding) -> tuple[Decimal, Decimal]:
        plan = self._plan
        if found.budget == "session":
            return dollars(self._spent[run.session]), dollars(plan.cap)
        if plan.daily is None:
            raise Broken(f"{plan.seed}: there is no budget {found.budget}")
        return dollars(self._day.get(self._now.date(), 0)), dollars(plan.daily)

    def _wake(self) -> None:
        for id, decision in self._book.woken(self._now):
            run = self._waiting.pop(id)
            if decision.verdict is Verdict.BLOCK:
                self._refused(run, decision)
                continue
            for other in self._waiting.values():
                if other.session == run.session and other.asked < run.asked:
                    raise Broken(f"{self._plan.seed}: {id} overtakes {other.id}")
            self._start(run, decision)
        self._plan_wake()

    def _plan_wake(self) -> None:
        due = self._book.next_wake()
        if due is not None:
            self._order += 1
            heapq.heappush(self._events, (due, self._order, self._wake_if_due))

    def _wake_if_due(self) -> None:
        due = self._book.next_wake()
        if due is not None and due <= self._now:
            self._wake()

    # -- inside ------------------------------------------------------------------------------

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self._order += 1
        when = self._now + timedelta(milliseconds=int(seconds * 1000) + 1)
        heapq.heappush(self._events, (when, self._order, act))

    def _new_book(self) -> Book:
        plan = self._plan
        daily = None if plan.daily is None else dollars(plan.daily)
        budgets = [session_budget(dollars(plan.cap)), daily_budget(daily)]
        return Book(budgets, timezone.utc, enforcement=self._mode, busy_wait=self.busy_wait)

    def _outcome(self) -> Outcome:
        plan = self._plan
        over = max([0, *(spent - plan.cap for spent in self._spent)])
        if plan.daily is not None:
            over = max(over, *(spent - plan.daily for spent in self._day.values()))
        used = []
        for (budget, key), (limit, need) in self._stopped.items():
            if budget == "session":
                spent = self._spent[int(key.split()[1])]
            else:
                spent = max(self._day.values())
            used.append((limit, dollars(spent), need))
        return Outcome(
            plan,
            self._mode,
            self._calls,
            self._waited,
            self._busy,
            self._crashes,
            dollars(self._dearest),
            dollars(self._sum // max(1, len(self._ledger))),
            dollars(over),
            tuple(used),
        )
