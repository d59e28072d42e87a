"""Killed at every write point, before, in and after it: no settled cent lost, none counted twice.

The disk dies under a story that does all a journal ever does; then the ledger is opened again
(and killed again at some point of that), and must hold: every call whose line was acknowledged,
once and exactly; every call that was reserved and not ended, once, as an estimate; nothing else.
"""

from __future__ import annotations

import gzip
import os
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from abg.journal import read_ledger
from abg.journal.faults import Died, FaultyFiles, PowerCut
from abg.journal.verify import verify
from abg.ledger import Damage, Entry
from abg.test.journals import Desk, abandon, inline

HELD, SPENT = Decimal("0.05"), Decimal("0.01")


class Witness:
    """What the outside world knows: which calls were surely reserved, which surely written."""

    def __init__(self) -> None:
        self.reserved: set[str] = set()
        self.acknowledged: set[str] = set()
        self.tried: set[str] = set()


def story(desk: Desk, witness: Witness) -> None:
    """All that a journal does in its life, with four calls always under way."""
    desk.open()
    open_calls: list[str] = []
    for turn in range(14):
        id = f"req_{turn}"
        witness.tried.add(id)
        desk.journal.reserve(id, {"ts": desk.clock(), "session_id": "s", "hold_usd": HELD})
        witness.reserved.add(id)
        open_calls.append(id)
        if turn == 3:
            desk.journal.progress(id, {"input_tokens": 5})
        if len(open_calls) > 3:
            ended = open_calls.pop(0)
            desk.finish(ended, str(SPENT), "s")
            witness.acknowledged.add(ended)
            desk.journal.release(ended)
        if turn == 6:
            desk.path.rename(desk.path.with_name("ledger.jsonl.1"))
            desk.journal.reopen()
        if turn == 9:
            whole = desk.path.read_bytes()
            desk.path.with_name("ledger.jsonl.2").write_bytes(whole)
            os.truncate(desk.path, 0)
        if turn == 11:
            packed = desk.path.with_name("ledger.jsonl.1")
            packed.with_name("ledger.jsonl.1.gz").write_bytes(gzip.compress(packed.read_bytes()))
            packed.unlink()
        desk.clock.advance(days=3)
        desk.journal.tick()
    desk.journal.close()


def check(desk: Desk, witness: Witness) -> None:
    entries: dict[str, Entry] = {}
    for record in read_ledger(desk.path):
        assert not isinstance(record, Damage), record
        if isinstance(record, Entry):
            assert record.request_id not in entries, f"{record.request_id} twice"
            entries[record.request_id] = record
    assert set(entries) <= witness.tried
    for id in witness.acknowledged:
        assert (entries[id].end, entries[id].cost_usd) == ("complete", SPENT), id
    for id in witness.reserved:
        expected = SPENT if entries[id].end == "complete" else HELD
        assert entries[id].cost_usd == expected, id
    total = sum((entry.cost_usd for entry in entries.values()), Decimal(0))
    assert desk.totals.sessions.get("s", Decimal(0)) == total
    assert sorted(desk.totals.ids) == sorted(entries)
    assert verify(desk.path).findings == []


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is rare in life happens here every few lines."""
    inline(monkeypatch)
    monkeypatch.setattr("abg.journal.inflight.EMPTY_FROM", 600)
    monkeypatch.setattr("abg.journal.inflight.REWRITE_FROM", 900)
    monkeypatch.setattr("abg.journal.journal.CHECKPOINT_LINES", 4)


def count_changes(folder: Path) -> int:
    disk = FaultyFiles()
    desk = Desk(folder, files=disk, sync="interval", rotate="month")
    disk.die_at(1_000_000, "after")
    story(desk, Witness())
    assert disk._fatal is not None
    return 1_000_000 - disk._fatal[0]


def run_to_death(folder: Path, change: int, moment: str) -> tuple[Desk, Witness]:
    disk = FaultyFiles()
    desk = Desk(folder, files=disk, sync="interval", rotate="month")
    witness = Witness()
    disk.die_at(change, moment)
    with pytest.raises(Died):
        story(desk, witness)
    forget(desk)
    return desk, witness


def forget(desk: Desk) -> None:
    journal = getattr(desk, "journal", None)
    if journal is not None:
        abandon(journal)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("moment", ["before", "in", "after"])
def test_killed_at_every_write_point(tmp_path_factory: pytest.TempPathFactory, moment: str) -> None:
    changes = count_changes(tmp_path_factory.mktemp("count"))
    assert changes > 100
    for change in range(1, changes + 1):
        folder = tmp_path_factory.mktemp(f"at{change}")
        desk, witness = run_to_death(folder, change, moment)
        desk.open(files=None)
        check(desk, witness)
        desk.journal.close()
        desk.open(files=None)
        check(desk, witness)
        abandon(desk.journal)


@pytest.mark.usefixtures("small")
def test_killed_again_while_it_recovers(tmp_path_factory: pytest.TempPathFactory) -> None:
    changes = count_changes(tmp_path_factory.mktemp("count"))
    for change in range(2, changes, 3):
        folder = tmp_path_factory.mktemp(f"at{change}")
        desk, witness = run_to_death(folder, change, "in")
        for again in range(1, 12):
            for moment in ("before", "in", "after"):
                disk = FaultyFiles()
                disk.die_at(again, moment)
                if survives(desk, disk):
                    abandon(desk.journal)
        desk.open(files=None)
        check(desk, witness)
        abandon(desk.journal)


def survives(desk: Desk, disk: FaultyFiles) -> bool:
    """Whether the ledger could be opened before the process died again."""
    try:
        desk.open(files=disk)
    except Died:
        return False
    return True


# -- power losses ----------------------------------------------------------------------------------


def powered(desk: Desk, witness: Witness, turns: int, *, mode: str) -> None:
    """Calls come and go; what the mode promises is witnessed when it promises it."""
    written: set[str] = set()
    reserved: set[str] = set()
    open_calls: list[str] = []
    for turn in range(turns):
        id = f"req_{turn}"
        witness.tried.add(id)
        desk.journal.reserve(id, {"ts": desk.clock(), "session_id": "s", "hold_usd": HELD})
        reserved.add(id)
        open_calls.append(id)
        if mode == "always":
            desk.journal.durable(lambda id=id: witness.reserved.add(id))
        if len(open_calls) > 2:
            ended = open_calls.pop(0)
            desk.finish(ended, str(SPENT), "s")
            written.add(ended)
            if mode == "always":
                desk.journal.durable(lambda id=ended: witness.acknowledged.add(id))
        if turn % 4 == 3:
            desk.clock.advance(days=9)
            desk.journal.tick()
            witness.acknowledged |= written
            witness.reserved |= reserved


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("mode", ["interval", "always"])
def test_a_power_loss_takes_only_what_the_mode_allows(
    tmp_path_factory: pytest.TempPathFactory, mode: str
) -> None:
    for seed in range(100):
        chance = Random(seed)
        disk = PowerCut()
        desk = Desk(tmp_path_factory.mktemp("power"), files=disk, sync=mode, rotate="month")
        desk.open()
        witness = Witness()
        powered(desk, witness, chance.randint(1, 30), mode=mode)
        abandon(desk.journal)
        disk.cut(desk.path.parent, chance)
        # The same again while it recovers: what it did is as unsafe as anything else.
        desk.open()
        abandon(desk.journal)
        disk.cut(desk.path.parent, chance)
        desk.open(files=None)
        check(desk, witness)
        abandon(desk.journal)
