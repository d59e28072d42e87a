"""Strict mode's way to a decision: prove a bound, have the input counted, lower the output.

In this order (issue of the cap that never gives way): the whole bound fits and passes; else the
vendor's free counter narrows the input; else the output allowance is lowered to what the budget
still pays; only then the call waits or is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from attrs import evolve

from abg.bound import MOST_OUTPUT_TOKENS, Bound, BoundFacts, Unprovable
from abg.call import Call, Headers, Session
from abg.config import Config
from abg.counting import count_question
from abg.dialects import Dialect
from abg.flight import Flight
from abg.headers import for_vendor, without
from abg.proxy.counter import Question
from abg.proxy.passage import House
from abg.routing import Route

__all__ = ["Strict", "StrictHouse"]


class StrictHouse(House, Protocol):
    """What strict mode needs of the corridor."""

    config: Config
    later: Callable[[float, Any], Any]


class Strict:
    """One call's bound, and what it takes to keep it.

    The body is the caller's: it is kept no longer than that one keeps it, and what it unpacks to
    not at all. Eight kilobytes may stand for megabytes, and a call may wait for minutes.

    Args:
        body: as it came.
        plain: the same, decompressed; None if nobody can read it.
        unpack: decompresses it again; with its size.
        room: takes room in memory for so many bytes, if there is some.
    """

    def __init__(
        self,
        house: StrictHouse,
        route: Route,
        dialect: Dialect,
        call: Call,
        headers: Headers,
        body: bytes,
        plain: bytes | None,
        unpack: Callable[[bytes], tuple[bytes | None, int]],
        room: Callable[[int], bool],
    ) -> None:
        self._house = house
        self._route = route
        self._dialect = dialect
        self._call = call
        self._headers = headers
        self._body = body
        self._unpack = unpack
        self._room = room
        self._facts: BoundFacts = dialect.bound_facts(route.endpoint, plain or b"")
        self._bound: Bound | Unprovable = house.guard.prove(self._facts)
        self._question: Question | None = None

    def ask(
        self,
        session: Session,
        on_decision: Callable[[Flight], None],
        then: Callable[[Flight], None],
    ) -> None:
        """Ask for the call; ``then`` gets its flight, perhaps only after the vendor's count."""
        guard, dialect, call = self._house.guard, self._dialect, self._call

        def last(count: int | None) -> None:
            self._question = None
            if count is not None:
                self._bound = guard.prove(self._facts, count)
            self._bound = self._lowest(self._bound)
            then(guard.ask(dialect, call, session, on_decision, self._bound))

        if self._countable:
            if isinstance(self._bound, Bound):
                flight = guard.ask(dialect, call, session, on_decision, self._bound, tentative=True)
                if flight.decision is not None:
                    then(flight)
                    return
            plain = self._plain()
            question = count_question(self._route.endpoint, self._route.target, plain)
            if question is not None and self._room(len(question[1])):
                self._send(question, last)
                return
        last(None)

    def lowered(self, flight: Flight) -> bytes | None:
        """The body with the output allowance that the hold pays for; None: as it came. The body
        is let go."""
        try:
            return self._lowered(flight)
        finally:
            self._body = b""

    def _lowered(self, flight: Flight) -> bytes | None:
        bound = self._bound
        if isinstance(bound, Unprovable):
            return None  # it passes only where nothing blocks
        allowance = bound.allowance_for(flight.hold)
        assert allowance is not None
        if allowance >= bound.allowance and (
            self._facts.max_output_tokens is not None or allowance >= MOST_OUTPUT_TOKENS
        ):
            return None
        lowered = self._lower(allowance)
        if lowered is not None:
            flight.output_limit = allowance
        return lowered

    def forget(self) -> None:
        """The client has gone, or the call was decided."""
        self._body = b""
        if self._question is not None:
            self._question.forget()
            self._question = None

    @property
    def _countable(self) -> bool:
        """Whether the vendor's count can narrow the bound, or give one where there is none."""
        bound = self._bound
        if self._route.upstream == "chatgpt":
            return False
        if isinstance(bound, Unprovable):
            if self._facts.opaque is None:
                return False
            return isinstance(self._house.guard.prove(self._facts, 0), Bound)
        return not bound.exact_input

    def _lowest(self, bound: Bound | Unprovable) -> Bound | Unprovable:
        """The bound with the floor that this body can be brought down to."""
        if isinstance(bound, Unprovable) or bound.floor_allowance >= bound.allowance:
            return bound
        if self._lower(bound.floor_allowance) is None:
            return evolve(bound, floor_allowance=bound.allowance)
        return bound

    def _lower(self, allowance: int) -> bytes | None:
        if self._route.upstream == "chatgpt":
            return None  # it takes no limit
        return self._dialect.lower_output(self._plain(), allowance)

    def _plain(self) -> bytes:
        return self._unpack(self._body)[0] or b""

    def _send(self, question: tuple[bytes, bytes], told: Callable[[int | None], None]) -> None:
        house, target = self._house, question[0]
        asked = self._question = Question(told, house.later)
        extra = house.router.extra_headers(self._route.upstream)
        headers = without(for_vendor(self._headers, extra), b"content-encoding")
        asked.vendor = house.upstreams.request(
            house.router.origin(self._route.upstream),
            b"POST",
            target,
            headers,
            question[1],
            asked,
        )
