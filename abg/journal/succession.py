"""One ledger file after another: our own rotation, and what other programs do to the file.

Each new file, and each file that was changed from outside, gets a ``rotate`` event with the totals
as they stand. So totals that still matter (sessions for life, open windows) need no older file,
and no line that an outside program has lost changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from msgspec import Raw

from abg.journal.active import Active, Change, missing_lines, unseen_lines
from abg.journal.checkpoint import json_of
from abg.journal.durability import Durability
from abg.journal.files import Files
from abg.journal.health import Health, why
from abg.journal.history import first_line, is_rotation
from abg.journal.replay import Totals
from abg.journal.rotation import Rotation
from abg.journal.running import RECOVERED
from abg.ledger import Damage, Entry, Event, decode, digest

__all__ = ["Succession"]


@frozen
class _LeftBehind:
    """A file that has been moved, for one more look."""

    fd: int
    identity: str
    lines: list[bytes]


class Succession:
    """Holds the active file, and puts the next one in its place.

    Args:
        active: the first one, its chain known.
        number: its number in the ledger's order.
        begun: time of its first line.
        enter: appends records, all in one write, now or when the disk is back.
    """

    def __init__(
        self,
        files: Files,
        active: Active,
        *,
        number: int,
        begun: datetime,
        rotation: Rotation,
        totals: Totals,
        durability: Durability,
        health: Health,
        clock: Callable[[], datetime],
        enter: Callable[[Sequence[Entry | Event]], None],
    ) -> None:
        self._files = files
        self.active = active
        self.number = number
        self._begun = begun
        self._path: Path = active.file.path
        self._rotation = rotation
        self._totals = totals
        self._durability = durability
        self._health = health
        self._clock = clock
        self._enter = enter
        self._left_behind: _LeftBehind | None = None
        self._said: set[str] = set()
        self._carried = ("", 0)
        """By the identity of a file, the bytes of its totals."""

    def look(self) -> None:
        """Notice what other programs have done to the file, and go on from there.

        Raises:
            OSError: it is not known where the lines go; no new call should pass.
        """
        behind, self._left_behind = self._left_behind, None
        try:
            self._look()
        finally:
            if behind is not None:
                self._fetch_from(behind)

    def _look(self) -> None:
        active = self.active
        change = active.look()
        if change is Change.MOVED:
            self._move_on("moved")
        elif change is Change.TRUNCATED:
            identity, recent = active.identity, active.recent()
            active.reread()
            self.number += 1
            self.carry_over("truncated", lost=self._lost(identity, recent))
        elif change is Change.GROWN:
            added = active.take_foreign()
            for record in added:
                if record.event != "rotate":
                    self._totals.apply(record)
            self._warn_once("grown", "another program adds lines to it; they are counted")
            if any(is_rotation(record) for record in added):
                # Lines of another ledger, its totals among them: the next start must not take
                # these for ours.
                self.carry_over("added to")

    def rotate_if_due(self) -> None:
        """Put the file away and begin the next one, if it is time."""
        active, now = self.active, self._clock()
        due = self._rotation.due
        if not active.lines or not due(now, self._begun, active.file.size):
            return
        try:
            # Or totals longer than a file may be would begin a new one every second.
            if not due(now, self._begun, active.file.size - self._carried_bytes()):
                return
            taken = frozenset(self._files.names(self._path.parent))
            archive = self._rotation.archive(self._path, now, self._begun, taken)
            self._files.rename_new(self._path, archive)
        except OSError as error:
            self._warn_once("rotate", f"cannot be rotated, and goes on: {why(error)}")
            return
        self._said.discard("rotate")
        try:
            self._move_on("rotated", archive.name)
        except OSError:
            pass  # the next look finds the name free, tries again, and says so if it must

    def _carried_bytes(self) -> int:
        """How much of the active file are the totals with which it begins, where that counts.

        Raises:
            OSError: it cannot be read.
        """
        if self._rotation.size is None:
            return 0
        identity, size = self._carried
        if identity != self.active.identity:
            line = first_line(self._files, self._path) or b""
            size = len(line) if is_rotation(decode(line)) else 0
            self._carried = (self.active.identity, size)
        return size

    def carry_over(
        self, reason: str, archive: str | None = None, lost: Sequence[bytes] = ()
    ) -> None:
        """Write the totals down, so that no line before is needed for them.

        Args:
            archive: where the lines before are now.
            lost: lines that no file has any more. They are written again just before: the
                totals know them already, and what follows replaces what a reader has summed up.
        """
        data: dict[str, Any] = {"reason": reason, "file": self.number}
        if archive is not None:
            data["from"] = archive
        # The next start may begin to read here: it must not take these for calls without a line.
        data["ended"] = self._durability.inflight.ended
        data["rules"] = self._totals.digest()
        data["totals"] = Raw(json_of(self._totals.dump()))
        if lost:
            # The line after them still names the last of them as the one before it.
            data["bridges"] = [digest(line[:-1]) for line in lost]
        again = [record for record in map(_again, lost) if record.event != "rotate"]
        self._enter([*again, Event(self._clock(), "rotate", data)])

    def close(self) -> None:
        """Look after what was left behind, close the file."""
        if self._left_behind is not None:
            self._durability.retire(self._left_behind.fd)
            self._left_behind = None
        self._durability.retire(self.active.file.fd)

    def _move_on(self, reason: str, archive: str | None = None) -> None:
        old, fresh = self.active, Active(self._files, self._path)
        fresh.tail = old.tail
        lost: list[bytes] = []
        if not fresh.file.size:
            self.number += 1
        else:
            reason = "replaced"
            try:
                fresh.reread()
                lost = unseen_lines(self._files, old.file.fd, self._path)
            except OSError:
                self._files.close(fresh.file.fd)
                raise
        self.active = self._durability.active = fresh
        self._begun = self._clock()
        recent = old.recent() if reason != "replaced" else []
        self._left_behind = _LeftBehind(old.file.fd, old.identity, recent)
        self._durability.sync_file(old.file.fd, self._path.parent, self._old_synced)
        self.carry_over(reason, archive, lost)

    def _old_synced(self, error: OSError | None) -> None:
        if error is not None:
            self._health.warn(f"the file put away may lack its last lines: {why(error)}")

    def _fetch_from(self, behind: _LeftBehind) -> None:
        """A look after the file was moved: a gzip that was quicker than we noticed has thrown
        away the last lines that went to it."""
        try:
            if not self._files.state_of(behind.fd).links:
                lost = self._lost(behind.identity, behind.lines)
                if lost:
                    self.carry_over("recovered", lost=lost)
        finally:
            self._durability.retire(behind.fd)

    def _lost(self, identity: str, lines: list[bytes]) -> list[bytes]:
        if not lines:
            return []
        return missing_lines(self._files, self._path, identity, lines)

    def _warn_once(self, about: str, text: str) -> None:
        if about not in self._said:
            self._said.add(about)
            self._health.warn(text)


def _again(line: bytes) -> Entry | Event:
    """The record of a line of our own that is to be written again; a call's is marked so."""
    record = decode(line)
    assert not isinstance(record, Damage), record
    if isinstance(record, Entry):
        return evolve(record, marks=(*(record.marks or ()), RECOVERED))
    return record
