"""What is strange in or beside a ledger, by hands and other programs: it stops nobody, and no cent
is lost or counted in another ledger's name."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard

from abg.book import Book
from abg.config import parse_config
from abg.errors import LedgerLocked
from abg.journal import Files, read_ledger
from abg.journal import history as history_room
from abg.journal.checkpoint import unpack
from abg.journal.faults import FaultyFiles
from abg.journal.inflight import crash_entry
from abg.journal.lock import holder, lock_path
from abg.journal.packing import SUFFIXES
from abg.journal.repair import repair
from abg.journal.verify import verify
from abg.ledger import Damage, Entry, decode
from abg.test.journals import START, Desk, inline

posix = pytest.mark.skipif(os.name != "posix", reason="needs flock and FIFOs")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    inline(monkeypatch)
    return Desk(tmp_path)


def beside(desk: Desk, word: str) -> Path:
    return desk.path.with_name(f"{desk.path.name}.{word}")


# -- a second writer -------------------------------------------------------------------------------


@posix
def test_one_ledger_by_two_hard_links_has_one_writer(desk: Desk, tmp_path: Path) -> None:
    desk.open()
    desk.settle("1")
    (tmp_path / "elsewhere").mkdir()
    other = Desk(tmp_path / "elsewhere")
    os.link(desk.path, other.path)
    with pytest.raises(LedgerLocked, match="in use by another abg"):
        other.open()
    desk.journal.close()
    other.open()
    assert other.totals.sessions == {"default": Decimal(1)}
    other.journal.close()


@posix
def test_a_lock_file_that_is_removed_lets_no_second_one_in_and_is_made_again(desk: Desk) -> None:
    desk.open()
    desk.journal.announce("127.0.0.1", 8788, "1")
    lock_path(desk.path).unlink()
    with pytest.raises(LedgerLocked, match="in use by another abg"):
        Desk(desk.path.parent).open()
    desk.journal.tick()
    who = holder(desk.path)
    assert who is not None
    assert (who.pid, who.port) == (os.getpid(), 8788)
    desk.journal.tick()
    desk.journal.close()
    assert holder(desk.path) is None


@posix
def test_a_lock_file_that_another_holds_or_that_cannot_be_made_is_let_be(desk: Desk) -> None:
    import fcntl

    desk.open()
    lock_path(desk.path).unlink()
    lock_path(desk.path).mkdir()
    desk.journal.tick()
    lock_path(desk.path).rmdir()
    with lock_path(desk.path).open("w") as strange:
        fcntl.flock(strange, fcntl.LOCK_EX)
        desk.journal.tick()
        assert desk.journal.healthy
    desk.journal.close()


# -- rotation --------------------------------------------------------------------------------------


def test_totals_longer_than_a_file_may_be_do_not_begin_one_every_second(desk: Desk) -> None:
    desk.open(rotate=10_000)
    for number in range(400):
        desk.settle("0.01", f"a session of its own, number {number}")
    for _ in range(5):
        desk.clock.advance(seconds=1)
        desk.journal.tick()
    assert len(list(desk.path.parent.glob("ledger-*.jsonl"))) == 1
    assert desk.path.stat().st_size > 10_000
    for _ in range(50):
        desk.settle("0.01", "s")
    desk.clock.advance(seconds=1)
    desk.journal.tick()
    assert len(list(desk.path.parent.glob("ledger-*.jsonl"))) == 2
    desk.journal.close()
    desk.open(rotate=10_000)
    desk.clock.advance(seconds=1)
    desk.journal.tick()
    assert len(list(desk.path.parent.glob("ledger-*.jsonl"))) == 2
    desk.journal.close()


def other_ledger(folder: Path) -> bytes:
    """Of another ledger's second file: its totals, and a call."""
    folder.mkdir()
    other = Desk(folder)
    other.open()
    other.settle("0.5", "theirs")
    other.path.rename(other.path.with_name("ledger.jsonl.1"))
    other.journal.reopen()
    other.settle("0.25", "theirs")
    other.journal.close()
    return other.path.read_bytes()


OURS_AND_THEIRS = {"default": Decimal(3), "theirs": Decimal("0.25")}


def test_another_ledgers_totals_are_not_taken_for_ours(desk: Desk, tmp_path: Path) -> None:
    desk.open()
    desk.settle("3")
    desk.journal.close()
    with desk.path.open("ab") as file:
        file.write(other_ledger(tmp_path / "other"))
    desk.open()
    assert desk.totals.sessions == OURS_AND_THEIRS
    desk.journal.close()


def test_nor_if_they_are_added_while_it_is_written(desk: Desk, tmp_path: Path) -> None:
    desk.open()
    desk.settle("3")
    desk.journal.tick()
    theirs = other_ledger(tmp_path / "other")
    # Their totals in the middle of what is added: they follow their own line before.
    before = theirs.splitlines(True)
    with desk.path.open("ab") as file:
        file.write((tmp_path / "other" / "ledger.jsonl.1").read_bytes() + b"".join(before))
    desk.journal.tick()
    assert desk.totals.sessions == {"default": Decimal(3), "theirs": Decimal("0.75")}
    desk.die()
    desk.open()
    assert desk.totals.sessions == {"default": Decimal(3), "theirs": Decimal("0.75")}
    desk.journal.close()


# -- ends and long lines ---------------------------------------------------------------------------


def test_a_very_long_end_without_a_line_feed_is_cut_in_no_time(desk: Desk) -> None:
    desk.open()
    desk.settle("1")
    desk.journal.close()
    size = desk.path.stat().st_size
    with desk.path.open("ab") as file:
        file.write(b'{"ts":"2026')
        file.truncate(size + 80 * 1024 * 1024)
    begun = time.process_time()
    desk.open()
    assert time.process_time() - begun < 5  # it was a minute and more: the square of the length
    assert desk.totals.sessions == {"default": Decimal(1)}
    event = list(read_ledger(desk.path))[-1]
    assert not isinstance(event, (Entry, Damage))
    assert (event.data["offset"], event.data["bytes"]) == (size, 80 * 1024 * 1024)
    desk.journal.close()


def test_after_a_line_that_is_too_long_places_are_right_and_no_line_comes_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_room, "BLOCK", 100)
    monkeypatch.setattr(history_room, "LONGEST", 1000)
    desk.open()
    desk.settle("1")
    desk.journal.close()
    with desk.path.open("ab") as file:
        file.write(b'{"x":"' + b"x" * 5000 + b'"}\nno line\n')
    place = desk.path.stat().st_size - len(b"no line\n")
    desk.open()
    assert [damage.offset for damage in desk.journal.damaged][1:] == [place]
    assert [damage.offset for damage in verify(desk.path).findings][1:] == [place]
    ids = []
    for record in read_ledger(desk.path):
        if isinstance(record, Entry):
            ids.append(record.request_id)
            if len(ids) == 1:  # rotated while it is read: another pass begins where this one ends
                desk.settle("1")
                desk.path.rename(beside(desk, "1"))
                desk.journal.reopen()
                desk.settle("1")
    assert ids == ["req_1", "req_2", "req_3"]
    desk.journal.close()


def test_totals_may_be_longer_than_any_other_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.open()
    for number in range(200):
        desk.settle("1", f"session {number}")
    desk.path.unlink()  # all that is left of them are the totals
    desk.journal.tick()
    desk.die()
    monkeypatch.setattr(history_room, "BLOCK", 100)
    monkeypatch.setattr(history_room, "FIRST_BLOCK", 100)
    monkeypatch.setattr(history_room, "LONGEST", 1000)
    desk.open()
    assert sum(desk.totals.sessions.values()) == 200
    desk.journal.close()


# -- beside the ledger -----------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("what", ["folder", "FIFO"])
def test_a_checkpoint_that_cannot_be_read_stops_nobody(desk: Desk, what: str) -> None:
    desk.open()
    desk.settle("1")
    desk.journal.close()
    beside(desk, "checkpoint").unlink()
    if what == "folder":
        beside(desk, "checkpoint").mkdir()
    else:
        os.mkfifo(beside(desk, "checkpoint"))
    desk.open()
    assert desk.totals.sessions == {"default": Decimal(1)}
    assert verify(desk.path).findings == []
    desk.journal.close()


def test_a_checkpoint_with_any_figure_changed_is_none(desk: Desk) -> None:
    desk.open()
    desk.settle("1")
    desk.journal.close()
    whole = beside(desk, "checkpoint").read_bytes()
    saved = unpack(whole)
    assert saved is not None
    for at, byte in enumerate(whole):
        if byte in b"0123456789":
            changed = whole[:at] + (b"7" if byte != ord("7") else b"3") + whole[at + 1 :]
            assert unpack(changed) is None
    assert unpack(whole.replace(b'"offset":', b'"offset":9' + b"0" * 40)) is None


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_nothing(desk: Desk) -> None:
    disk = FaultyFiles()
    desk.open(files=disk)
    desk.settle("1")
    disk.fail("replace", errno.ENOSPC)
    desk.journal.close()
    assert not beside(desk, "checkpoint.new").exists()


def test_a_loss_that_the_checkpoints_sync_is_told_of_is_made_good(desk: Desk) -> None:
    disk = FaultyFiles()
    desk.open(files=disk)
    desk.settle("1")
    desk.journal.tick()
    disk.fail("sync", errno.EIO)
    desk.journal._start_checkpoint()
    assert not desk.journal.healthy
    assert not beside(desk, "checkpoint").exists()
    disk.heal()
    desk.journal.tick()
    assert disk.done["overwrite"] == 1
    assert desk.journal.healthy
    desk.journal.close()


def test_a_side_journal_that_is_emptied_from_outside_is_written_again(desk: Desk) -> None:
    desk.open()
    desk.reserve("0.5")
    os.truncate(beside(desk, "inflight"), 0)
    desk.journal.tick()
    desk.die()
    desk.open()
    assert desk.totals.sessions == {"default": Decimal("0.5")}
    desk.journal.close()


@pytest.mark.parametrize(
    ("facts", "usd"),
    [
        ({"hold_usd": "0.5", "cost_usd": "0.7"}, "0.7"),
        ({"hold_usd": "0.5", "cost_usd": "NaN"}, "0.5"),
        ({"hold_usd": "0.5", "ts": "yesterday"}, "0.5"),
        ({"hold_usd": "much", "cost_usd": None}, "0"),
        ({}, "0"),
    ],
)
def test_what_is_known_of_a_call_under_way_is_charged(facts: dict[str, str], usd: str) -> None:
    made = crash_entry("req_1", {"session_id": "s", **facts}, START)
    assert (made.cost_usd, made.session_id, made.end) == (Decimal(usd), "s", "crash")


# -- packed by other programs ----------------------------------------------------------------------

PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_is_read_however_it_was_packed(desk: Desk, suffix: str) -> None:
    desk.open()
    for _ in range(300):
        desk.settle("1")
    desk.journal.tick()
    desk.path.rename(beside(desk, "1"))
    desk.settle("1")  # goes to the file that is just being packed
    pack = PACKED[suffix]
    lines = beside(desk, "1").read_bytes().splitlines(True)
    # In two pieces, as whoever appends to a packed file leaves it.
    beside(desk, "1" + suffix).write_bytes(
        pack(b"".join(lines[:100])) + pack(b"".join(lines[100:-1]))
    )
    beside(desk, "1").unlink()
    desk.journal.reopen()
    desk.journal.tick()
    desk.settle("1")
    assert verify(desk.path).findings == []
    ids = [record.request_id for record in read_ledger(desk.path) if isinstance(record, Entry)]
    assert ids == [f"req_{number}" for number in range(1, 303)]
    desk.journal.close()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_packed_file_that_breaks_off_or_is_damaged_stops_nobody(desk: Desk, suffix: str) -> None:
    desk.open()
    for number in range(2000):
        desk.settle(f"0.{number + 1}")
    desk.journal.close()
    whole = PACKED[suffix](desk.path.read_bytes())
    desk.path.unlink()
    packed = beside(desk, "1" + suffix)
    packed.write_bytes(whole[:-20])
    assert not [r for r in verify(desk.path).findings if "unreadable" in r.reason]
    packed.write_bytes(b"none of these, " * 9)
    assert [type(record) for record in read_ledger(desk.path)] == [Damage]
    desk.open()
    desk.settle("1")
    desk.journal.close()
    packed.unlink()
    packed.mkdir()
    desk.open()
    desk.journal.close()


# -- lines of hands --------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["5000", "-3", '"5"', "1.5", "[]"])
def test_milliseconds_that_are_none_leave_the_call_its_cost(said: str) -> None:
    line = f'{{"ts":"2026-11-25T10:00:00Z","ts_ms":{said},"session_id":"s","cost_usd":0.1}}'
    made = decode(line.encode())
    assert isinstance(made, Entry)
    assert (made.ts, made.cost_usd) == (START, Decimal("0.1"))


def test_a_line_that_stands_there_twice_is_repaired(desk: Desk) -> None:
    desk.open()
    for _ in range(4):
        desk.settle("1")
    desk.journal.close()
    lines = desk.path.read_bytes().splitlines(True)
    desk.path.write_bytes(b"".join([*lines[:2], lines[1], *lines[2:], *lines[2:]]))
    done = repair(desk.path)
    assert done.copy.read_bytes() == b"".join(lines)
    assert [(damage.number, damage.reason) for damage in done.left_out] == [
        (number, "the same line stands before already") for number in (3, 6, 7)
    ]
    assert verify(done.copy).findings == []


def test_the_copy_of_a_packed_file_is_not_called_packed(desk: Desk) -> None:
    desk.open()
    desk.settle("1")
    desk.journal.close()
    packed = beside(desk, "1.gz")
    packed.write_bytes(gzip.compress(desk.path.read_bytes()))
    assert repair(packed).copy == beside(desk, "1.repaired")
    assert repair(packed).copy == beside(desk, "1.repaired-2")


def test_a_time_at_the_end_of_all_times_is_read() -> None:
    made = decode(b'{"ts":"9999-12-31T23:59:59Z","session_id":"s","cost_usd":0.1}')
    assert isinstance(made, Entry)
    assert made.ts == datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)


@pytest.mark.parametrize("ts", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_call_at_the_ends_of_all_times_counts_in_every_window(ts: str) -> None:
    config = parse_config(
        "budgets: [{name: r, limit_usd: 3, window: 90m}, {name: m, limit_usd: 3, window: month}]",
        "abg.yaml",
    )
    book = Book(config.budgets, config.zone)
    for line in (
        f'{{"ts":"{ts}","session_id":"s","cost_usd":0.1}}',
        f'{{"ts":"{ts}","event":"raise","session_id":"s","to_usd":7,"for_seconds":60}}',
        f'{{"ts":"{ts}","event":"adjust","session_id":"s","cost_usd":1}}',
        '{"ts":"2026-11-25T10:00:00Z","event":"adjust","session_id":"s","cost_usd":1,'
        '"at":"0001-01-01T00:00:00+09:00"}',
    ):
        record = decode(line.encode())
        assert not isinstance(record, Damage)
        book.apply(record)
    assert book.session_total("s") == Decimal("2.1")


def test_a_rotate_line_with_whatever_in_it_stops_nobody(desk: Desk) -> None:
    desk.open()
    call = desk.reserve("1")
    desk.die()
    strange = (
        b'{"ts":"2026-11-25T10:00:00Z","event":"rotate","file":[],"ended":[[],{},5,null],'
        b'"bridges":[[],{}],"rules":"rules-1","totals":{"sessions":[]}}\n'
    )
    desk.path.write_bytes(strange)
    desk.open()
    assert call not in desk.journal._inflight
    assert desk.totals.sessions == {"default": Decimal(1)}
    desk.journal.close()


# -- verified while it is rotated ------------------------------------------------------------------


class Rotating(Files):
    """Does something the third time the ledger itself is opened for reading: once it is listed."""

    def __init__(self, path: Path, act: Callable[[], None], opening: int) -> None:
        self._path, self._act, self._left = path, act, opening

    def read(self, path: Path) -> BinaryIO:
        if path == self._path:
            self._left -= 1
            if not self._left:
                self._act()
        return super().read(path)


@pytest.mark.parametrize("opening", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("how", ["move", "copytruncate", "remove"])
def test_a_ledger_that_is_rotated_meanwhile_is_sound(desk: Desk, how: str, opening: int) -> None:
    desk.open()
    for _ in range(5):
        desk.settle("1")

    def rotate() -> None:
        if how == "copytruncate":
            beside(desk, "1").write_bytes(desk.path.read_bytes())
            os.truncate(desk.path, 0)
        else:
            desk.path.rename(beside(desk, "1"))
        if how == "remove":
            return
        desk.journal.reopen()
        desk.settle("1")

    verdict = verify(desk.path, Rotating(desk.path, rotate, opening), written_now=True)
    assert verdict.findings == []
    assert verdict.spent in (5, 6)
    desk.journal.close()


def test_a_ledger_that_is_thrown_away_meanwhile_is_told(desk: Desk) -> None:
    desk.open()
    desk.settle("1")
    with pytest.raises(FileNotFoundError, match="moved while it was read"):
        verify(desk.path, Rotating(desk.path, desk.path.unlink, 3))
    desk.journal.close()
