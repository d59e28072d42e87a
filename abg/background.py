"""Calls that were charged by an estimate and whose usage may still come: the *open* ids.

A background response or a message batch answers its POST without usage; the first later answer
that carries usage for its id corrects the estimate by one ``adjust`` line. The set survives
restarts, since it is folded from the ledger like every other total.
"""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from attrs import evolve, frozen

from abg.ledger import Entry, Event, Posting

__all__ = ["OpenCall", "OpenCalls"]

MOST = 10_000
"""Ids kept; vendors forget a response after 30 days, and the estimate stands without the id."""


@frozen
class OpenCall:
    """What an adjustment needs to know of the call it corrects."""

    request_id: str
    ts: datetime
    session_id: str
    model: str
    endpoint: str
    cost_usd: Decimal
    agent: str = "unknown"
    subagent: str | None = None
    project: str | None = None
    auth: str = "none"
    model_scope: str = ""
    """The model that budgets go by: the requested one, as the price table resolved it."""
    reset: bool = False
    """Its session has started again since its line was written: the estimate is gone from there."""


class OpenCalls:
    """The open ids, oldest first; folded from records, and dumped into the checkpoint."""

    def __init__(self) -> None:
        self._open: dict[str, OpenCall] = {}

    def get(self, response_id: str) -> OpenCall | None:
        return self._open.get(response_id)

    def __contains__(self, response_id: object) -> bool:
        return response_id in self._open

    def __len__(self) -> int:
        return len(self._open)

    def apply(self, record: Entry | Posting | Event) -> None:
        """Fold one ledger record: an entry with ``open`` opens, its ``adjust`` closes."""
        if isinstance(record, Event):
            if record.event == "adjust":
                self._open.pop(str(record.data.get("open", "")), None)
            elif record.event == "reset":
                for id, call in self._open.items():
                    if call.session_id == record.session_id:
                        self._open[id] = evolve(call, reset=True)
        elif record.open:
            self._open[record.open] = OpenCall(
                request_id=record.request_id,
                ts=record.ts,
                session_id=record.session_id,
                model=record.model,
                endpoint=getattr(record, "endpoint", None) or "",
                cost_usd=record.cost_usd,
                agent=record.agent,
                subagent=record.subagent,
                project=record.project,
                auth=record.auth or "none",
                model_scope=record.model_scope or record.model_requested or record.model,
            )
            while len(self._open) > MOST:
                del self._open[next(iter(self._open))]

    def dump(self) -> list[list[Any]]:
        """A value that JSON can hold; amounts are decimal text."""
        return [
            [
                id,
                c.request_id,
                c.ts.isoformat(),
                c.session_id,
                c.model,
                c.endpoint,
                str(c.cost_usd),
                c.agent,
                c.subagent,
                c.project,
                c.auth,
                c.model_scope,
                c.reset,
            ]
            for id, c in self._open.items()
        ]

    def load(self, data: list[list[Any]]) -> None:
        """The reverse of ``dump``.

        Raises:
            ValueError, TypeError: not what ``dump`` gave.
        """
        self._open = {
            row[0]: OpenCall(
                row[1],
                datetime.fromisoformat(row[2]).astimezone(timezone.utc),
                row[3],
                row[4],
                row[5],
                Decimal(row[6]),
                row[7],
                row[8],
                row[9],
                row[10],
                *row[11:],
            )
            for row in data
        }
