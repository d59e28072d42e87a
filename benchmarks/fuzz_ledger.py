"""Fuzz the readers of the ledger with atheris (``pip install atheris``), for as long as you like.

    python benchmarks/fuzz_ledger.py -max_total_time=600

Each input is read as one line, as the tail of a ledger, as a checkpoint and as a side journal. No
input may raise, the two readers of a line must agree, and no tail may change what came before it.
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import atheris  # noqa: E402

with atheris.instrument_imports(include=["abg.ledger", "abg.journal"]):
    from abg.journal.checkpoint import unpack
    from abg.journal.inflight import crash_entry, read_open
    from abg.journal.repair import _parts
    from abg.journal.verify import prev_of
    from abg.ledger import Damage, Entry, Event, decode, encode, posting

NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)
SEEDS = (
    encode(
        Entry(
            ts=NOW,
            session_id="s",
            model="m",
            input_tokens=1,
            output_tokens=2,
            cost_usd=Decimal("0.1"),
            session_total_usd=Decimal("0.1"),
            action="allow",
            marks=("x",),
            models={"m": {"n": 1}},
        ),
        "0123456789abcdef",
    ),
    encode(Event(NOW, "adjust", {"session_id": "s", "cost_usd": Decimal("-0.1")}), ""),
    b'{"date":"2026-04-19T14:22:01.5","session":"s","cost_usd":1e-05,"action":"BLOCKED"}\n',
    b'{"reserve":"a","ts":"2026-11-25T10:00:00Z","hold_usd":"0.1"}\n{"release":"a"}\n',
)


def one(data: bytes) -> None:
    """Everything that may meet these bytes on a disk."""
    for line in data.split(b"\n"):
        whole, short = decode(line), posting(line)
        assert isinstance(whole, Damage) == isinstance(short, Damage), (whole, short)
        if not isinstance(whole, Damage) and not isinstance(short, Damage):
            assert (whole.session_id, whole.cost_usd) == (short.session_id, short.cost_usd)
            again = encode(whole, "0123456789abcdef")
            assert again.count(b"\n") == 1
            assert prev_of(again) == "0123456789abcdef"
            told = decode(again)
            assert not isinstance(told, Damage), (whole, again, told)
            assert told.cost_usd == whole.cost_usd
        for part, _ in _parts(line):
            assert not isinstance(decode(part), Damage)
        prev_of(line)
    for id, facts in read_open(data).items():
        assert crash_entry(id, facts, NOW).end == "crash"
    unpack(data)


def main() -> None:
    corpus = Path(sys.argv[1]) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else None
    if corpus is not None:
        corpus.mkdir(exist_ok=True)
        for number, seed in enumerate(SEEDS):
            (corpus / f"seed{number}").write_bytes(seed)
    for seed in SEEDS:
        one(seed)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
