"""A repaired copy of a ledger file, beside it; the file itself is never touched.

- A line that cannot be read is left out, and told; so is one that stands there twice, byte for
  byte. Of lines that were glued together each whole one is kept.
- Where the running total of a session shows that lost lines had a cost, an ``adjust`` event takes
  their place: no settled cent is lost.
- ``prev`` is made to name the line before again; else lines stay byte for byte as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from attrs import define, field

from abg.journal.files import Files
from abg.journal.history import lines_of
from abg.journal.packing import name_unpacked
from abg.journal.running import RECOVERED, RunningTotals
from abg.journal.verify import prev_of
from abg.ledger import Damage, Entry, Event, decode, digest, encode
from abg.money import EXACT, ZERO

__all__ = ["Repaired", "repair"]

BLOCK = 1 << 20
"""Bytes written at once."""


@define
class Repaired:
    """What was done."""

    copy: Path
    kept: int = 0
    left_out: list[Damage] = field(factory=list)
    linked: int = 0
    """Lines whose ``prev`` was made to fit."""
    adjusted: Decimal = ZERO
    """What the lines that are lost had cost, by the totals of those after them."""
    adjustments: int = 0


def repair(path: Path, files: Files | None = None) -> Repaired:
    """Write a copy that ``verify`` finds sound, named ``<file>.repaired`` and not packed.

    Raises:
        OSError: the file cannot be read, or the copy cannot be written.
    """
    files = files or Files()
    work = _Repair(Repaired(_free_name(path)), _bridges(files, path))
    fd = files.create(work.done.copy)
    try:
        block = bytearray()
        for line in work.lines(files, path):
            block += line
            if len(block) > BLOCK:
                _write(files, fd, block)
        _write(files, fd, block)
        files.sync(fd)
    finally:
        files.close(fd)
    return work.done


class _Repair:
    def __init__(self, done: Repaired, bridges: frozenset[str]) -> None:
        self.done = done
        self._bridges = bridges
        self._running = RunningTotals()
        self._tail: str | None = None
        self._sound: set[str] | None = None
        """Sessions whose totals have been seen since lines were lost; None: none were."""
        self._seen: set[str] = set()
        """Digests of chained lines, of which no two can be alike."""

    def lines(self, files: Files, path: Path) -> Iterator[bytes]:
        """The lines of the copy."""
        for line in lines_of(files, path):
            if not line.text.strip():
                continue
            if prev_of(line.text):
                if line.digest in self._seen:
                    again = Damage("the same line stands before already")
                    self.done.left_out.append(again.at(path.name, line.number, line.offset))
                    continue
                self._seen.add(line.digest)
            parts = list(_parts(line.text))
            if not parts:
                reason = decode(line.text)
                assert isinstance(reason, Damage)
                self.done.left_out.append(reason.at(path.name, line.number, line.offset))
                self._sound = set()
                if self._tail is None:
                    self._tail = prev_of(line.text) or ""
            for text, record in parts:
                yield from self._line(text, record)

    def _line(self, text: bytes, record: Entry | Event) -> Iterator[bytes]:
        prev = prev_of(text)
        before = self._tail
        broken = prev is not None and before is not None and prev != before
        if broken and prev not in self._bridges:
            self._sound = set()
        if not isinstance(record, Entry):
            self._running.step(record)
        elif prev is None or RECOVERED in (record.marks or ()):
            self._running.add(record)
        else:
            gap = self._running.step(record)
            if self._sound is not None and record.session_id not in self._sound:
                self._sound.add(record.session_id)
                if gap > 0:
                    yield self._adjustment(record, gap)
        if prev is not None and before is not None and prev != self._tail:
            text = _linked(text, prev, self._tail or "")
            self.done.linked += 1
        self.done.kept += 1
        self._tail = digest(text)
        yield text + b"\n"

    def _adjustment(self, record: Entry, gap: Decimal) -> bytes:
        self.done.adjustments += 1
        self.done.adjusted = EXACT.add(self.done.adjusted, gap)
        event = Event(
            record.ts,
            "adjust",
            {
                "session_id": record.session_id,
                "cost_usd": gap,
                "reason": "repair: lines before this one were lost, and the total knows their cost",
            },
        )
        line = encode(event, self._tail)
        self._tail = digest(line[:-1])
        return line


def _parts(text: bytes) -> Iterator[tuple[bytes, Entry | Event]]:
    """The whole records in a line: itself, or those that were glued into it."""
    text = text.strip(b"\0\r\n \t")
    record = decode(text)
    if not isinstance(record, Damage):
        yield text, record
        return
    starts = [0]
    while (at := text.find(b'{"ts":', starts[-1] + 1)) >= 0:
        starts.append(at)
    for begin, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[begin:end].strip(b"\0")
        record = decode(part)
        if not isinstance(record, Damage):
            yield part, record


def _linked(text: bytes, prev: str, tail: str) -> bytes:
    head, _, rest = text.rpartition(prev.encode() + b'"') if prev else text.rpartition(b'"')
    return head + tail.encode() + b'"' + rest


def _bridges(files: Files, path: Path) -> frozenset[str]:
    """Digests of lines that were lost and are there again: they need no adjustment."""
    found: set[str] = set()
    for line in lines_of(files, path):
        if b'"bridges"' in line.text:
            record = decode(line.text)
            lost = record.data.get("bridges") if isinstance(record, Event) else None
            found.update(map(str, lost) if isinstance(lost, list) else ())
    return frozenset(found)


def _free_name(path: Path) -> Path:
    name = name_unpacked(path)  # the copy is not packed
    copy, count = path.with_name(name + ".repaired"), 1
    while os.path.lexists(copy):
        count += 1
        copy = path.with_name(f"{name}.repaired-{count}")
    return copy


def _write(files: Files, fd: int, block: bytearray) -> None:
    rest = bytes(block)
    while rest:
        rest = rest[files.write(fd, rest) :]
    block.clear()
