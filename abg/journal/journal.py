"""The journal as its owner sees it: append, reserve, release, and a tick once a second.

All methods belong to one thread (the reactor's); only fsync and the writing of checkpoints happen
on another. Nothing here knows what a budget is: totals are handed in and asked for as a whole.

An entry that cannot be written is not lost: it waits in memory, in order, and is written when the
disk is back; until then ``healthy`` is False and no new call should pass. Its reservation stays in
the in-flight journal meanwhile, so that even a crash forgets nothing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from abg.errors import LedgerLocked, LedgerUnavailable
from abg.journal.active import Active
from abg.journal.aftermath import crash_entries, repair_events
from abg.journal.checkpoint import Checkpoint, pack, saved_beside
from abg.journal.durability import Durability
from abg.journal.files import Files
from abg.journal.health import Health, why
from abg.journal.history import LedgerFile, ledger_files
from abg.journal.inflight import InFlight, read_open
from abg.journal.lock import InUse, Lock
from abg.journal.replay import Replay, Totals
from abg.journal.rotation import Rotation, parse_rotation
from abg.journal.succession import Succession
from abg.journal.syncing import CallSoon
from abg.ledger import Damage, Entry, Event

__all__ = ["Journal"]

CHECKPOINT_LINES = 20_000
"""Lines after which a new checkpoint is due: a start then reads them in a tenth of a second."""


class Journal:
    """See ``open``; afterwards the attributes say what the start has found."""

    damaged: tuple[Damage, ...] = ()
    """Lines that could not be read at start (the first hundred)."""
    broken: tuple[Damage, ...] = ()
    """Places where the chain of digests was broken (the first hundred)."""
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
            sync: ``os``, ``interval`` or ``always``; see ``durability``.
            rotate: ``never``, ``month``, or a size (``100MB``).
            say: takes console lines.
            call_soon: has a function called on the owner's thread (``callFromThread``).

        Raises:
            LedgerLocked: another process writes it.
            LedgerUnavailable: it cannot be read or written.
            ValueError: ``sync`` or ``rotate`` is none of these.
        """
        real = Path(os.path.realpath(path))
        rotation = parse_rotation(rotate)
        files = files or Files()
        durability = Durability(files, sync, call_soon)
        try:
            real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = Lock(real, clock())
            try:
                return Journal(real, files, lock, totals, clock, rotation, say, durability)
            except BaseException:
                durability.close()
                lock.release()
                raise
        except InUse as error:
            raise LedgerLocked(
                f"the ledger {real}: {why(error)}; "
                "stop that one, or give this one a ledger_file of its own"
            ) from None
        except OSError as error:
            raise LedgerUnavailable(f"{why(error)}: {error.filename or real}") from error

    def __init__(
        self,
        path: Path,
        files: Files,
        lock: Lock,
        totals: Totals,
        clock: Callable[[], datetime],
        rotation: Rotation,
        say: Callable[[str], None],
        durability: Durability,
    ) -> None:
        self.path = path
        self._files = files
        self._lock = lock
        self._totals = totals
        self._clock = clock
        self._say = say
        self._durability = durability
        self._health = durability.health = Health(say, durability.let_go)
        self._pending: deque[Entry | Event] = deque()
        self._files_beside = {
            name: path.with_name(f"{path.name}.{name}") for name in ("inflight", "checkpoint")
        }
        active = durability.active = Active(files, path)
        try:
            left = read_open(files.read_all(self._files_beside["inflight"]) or b"")
            history, replay = self._replay(frozenset(left))
            self._inflight = durability.inflight = InFlight(
                files, self._files_beside["inflight"], durability.retire
            )
        except BaseException:
            files.close(active.file.fd)
            raise
        active.identity, active.tail = history[-1].identity, replay.tail
        active.lines, active.spent = replay.lines, replay.spent
        begun = history[-1].begun
        self._succession = Succession(
            files,
            active,
            number=replay.number,
            begun=datetime.fromtimestamp(begun, timezone.utc) if active.identity else clock(),
            rotation=rotation,
            totals=totals,
            durability=durability,
            health=self._health,
            clock=clock,
            enter=self._enter,
        )
        self._since_checkpoint = replay.replayed
        try:
            self._settle_in(replay, resumed=len(history) > 1, left=left)
        except BaseException:
            files.close(active.file.fd)
            files.close(self._inflight.fd)
            raise

    # -- writing -----------------------------------------------------------------------------

    def append(self, record: Entry | Event) -> None:
        """Write a record's line, and release the reservation of an entry's ``request_id``.

        Raises:
            LedgerUnavailable: it cannot be written now; it is kept, and will be.
        """
        if self._pending:
            self._pending.append(record)
            raise LedgerUnavailable(self.problem)
        try:
            self._write(record)
        except OSError as error:
            self._pending.append(record)
            self._health.fail("ledger", error)
            raise LedgerUnavailable(self.problem) from error

    def reserve(self, id: str, facts: Mapping[str, Any]) -> None:
        """Note a call before its request leaves. ``facts``: keys of its entry, as known now.

        Raises:
            LedgerUnavailable: it is not noted.
        """
        try:
            self._inflight.reserve(id, facts)
        except OSError as error:
            self._health.fail("inflight", error)
            raise LedgerUnavailable(self.problem) from error
        self._durability.wrote()

    def progress(self, id: str, facts: Mapping[str, Any]) -> None:
        """Note what is known by now of a reserved call, such as its ``cost_usd`` so far."""
        try:
            self._inflight.progress(id, facts)
        except OSError as error:
            self._health.fail("inflight", error)
        else:
            self._durability.wrote()

    def release(self, id: str) -> None:
        """The call has ended without a line of its own. Ignored if it has one, or did end."""
        if id in self._inflight and not self._waits(id):
            try:
                self._inflight.withdraw(id)
            except OSError as error:
                self._health.fail("inflight", error)

    def durable(self, callback: Callable[[], None]) -> None:
        """Call back once all that was written so far is on the disk itself.

        At once (inside this call) unless ``sync`` is ``always``, and when the disk fails: nobody
        is made to wait for a disk that may never come back.
        """
        self._durability.when_durable(callback)

    # -- health ------------------------------------------------------------------------------

    @property
    def healthy(self) -> bool:
        """New calls may pass."""
        return bool(self._health)

    @property
    def problem(self) -> str:
        """Why not, in a few words; empty when healthy."""
        return self._health.problem

    @property
    def pending(self) -> int:
        """Records that wait in memory for the disk."""
        return len(self._pending)

    # -- time --------------------------------------------------------------------------------

    def tick(self) -> None:
        """To be called once a second: looks around, retries, rotates, syncs, checkpoints."""
        self._durability.poll()
        self._look()
        self._recover()
        if self._health:
            self._succession.rotate_if_due()
        self._durability.tick()
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
        self._durability.poll()
        self._look()
        self._recover()
        if self._pending:
            self._say(
                f"[abg] ERROR ledger: {len(self._pending)} entries could not be written "
                f"({self.problem}); the next start will enter those calls as estimates"
            )
        self._durability.close()
        try:
            self._durability.sync_now()
            self._inflight.release(len(self._inflight.ended))
            if self._clean and self._since_checkpoint:
                self._files.save(self._files_beside["checkpoint"], pack(self._checkpoint()))
            if not self._inflight and not self._pending:
                self._inflight.empty()
        except OSError as error:
            self._say(f"[abg] ERROR ledger: {why(error)}")
        self._succession.close()
        self._durability.retire(self._inflight.fd)
        self._durability.close()
        self._lock.release()

    # -- start -------------------------------------------------------------------------------

    def _replay(self, left: frozenset[str]) -> tuple[list[LedgerFile], Replay]:
        checkpoint = saved_beside(self._files, self.path)
        fresh = self._totals.dump()
        while True:
            history = ledger_files(self._files, self.path)
            replay = Replay(self._files, self._totals, left, self._say)
            try:
                replay.run(history, checkpoint)
            except FileNotFoundError:  # somebody rotates just now: the new list knows
                self._totals.load(fresh)
            else:
                return history, replay

    def _settle_in(
        self, replay: Replay, *, resumed: bool, left: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Report and enter what the start has found."""
        self.damaged, self.broken = tuple(replay.damaged), tuple(replay.broken)
        replay.report(f"abg ledger verify {self.path}")
        active = self._succession.active
        crashed = {id: left[id] for id in left if id not in replay.found}
        self._inflight.take_over(crashed, replay.found)
        if resumed and not active.identity:
            # It ended between putting a file away and beginning this one.
            self._succession.carry_over("resumed")
        events = repair_events(active.mended, self._clock(), self._say)
        entries = crash_entries(crashed, self._totals, self._clock(), self._say)
        self.crashed = len(entries)
        if events or entries:
            self._enter([*events, *entries])
        if self._pending:
            raise LedgerUnavailable(f"{self.problem}: {self.path}")
        if self._inflight.size:
            self._durability.sync_now()  # or a power loss could keep this and lose the entries
            self._inflight.empty()

    # -- inside ------------------------------------------------------------------------------

    def _waits(self, id: str) -> bool:
        return any(isinstance(r, Entry) and r.request_id == id for r in self._pending)

    def _write(self, record: Entry | Event) -> None:
        self._succession.active.write(record)
        self._durability.wrote()
        self._count(record)

    def _count(self, record: Entry | Event) -> None:
        self._since_checkpoint += 1
        if isinstance(record, Entry):
            self._inflight.end(record.request_id)

    def _enter(self, records: Sequence[Entry | Event]) -> None:
        """Append records of the journal's own; they wait like any other if they must."""
        if self._pending:
            self._pending.extend(records)
            return
        try:
            self._succession.active.write_all(records)
        except OSError as error:
            self._pending.extend(records)
            self._health.fail("ledger", error)
        else:
            self._durability.wrote()
            for record in records:
                self._count(record)

    def _look(self) -> None:
        try:
            self._succession.look()
            self._inflight.look()
            self._lock.look()
        except OSError as error:
            self._health.fail("look", error)
        else:
            self._health.mend("look")

    def _recover(self) -> None:
        if "ledger" in self._health:
            try:
                while self._pending:
                    self._write(self._pending[0])
                    self._pending.popleft()
            except OSError as error:
                self._health.fail("ledger", error)
            else:
                self._health.mend("ledger")
        if "inflight" in self._health:
            try:
                self._inflight.probe()
            except OSError as error:
                self._health.fail("inflight", error)
            else:
                self._health.mend("inflight")

    @property
    def _clean(self) -> bool:
        """The file holds all that the totals know."""
        return bool(self._health) and not self._pending

    def _checkpoint(self) -> Checkpoint:
        active = self._succession.active
        return Checkpoint(
            active.identity,
            active.file.size,
            active.lines,
            active.tail,
            self._succession.number,
            self._totals.digest(),
            active.spent,
            self._totals.dump(),
            self._inflight.ended,
        )

    def _start_checkpoint(self) -> None:
        if self._clean:
            self._since_checkpoint = 0
            data = pack(self._checkpoint())
            # After a sync, for a checkpoint may never know of more than the disk does.
            self._durability.sync_then(
                lambda: self._files.save(self._files_beside["checkpoint"], data),
                lambda error: None,
            )
