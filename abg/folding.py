"""From lines of the ledger to the accounts: what a restart does, and what an event does at once.

An entry is counted in the scopes that its own fields name, at the instant of its admission, so
that the totals are those of the book that lived through it, and those of other budgets if the
configuration has changed since. Lines are folded in the order in which they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from abg.ledger import Event
from abg.loops import Loops
from abg.overrides import Overrides
from abg.rules import SEPARATOR, SESSION, SUBAGENT, Keys, Rules, Selection
from abg.shapes import Shapes
from abg.windows import EARLIEST, instant

__all__ = ["Folding", "Line"]

_ONE = Decimal(1)


class Line(Protocol):
    """What is needed of a call's line: ``abg.ledger.Entry`` and ``Posting`` have it."""

    @property
    def ts(self) -> datetime: ...
    @property
    def session_id(self) -> str: ...
    @property
    def cost_usd(self) -> Decimal: ...
    @property
    def model(self) -> str: ...
    @property
    def model_requested(self) -> str | None: ...
    @property
    def model_scope(self) -> str | None: ...
    @property
    def agent(self) -> str: ...
    @property
    def subagent(self) -> str | None: ...
    @property
    def project(self) -> str | None: ...
    @property
    def auth(self) -> str | None: ...
    @property
    def event(self) -> str | None: ...


class Folding:
    """Folds records into the accounts and overrides it was given."""

    def __init__(self, shapes: Shapes, rules: Rules, overrides: Overrides, loops: Loops) -> None:
        self._shapes = shapes
        self._rules = rules
        self._overrides = overrides
        self._loops = loops
        self._add_session = shapes.by_session.adder
        self._add_day = shapes.all.adder
        self._simple = rules.simple
        self._resets: dict[str, datetime] = {}
        """When each session last started again."""
        self.last = EARLIEST
        """The instant of the last line."""

    def apply(self, record: Line | Event) -> None:
        """Fold one record. A line without cost (a refused call, an error) counts nowhere."""
        if record.event is not None:
            self._event(record)  # type: ignore[arg-type]
            return
        cost = record.cost_usd
        if not cost:
            return
        at = self.last = record.ts
        if self._simple:
            self._add_session(record.session_id, at, cost)
            self._add_day("", at, cost)
            return
        self._entry(record, cost)

    def _entry(self, record: Line, cost: Decimal) -> None:
        selection, keys = self._rules.parts(
            record.session_id,
            record.agent,
            record.subagent or "",
            record.model_scope or record.model_requested or record.model,
            record.project or "",
            record.auth or "none",
        )
        at = instant(record.ts)
        for add, index in selection.adders:
            add(keys[index], at, cost)
        for accounts, index in selection.counts:
            accounts.add(keys[index], at, _ONE)

    def _event(self, event: Event) -> None:
        session = event.session_id
        if event.event == "reset":
            if session is not None:
                self._reset(session, instant(event.ts))
        elif event.event in ("raise", "block", "unblock"):
            self._overrides.apply(event)
        elif event.cost_usd:
            self._adjust(event, session or "default")

    def _reset(self, session: str, at: datetime) -> None:
        self._resets[session] = at
        self._loops.forget(session)
        for accounts, by_subagent in self._shapes.of_session():
            if by_subagent:
                accounts.clear_all(session + SEPARATOR)
            else:
                accounts.clear(session)

    def _adjust(self, event: Event, session: str) -> None:
        """A correction of an earlier call, in the scopes and at the instant of that call."""
        data, cost = event.data, event.cost_usd
        selection, keys = self._scope(session, data)
        at = _time(data.get("at")) or instant(event.ts)
        # What a session spent before it started again is not there to be given back. A line of old
        # does not say whether its call had ended by then.
        before = data.get("reset", at < self._resets.get(session, EARLIEST))
        gone = cost < 0 and before is not False
        for accounts, index in selection.money:
            if not (gone and index in (SESSION, SUBAGENT)):
                accounts.add(keys[index], at, cost)

    def _scope(self, session: str, data: Mapping[str, Any]) -> tuple[Selection, Keys]:
        model = data.get("model_scope") or data.get("model_requested") or data.get("model")
        return self._rules.parts(
            session,
            str(data.get("agent") or "unknown"),
            str(data.get("subagent") or ""),
            str(model or ""),
            str(data.get("project") or ""),
            str(data.get("auth") or "none"),
        )

    def dump(self) -> dict[str, Any]:
        return {
            "accounts": self._shapes.dump(),
            "overrides": self._overrides.dump(),
            "resets": {name: at.isoformat() for name, at in self._resets.items()},
        }

    def load(self, data: Mapping[str, Any]) -> None:
        self._shapes.load(data["accounts"])
        self._overrides.load(data["overrides"])
        self._resets = {
            str(name): instant(datetime.fromisoformat(at)) for name, at in data["resets"].items()
        }


def _time(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            # Python 3.10 reads no Z.
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return instant(value)
    return None
