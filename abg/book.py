"""The book: who has spent and reserved what, and who may pass. The only state about money.

A call asks by ``admit`` and holds money from then on; it ends exactly once, by ``settle`` with
what it cost or by ``void`` if nothing was billed. Between the two it counts in every budget whose
scope it was admitted in, as held; after it, as spent, at the instant of its admission (contract
10). Where a limit would leave room but for what others hold, it waits, holding nothing, until
``woken`` tells its fate.

``apply`` folds lines of the ledger instead, with the same totals as if the calls had been lived
through. Time and ids are handed in, nothing here reads a clock: the same events give the same
book.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import islice
from typing import Any

from abg.budget import Budget
from abg.decision import Ask, Decision, Hold, Settled, Status, Verdict
from abg.finding import Finding
from abg.folding import Folding, Line
from abg.judging import Judge
from abg.ledger import Event
from abg.loops import Loops
from abg.money import ZERO
from abg.overrides import Overrides
from abg.overrun import overrun
from abg.rules import SESSION, Check, Keys, Rules, Selection
from abg.shapes import Shapes
from abg.standing import budget_rows
from abg.waiting import Queue, Waiting
from abg.windows import EARLIEST, instant

__all__ = ["Ask", "Book", "Decision", "Finding", "Hold", "Settled", "Status", "Verdict"]

_ONE = Decimal(1)


class _Reservation:
    """Money held for a call in flight."""

    __slots__ = ("amount", "ask", "at", "keys", "selection")

    def __init__(
        self, ask: Ask, selection: Selection, keys: Keys, amount: Decimal, at: datetime
    ) -> None:
        self.ask = ask
        self.selection = selection
        self.keys = keys
        self.amount = amount
        self.at = at


class Book:
    """See the module's text.

    Args:
        budgets: the table's rows, with ``session`` and ``daily`` among them if they are set.
        zone: whose midnight begins a day.
        enforcement: ``estimate``, ``strict`` or ``after`` (``abg.judging``).
        block_on_limit: False: limits block nothing, decisions only say what they would have.
        busy_wait: how long a call waits at most for what others hold.
        max_identical: how often a thread may send the same message in a row; None: always.
    """

    def __init__(
        self,
        budgets: Sequence[Budget],
        zone: tzinfo,
        *,
        enforcement: str = "estimate",
        block_on_limit: bool = True,
        busy_wait: timedelta = timedelta(seconds=60),
        max_identical: int | None = None,
    ) -> None:
        self._shapes = Shapes(zone)
        self._rules = Rules(budgets, self._shapes)
        self._overrides = Overrides()
        self._judge = Judge(enforcement, self._overrides)
        self._loops = Loops(max_identical)
        self._folding = Folding(self._shapes, self._rules, self._overrides, self._loops)
        self._block = block_on_limit
        self._busy_wait = busy_wait
        self._zone = zone
        self._open: dict[str, _Reservation] = {}
        self._queue = Queue()
        self._seen = EARLIEST
        """The last instant that was handed in."""

    # -- a call's life -----------------------------------------------------------------------

    def admit(self, ask: Ask, now: datetime) -> Decision:
        """May this call pass? If so it holds money from now on.

        Raises:
            ValueError: a call of this id holds money or waits already.
        """
        if ask.id in self._open or ask.id in self._queue:
            raise ValueError(f"there is already a call {ask.id!r}")
        now = self._at(now)
        selection, keys = self._rules.of(ask.scope)
        waiting = Waiting(ask, selection, keys, now + self._busy_wait)
        decision = self._decide(waiting, now)
        if decision.verdict is Verdict.WAIT:
            if not ask.may_wait or self._busy_wait <= timedelta(0):
                return Decision(Verdict.BLOCK, ZERO, now, decision.findings)
            self._queue.add(waiting)
        return decision

    def settle(self, id: str, cost: Decimal, now: datetime, *, failed: bool = False) -> Settled:
        """The call has ended and cost this much.

        Args:
            failed: its vendor failed it, so that sending it again is no repetition; a call that
                cost nothing is taken to have failed.

        Raises:
            KeyError: no call of this id holds money.
            ValueError: a negative cost.
        """
        if cost < 0:
            raise ValueError(f"a call cannot cost less than nothing: {cost}")
        reservation = self._release(id)
        now = self._at(now)
        selection, keys, at = reservation.selection, reservation.keys, reservation.at
        if cost:
            for accounts, index in selection.money:
                accounts.add(keys[index], at, cost)
            for accounts, index in selection.counts:
                accounts.add(keys[index], at, _ONE)
        if failed or not cost:
            ask = reservation.ask
            self._loops.take_back(ask.scope.session, ask.thread, ask.fingerprint)
        return self._settled(selection, keys, at, now, cost)

    def void(self, id: str, now: datetime) -> Settled:
        """The call has ended and nothing was billed.

        Raises:
            KeyError: no call of this id holds money.
        """
        return self.settle(id, ZERO, now)

    def leave(self, id: str) -> bool:
        """The client of a waiting call has gone. False: no such call waits."""
        return self._queue.remove(id)

    def overrun(self, running: Mapping[str, Decimal], now: datetime) -> dict[str, Finding]:
        """The streams that have to end since they have used a budget up (``abg.overrun``).

        Args:
            running: USD that the calls which stream have come to so far, by id.
        """
        if not self._block:
            return {}
        return overrun(self._open.values(), self._judge, running, instant(now))

    # -- waiting -----------------------------------------------------------------------------

    def look(self, now: datetime, ticks: float) -> None:
        """To be called when a call begins to wait, and while one waits before ``admit``: deadlines
        are times of day, and somebody may set the clock.

        Args:
            ticks: seconds of a clock that nobody sets.
        """
        self._queue.look(instant(now), ticks)

    def woken(self, now: datetime, ticks: float | None = None) -> list[tuple[str, Decision]]:
        """The waiting calls whose fate is decided now, in order of arrival.

        To be asked after every settle, void, leave and event, and at ``next_wake``.
        """
        queue = self._queue
        if not queue:
            return []
        if ticks is not None:
            self.look(now, ticks)
        now = self._at(now)
        queue.wanted.clear()
        fates = []
        lanes: dict[tuple[int, Keys], list[Check]] = {}
        for waiting in queue:
            lane = (id(waiting.selection), waiting.keys)
            if lane in lanes and now < waiting.deadline:
                waiting.lacking = lanes[lane]
                continue
            decision = self._decide(waiting, now)
            if decision.verdict is Verdict.WAIT:
                if now < waiting.deadline:
                    queue.want(waiting)
                    if not self._judge.by_need:
                        # Whoever counts in the same accounts lacks the same room.
                        lanes[lane] = waiting.lacking
                    continue
                decision = Decision(Verdict.BLOCK, ZERO, now, decision.findings)
            queue.take(waiting.ask.id)
            fates.append((waiting.ask.id, decision))
        return fates

    def next_wake(self) -> datetime | None:
        """When time alone may decide a waiting call's fate; None: nobody waits."""
        due = self._queue.deadline()
        if due is None:
            return None
        times = [due]
        for sums, key in self._queue.wanted:
            change = sums.changes_at(key, self._seen)
            if change is not None:
                times.append(change)
        end = self._overrides.ends_after(self._seen)
        return min(times if end is None else [*times, end])

    # -- the ledger --------------------------------------------------------------------------

    def apply(self, record: Line | Event) -> None:
        """Fold one record of the ledger: a call's entry at start, an event at any time."""
        self._folding.apply(record)

    def dump(self) -> Any:
        """What ``apply`` and settled calls have come to, as a value that JSON can hold. What is
        held, and who waits, is not in it."""
        return self._folding.dump()

    def load(self, data: Any) -> None:
        """The reverse of ``dump``.

        Raises:
            Exception: it is not what ``dump`` gave under the same ``digest``.
        """
        self._folding.load(data)

    def digest(self) -> str:
        """Tells whether a dump was made by the same rules of counting; limits are none of them."""
        return self._shapes.digest()

    # -- looking -----------------------------------------------------------------------------

    def session_total(self, session: str, now: datetime | None = None) -> Decimal:
        """What a session has spent; ``default`` today (without ``now``: as of the last event)."""
        if now is None:
            now = max(self._seen, self._folding.last)
        return self._shapes.sessions.spent(session, now)

    def today_total(self, now: datetime) -> Decimal:
        return self._shapes.days.spent("", instant(now))

    def holds(self) -> list[Hold]:
        """What is held now, the oldest first."""
        return [Hold(id, held.ask.scope, held.amount, held.at) for id, held in self._open.items()]

    def granted(self, token: str) -> bool:
        """Whether the session of a token of abg's own was given the token's budget already."""
        return token in self._overrides.granted

    @property
    def blocked(self) -> list[str]:
        """Sessions blocked by hand; ``*``: all."""
        return list(self._overrides.blocked)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    def status(
        self, now: datetime, session: str | None = None, *, recent: int | None = None
    ) -> Status:
        """Where everything stands.

        Args:
            session: only this session, and what is nobody's own, is of interest.
            recent: only so many sessions are, those used last.
        """
        now = instant(now)
        sessions = self._shapes.sessions
        names = islice(sessions.keys(now), recent) if session is None else filter(None, [session])
        return Status(
            {name: sessions.spent(name, now) for name in names},
            self._shapes.days.spent("", now),
            budget_rows(self._rules, self._overrides, self._zone, now, session),
            self.blocked,
        )

    def limit(
        self, now: datetime, *, budget: str | None = None, session: str | None = None
    ) -> Decimal | None:
        """The limit in force: of a session's own budget, or of the one that is named, for that
        session if one is given; None: none is."""
        rules = self._rules
        check = rules.named(budget) if budget is not None else rules.own(session or "")
        return None if check is None else self._judge.limit(check, session or "", instant(now))

    # -- inside ------------------------------------------------------------------------------

    def _at(self, now: datetime) -> datetime:
        self._seen = now = instant(now)
        return now

    def _decide(self, waiting: Waiting, now: datetime) -> Decision:
        """Decide on a call as things stand; if it passes, it holds money."""
        ask, selection, keys = waiting.ask, waiting.selection, waiting.keys
        session = ask.scope.session
        if self._overrides.blocked:
            name = self._overrides.blocks(session)
            if name is not None:
                return Decision(Verdict.BLOCK, ZERO, now, (Finding("block", "blocked", name),))
        found = self._judge.judge(selection, keys, ask.hold, ask.floor, now)
        spent = found.spent
        if self._loops.most is not None:
            loop = self._loop(ask)
            if loop is not None:
                spent.insert(0, loop)
        if ask.unfit is not None:
            spent.insert(0, ask.unfit)
        if not self._block:
            return self._grant(waiting, ask.hold, now, tuple(spent))
        if spent:
            return Decision(Verdict.BLOCK, ZERO, now, tuple(spent))
        if found.lacking or self._queue.wanted:
            findings = self._room(waiting, found.lacking, now)
            if findings:
                return Decision(Verdict.WAIT, ZERO, now, findings)
        return self._grant(waiting, found.grant, now, ())

    def _room(
        self, waiting: Waiting, lacking: list[tuple[Check, Finding]], now: datetime
    ) -> tuple[Finding, ...]:
        """What the call must wait for: room of its own, and those ahead of it."""
        waiting.lacking = [check for check, _ in lacking]
        findings = [finding for _, finding in lacking]
        wanted, keys = self._queue.wanted, waiting.keys
        for check in waiting.selection.checks if wanted else ():
            key = keys[check.index]
            ahead = wanted.get((check.sums, key))
            if ahead is not None and check not in waiting.lacking:
                findings.append(self._judge.behind(check, key, waiting.ask.floor, ahead, now))
        return tuple(findings)

    def _grant(
        self, waiting: Waiting, amount: Decimal, now: datetime, would_block: tuple[Finding, ...]
    ) -> Decision:
        ask, selection, keys = waiting.ask, waiting.selection, waiting.keys
        for accounts, index in selection.money:
            accounts.hold(keys[index], amount)
        for accounts, index in selection.counts:
            accounts.hold(keys[index], _ONE)
        self._open[ask.id] = _Reservation(ask, selection, keys, amount, now)
        self._loops.count(ask.scope.session, ask.thread, ask.fingerprint)
        return Decision(Verdict.ALLOW, amount, now, (), would_block)

    def _release(self, id: str) -> _Reservation:
        reservation = self._open.pop(id)
        keys = reservation.keys
        for accounts, index in reservation.selection.money:
            accounts.release(keys[index], reservation.amount)
        for accounts, index in reservation.selection.counts:
            accounts.release(keys[index], _ONE)
        return reservation

    def _settled(
        self, selection: Selection, keys: Keys, at: datetime, now: datetime, cost: Decimal
    ) -> Settled:
        shapes = self._shapes
        warnings = [
            finding
            for check in selection.warners
            if (finding := self._judge.warns(check, keys[check.index], at, now)) is not None
        ]
        if selection.dear_warners:
            warnings += self._judge.warns_of_one(selection, keys, cost)
        return Settled(
            shapes.sessions.spent(keys[SESSION], at),
            shapes.days.spent("", now),
            tuple(warnings),
        )

    def _loop(self, ask: Ask) -> Finding | None:
        loops = self._loops
        length = loops.length(ask.scope.session, ask.thread, ask.fingerprint)
        if ask.fingerprint is None or loops.most is None or length < loops.most:
            return None
        return Finding(
            "max_identical_requests",
            "loop",
            ask.scope.session,
            spent=Decimal(length),
            limit=Decimal(loops.most),
        )
