"""From the system's memory to the disk itself: fsync in groups, on a thread of its own.

- ``os``: the system writes when it likes (Linux: within half a minute). Survives the death of the
  process; a power loss takes what was not written yet.
- ``interval``: synced once a second. A power loss takes the last second or two.
- ``always``: whoever asks by ``durable`` is called back after the sync that covers all he wrote.

When a sync fails, the system may have dropped what it could not write, and call the next sync a
success (fsync(2)). So the lines since the last good sync are kept, and written over themselves
before it is tried again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from abg.journal.active import Active
from abg.journal.files import Files
from abg.journal.health import Health
from abg.journal.inflight import InFlight
from abg.journal.syncing import CallSoon, Worker

__all__ = ["SYNC_MODES", "Durability"]

SYNC_MODES = ("os", "interval", "always")


class Durability:
    """Knows what is on the disk and what is not yet.

    Args:
        mode: one of ``SYNC_MODES``.
        call_soon: has a function called on the owner's thread.
    """

    def __init__(self, files: Files, mode: str, call_soon: CallSoon | None) -> None:
        if mode not in SYNC_MODES:
            raise ValueError(f"{mode!r} is none of {', '.join(SYNC_MODES)}")
        self._files = files
        self._mode = mode
        self._worker = Worker(call_soon)
        self.active: Active
        """The ledger's file now."""
        self.inflight: InFlight
        self.health: Health
        # A ticket is given for each line of either file.
        self._issued = 0
        self._synced = 0
        self._syncing = False
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def wrote(self) -> None:
        """Something was written to either file."""
        self._issued += 1

    def when_durable(self, callback: Callable[[], None]) -> None:
        """Call back when all written so far is on the disk; at once where nobody waits for that."""
        if self._mode != "always" or not self.health or self._synced >= self._issued:
            callback()
        else:
            self._waiting.append((self._issued, callback))
            self.start_sync()

    def let_go(self) -> None:
        """Call back all who wait: the disk fails, and may never come back."""
        waiting, self._waiting = self._waiting, deque()
        for _, callback in waiting:
            callback()

    def tick(self) -> None:
        """Once a second: sync what the mode says, and what failed."""
        if "sync" in self.health:
            self._sync_again()
        elif self._mode == "os":
            self.active.unsynced.clear()
            self._release(len(self.inflight.ended))
        else:
            self.start_sync()

    def poll(self) -> None:
        """Take note of what the thread has done."""
        self._worker.poll()

    def start_sync(self) -> None:
        """Have both files synced, unless that is under way (its end starts the next)."""
        if self._syncing or self._synced >= self._issued:
            return
        self._syncing = True
        # The list belongs to the file: after a rotation the next file has its own.
        unsynced = self.active.unsynced
        covers, lines, ended = self._issued, len(unsynced), len(self.inflight.ended)
        ledger, inflight = self.active.file.fd, self.inflight.fd

        def done(error: OSError | None) -> None:
            self._syncing = False
            if error is not None:
                self.health.fail("sync", error)
                return
            self._synced = covers
            del unsynced[:lines]
            self.health.mend("sync")
            self._release(ended)
            while self._waiting and self._waiting[0][0] <= covers:
                self._waiting.popleft()[1]()
            if self._waiting:
                self.start_sync()

        self._worker.submit(lambda: self._sync(ledger, inflight), done)

    def sync_now(self) -> None:
        """On this thread.

        Raises:
            OSError: it failed.
        """
        self._sync(self.active.file.fd, self.inflight.fd)

    def sync_then(self, job: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        """Have a job done after a sync of both files, both on the thread; not if that fails."""
        ledger, inflight = self.active.file.fd, self.inflight.fd
        synced: list[bool] = []

        def sync() -> None:
            self._sync(ledger, inflight)
            synced.append(True)

        def told(error: OSError | None) -> None:
            if error is not None:
                # The system tells of a loss only once, whoever asks.
                self.wrote()
                self.health.fail("sync", error)

        self._worker.submit(sync, told)
        self._worker.submit(lambda: job() if synced else None, done)

    def sync_file(self, fd: int, folder: Path, done: Callable[[OSError | None], None]) -> None:
        """Have a file synced that is not written any more, and the folder where it was renamed."""

        def both() -> None:
            self._files.sync(fd)
            self._files.sync_folder(folder)

        self._worker.submit(both, done)

    def retire(self, fd: int) -> None:
        """Have a file closed after every sync of it."""
        self._worker.submit(lambda: self._files.close(fd), lambda error: None)

    def close(self) -> None:
        """Wait for the thread, and end it."""
        self._worker.close()

    def _sync(self, ledger: int, inflight: int) -> None:
        self._files.sync(ledger)
        self._files.sync(inflight)

    def _release(self, count: int) -> None:
        if count:
            try:
                self.inflight.release(count)
            except OSError as error:
                self.health.fail("inflight", error)
            else:
                self.wrote()

    def _sync_again(self) -> None:
        if self._syncing:
            return
        try:
            file, lines = self.active.file, b"".join(self.active.unsynced)
            if file.state().size == file.size:
                self._files.overwrite(file.path, file.size - len(lines), lines)
            self.inflight.write_again()
        except OSError as error:
            self.health.fail("sync", error)
        else:
            self.start_sync()
