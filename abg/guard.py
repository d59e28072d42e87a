"""The guard: configuration, prices, book and journal, without sockets.

Feed it what happens to a call; it answers with what to do. Time and ids are handed in, so that a
simulator drives the very same code::

    flight = guard.ask(dialect, call, session)   # ALLOW, BLOCK or WAIT
    guard.depart(flight)                         # money is held, the in-flight journal knows it
    relayed = flight.feed(answer_bytes)          # in any split
    guard.land(flight, "complete", status=200)   # priced, settled, one ledger line

Each call ends exactly once: blocked inside ``ask``, by ``leave``, or by ``land``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from attrs import evolve

from abg.background import OpenCalls
from abg.book import Ask, Book, Decision, Finding, Verdict
from abg.bound import Bound, BoundFacts, Terms, Unprovable, prove
from abg.call import Call, Scope, Session
from abg.config import Config
from abg.custody import Grant
from abg.dialects import Dialect, Meter, Refusal
from abg.errors import LedgerUnavailable
from abg.flight import Flight
from abg.histories import Histories
from abg.ledger import Entry, Event
from abg.money import ZERO
from abg.notices import Notices
from abg.outcome import Outcome, adjustment, billed, entry_of, facts_of, line_of, would_block
from abg.pricing import PriceTable
from abg.refusals import decision_headers, refusal_text
from abg.streams import Streams
from abg.tally import Tally

__all__ = ["Guard", "Ledger"]


class Ledger(Protocol):
    """What the guard needs of the journal."""

    @property
    def healthy(self) -> bool: ...
    @property
    def problem(self) -> str: ...
    def append(self, record: Entry | Event) -> None: ...
    def reserve(self, id: str, facts: dict[str, Any]) -> None: ...
    def release(self, id: str) -> None: ...


class Guard:
    """Decides, prices and records; see the module's text for its verbs.

    Args:
        clock: the time of day, timezone-aware UTC.
        monotonic: seconds that never step back, for durations.
        new_id: a fresh id for each call, unique across restarts.
        say: takes one console line.
    """

    def __init__(
        self,
        config: Config,
        table: PriceTable,
        book: Book,
        opened: OpenCalls,
        ledger: Ledger,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        self.config = config
        self.table = table
        self.book = book
        self.opened = opened
        self.ledger = ledger
        self.tally = Tally()
        self._notices = Notices(self.tally, say)
        self._clock = clock
        self._monotonic = monotonic
        self._new_id, self._say = new_id, say
        self._histories = Histories()
        self._waiting: dict[str, Flight] = {}
        self._airborne: dict[str, Flight] = {}
        self._fail_closed = config.on_ledger_error == "block"
        self._terms = Terms.of(config)
        self._streams = Streams(book, table, self._histories)
        self._closing = False
        self.on_waiting: Callable[[], None] = lambda: None
        """Called whenever the time of ``next_wake`` may have changed."""

    # -- asking ------------------------------------------------------------------------------

    def ask(
        self,
        dialect: Dialect,
        call: Call,
        session: Session,
        on_decision: Callable[[Flight], None] | None = None,
        bound: Bound | Unprovable | None = None,
        *,
        tentative: bool = False,
    ) -> Flight:
        """Decide on a call. Its ``decision`` says allow, block or wait.

        While it waits nothing is held; ``on_decision`` is called once its fate is known.

        Args:
            bound: strict mode's proof, or what has none.
            tentative: only pass the call if its whole bound fits; where a narrower one might
                still do, nothing is decided yet (``decision`` is None).
        """
        match = self.table.resolve(dialect.vendor, call.model)
        scope = Scope(
            session.id,
            session.agent,
            session.subagent or "",
            match.name,
            session.project or "",
            session.auth,
        )
        flight = Flight(self._new_id(), dialect, call, session, scope)
        flight.on_decision = on_decision
        flight.admitted_at = now = self._clock()
        flight.asked_at = self._monotonic()
        if self._waiting:
            self.book.look(now, flight.asked_at)
        if match.price == "assumed":
            self._notices.assumed(match, call)
        flight.estimate = self._estimate(flight, now)
        self._decide(flight, self._admit(flight, bound, match.blocked, tentative))
        return flight

    def _admit(
        self, flight: Flight, bound: Bound | Unprovable | None, unknown: bool, tentative: bool
    ) -> Decision | None:
        """The book's decision; None: a tentative call is to be asked for again."""
        now = flight.admitted_at or self._clock()
        unfit = None
        if unknown:
            unfit = Finding("unknown_model", "unknown_model", flight.call.model or "(none)")
        elif isinstance(bound, Unprovable):
            unfit = Finding("strict", "strict", bound.part)
        hold = floor = flight.estimate
        if isinstance(bound, Bound):
            flight.bound = hold = bound.full_usd
            floor = hold if tentative else bound.floor_usd
        decision = self.book.admit(
            Ask(
                id=flight.id,
                scope=flight.scope,
                hold=hold,
                floor=floor,
                fingerprint=flight.call.fingerprint,
                thread=flight.session.thread or "",
                may_wait=not (tentative or self._closing),
                unfit=unfit,
            ),
            now,
        )
        return None if tentative and not decision.final else decision

    def prove(self, facts: BoundFacts, counted: int | None = None) -> Bound | Unprovable:
        """The most that a call can cost, by what its request says and the vendor counted."""
        if counted is not None:
            facts = evolve(facts, counted_tokens=counted)
        return prove(facts, self.table, self._clock(), self._terms)

    def granted(self, session: Session, grant: Grant) -> Session:
        """The session that a token of abg's own pays in, whatever the request says of it."""
        # Only at its first use: a budget that was raised since then stays raised.
        if grant.budget_usd is not None and not self.book.granted(grant.id):
            with suppress(LedgerUnavailable):  # which refuses the call itself, too
                self.event("raise", **grant.raising(locked=self.config.lock_budgets))
        return evolve(session, id=grant.session, source="token")

    def depart(self, flight: Flight) -> None:
        """Write the reservation down, before the first byte leaves for the vendor.

        Raises:
            LedgerUnavailable: it cannot be written; the flight has ended, nothing is held.
        """
        try:
            if self._fail_closed and not self.ledger.healthy:
                raise LedgerUnavailable(self.ledger.problem)
            self.ledger.reserve(flight.id, facts_of(flight))
        except LedgerUnavailable:
            if self._fail_closed:
                self.book.void(flight.id, self._clock())
                self._end(flight)
                self.tally.count("ledger_unavailable")
                self.wake()
                raise
        flight.sent = True  # until its vendor's call says that no byte left
        flight.sent_at = self._monotonic()
        self._airborne[flight.id] = flight

    def answered(self, flight: Flight, status: int) -> None:
        """The head of the vendor's answer is here."""
        flight.status = status
        flight.answered_at = self._monotonic()

    def leave(self, flight: Flight) -> None:
        """The client of a waiting call has gone: nothing was held, an entry says so."""
        if flight.ended:
            return
        self._waiting.pop(flight.id, None)
        self.book.leave(flight.id)
        self._end(flight)
        total = self.book.session_total(flight.session.id)
        self._record(flight, Outcome("allow", "client_gone", total, reason="left while waiting"))
        self.wake()

    def refusal(self, flight: Flight) -> Refusal:
        """The answer to a blocked call, in its dialect's shape."""
        decision = flight.decision
        assert decision is not None
        text = self._words(flight, decision)
        kind, word = ("busy", "busy") if decision.busy else ("spent", "block")
        refusal = flight.dialect.refusal(text, kind=kind, request_id=flight.id)
        refusal.headers.extend(decision_headers(word, flight.scope, decision.findings))
        return refusal

    # -- landing -----------------------------------------------------------------------------

    def land(self, flight: Flight, end: str, *, status: int = 0, reason: str = "") -> None:
        """The call is over: price it, settle it, write its line. Ending twice is ignored.

        Args:
            end: ``complete``, ``client_gone``, ``upstream_cut``, ``upstream_failed``, ``timeout``,
                ``cut``, ``voided`` or ``shutdown``.
            status: what the client was answered.
        """
        if flight.ended:
            return
        self._end(flight)
        now = self._clock()
        flight.status = status or flight.status
        seconds = self._monotonic() - flight.sent_at
        bill = billed(flight, end, seconds, self.table, strict=self.config.enforcement == "strict")
        source, cost, failed = bill.cost_source, bill.cost_usd, bill.failed
        settled = self.book.settle(flight.id, cost, now, failed=failed)
        if source == "measured" and not failed:
            self._histories.learn(flight.session.id, flight.call, bill.reading, cost)
        noteworthy = settled.warnings or would_block(flight) or end == "cut"
        # A background response goes on when its client has gone, and is fetched later.
        keep_open = source == "estimated" and (end == "complete" or flight.call.background)
        outcome = bill.concluded(
            "warn" if noteworthy else "allow",
            settled.session_total,
            reason,
            bill.reading.response_id if keep_open else None,
        )
        self._record(flight, outcome, settled.warnings)
        self.ledger.release(flight.id)
        self.wake()

    def observe(self, response_id: str, dialect: Dialect, meter: Meter) -> None:
        """A later answer may carry the usage of an open call: write the difference once."""
        reading = meter.reading
        opened = self.opened.get(response_id)
        if opened is not None and reading.final:
            call = Call(dialect.name, opened.endpoint, opened.model)
            cost = self.table.cost(dialect.vendor, reading, call, opened.ts).usd
            with suppress(LedgerUnavailable):
                self.event("adjust", **adjustment(response_id, opened, reading, cost))

    # -- waiting -----------------------------------------------------------------------------

    def wake(self) -> None:
        """Tell waiting calls whose fate is decided now."""
        if not self._waiting:
            return
        for id, decision in self.book.woken(self._clock(), self._monotonic()):
            self._tell(id, decision)
        self.on_waiting()

    def turn_away(self) -> None:
        """abg stops: nobody waits any longer, whoever does is refused as busy (contract 18)."""
        self._closing = True
        now = self._clock()
        for id, flight in list(self._waiting.items()):
            if self.book.leave(id) and flight.decision is not None:
                self._tell(id, evolve(flight.decision, verdict=Verdict.BLOCK, at=now))
        self.on_waiting()

    def next_wake(self) -> datetime | None:
        """When ``wake`` is due at the latest; None: nobody waits for a moment."""
        return self.book.next_wake() if self._waiting else None

    # -- stopping inside a stream ---------------------------------------------------------------

    def cut_overruns(self) -> bool:
        """End the streams that have used a budget up; to be asked now and then while calls with
        ``on_cut`` run. False: no call is with a vendor any more."""
        now = self._clock()
        for id, finding in self._streams.overrun(self._airborne.values(), now).items():
            flight = self._airborne.get(id)
            if flight is not None and flight.on_cut is not None:
                decision = Decision(Verdict.BLOCK, ZERO, now, (finding,))
                flight.on_cut(self._words(flight, decision), finding.message())
        return bool(self._airborne)

    # -- power over money at run time ----------------------------------------------------------

    def event(self, name: str, **data: Any) -> None:
        """Record what a person did (reset, raise, block, unblock) and let it take effect."""
        self._write_event(Event(self._clock(), name, data))

    def void(self, id: str) -> bool:
        """Abort the call that holds money under this id; it settles as any cut call does."""
        flight = self._airborne.get(id)
        if flight is None:
            return False
        if flight.on_void is not None:
            flight.on_void()
        self.land(flight, "voided")
        return True

    def airborne(self) -> list[Flight]:
        """The calls that are with a vendor now."""
        return list(self._airborne.values())

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    # -- inside ------------------------------------------------------------------------------

    def _tell(self, id: str, decision: Decision) -> None:
        """The fate of a waiting call is decided."""
        flight = self._waiting.pop(id, None)
        if flight is not None:
            tell = flight.on_decision
            self._decide(flight, decision)
            if tell is not None:
                tell(flight)

    def _words(self, flight: Flight, decision: Decision) -> str:
        locked, zone, plan = self.config.lock_budgets, self.config.zone, flight.subscription
        return refusal_text(decision, flight.scope, locked=locked, zone=zone, notional=plan)

    def _decide(self, flight: Flight, decision: Decision | None) -> None:
        flight.decision = decision
        if decision is None:
            return
        flight.admitted_at = decision.at
        verdict = decision.verdict
        flight.waiting = verdict is Verdict.WAIT
        if verdict is Verdict.ALLOW:
            flight.hold = decision.hold
        elif verdict is Verdict.WAIT:
            self._waiting[flight.id] = flight
            self.book.look(decision.at, self._monotonic())
            self.on_waiting()
        else:
            self._end(flight)
            reason = "; ".join(f.message() for f in decision.findings)
            flight.status = self.refusal(flight).status
            total = self.book.session_total(flight.session.id)
            self._record(flight, Outcome("block", "blocked", total, reason=reason))

    def _end(self, flight: Flight) -> None:
        flight.end()
        self._airborne.pop(flight.id, None)

    def _estimate(self, flight: Flight, now: datetime) -> Decimal:
        rates = self.table.typical(flight.dialect.vendor, flight.call.model, now)
        flight.output_limit = rates.max_output_tokens
        return self._histories.estimate(flight.session.id, flight.call, rates)

    def _record(self, flight: Flight, outcome: Outcome, warnings: Sequence[Finding] = ()) -> None:
        entry = entry_of(flight, outcome, self._monotonic())
        try:
            self.ledger.append(entry)
        except LedgerUnavailable as error:
            self._say(f"[abg] ERROR ledger: {error}")
        if entry.open is not None:
            self.opened.apply(entry)
        self.tally.record(entry, entry.end)
        self._notices.entry(entry)
        self._say(line_of(entry, warnings, would_block(flight)))

    def _write_event(self, event: Event) -> None:
        try:
            self.ledger.append(event)
        finally:
            # A line that cannot be written now is kept, and written later: it counts already.
            self.book.apply(event)
            self.opened.apply(event)
            self.wake()
