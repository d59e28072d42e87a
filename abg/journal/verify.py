"""Check a ledger from its first line to its last: parse, order, chain, running totals, checkpoint.

Reads only. What it finds are values with a place; an empty ledger is sound. Lines without ``prev``
at the very beginning are the original tool's, and are only read.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from itertools import chain
from pathlib import Path

from attrs import define, field

from abg.journal.checkpoint import Checkpoint, saved_beside
from abg.journal.files import Files
from abg.journal.history import ATTEMPTS, LedgerFile, Line, ledger_files, length_of, lines_of
from abg.journal.running import RECOVERED, RunningTotals
from abg.ledger import Damage, Entry, Event, decode
from abg.money import EXACT, ZERO, show_exactly

__all__ = ["Verdict", "prev_of", "verify"]

_PREV = re.compile(rb'"prev"\s*:\s*"([0-9a-f]*)"\s*\}\s*\Z')


@define
class Verdict:
    """What was checked, and what is wrong."""

    findings: list[Damage] = field(factory=list)
    files: list[Path] = field(factory=list)
    lines: int = 0
    spent: Decimal = ZERO
    """Sum of ``cost_usd`` over all lines."""


def prev_of(line: bytes) -> str | None:
    """The line's ``prev``, which is its last key; None: it has none."""
    found = _PREV.search(line[-200:])
    return None if found is None else found[1].decode()


def verify(path: Path, files: Files | None = None, *, written_now: bool = False) -> Verdict:
    """Check all files of a ledger, or one file of it that is not the active one.

    Args:
        written_now: a proxy has it open: the last line may be under way.

    Raises:
        OSError: a file cannot be read.
    """
    files = files or Files()
    for _ in range(ATTEMPTS):
        check = _Check(saved_beside(files, path))
        history = [file for file in ledger_files(files, path) if file.identity]
        try:
            for file in history:
                lines = _lines_of(files, path, file)
                check.file(lines, file, last=file is history[-1] and written_now)
        except _Truncated:
            continue
        break
    return check.verdict()


class _Truncated(Exception):
    """A file has become shorter while it was read: its lines are elsewhere now."""


def _lines_of(files: Files, path: Path, file: LedgerFile) -> Iterator[Line]:
    """The lines of a file that was listed, whatever it is called by now: somebody may rotate.

    Raises:
        FileNotFoundError: it is gone.
    """
    for _ in range(ATTEMPTS):
        blank: list[Line] = []
        with suppress(FileNotFoundError):
            for line in (lines := lines_of(files, file.path)):
                if line.digest == file.identity:
                    return chain(blank, (line,), lines)
                if line.text.strip():
                    break
                blank.append(line)
        there = ledger_files(files, path)
        file = next((other for other in there if other.identity == file.identity), file)
    raise FileNotFoundError(errno.ENOENT, "it was moved while it was read", str(file.path))


class _Check:
    """One pass; ``_pending`` findings may be explained by what comes later."""

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        self._checkpoint = checkpoint
        self._found = Verdict()
        self._running = RunningTotals()
        self._tail: str | None = None
        self._chained = False
        self._breaks: dict[str, Damage] = {}
        """Chain broken at a line whose ``prev`` may be that of a lost line, by that ``prev``."""
        self._gaps: list[tuple[str, Decimal, Damage]] = []
        self._headless: Damage | None = None

    def file(self, lines: Iterator[Line], file: LedgerFile, *, last: bool) -> None:
        """Check one file, after those before it.

        Raises:
            _Truncated: it has fewer lines than when it was listed.
        """
        spent, checkpoint, end = ZERO, self._checkpoint, 0
        if checkpoint is not None and checkpoint.identity != file.identity:
            checkpoint = None
        for line in lines:
            if not end:
                self._found.files.append(line.file)
            end = line.offset + length_of(line.text) + line.whole
            if checkpoint is not None and line.offset == checkpoint.offset:
                self._against(checkpoint, line, spent)
            if line.text.strip():
                if last and not line.whole and isinstance(decode(line.text), Damage):
                    break
                spent = EXACT.add(spent, self._line(line))
        if end < file.size and not file.packed:
            raise _Truncated
        self._found.spent = EXACT.add(self._found.spent, spent)

    def verdict(self) -> Verdict:
        """All findings, by place."""
        late = [*self._breaks.values(), *(damage for *_, damage in self._gaps)]
        if self._headless is not None:
            late.append(self._headless)
        order = {path.name: place for place, path in enumerate(self._found.files)}
        self._found.findings += late
        self._found.findings.sort(key=lambda damage: (order[damage.file], damage.number))
        return self._found

    def _line(self, line: Line) -> Decimal:
        self._found.lines += 1
        if not line.whole:
            self._find(line, "the last line has no line feed")
        record = decode(line.text)
        if isinstance(record, Damage):
            self._find(line, record.reason)
            self._tail = line.digest
            return ZERO
        prev = prev_of(line.text)
        self._chain(line, prev)
        self._tail = line.digest
        if isinstance(record, Event) and record.event == "rotate":
            self._rotation(record)
        if isinstance(record, Entry) and prev is None:
            self._running.add(record)
        elif isinstance(record, Entry) and RECOVERED in (record.marks or ()):
            self._explain(record)
        else:
            gap = self._running.step(record)
            if gap:
                self._gap(line, record, gap)
        return record.cost_usd

    def _chain(self, line: Line, prev: str | None) -> None:
        tail, first = self._tail, self._tail is None
        if prev is None:
            if self._chained:
                self._find(line, "has no prev: another program wrote it")
            return
        self._chained = True
        if first and prev:
            self._headless = self._place(line, "the lines before it are missing")
        elif not first and prev != tail:
            reason = "prev names another line: lines before it were changed, added or removed"
            self._breaks[prev or line.digest] = self._place(line, reason)

    def _rotation(self, event: Event) -> None:
        if "totals" in event.data:
            self._headless = None  # what came before is carried over
        bridges = event.data.get("bridges")
        if isinstance(bridges, list):
            for lost in bridges:
                self._breaks.pop(str(lost), None)

    def _explain(self, record: Entry) -> None:
        """A line written again fills a gap that its loss had left."""
        left = record.cost_usd
        for place, (session, gap, damage) in enumerate(self._gaps):
            if session == record.session_id and left and gap > 0:
                taken = min(gap, left)
                left = EXACT.subtract(left, taken)
                self._gaps[place] = (session, EXACT.subtract(gap, taken), damage)
        self._gaps = [row for row in self._gaps if row[1]]
        if left:
            self._running.add(record)

    def _gap(self, line: Line, record: Entry | Event, gap: Decimal) -> None:
        word = "more" if gap > 0 else "less"
        amount = show_exactly(abs(gap))
        reason = f"session_total_usd is {amount} {word} than the lines before come to"
        self._gaps.append((record.session_id or "", gap, self._place(line, reason)))

    def _against(self, checkpoint: Checkpoint, line: Line, spent: Decimal) -> None:
        if (checkpoint.tail, checkpoint.spent) != (self._tail, spent):
            self._find(
                line,
                f"the checkpoint knows of {show_exactly(checkpoint.spent)} USD before this line, "
                f"the file of {show_exactly(spent)}",
            )

    def _find(self, line: Line, reason: str) -> None:
        self._found.findings.append(self._place(line, reason))

    @staticmethod
    def _place(line: Line, reason: str) -> Damage:
        return Damage(reason, line.number, line.offset, line.file.name)
