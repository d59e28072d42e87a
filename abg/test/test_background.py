"""Open ids: opened by an entry, closed by its adjustment, kept across restarts."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

from abg import background
from abg.background import OpenCalls
from abg.ledger import Entry, Event

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)


def entry(id: str | None) -> Entry:
    return Entry(
        ts=NOW,
        session_id="s",
        model="gpt-6.1-sol",
        input_tokens=1,
        output_tokens=2,
        cost_usd=Decimal("0.5"),
        session_total_usd=Decimal("0.5"),
        action="allow",
        request_id="r",
        open=id,
        endpoint="responses",
    )


def test_opened_and_closed():
    calls = OpenCalls()
    calls.apply(entry(None))
    assert len(calls) == 0
    calls.apply(entry("resp_1"))
    assert "resp_1" in calls
    found = calls.get("resp_1")
    assert found is not None
    assert found.cost_usd == Decimal("0.5")
    calls.apply(Event(NOW, "reset", {"session_id": "s"}))
    assert "resp_1" in calls
    calls.apply(Event(NOW, "adjust", {"open": "resp_1", "cost_usd": Decimal(-1)}))
    assert calls.get("resp_1") is None


def test_what_was_charged_before_a_reset_is_known_by_the_order_of_lines():
    calls = OpenCalls()
    calls.apply(entry("resp_1"))
    calls.apply(Event(NOW, "reset", {"session_id": "another"}))
    assert calls.get("resp_1").reset is False  # type: ignore[union-attr]
    calls.apply(Event(NOW, "reset", {"session_id": "s"}))
    # Admitted before, but written after it.
    calls.apply(entry("resp_2"))
    assert calls.get("resp_1").reset is True  # type: ignore[union-attr]
    assert calls.get("resp_2").reset is False  # type: ignore[union-attr]
    again = OpenCalls()
    again.load(calls.dump())
    assert again.get("resp_1") == calls.get("resp_1")
    again.load([row[:-1] for row in calls.dump()])
    assert again.get("resp_1").reset is False  # type: ignore[union-attr]


def test_a_dump_is_the_whole_state():
    calls = OpenCalls()
    calls.apply(entry("resp_1"))
    calls.apply(entry("resp_2"))
    again = OpenCalls()
    again.load(calls.dump())
    assert again.dump() == calls.dump()
    assert again.get("resp_2") == calls.get("resp_2")


def test_the_oldest_are_dropped(monkeypatch):
    monkeypatch.setattr(background, "MOST", 2)
    calls = OpenCalls()
    for name in "abc":
        calls.apply(entry(name))
    assert "a" not in calls
    assert len(calls) == 2
