"""The journal as its owner sees it: append, reserve, release, and a tick once a second.

All methods belong to one thread (the reactor's); only fsync and the writing of checkpoints happen
on another. Nothing here knows what a budget is: totals are handed in and asked for as a whole.

What a line costs that cannot be written: nothing. It waits in memory, in order, and is written
when the disk is back; until then ``healthy`` is False and no new call should pass. Its reservation
stays in the in-flight journal meanwhile, so that even a crash forgets nothing.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from attrs import evolve

from abg.errors import LedgerUnavailable
from abg.journal.checkpoint import Checkpoint, pack, unpack
from abg.journal.files import Files
from abg.journal.history import ledger_files
from abg.journal.inflight import InFlight, crash_entry, read_open
from abg.journal.lines import LineFile
from abg.journal.lock import Lock
from abg.journal.replay import Replay, Totals
from abg.journal.rotation import parse_rotation
from abg.journal.syncing import CallSoon, Worker
from abg.journal.tail import Mended, mend
from abg.ledger import Entry, Event, digest, encode
from abg.money import EXACT, ZERO, show

__all__ = ["Journal"]

CHECKPOINT_LINES = 20_000
"""Lines after which a new checkpoint is due: a start then reads them in a tenth of a second."""

SHOWN_FINDINGS = 3
"""Damaged places that are named on the console at start."""

SYNC_MODES = ("os", "interval", "always")


class Journal:
    """See ``open``; afterwards the attributes say what the start has found."""

    damages: int = 0
    """Lines that could not be read at start."""
    crashed: int = 0
    """Calls that were under way when abg died, entered at start."""

    @staticmethod
    def open(
        path: Path,
        *,
        totals: Totals,
        clock: Callable[[], datetime],
        sync: str = "interval",
        rotate: str | int = "never",
        say: Callable[[str], None] = lambda text: None,
        call_soon: CallSoon | None = None,
        files: Files | None = None,
    ) -> Journal:
        """Take a ledger: lock it, mend its end, fold it into totals, enter what a crash left.

        Args:
            path: made, with its folder, if it is not there.
            totals: fresh; folded from the ledger here, and asked for dumps later.
            clock: timezone-aware now, for the lines that the journal writes itself.
            sync: ``os``, ``interval`` or ``always``.
            rotate: ``never``, ``month``, or a size (``100MB``).
            say: takes console lines.
            call_soon: has a function called on the owner's thread (``callFromThread``).

        Raises:
            LedgerLocked: another process writes it.
            LedgerUnavailable: it cannot be read or written.
        """
        real = Path(os.path.realpath(path))
        try:
            real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = Lock(real, clock())
            try:
                journal = Journal(
                    real, lock, totals, clock, sync, rotate, say, call_soon, files or Files()
                )
                journal._start()
            except BaseException:
                lock.release()
                raise
        except OSError as error:
            raise LedgerUnavailable(f"{_why(error)}: {error.filename or real}") from error
        return journal

    def __init__(
        self,
        path: Path,
        lock: Lock,
        totals: Totals,
        clock: Callable[[], datetime],
        sync: str,
        rotate: str | int,
        say: Callable[[str], None],
        call_soon: CallSoon | None,
        files: Files,
    ) -> None:
        if sync not in SYNC_MODES:
            raise ValueError(f"{sync!r} is none of {', '.join(SYNC_MODES)}")
        self.path = path
        self._lock = lock
        self._totals = totals
        self._clock = clock
        self._sync = sync
        self._rotation = parse_rotation(rotate)
        self._say = say
        self._files = files
        self._worker = Worker(call_soon)
        self._problems: dict[str, str] = {}
        self._pending: deque[Entry | Event] = deque()
        # Where the active file ends:
        self._identity = ""
        self._tail = ""
        self._lines = 0
        self._spent: Decimal = ZERO
        self._number = 1
        self._begun = clock()
        self._since_checkpoint = 0
        # What is not on the disk itself yet; a ticket is given for each line of either file.
        self._issued = 0
        self._synced = 0
        self._unsynced: list[bytes] = []
        self._syncing = False
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    # -- writing -----------------------------------------------------------------------------

    def append(self, record: Entry | Event) -> None:
        """Write a record's line, and release the reservation of an entry's ``request_id``.

        Raises:
            LedgerUnavailable: it cannot be written now; it is kept, and will be.
        """
        self._issued += 1
        if self._pending:
            self._pending.append(record)
            raise LedgerUnavailable(self.problem)
        try:
            self._write(record)
        except OSError as error:
            self._pending.append(record)
            self._fail("ledger", error)
            raise LedgerUnavailable(self.problem) from error
        if isinstance(record, Entry):
            self._release(record.request_id)

    def reserve(self, id: str, facts: Mapping[str, Any]) -> None:
        """Note a call before its request leaves. ``facts``: keys of its entry, as known now.

        Raises:
            LedgerUnavailable: it is not noted.
        """
        self._issued += 1
        try:
            self._inflight.reserve(id, facts)
        except OSError as error:
            self._fail("inflight", error)
            raise LedgerUnavailable(self.problem) from error

    def progress(self, id: str, facts: Mapping[str, Any]) -> None:
        """Note what is known by now of a reserved call, such as ``cost_usd`` so far."""
        self._issued += 1
        try:
            self._inflight.progress(id, facts)
        except OSError as error:
            self._fail("inflight", error)

    def release(self, id: str) -> None:
        """The call has ended without a line, or its line is written. Twice is ignored."""
        if not any(getattr(record, "request_id", None) == id for record in self._pending):
            self._release(id)

    def durable(self, callback: Callable[[], None]) -> None:
        """Call back once all that was written so far is on the disk itself.

        At once (inside this call) unless ``sync`` is ``always``, and when the disk fails: nobody
        is made to wait for a disk that may never come back.
        """
        if self._sync != "always" or self._problems or self._synced >= self._issued:
            callback()
        else:
            self._waiting.append((self._issued, callback))
            self._start_sync()

    # -- health ------------------------------------------------------------------------------

    @property
    def healthy(self) -> bool:
        """New calls may pass."""
        return not self._problems

    @property
    def problem(self) -> str:
        """Why not, in a few words; empty when healthy."""
        return next(iter(self._problems.values()), "")

    @property
    def pending(self) -> int:
        """Records that wait in memory for the disk."""
        return len(self._pending)

    # -- time --------------------------------------------------------------------------------

    def tick(self) -> None:
        """To be called once a second: retries, syncs, checkpoints, rotates."""
        self._worker.poll()
        self._recover()
        if self._sync != "os":
            self._start_sync()
        if self._since_checkpoint >= CHECKPOINT_LINES:
            self._start_checkpoint()

    def reopen(self) -> None:
        """Look at once whether the file was moved or truncated from outside (HUP)."""
        self.tick()

    def announce(self, host: str, port: int, version: str) -> None:
        """Say in the lock file where the proxy listens."""
        self._lock.announce(host, port, version)

    def close(self) -> None:
        """Write and sync what can be, leave a checkpoint, give the ledger back."""
        self._worker.close()
        self._recover()
        if self._pending:
            self._say(
                f"[abg] ERROR ledger: {len(self._pending)} entries could not be written "
                f"({self.problem}); they will be entered as estimates at the next start"
            )
        try:
            self._sync_both(self._file.fd, self._inflight.fd)
            if self._may_checkpoint() and self._since_checkpoint:
                self._files.save(self._beside(".checkpoint"), pack(self._checkpoint()))
            if not self._inflight.open and self._inflight.clean and not self._pending:
                self._inflight.empty()
        except OSError as error:
            self._say(f"[abg] ERROR ledger: {_why(error)}")
        self._inflight.close()
        self._files.close(self._file.fd)
        self._lock.release()

    # -- start -------------------------------------------------------------------------------

    def _start(self) -> None:
        files = self._files
        self._file = LineFile(files, self.path)
        try:
            if not stat.S_ISREG(self._file.state().mode):
                raise OSError(22, "not a regular file", str(self.path))
            files.make_private(self._file.fd)
            mended = mend(files, self._file)
            inflight = self._beside(".inflight")
            left = read_open(files.read_all(inflight) or b"")
            history = ledger_files(files, self.path)
            replay = Replay(files, self._totals, frozenset(left), self._say)
            saved = files.read_all(self._beside(".checkpoint"))
            replay.run(history, None if saved is None else unpack(saved))
            self._inflight = InFlight(files, inflight, self._retire)
        except BaseException:
            files.close(self._file.fd)
            raise
        self._identity = history[-1].identity
        self._tail, self._lines, self._spent = replay.tail, replay.lines, replay.spent
        self._number = replay.number
        self._since_checkpoint = replay.replayed
        self._report(replay)
        if mended is not None:
            self._enter_repair(mended)
        self._enter_crashed({id: left[id] for id in left if id not in replay.found})
        if self._inflight.size:
            self._inflight.empty()

    def _report(self, replay: Replay) -> None:
        self.damages = replay.damages
        for damage in replay.damaged[:SHOWN_FINDINGS]:
            self._say(f"[abg] WARNING {damage}; the line stays as it is and counts for nothing")
        for damage in replay.broken[:SHOWN_FINDINGS]:
            self._say(f"[abg] WARNING {damage}; lines were changed, added or removed there")
        shown = min(SHOWN_FINDINGS, replay.damages) + min(SHOWN_FINDINGS, replay.breaks)
        more = replay.damages + replay.breaks - shown
        if more:
            self._say(f"[abg] WARNING {more} more findings: abg ledger verify {self.path}")

    def _enter_repair(self, mended: Mended) -> None:
        self._say(
            f"[abg] ledger: the last line was {mended.what} at byte {mended.offset} "
            f"({mended.size} bytes taken away), as a crash leaves it"
        )
        if mended.what == "cut":
            data = {"what": "cut", "offset": mended.offset, "bytes": mended.size}
            self._write(Event(self._clock(), "repair", {**data, "text": mended.text}))

    def _enter_crashed(self, left: Mapping[str, Mapping[str, Any]]) -> None:
        cost = ZERO
        for id, facts in left.items():
            entry = crash_entry(id, facts, self._clock())
            self._totals.apply(entry)
            # Not every keeper of totals knows its sessions' totals yet.
            total_of = getattr(self._totals, "session_total", None)
            total = total_of(entry.session_id) if total_of else entry.cost_usd
            self._write(evolve(entry, session_total_usd=total))
            cost = EXACT.add(cost, entry.cost_usd)
        self.crashed = len(left)
        if left:
            calls = "1 call was" if len(left) == 1 else f"{len(left)} calls were"
            self._say(
                f"[abg] ledger: {calls} under way when abg last ended without warning; "
                f"entered as estimated, {show(cost, 4)}"
            )

    # -- inside ------------------------------------------------------------------------------

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)

    def _write(self, record: Entry | Event) -> None:
        line = encode(record, self._tail)
        self._file.append(line)
        self._tail = digest(line[:-1])
        self._identity = self._identity or self._tail
        self._lines += 1
        self._since_checkpoint += 1
        self._spent = EXACT.add(self._spent, record.cost_usd)
        if self._sync != "os":
            self._unsynced.append(line)

    def _release(self, id: str) -> None:
        if id in self._inflight:
            self._issued += 1
            try:
                self._inflight.release(id)
            except OSError as error:
                self._fail("inflight", error)

    def _fail(self, where: str, error: OSError) -> None:
        if not self._problems:
            self._say(f"[abg] ERROR ledger cannot be written: {_why(error)}")
        self._problems[where] = _why(error)
        self._let_go()

    def _let_go(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for _, callback in waiting:
            callback()

    def _recover(self) -> None:
        if not self._problems:
            return
        self._retry("ledger", self._write_pending)
        self._retry("inflight", self._inflight.probe)
        if not self._problems:
            self._say("[abg] ledger can be written again")

    def _retry(self, where: str, act: Callable[[], None]) -> None:
        if where in self._problems:
            try:
                act()
            except OSError as error:
                self._problems[where] = _why(error)
            else:
                del self._problems[where]

    def _write_pending(self) -> None:
        while self._pending:
            record = self._pending[0]
            self._write(record)
            self._pending.popleft()
            if isinstance(record, Entry):
                self._release(record.request_id)

    def _retire(self, fd: int) -> None:
        self._worker.submit(lambda: self._files.close(fd), lambda error: None)

    # -- syncing and checkpoints ---------------------------------------------------------------

    def _sync_both(self, ledger: int, inflight: int) -> None:
        self._files.sync(ledger)
        self._files.sync(inflight)

    def _start_sync(self) -> None:
        if self._syncing or self._synced >= self._issued:
            return
        self._syncing = True
        covers, lines = self._issued, len(self._unsynced)
        ledger, inflight = self._file.fd, self._inflight.fd

        def done(error: OSError | None) -> None:
            self._syncing = False
            if error is not None:
                self._fail("sync", error)
                return
            self._synced = covers
            del self._unsynced[:lines]
            self._problems.pop("sync", None)
            while self._waiting and self._waiting[0][0] <= covers:
                self._waiting.popleft()[1]()
            if self._waiting:
                self._start_sync()

        self._worker.submit(lambda: self._sync_both(ledger, inflight), done)

    def _may_checkpoint(self) -> bool:
        return not self._problems and not self._pending and self._inflight.clean

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            self._identity,
            self._file.size,
            self._lines,
            self._tail,
            self._number,
            self._totals.digest(),
            self._spent,
            self._totals.dump(),
        )

    def _start_checkpoint(self) -> None:
        if not self._may_checkpoint():
            return
        data = pack(self._checkpoint())
        ledger, inflight = self._file.fd, self._inflight.fd
        self._since_checkpoint = 0

        def job() -> None:
            # A checkpoint may never know of more than the disk does: an entry before it must be
            # there, and its release too, or the next start would enter it twice.
            self._sync_both(ledger, inflight)
            self._files.save(self._beside(".checkpoint"), data)

        self._worker.submit(job, lambda error: None)


def _why(error: OSError) -> str:
    return error.strerror or str(error)
