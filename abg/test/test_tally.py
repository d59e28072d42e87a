"""Counts since the start: bounded, and only for show."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

from abg import tally
from abg.ledger import Entry
from abg.tally import Tally

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)


def entry(session: str = "s", action: str = "allow", minutes: int = 0) -> Entry:
    return Entry(
        ts=NOW + timedelta(minutes=minutes),
        session_id=session,
        model="m",
        input_tokens=10,
        output_tokens=5,
        cost_usd=Decimal("0.5"),
        session_total_usd=Decimal("0.5"),
        action=action,
        agent="codex",
        cache_read_tokens=3,
        cache_write_tokens=2,
    )


def test_sessions_add_up_and_refusals_are_apart():
    counts = Tally()
    counts.record(entry(), "complete")
    counts.record(entry(minutes=2), "client_gone")
    counts.record(entry(action="block", minutes=1), "blocked")
    told = counts.sessions["s"].as_dict()
    assert (told["requests"], told["blocked"]) == (2, 1)
    assert (told["input_tokens"], told["output_tokens"]) == (20, 10)
    assert (told["cache_read_tokens"], told["cache_write_tokens"]) == (6, 4)
    assert told["cost_usd"] == Decimal(1)
    assert told["usd_per_minute"] == Decimal("0.5")
    assert told["agent"] == "codex"
    assert dict(counts.counts) == {"allow": 2, "block": 1, "client_gone": 1}


def test_old_sessions_and_many_models_are_forgotten(monkeypatch):
    monkeypatch.setattr(tally, "SESSIONS", 2)
    monkeypatch.setattr(tally, "MODELS", 1)
    counts = Tally()
    for name in "abc":
        counts.record(entry(name), "complete")
    assert list(counts.sessions) == ["b", "c"]
    assert counts.note_model("x")
    assert not counts.note_model("x")
    assert not counts.note_model("y")
    counts.count("free")
    assert counts.counts["free"] == 1
