"""Counts since the start of the program, for status, the status line and metrics.

Decoration only: no decision reads them, and they may be lost.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from datetime import datetime
from decimal import Decimal
from typing import Any

from abg.ledger import Entry
from abg.money import ZERO

__all__ = ["SessionTally", "Tally"]

SESSIONS = 1000
MODELS = 200


class SessionTally:
    """What one session did since the start of the program."""

    __slots__ = (
        "agent",
        "auth",
        "blocked",
        "cache_read_tokens",
        "cache_write_tokens",
        "cost_usd",
        "first",
        "input_tokens",
        "last",
        "model",
        "output_tokens",
        "requests",
    )

    def __init__(self, first: datetime) -> None:
        self.requests = self.blocked = 0
        self.input_tokens = self.output_tokens = 0
        self.cache_read_tokens = self.cache_write_tokens = 0
        self.cost_usd: Decimal = ZERO
        self.first = self.last = first
        self.agent = "unknown"
        self.auth = "none"
        self.model = ""

    def as_dict(self) -> dict[str, Any]:
        last_ts = self.last.timestamp()
        minutes = max(1.0, (last_ts - self.first.timestamp()) / 60)
        return {
            "requests": self.requests,
            "blocked": self.blocked,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_read_tokens": self.cache_read_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "cost_usd": self.cost_usd,
            "usd_per_minute": round(self.cost_usd / Decimal(minutes), 6),
            "agent": self.agent,
            "auth": self.auth,
            "model": self.model,
            "last_ts": last_ts,
        }


class Tally:
    """Counters by kind, tallies by session, and what had to be assumed or estimated."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.unknown_models: dict[str, None] = {}
        self.unmetered: dict[str, None] = {}
        self.sessions: OrderedDict[str, SessionTally] = OrderedDict()

    def count(self, kind: str) -> None:
        self.counts[kind] += 1

    def note_model(self, model: str) -> bool:
        """True the first time an unknown model is seen."""
        if model in self.unknown_models or len(self.unknown_models) >= MODELS:
            return False
        self.unknown_models[model] = None
        return True

    def note_unmetered(self, kind: str) -> bool:
        """True the first time a kind of call had to be charged by an estimate."""
        if kind in self.unmetered or len(self.unmetered) >= MODELS:
            return False
        self.unmetered[kind] = None
        return True

    def record(self, entry: Entry, end: str) -> None:
        self.counts[entry.action] += 1
        if end not in ("complete", "blocked"):
            self.counts[end] += 1
        at = entry.ts
        session = self.sessions.get(entry.session_id)
        if session is None:
            session = self.sessions[entry.session_id] = SessionTally(at)
            if len(self.sessions) > SESSIONS:
                self.sessions.popitem(last=False)
        elif at > session.last:
            session.last = at
        session.agent = entry.agent
        session.auth = entry.auth or "none"
        session.model = entry.model
        if entry.action == "block":
            session.blocked += 1
            return
        session.requests += 1
        session.input_tokens += entry.input_tokens
        session.output_tokens += entry.output_tokens
        session.cache_read_tokens += entry.cache_read_tokens
        session.cache_write_tokens += entry.cache_write_tokens
        session.cost_usd += entry.cost_usd
