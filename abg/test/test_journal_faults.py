"""Every operation of the disk fails in every way: what is promised for each, by one table.

Promised for all: no error leaves the journal but ``LedgerUnavailable``; what was handed in is
written once the disk is back, in order, once; totals after a restart are exact.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import pytest

from abg.errors import LedgerUnavailable
from abg.journal import Files, Journal, read_ledger
from abg.journal.faults import OPERATIONS, FaultyFiles
from abg.journal.inflight import read_open
from abg.journal.verify import verify
from abg.ledger import Damage, Entry, digest
from abg.test.journals import Desk, abandon, inline

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)

# What new calls meet while the operation fails: refused at once, refused when another program
# has moved or truncated the file (till then nobody knows of the fault), or served all the same.
REFUSED, REFUSED_IF_MOVED, SERVED = "refused", "refused if moved", "served"
PROMISE = {
    "write": REFUSED,
    "sync": REFUSED,
    "state_of": REFUSED,
    "state": REFUSED,
    "open_append": REFUSED_IF_MOVED,
    "make_private": REFUSED_IF_MOVED,
    "names": REFUSED_IF_MOVED,
    "read": REFUSED_IF_MOVED,
    "truncate": SERVED,  # only asked for after another fault
    "create": SERVED,  # checkpoints and smaller side journals can wait
    "replace": SERVED,
    "sync_folder": SERVED,
    "rename_new": SERVED,  # the old file serves on
    "overwrite": SERVED,  # only asked for after a sync has failed
    "close": SERVED,
}


class Day:
    """Calls come and go while something is wrong; ``handed_in`` is what must be there after."""

    def __init__(self, folder: Path, disk: FaultyFiles, **options: str) -> None:
        self.desk = Desk(folder, files=disk, rotate="month", **options)
        self.desk.open()
        self.handed_in: list[str] = []
        self.open_calls: list[str] = []
        self.refused = 0

    def call(self) -> None:
        """One call ends, another begins; a refused one never began."""
        if self.open_calls:
            self.end(self.open_calls.pop(0))
        if not self.desk.journal.healthy:
            self.refused += 1
            return
        try:
            self.open_calls.append(self.desk.reserve())
        except LedgerUnavailable:
            self.refused += 1

    def end(self, id: str) -> None:
        self.handed_in.append(id)
        try:
            self.desk.finish(id)
        except LedgerUnavailable as error:
            assert str(error)

    def pass_by(self) -> None:
        """A second goes by."""
        self.desk.clock.advance(seconds=1)
        self.desk.journal.tick()

    def calls(self) -> None:
        for _ in range(4):
            self.call()
            self.call()
            self.pass_by()

    def check(self) -> None:
        """After a quiet end and a restart: each handed in once, the chain whole, totals exact."""
        for id in self.open_calls:
            self.end(id)
        self.pass_by()
        journal = self.desk.journal
        assert (journal.healthy, journal.problem, journal.pending) == (True, "", 0)
        journal.close()
        ids = []
        for record in read_ledger(self.desk.path):
            assert not isinstance(record, Damage), record
            if isinstance(record, Entry):
                assert record.end == "complete"
                ids.append(record.request_id)
        assert sorted(ids) == sorted(self.handed_in)
        assert verify(self.desk.path).findings == []
        exact = len(self.handed_in) * Decimal("0.01")
        assert self.desk.totals.sessions.get("default", Decimal(0)) == exact
        self.desk.open(files=None)
        assert self.desk.totals.sessions.get("default", Decimal(0)) == exact
        assert (self.desk.journal.crashed, self.desk.journal.broken) == (0, ())
        abandon(self.desk.journal)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    inline(monkeypatch)
    monkeypatch.setattr("abg.journal.inflight.EMPTY_FROM", 600)
    monkeypatch.setattr("abg.journal.inflight.REWRITE_FROM", 900)
    monkeypatch.setattr("abg.journal.journal.CHECKPOINT_LINES", 3)


def test_the_table_knows_every_operation() -> None:
    assert set(PROMISE) == set(OPERATIONS)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_while_calls_come_and_go(tmp_path: Path, operation: str, error: int) -> None:
    disk = FaultyFiles()
    day = Day(tmp_path, disk, sync="interval")
    day.calls()
    disk.fail(operation, error)
    day.calls()
    refused = PROMISE[operation] == REFUSED
    assert day.desk.journal.healthy is not refused
    assert (day.refused > 0) is refused
    if refused:
        assert day.desk.journal.problem == os.strerror(error)
        errors = [line for line in day.desk.said if "ERROR" in line]
        assert errors == [f"[abg] ERROR ledger cannot be written: {os.strerror(error)}"]
    disk.heal()
    day.pass_by()
    day.pass_by()
    assert day.desk.journal.healthy
    assert ("[abg] ledger can be written again" in day.desk.said) is refused
    day.calls()
    day.check()


def move(day: Day) -> None:
    day.desk.path.rename(day.desk.path.with_name("ledger.jsonl.1"))


def copy_and_truncate(day: Day) -> None:
    whole = day.desk.path.read_bytes()
    day.desk.path.with_name("ledger.jsonl.1").write_bytes(whole)
    os.truncate(day.desk.path, 0)


def month_ends(day: Day) -> None:
    day.desk.clock.advance(days=30)


def removed_side_journal(day: Day) -> None:
    day.desk.path.with_name("ledger.jsonl.inflight").unlink()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("happening", [move, copy_and_truncate, month_ends, removed_side_journal])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_while_files_come_and_go(
    tmp_path: Path, operation: str, happening: Callable[[Day], None], error: int
) -> None:
    disk = FaultyFiles()
    day = Day(tmp_path, disk, sync="interval")
    day.calls()
    disk.fail(operation, error)
    happening(day)
    day.calls()
    if PROMISE[operation] == REFUSED:
        assert not day.desk.journal.healthy
    if PROMISE[operation] == REFUSED_IF_MOVED and happening is move:
        assert day.desk.journal.healthy is (operation in ("names", "read"))
    disk.heal()
    day.pass_by()
    day.pass_by()
    assert day.desk.journal.healthy
    day.calls()
    day.check()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_while_it_opens(tmp_path: Path, operation: str, error: int) -> None:
    disk = FaultyFiles()
    day = Day(tmp_path, disk)
    day.calls()
    left = len(day.open_calls)
    abandon(day.desk.journal)
    with day.desk.path.open("ab") as torn:
        torn.write(b'{"ts":"2026')
    disk.fail(operation, error)
    try:
        day.desk.open()
    except LedgerUnavailable as problem:
        assert os.strerror(error) in str(problem)
    else:
        assert PROMISE[operation] == SERVED and operation != "truncate"
        abandon(day.desk.journal)
    disk.heal()
    day.desk.open()
    exact = len(day.handed_in) * Decimal("0.01") + left * Decimal("0.05")
    assert day.desk.totals.sessions["default"] == exact
    abandon(day.desk.journal)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_while_it_closes(tmp_path: Path, operation: str) -> None:
    disk = FaultyFiles()
    day = Day(tmp_path, disk)
    day.calls()
    disk.fail(operation, errno.EIO)
    for id in day.open_calls:
        day.end(id)
    day.desk.journal.close()
    disk.heal()
    day.desk.open()
    spent = day.desk.totals.sessions["default"]
    assert spent - len(day.handed_in) * Decimal("0.01") == day.desk.journal.crashed * Decimal(
        "0.04"
    )
    assert day.desk.journal.crashed == (len(day.open_calls) if operation == "write" else 0)
    if operation == "write":
        assert "the next start will enter those calls as estimates" in "".join(day.desk.said)
    abandon(day.desk.journal)


# -- parts of lines --------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("most", [1, 7, 100])
def test_short_writes_never_glue_half_lines(tmp_path: Path, most: int) -> None:
    disk = FaultyFiles()
    day = Day(tmp_path, disk)
    disk.shorten(most)
    day.calls()
    assert day.desk.journal.healthy
    disk.heal()
    day.check()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("part", [1, 10, 200])
@pytest.mark.parametrize("also", [None, "truncate", "state_of"])
def test_a_disk_that_fills_up_inside_a_line(tmp_path: Path, part: int, also: str | None) -> None:
    disk = FaultyFiles()
    day = Day(tmp_path, disk)
    day.calls()
    disk.fail("write", errno.ENOSPC, part)
    if also is not None:
        disk.fail(also, errno.EIO)
    day.calls()
    assert not day.desk.journal.healthy
    disk.heal()
    day.pass_by()
    day.pass_by()
    day.calls()
    day.check()


@pytest.mark.usefixtures("small")
def test_a_torn_line_in_a_file_that_is_truncated_before_it_is_cut(tmp_path: Path) -> None:
    disk = FaultyFiles()
    day = Day(tmp_path, disk)
    day.calls()
    disk.fail("write", errno.ENOSPC, 10)
    disk.fail("truncate", errno.EIO)
    day.call()
    assert day.desk.path.read_bytes()[-1:] != b"\n"
    copy_and_truncate(day)
    torn = day.desk.path.with_name("ledger.jsonl.1")
    torn.write_bytes(torn.read_bytes().rpartition(b"\n")[0] + b"\n")
    disk.heal()
    day.pass_by()
    day.calls()
    day.check()


@pytest.mark.usefixtures("small")
def test_entries_wait_in_order_and_keep_their_reservations(tmp_path: Path) -> None:
    disk = FaultyFiles()
    desk = Desk(tmp_path, files=disk)
    desk.open()
    ids = [desk.reserve() for _ in range(3)]
    disk.fail("write", errno.ENOSPC)
    for number, id in enumerate(ids, 1):
        with pytest.raises(LedgerUnavailable, match="No space left on device"):
            desk.finish(id)
        desk.journal.release(id)
        assert desk.journal.pending == number
    inflight = desk.path.with_name("ledger.jsonl.inflight")
    desk.journal.tick()
    assert set(read_open(inflight.read_bytes())) == set(ids)
    disk.heal()
    desk.journal.tick()
    assert [r.request_id for r in read_ledger(desk.path) if isinstance(r, Entry)] == ids
    assert read_open(inflight.read_bytes()) == {}


@pytest.mark.usefixtures("small")
def test_a_crash_while_entries_wait_forgets_no_call(tmp_path: Path) -> None:
    disk = FaultyFiles()
    desk = Desk(tmp_path, files=disk)
    desk.open()
    id = desk.reserve("0.31")
    disk.fail("write", errno.ENOSPC)
    with pytest.raises(LedgerUnavailable):
        desk.finish(id)
    desk.die()
    desk.open(files=None)
    assert desk.totals.sessions == {"default": Decimal("0.31")}


# -- syncs -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_after_a_failed_sync_the_lines_are_written_over_themselves(tmp_path: Path) -> None:
    disk = FaultyFiles()
    desk = Desk(tmp_path, files=disk, sync="interval")
    desk.open()
    desk.settle()
    desk.journal.tick()
    disk.fail("sync", errno.EIO)
    desk.settle("0.5")
    desk.journal.tick()
    assert not desk.journal.healthy
    before = desk.path.read_bytes()
    # The system drops what it could not write, and shows zeros.
    lost = len(before.splitlines()[-1]) + 1
    desk.path.write_bytes(before[:-lost] + bytes(lost))
    disk.heal()
    desk.journal.tick()
    assert desk.journal.healthy
    assert desk.path.read_bytes() == before


def test_a_slow_disk_holds_up_nobody(tmp_path: Path) -> None:
    disk = FaultyFiles()
    desk = Desk(tmp_path, files=disk, sync="always")
    desk.open()
    disk.slow("sync", 0.4)
    desk.settle()
    told = []
    begun = time.monotonic()
    desk.journal.durable(lambda: told.append(1))
    for _ in range(100):
        desk.settle()
    desk.journal.durable(lambda: told.append(2))
    desk.journal.tick()
    assert time.monotonic() - begun < 0.35
    assert told == []
    disk.heal()
    for expected in ([1], [1, 2]):
        deadline = time.monotonic() + 5
        while told != expected and time.monotonic() < deadline:
            time.sleep(0.01)
            desk.journal.tick()
        assert told == expected
    desk.journal.close()


def test_the_owners_thread_is_told_by_call_soon(tmp_path: Path) -> None:
    soon: list[Callable[[], None]] = []
    came = threading.Event()

    def call_soon(act: Callable[[], None]) -> None:
        soon.append(act)
        came.set()

    desk = Desk(tmp_path, sync="always", call_soon=call_soon)
    desk.open()
    desk.settle()
    told = []
    desk.journal.durable(lambda: told.append(threading.current_thread()))
    assert came.wait(5)
    for act in soon:
        act()
    assert told == [threading.main_thread()]
    desk.journal.close()


def test_a_stopped_reactor_does_not_hinder_the_end(tmp_path: Path) -> None:
    def gone(act: Callable[[], None]) -> None:
        raise RuntimeError("the reactor has stopped")

    desk = Desk(tmp_path, sync="always", call_soon=gone)
    desk.open()
    desk.settle()
    told = []
    desk.journal.durable(lambda: told.append(1))
    desk.journal.close()
    assert told == [1]


@pytest.mark.usefixtures("small")
def test_nobody_waits_for_a_disk_that_fails(tmp_path: Path) -> None:
    disk = FaultyFiles()
    desk = Desk(tmp_path, files=disk, sync="always")
    desk.open()
    told: list[int] = []
    desk.journal.durable(lambda: told.append(0))  # nothing is written yet
    desk.settle()
    disk.fail("sync", errno.EIO)
    desk.journal.durable(lambda: told.append(1))
    desk.journal.durable(lambda: told.append(2))
    assert told == [0, 1, 2]
    assert not desk.journal.healthy


@pytest.mark.parametrize("mode", ["os", "interval"])
def test_only_always_makes_anyone_wait(tmp_path: Path, mode: str) -> None:
    disk = FaultyFiles()
    desk = Desk(tmp_path, files=disk, sync=mode)
    desk.open()
    desk.settle()
    told: list[int] = []
    desk.journal.durable(lambda: told.append(1))
    assert told == [1]
    before = disk.done["sync"]
    desk.journal.tick()
    desk.journal._durability.close()
    assert (disk.done["sync"] > before) is (mode == "interval")


# -- clocks ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_a_clock_that_steps_back_rotates_nothing_and_loses_nothing(tmp_path: Path) -> None:
    day = Day(tmp_path, FaultyFiles())
    day.calls()
    day.desk.clock.advance(days=-400)
    day.calls()
    assert not list(tmp_path.glob("ledger-*"))
    day.check()


def test_the_chain_is_whole_after_all_that(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.open()
    for _ in range(3):
        desk.settle()
    lines = desk.lines()
    assert [json.loads(line)["prev"] for line in lines[1:]] == [digest(x) for x in lines[:-1]]
    assert isinstance(desk.journal, Journal)


# -- one of the two files only ---------------------------------------------------------------------


class HalfADisk(FaultyFiles):
    """A disk on which writes to files of some name fail."""

    def __init__(self) -> None:
        super().__init__()
        self.bad = ""
        self._names: dict[int, str] = {}

    def open_append(self, path: Path, *, link: bool = True) -> int:
        fd = super().open_append(path, link=link)
        self._names[fd] = path.name
        return fd

    def write(self, fd: int, data: bytes) -> int:
        if self.bad and self.bad in self._names.get(fd, ""):
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(fd, data)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("mode", ["os", "interval", "always"])
def test_when_only_the_side_journal_cannot_be_written(tmp_path: Path, mode: str) -> None:
    disk = HalfADisk()
    day = Day(tmp_path, disk, sync=mode)
    day.calls()
    day.open_calls += [day.desk.reserve() for _ in range(3)]
    disk.bad = ".inflight"
    for id in day.open_calls[1:]:
        day.end(id)
    del day.open_calls[1:]
    day.pass_by()  # their ends cannot be noted
    assert day.desk.journal.problem == "No space left on device"
    assert day.desk.journal.pending == 0
    day.desk.journal.progress(day.open_calls[0], {"cost_usd": Decimal("0.5")})
    with pytest.raises(LedgerUnavailable):
        day.desk.reserve()
    day.pass_by()
    assert not day.desk.journal.healthy
    disk.bad = ""
    day.pass_by()
    assert day.desk.journal.healthy
    day.calls()
    day.check()


@pytest.mark.usefixtures("small")
def test_a_withdrawal_that_cannot_be_written(tmp_path: Path) -> None:
    disk = HalfADisk()
    desk = Desk(tmp_path, files=disk)
    desk.open()
    id = desk.reserve()
    desk.journal.release("unknown")
    disk.bad = ".inflight"
    desk.journal.release(id)
    assert not desk.journal.healthy
    disk.bad = ""
    desk.journal.tick()
    assert desk.journal.healthy


@pytest.mark.usefixtures("small")
def test_a_sync_that_fails_again_and_again(tmp_path: Path) -> None:
    disk = FaultyFiles()
    day = Day(tmp_path, disk, sync="interval")
    day.calls()
    disk.fail("sync", errno.EIO)
    day.calls()
    disk.fail("overwrite", errno.EIO)
    day.calls()
    assert not day.desk.journal.healthy
    disk.heal()
    day.pass_by()
    day.calls()
    day.check()


def test_a_failed_sync_is_not_repeated_while_one_runs(tmp_path: Path) -> None:
    disk = FaultyFiles()
    desk = Desk(tmp_path, files=disk, sync="interval")
    desk.open()
    desk.settle()
    desk.journal.tick()
    disk.slow("sync", 0.1)
    desk.journal._health.fail("sync", OSError(errno.EIO, "Input/output error"))
    desk.settle()
    for _ in range(3):
        desk.journal.tick()
    deadline = time.monotonic() + 5
    while not desk.journal.healthy and time.monotonic() < deadline:
        time.sleep(0.02)
        desk.journal.tick()
    assert desk.journal.healthy
    desk.journal.close()


@pytest.mark.usefixtures("small")
def test_the_old_file_may_fail_its_last_sync(tmp_path: Path) -> None:
    disk = FaultyFiles()
    desk = Desk(tmp_path, files=disk, sync="os", rotate="month")
    desk.open()
    desk.settle()
    desk.clock.advance(days=30)
    disk.fail("sync", errno.EIO)
    desk.journal.tick()
    assert desk.said == [
        "[abg] WARNING ledger: the file put away may lack its last lines: Input/output error"
    ]
    disk.heal()
    desk.journal.tick()
    desk.journal.close()


@pytest.mark.usefixtures("small")
def test_an_editors_copy_that_cannot_be_read_at_once(tmp_path: Path) -> None:
    class Unreadable(FaultyFiles):
        after = 0

        def read(self, path: Path) -> BinaryIO:
            if self.after:
                self.after -= 1
                if not self.after:
                    raise OSError(errno.EIO, "Input/output error")
            return super().read(path)

    for after in (1, 2, 3):
        disk = Unreadable()
        day = Day(tmp_path / str(after), disk)
        day.calls()
        text = day.desk.path.read_bytes()
        new = day.desk.path.with_name("new")
        new.write_bytes(text)
        new.replace(day.desk.path)
        disk.after = after
        day.calls()
        day.calls()
        day.check()


def test_a_writer_that_takes_nothing_is_full(tmp_path: Path) -> None:
    class Nothing(Files):
        def write(self, fd: int, data: bytes) -> int:
            return super().write(fd, data[:5]) if len(data) > 100 else 0

    desk = Desk(tmp_path, files=Nothing())
    desk.open()
    with pytest.raises(LedgerUnavailable, match="No space left on device"):
        desk.settle()
    assert desk.path.read_bytes() == b""
    abandon(desk.journal)


@pytest.mark.usefixtures("small")
def test_files_that_vanish_while_it_starts_are_looked_for_again(tmp_path: Path) -> None:
    class Rotating(FaultyFiles):
        times = 0

        def read(self, path: Path) -> BinaryIO:
            if self.times and path.name == "ledger.jsonl.1":
                self.times -= 1
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
            return super().read(path)

    disk = Rotating()
    day = Day(tmp_path, disk)
    day.calls()
    move(day)
    day.pass_by()
    day.calls()
    day.desk.journal.close()
    day.desk.path.with_name("ledger.jsonl.checkpoint").unlink()
    disk.times = 3
    day.desk.open("rules-2")
    assert day.desk.totals.sessions["default"] == len(day.handed_in) * Decimal("0.01") + (
        Decimal("0.05") * day.desk.journal.crashed
    )
    abandon(day.desk.journal)
    disk.times = 100
    with pytest.raises(LedgerUnavailable, match="No such file"):
        day.desk.open("rules-3")
