"""One writer: a second is refused, a dead one stands in nobody's way, a reader disturbs none."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from abg.errors import LedgerLocked, LedgerUnavailable
from abg.journal import lock as room
from abg.journal.lock import Holder, Lock, holder, lock_path
from abg.test.journals import START

posix = pytest.mark.skipif(os.name != "posix", reason="needs flock and kill")

HOLD = """
import sys, time
from datetime import datetime, timezone
from pathlib import Path
from abg.journal.lock import Lock
lock = Lock(Path(sys.argv[1]), datetime.now(timezone.utc))
lock.announce("127.0.0.1", 8788, "0.1.0")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def other(ledger: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the ledger."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(ledger)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@posix
def test_another_process_is_named(ledger: Path, other: subprocess.Popen[str]) -> None:
    who = holder(ledger)
    assert who is not None
    assert (who.pid, who.host, who.port, who.version) == (other.pid, "127.0.0.1", 8788, "0.1.0")
    with pytest.raises(LedgerLocked, match=rf"another abg \(process {other.pid}, http://127.0.0.1"):
        Lock(ledger, START)


@posix
def test_a_killed_holder_stands_in_nobodys_way(ledger: Path, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert json.loads(lock_path(ledger).read_bytes())["pid"] == other.pid
    assert holder(ledger) is None
    lock = Lock(ledger, START)
    assert holder(ledger) == Holder(os.getpid(), None, None, "2026-11-25T10:00:00Z", "")
    lock.release()
    lock.release()
    assert holder(ledger) is None
    assert lock_path(ledger).read_bytes() == b""


@posix
def test_one_ledger_under_two_names_has_one_lock(ledger: Path) -> None:
    ledger.touch()
    link = ledger.with_name("link.jsonl")
    link.symlink_to(ledger)
    lock = Lock(ledger, START)
    with pytest.raises(LedgerLocked):
        Lock(link, START)
    lock.release()


@posix
def test_a_reader_that_asks_in_that_very_moment_is_waited_for(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Lock(ledger, START).release()
    reader = os.open(lock_path(ledger), os.O_RDONLY)
    assert room._try_lock(reader, exclusive=False)
    monkeypatch.setattr(room.time, "sleep", lambda seconds: os.close(reader))
    Lock(ledger, START).release()


@posix
@pytest.mark.parametrize("note", [b"", b"nonsense", b"[]", b'{"pid":"x"}', b"\xff", b"{}"])
def test_a_note_that_says_nothing_is_no_obstacle(
    ledger: Path, note: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PAUSE_SECONDS", 0)
    lock = Lock(ledger, START)
    lock_path(ledger).write_bytes(note)
    assert holder(ledger) == Holder(0)
    with pytest.raises(LedgerLocked, match="has not said who it is"):
        Lock(ledger, START)
    lock.release()


@posix
def test_a_full_disk_keeps_no_lock_from_holding(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(room.os, "ftruncate", full)
    Lock(ledger, START).release()


def test_a_lock_file_that_cannot_be_made_is_told(ledger: Path) -> None:
    lock_path(ledger).mkdir()
    with pytest.raises(LedgerUnavailable, match=r"ledger\.jsonl\.lock"):
        Lock(ledger, START)


@posix
def test_a_file_system_without_locks_is_told(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(fd: int, flags: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    Lock(ledger, START).release()
    monkeypatch.setattr(room.fcntl, "flock", none)
    with pytest.raises(LedgerUnavailable, match="put ledger_file on a local disk"):
        Lock(ledger, START)
    monkeypatch.setattr(room, "PAUSE_SECONDS", 0)
    assert holder(ledger) == Holder(0)


def test_nobody_holds_what_is_not_there(ledger: Path) -> None:
    assert holder(ledger) is None


def test_a_holder_is_told_in_words() -> None:
    assert str(Holder(7)) == "process 7"
