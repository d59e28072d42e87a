"""From the files of a ledger to its totals: everything, or what follows a checkpoint.

A damaged line counts for nothing, is kept as it is and reported with its place. A ``rotate`` event
carries the totals as they stood when it was written; where the rules of the budgets are still the
same, they replace what was folded so far, so that older files need not be read (or be there).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from abg.journal.checkpoint import Checkpoint, fits
from abg.journal.files import Files
from abg.journal.history import LedgerFile, blocks_of, first_line, is_rotation, length_of
from abg.journal.verify import prev_of
from abg.ledger import Damage, Entry, Event, Posting, decode, digest, posting
from abg.money import EXACT, ZERO

__all__ = ["Replay", "Totals"]

MOST_FINDINGS = 100
"""Damaged lines that are kept with their places; the rest is only counted."""

SHOWN_FINDINGS = 3
"""Damaged places that are named on the console at start."""

PROGRESS_BYTES = 64 * 1024 * 1024
"""How much is read between two lines of progress (near a second)."""


class Totals(Protocol):
    """What is folded from the ledger: in abg the book and the open calls."""

    def apply(self, record: Entry | Posting | Event) -> None:
        """Count one record. ``Posting`` is an ``Entry`` in short; both have ``event`` None."""

    def dump(self) -> Any:
        """All of it, as a value that JSON can hold (amounts as text)."""

    def load(self, data: Any) -> None:
        """Replace all of it by what ``dump`` gave; any exception: it is none of ours."""

    def session_total(self, session_id: str) -> Decimal:
        """What the session's total is now."""

    def digest(self) -> str:
        """Tells whether a dump was made under the same rules."""


class Replay:
    """One pass over a ledger's files; afterwards its attributes say what was found.

    Args:
        totals: must be fresh.
        watched: ids of calls in flight; those that have a line are moved to ``found``.
        say: takes a line for the console.
    """

    def __init__(
        self,
        files: Files,
        totals: Totals,
        watched: frozenset[str] = frozenset(),
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._files = files
        self._totals = totals
        self._watched = watched
        self._say = say
        self._fresh = totals.dump()
        self._rules = totals.digest()
        self._read = 0
        self._next_progress = PROGRESS_BYTES
        self._all_bytes = 0
        self.found: set[str] = set()
        self.damaged: list[Damage] = []
        self.damages = 0
        """How many lines are damaged, also beyond ``MOST_FINDINGS``."""
        self._breaks: list[tuple[str | None, Damage]] = []
        self._chained = False
        self.breaks = 0
        """How often the chain is broken."""
        self.from_checkpoint = False
        # Where the last file ends:
        self.tail = ""
        self.lines = 0
        self.offset = 0
        self.number = 1
        self.spent = ZERO
        self.replayed = 0
        """Lines that were read."""

    def run(self, history: Sequence[LedgerFile], checkpoint: Checkpoint | None) -> None:
        """Fold the files, oldest first.

        Raises:
            FileNotFoundError: a file was moved meanwhile; another pass over a new list may do.
            OSError: a file cannot be read.
        """
        start = self._resume(history, checkpoint)
        if start is None:
            start = self._first_needed(history)
        for index in range(start, len(history)):
            self._all_bytes += history[index].size
        for index in range(start, len(history)):
            file = history[index]
            if index > start or not self.from_checkpoint:
                self.lines = self.offset = 0
                self.spent = ZERO
                self.number = file.number or (self.number + 1 if index > start else 1)
            self._fold(file.path, first=index == 0)

    def report(self, command: str) -> None:
        """Tell what is damaged: the first places, and the command that shows the rest."""
        for damage in self.damaged[:SHOWN_FINDINGS]:
            self._say(f"[abg] WARNING {damage}; the line stays as it is and counts for nothing")
        for damage in self.broken[:SHOWN_FINDINGS]:
            self._say(f"[abg] WARNING {damage}; lines were changed, added or removed there")
        shown = min(SHOWN_FINDINGS, self.damages) + min(SHOWN_FINDINGS, self.breaks)
        more = self.damages + self.breaks - shown
        if more:
            self._say(f"[abg] WARNING {more} more findings: {command}")

    def _resume(self, history: Sequence[LedgerFile], checkpoint: Checkpoint | None) -> int | None:
        if checkpoint is None or checkpoint.budgets != self._rules:
            return None
        for index in range(len(history) - 1, -1, -1):
            file = history[index]
            if not file.packed and fits(checkpoint, self._files, file.path, file.identity):
                if not self._load(checkpoint.totals, self._fresh):
                    return None
                self.from_checkpoint = True
                self.found.update(self._watched.intersection(checkpoint.ended))
                self.tail = checkpoint.tail
                self.lines = checkpoint.lines
                self.offset = checkpoint.offset
                self.number = checkpoint.number
                self.spent = checkpoint.spent
                return index
        return None

    def _first_needed(self, history: Sequence[LedgerFile]) -> int:
        """The newest file that begins with usable totals; else the oldest."""
        for index in range(len(history) - 1, 0, -1):
            line = first_line(self._files, history[index].path)
            record = None if line is None else decode(line)
            if isinstance(record, Event) and self._carries(record):
                return index
        return 0

    def _carries(self, event: Event) -> bool:
        return is_rotation(event) and event.data.get("rules") == self._rules

    def _load(self, totals: Any, otherwise: Any) -> bool:
        try:
            self._totals.load(totals)
        except Exception:  # a dump of another version may fail in any way
            self._totals.load(otherwise)
            return False
        return True

    def _fold(self, path: Path, *, first: bool) -> None:
        apply, watched = self._totals.apply, self._watched
        number, offset, tail, spent = self.lines, self.offset, self.tail, self.spent
        add = EXACT.add
        for texts, _ in blocks_of(self._files, path, offset):
            for text in texts:
                number += 1
                record = posting(text)
                if isinstance(record, Posting):
                    if record.prev != tail and tail:
                        self._broken(path, number, offset, record.prev, tail)
                    elif record.prev is not None:
                        self._chained = True
                    spent = add(spent, record.cost_usd)
                    apply(record)
                    if watched and record.request_id in watched:
                        self.found.add(record.request_id)
                elif isinstance(record, Damage):
                    if not text.strip():
                        offset += len(text) + 1
                        continue
                    self._damage(record.at(path.name, number, offset))
                    offset += length_of(text) - len(text)
                else:
                    spent = add(spent, record.cost_usd)
                    if isinstance(record, Entry):
                        apply(record)
                        self.found.update(watched.intersection((record.request_id,)))
                    else:
                        # Totals of another ledger, whose lines somebody has added to this one's.
                        strange = offset > 0 and tail != "" and prev_of(text) != tail
                        self._event(record, first=first, strange=strange)
                offset += len(text) + 1
                tail = digest(text)
            if offset + self._read > self._next_progress:
                self._progress(offset)
        self._read += offset
        self.replayed += number - self.lines
        self.lines, self.offset, self.tail, self.spent = number, offset, tail, spent

    def _event(self, event: Event, *, first: bool, strange: bool) -> None:
        if not is_rotation(event):
            self._totals.apply(event)
            return
        if strange:
            return
        self._bridge(event.data.get("bridges"))
        ended = event.data.get("ended")
        if isinstance(ended, list):
            self.found.update(id for id in ended if isinstance(id, str) and id in self._watched)
        if self._carries(event) or (first and event.data.get("reason") != "replaced"):
            # Under other rules totals are folded anew, if the lines before are there to be read;
            # if they are not, the old totals are the best there is.
            self._load(event.data["totals"], self._totals.dump())

    def _damage(self, damage: Damage) -> None:
        self.damages += 1
        if len(self.damaged) < MOST_FINDINGS:
            self.damaged.append(damage)

    def _broken(self, path: Path, number: int, offset: int, prev: str | None, tail: str) -> None:
        if prev is None and not self._chained:
            return  # the original tool's lines know of no chain
        self._chained = True
        self.breaks += 1
        if len(self._breaks) < MOST_FINDINGS:
            why = "has no prev" if prev is None else f"prev is {prev}, the line before is {tail}"
            self._breaks.append((prev, Damage(why, number, offset, path.name)))

    @property
    def broken(self) -> list[Damage]:
        """Places where ``prev`` does not name the line before, the first hundred."""
        return [damage for _, damage in self._breaks]

    def _bridge(self, lost: object) -> None:
        """Lines that an outside rotation had lost explain the places where they are missing."""
        if isinstance(lost, list):
            explained = [row for row in self._breaks if row[0] in lost]
            self.breaks -= len(explained)
            self._breaks = [row for row in self._breaks if row not in explained]

    def _progress(self, offset: int) -> None:
        self._next_progress = offset + self._read + PROGRESS_BYTES
        percent = min(99, 100 * (offset + self._read) // max(1, self._all_bytes))
        self._say(f"[abg] reading the ledger: {percent} %")
