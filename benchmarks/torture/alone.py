"""The journal alone: a child makes and ends calls until it is killed, the parent remembers."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from abg.journal import Files, Journal, read_ledger
from abg.journal.faults import FaultyFiles, kill
from abg.journal.verify import verify
from abg.ledger import Damage, Entry
from torture import MOMENTS, ROOT, Broken, progress

__all__ = ["live", "torture_journal", "torture_points"]

COMMAND = ROOT / "benchmarks" / "crash_torture.py"
HELD, SPENT = Decimal("0.05"), Decimal("0.01")


class Sums:
    """Totals by session, with the ids that were counted."""

    def __init__(self) -> None:
        self.sessions: dict[str, Decimal] = {}

    def apply(self, record: Any) -> None:
        if record.session_id is not None:
            spent = self.sessions.get(record.session_id, Decimal(0))
            self.sessions[record.session_id] = spent + record.cost_usd

    def dump(self) -> Any:
        return {name: str(usd) for name, usd in self.sessions.items()}

    def load(self, data: Any) -> None:
        self.sessions = {name: Decimal(usd) for name, usd in data.items()}

    def session_total(self, session_id: str) -> Decimal:
        return self.sessions.get(session_id, Decimal(0))

    def digest(self) -> str:
        return "torture"


def now() -> datetime:
    return datetime.now(timezone.utc)


def live(path: Path, prefix: str, change: int, moment: str, sync: str) -> None:
    """The child: calls come and go for ever; each promise is told on stdout once it holds."""
    import abg.journal.inflight
    import abg.journal.journal

    abg.journal.inflight.EMPTY_FROM = 2000
    abg.journal.inflight.REWRITE_FROM = 4000
    abg.journal.journal.CHECKPOINT_LINES = 20
    files = Files()
    if change:
        files = FaultyFiles(kill)
        files.die_at(change, moment)
    totals = Sums()
    journal = Journal.open(path, totals=totals, clock=now, sync=sync, rotate=20_000, files=files)
    chance = random.Random(prefix)
    open_calls: list[str] = []
    for number in range(1_000_000):
        id = f"{prefix}-{number}"
        tell("try", id)
        journal.reserve(id, {"ts": now(), "session_id": "s", "hold_usd": HELD})
        tell("held", id)
        open_calls.append(id)
        if len(open_calls) > 4:
            ended = open_calls.pop(chance.randrange(4))
            entry = ended_call(ended)
            totals.apply(entry)
            journal.append(ended_call(ended, totals.session_total("s")))
            tell("done", ended)
        if number % 5 == 4:
            journal.tick()
        if number % 50 == 49:
            # Another program rotates, as logrotate does.
            aside = path.with_name(f"{path.name}.{time.time_ns() % 1_000_000}")
            path.rename(aside)
            journal.reopen()


def ended_call(id: str, total: Decimal = SPENT) -> Entry:
    return Entry(
        ts=now(),
        session_id="s",
        model="m",
        input_tokens=1,
        output_tokens=1,
        cost_usd=SPENT,
        session_total_usd=total,
        action="allow",
        request_id=id,
    )


def tell(word: str, id: str) -> None:
    os.write(1, f"{word} {id}\n".encode())


class Witness:
    """What the parent was told, over all lives of the child."""

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.held: set[str] = set()
        self.done: set[str] = set()

    def hear(self, text: str) -> None:
        words = {"try": self.tried, "held": self.held, "done": self.done}
        for line in text.splitlines(keepends=True):
            word, _, id = line.rstrip("\n").partition(" ")
            if line.endswith("\n"):
                words[word].add(id)

    def check(self, path: Path) -> None:
        """Open the ledger once more, and look."""
        totals = Sums()
        Journal.open(path, totals=totals, clock=now).close()
        entries: dict[str, Entry] = {}
        for record in read_ledger(path):
            if isinstance(record, Damage):
                raise Broken(f"damage: {record}")
            if isinstance(record, Entry):
                if record.request_id in entries:
                    raise Broken(f"{record.request_id} is there twice")
                entries[record.request_id] = record
        if not entries.keys() <= self.tried:
            raise Broken(f"calls that never were: {entries.keys() - self.tried}")
        for id in self.done:
            if id not in entries or entries[id].end != "complete":
                raise Broken(f"{id} was acknowledged and is {entries.get(id)}")
        for id in self.held - entries.keys():
            raise Broken(f"{id} was reserved and is gone")
        spent = sum((entry.cost_usd for entry in entries.values()), Decimal(0))
        if totals.sessions.get("s", Decimal(0)) != spent:
            raise Broken(f"totals {totals.sessions}, lines {spent}")
        findings = verify(path).findings
        if findings:
            raise Broken(f"verify: {findings[0]}")


def one_life(
    path: Path,
    witness: Witness,
    prefix: str,
    *,
    seconds: float,
    change: int,
    moment: str,
    sync: str,
) -> bool:
    """Let a child live until it is killed. False: its own disk never killed it."""
    child = subprocess.Popen(
        [
            *(sys.executable, str(COMMAND), "live", "--path", str(path), "--prefix", prefix),
            *("--change", str(change), "--moment", moment, "--sync", sync),
        ],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(child.stdout.read()))
    reader.start()
    killed = False
    try:
        code = child.wait(seconds)
        if code != -signal.SIGKILL:
            raise Broken(f"the child ended with {code}")
        killed = True
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    reader.join()
    witness.hear(heard[0].decode())
    return killed


def torture_journal(folder: Path, rounds: int, chance: random.Random) -> None:
    """Kills at random instants; all lives share one ledger."""
    path = folder / "ledger.jsonl"
    witness = Witness()
    for number in range(rounds):
        sync = chance.choice(("os", "interval", "always"))
        seconds = chance.uniform(0.15, 0.6)
        life = {"seconds": seconds, "change": 0, "moment": "", "sync": sync}
        one_life(path, witness, f"r{number}", **life)  # type: ignore[arg-type]
        witness.check(path)
        progress(number + 1, rounds, f"{len(witness.done):,} calls")


def torture_points(folder: Path, rounds: int, chance: random.Random) -> None:
    """Kills at each write point in turn: of a fresh ledger, then of one with a past."""
    moments = [(change, moment) for change in range(1, 70) for moment in MOMENTS]
    witness = Witness()
    path = folder / "ledger.jsonl"
    for number, (change, moment) in enumerate(moments[: rounds * len(MOMENTS)]):
        if number % 40 == 0:
            path = folder / f"{number}" / "ledger.jsonl"
            witness = Witness()
        life = {"seconds": 20.0, "change": change, "moment": moment, "sync": "always"}
        if not one_life(path, witness, f"p{number}", **life):  # type: ignore[arg-type]
            raise Broken(f"never came to change {change}")
        witness.check(path)
        progress(number + 1, len(moments), f"change {change} {moment}")
