"""What the journal's tests share: totals as a plain sum, made-up entries, a clock in the hand."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from attrs import evolve

from abg.journal import Journal
from abg.journal.files import fcntl
from abg.journal.syncing import Worker
from abg.ledger import Entry

START = datetime(2026, 11, 25, 10, 0, tzinfo=timezone.utc)


class Sums:
    """The simplest totals there are: the sum by session, and which ids were counted."""

    def __init__(self, rules: str = "rules-1") -> None:
        self.sessions: dict[str, Decimal] = {}
        self.ids: list[str] = []
        self.rules = rules
        self.loads = 0

    def apply(self, record: Any) -> None:
        session = record.session_id
        if session is not None:
            self.sessions[session] = self.sessions.get(session, Decimal(0)) + record.cost_usd
        if record.event is None:
            self.ids.append(record.request_id)

    def dump(self) -> Any:
        return {
            "sessions": {name: str(usd) for name, usd in self.sessions.items()},
            "ids": list(self.ids),
        }

    def load(self, data: Any) -> None:
        self.sessions = {name: Decimal(usd) for name, usd in data["sessions"].items()}
        self.ids = list(data["ids"])
        self.loads += 1

    def session_total(self, session_id: str) -> Decimal:
        return self.sessions.get(session_id, Decimal(0))

    def digest(self) -> str:
        return self.rules


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


class Desk:
    """A ledger in a folder, and all that a test does to it.

    ``settle`` does what the guard does: it counts, then appends. ``die`` leaves everything as a
    killed process leaves it.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        self.path = folder / "ledger.jsonl"
        self.clock = Clock()
        self.options = options
        self.said: list[str] = []
        self.numbers = itertools.count(1)
        self.totals: Sums
        self.journal: Journal

    def open(self, rules: str = "rules-1", **options: Any) -> Journal:
        self.totals = Sums(rules)
        self.journal = Journal.open(
            self.path,
            totals=self.totals,
            clock=self.clock,
            say=self.said.append,
            **{**self.options, **options},
        )
        return self.journal

    def entry(self, usd: str = "0.01", session: str = "default", **more: Any) -> Entry:
        return entry(usd, session, ts=self.clock(), id=f"req_{next(self.numbers)}", **more)

    def settle(self, usd: str = "0.01", session: str = "default") -> Entry:
        made = self._counted(self.entry(usd, session))
        self.journal.append(made)
        return made

    def _counted(self, made: Entry) -> Entry:
        self.totals.apply(made)
        return evolve(made, session_total_usd=self.totals.session_total(made.session_id))

    def reserve(self, usd: str = "0.05", session: str = "default") -> str:
        id = f"req_{next(self.numbers)}"
        self.journal.reserve(id, facts(usd, session, self.clock()))
        return id

    def finish(self, id: str, usd: str = "0.01", session: str = "default") -> None:
        self.journal.append(self._counted(entry(usd, session, ts=self.clock(), id=id)))

    def die(self) -> None:
        """The process is killed: the system closes its files, and that is all."""
        abandon(self.journal)

    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines()


def abandon(journal: Journal) -> None:
    """Let go of a journal as the system lets go of a dead process's."""
    os.close(journal._lock._fd)
    if fcntl is not None:
        fcntl.flock(journal._succession.active.file.fd, fcntl.LOCK_UN)


def entry(
    usd: str = "0.01",
    session: str = "default",
    *,
    ts: datetime = START,
    id: str = "req_0",
    **more: Any,
) -> Entry:
    """A call's entry as good as any."""
    return Entry(
        ts=ts,
        session_id=session,
        model="claude-sonnet-4-6",
        input_tokens=100,
        output_tokens=20,
        cost_usd=Decimal(usd),
        session_total_usd=Decimal(usd),
        action="allow",
        request_id=id,
        **more,
    )


def facts(usd: str, session: str, ts: datetime) -> dict[str, Any]:
    """What the guard notes of a call when it reserves."""
    return {
        "ts": ts,
        "session_id": session,
        "agent": "codex",
        "model": "gpt-5.4",
        "hold_usd": Decimal(usd),
        "auth": "api_key",
    }


def inline(monkeypatch: Any) -> None:
    """Let the journal's thread do its jobs at once, on the caller's thread."""

    def submit(
        self: Worker, job: Callable[[], None], done: Callable[[OSError | None], None]
    ) -> None:
        error: OSError | None = None
        try:
            job()
        except OSError as failure:
            error = failure
        done(error)

    monkeypatch.setattr(Worker, "submit", submit)
