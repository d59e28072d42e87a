"""How long a start takes: a ledger of a million entries, with and without its checkpoint.

    python benchmarks/replay.py [--lines 1000000] [--budgets]

Each figure comes from a process of its own, which reads the ledger into the real book as the proxy
does; memory is its peak. Targets: under 6 s and 200 MB without the checkpoint, under 1 s with it.
Also what one entry and one reservation cost on the way in.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from abg.background import OpenCalls  # noqa: E402
from abg.book import Book  # noqa: E402
from abg.budget import daily_budget, parse_budget, session_budget  # noqa: E402
from abg.journal import Journal  # noqa: E402
from abg.ledger import Entry, digest, encode  # noqa: E402

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
ROWS: tuple[dict[str, Any], ...] = (
    {"name": "runaway", "per": "session", "window": "10m", "limit_usd": 8},
    {"name": "opus", "match": {"model": "claude-opus-*"}, "window": "day", "limit_usd": 10},
    {"name": "bugfixes", "match": {"session": "bugfix-*"}, "per": "session", "limit_usd": 2},
    {"name": "codex", "match": {"agent": "codex"}, "window": "month", "limit_usd": 100},
)


class Totals:
    """The book and the open calls, as the proxy folds them."""

    def __init__(self, *, more: bool) -> None:
        budgets = [session_budget(Decimal(5)), daily_budget(Decimal(20))]
        budgets += [parse_budget(row, "bench") for row in ROWS] if more else []
        self.book = Book(budgets, timezone.utc)
        self.open = OpenCalls()

    def apply(self, record: Any) -> None:
        self.book.apply(record)
        if record.event is not None or record.open:  # nothing else is its business
            self.open.apply(record)

    def dump(self) -> Any:
        return {"book": self.book.dump(), "open": self.open.dump()}

    def load(self, data: Any) -> None:
        self.book.load(data["book"])
        self.open.load(data["open"])

    def session_total(self, session_id: str) -> Decimal:
        return self.book.session_total(session_id)

    def digest(self) -> str:
        return self.book.digest()


def entry(number: int, chance: random.Random) -> Entry:
    """A call as coding agents make them: 2,000 sessions, five models, costs with many digits."""
    return Entry(
        ts=START + timedelta(seconds=number * 20, milliseconds=chance.randrange(1000)),
        session_id=f"{chance.randrange(2000):04x}9b1c-7d7e-4a64-9a2b-0d5b0c3e8f11",
        model=chance.choice(
            ("claude-sonnet-4-6", "claude-opus-4-8", "gpt-6.1-codex", "claude-haiku-5-5")
        ),
        input_tokens=chance.randrange(5000),
        output_tokens=chance.randrange(2000),
        cost_usd=Decimal(chance.randrange(1, 10**8)).scaleb(-9),
        session_total_usd=Decimal(chance.randrange(1, 10**10)).scaleb(-9),
        action="allow",
        request_id=f"req_abg_1f6c1be0a2a5{number:06x}",
        agent="claude-code",
        cache_read_tokens=chance.randrange(100_000),
        status=200,
        duration_ms=chance.randrange(60_000),
        ttft_ms=chance.randrange(2000),
        hold_usd=Decimal(chance.randrange(1, 10**8)).scaleb(-9),
        auth="api_key",
        session_source="agent",
        endpoint="messages",
        response_id=f"msg_01{number:020x}",
    )


def make(path: Path, lines: int) -> None:
    """A ledger of so many entries, its chain whole."""
    chance = random.Random(11)
    prev = ""
    with path.open("wb") as file:
        for number in range(lines):
            line = encode(entry(number, chance), prev)
            prev = digest(line[:-1])
            file.write(line)


def start(path: Path, *, more: bool) -> dict[str, float]:
    """Open the ledger as the proxy does."""
    totals = Totals(more=more)
    before, cpu = time.perf_counter(), time.process_time()
    journal = Journal.open(path, totals=totals, clock=lambda: datetime.now(timezone.utc))
    seconds, cpu = time.perf_counter() - before, time.process_time() - cpu
    journal.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "cpu": cpu, "megabytes": peak / 1024}


def ways_in(folder: Path) -> dict[str, float]:
    """Microseconds for an entry, and for a reservation with its release."""
    journal = Journal.open(
        folder / "other.jsonl", totals=Totals(more=False), clock=lambda: datetime.now(timezone.utc)
    )
    chance = random.Random(12)
    entries = [entry(n, chance) for n in range(20_000)]
    facts = {
        "ts": START,
        "session_id": "00009b1c-7d7e-4a64-9a2b-0d5b0c3e8f11",
        "agent": "claude-code",
        "model": "claude-sonnet-4-6",
        "hold_usd": Decimal("0.0312345"),
        "auth": "api_key",
    }
    begun = time.process_time()
    for made in entries:
        encode(made, "0123456789abcdef")
    encoded = time.process_time()
    for made in entries:
        journal.reserve(made.request_id, facts)
    reserved = time.process_time()
    for made in entries:
        journal.append(made)
    appended = time.process_time()
    journal.tick()
    journal.close()
    count = len(entries) / 1e6
    return {
        "encode": (encoded - begun) / count,
        "reserve": (reserved - encoded) / count,
        "append": (appended - reserved) / count,
    }


def apart(*words: str) -> dict[str, float]:
    """A figure from a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--budgets", action="store_true", help="six budgets instead of two")
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ways-in", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.start:
        print(json.dumps(start(arguments.start, more=arguments.budgets)))
        return
    if arguments.ways_in:
        print(json.dumps(ways_in(arguments.ways_in)))
        return
    more = ["--budgets"] if arguments.budgets else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ledger.jsonl")
        make(path, arguments.lines)
        size = path.stat().st_size / 1e6
        print(f"{arguments.lines:,} entries, {size:.0f} MB")
        whole = apart("--start", str(path), *more)
        quick = apart("--start", str(path), *more)
        for name, figures in (("without", whole), ("with", quick)):
            print(
                f"start {name} checkpoint: {figures['seconds']:.2f} s "
                f"(CPU {figures['cpu']:.2f} s), peak {figures['megabytes']:.0f} MB"
            )
        cost = apart("--ways-in", folder)
        print(
            f"CPU: an entry {cost['append']:.1f} µs, of which encoding {cost['encode']:.1f}; "
            f"a reservation {cost['reserve']:.1f} µs"
        )


if __name__ == "__main__":
    main()
