"""The files of one ledger, oldest first: the rotated ones, packed or not, and the active one.

Known as rotated are the names that abg gives (``ledger-2026-10.jsonl``,
``ledger-20261125-140201.jsonl``) and those that logrotate gives (``ledger.jsonl.1``,
``ledger.jsonl-20261101``, ``ledger-20261101.jsonl``), each also packed (``packing``). Other files
of the folder, such as another ledger, are left alone.

Their order is told by the number and time in their first line, not by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from abg.journal.files import Files
from abg.journal.packing import SUFFIXES, Unreadable, is_packed, unpacking
from abg.ledger import Damage, Entry, Event, decode, digest

__all__ = [
    "LedgerFile",
    "Line",
    "LongLine",
    "blocks_of",
    "first_line",
    "is_rotation",
    "ledger_files",
    "length_of",
    "lines_of",
]

BLOCK = 1 << 20
"""Bytes read at once."""

FIRST_BLOCK = 1 << 19
"""Bytes read to learn which file it is: what is written until a truncation is noticed, and more."""

ATTEMPTS = 5
"""How often files are listed at most, should somebody rotate them meanwhile."""

LONGEST = 64 * 1024 * 1024
"""Bytes of a line that are kept at most: what is longer is damage, and memory stays bounded."""

LONGEST_TOTALS = 16 * LONGEST
"""The same for a line with totals: near 50 bytes for each session that ever was."""


@frozen
class LedgerFile:
    """One file of a ledger, with what its first line says of its place in the order."""

    path: Path
    identity: str
    """Digest of its first line; empty for an empty file."""
    number: int
    """As its first ``rotate`` event counts, from 1; 0: it has none near its beginning."""
    begun: float
    """Time of the first line, seconds since the epoch; infinity: it has none."""
    size: int
    modified: float
    """When it was last written."""

    @property
    def packed(self) -> bool:
        return is_packed(self.path)


class LongLine(bytes):
    """The beginning of a line that is longer than any line of ours."""

    length: int
    """Of all of it."""

    def __new__(cls, text: bytes, length: int) -> LongLine:
        """A text, and how long it was."""
        made = super().__new__(cls, text)
        made.length = length
        return made


def length_of(text: bytes) -> int:
    """The bytes of a line in its file, without its line feed."""
    return text.length if isinstance(text, LongLine) else len(text)


@frozen
class Line:
    """A line with its place."""

    file: Path
    number: int
    """From 1, blank lines counted."""
    offset: int
    """Byte at which it begins, uncompressed."""
    text: bytes
    """Without line feed."""
    digest: str
    whole: bool = True
    """False: the last line, without its line feed."""


def ledger_files(files: Files, active: Path) -> list[LedgerFile]:
    """All files of the ledger whose active file is ``active`` (which comes last, if it exists).

    A file and its copy (gzip at work, a copytruncate half done) count once. Should somebody rotate
    meanwhile, they are listed again.

    Raises:
        OSError: the folder or a file cannot be read.
    """
    for attempt in range(ATTEMPTS):
        try:
            before = _names(files, active)
            history = _list(files, active, before)
            if _names(files, active) == before and _still_there(files, history):
                break
        except FileNotFoundError:
            if attempt == ATTEMPTS - 1:
                raise
    return history


def _names(files: Files, active: Path) -> list[str]:
    pattern = _rotated_names(active)
    try:
        names = files.names(active.parent)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if name == active.name or pattern.match(name))


def _list(files: Files, active: Path, names: list[str]) -> list[LedgerFile]:
    found: dict[str, LedgerFile] = {}
    last: LedgerFile | None = None
    for name in names:
        file = _look(files, active.with_name(name))
        if name == active.name:
            last = file
        elif file is not None and file.identity:
            other = found.get(file.identity)
            # Of a plain file and its packed copy the plain one is whole for certain.
            if other is None or (other.packed, -other.size) > (file.packed, -file.size):
                found[file.identity] = file
    if last is not None:
        found.pop(last.identity, None)
    ordered = _in_order(list(found.values()))
    return ordered if last is None else [*ordered, last]


def _in_order(found: list[LedgerFile]) -> list[LedgerFile]:
    """By number, which no clock can disturb; those without one stand where their time says."""
    ordered = sorted((f for f in found if f.number), key=lambda file: file.number)
    rest = sorted((f for f in found if not f.number), key=lambda file: (file.begun, file.path.name))
    for file in rest:
        place = 0
        while place < len(ordered) and ordered[place].begun < file.begun:
            place += 1
        ordered.insert(place, file)
    return ordered


def _still_there(files: Files, history: list[LedgerFile]) -> bool:
    """The newest file is the one that was looked at."""
    if not history:
        return True
    now = _look(files, history[-1].path)
    return now is not None and now.identity == history[-1].identity and now.size >= history[-1].size


def _rotated_names(active: Path) -> re.Pattern[str]:
    name, stem, suffix = (re.escape(part) for part in (active.name, active.stem, active.suffix))
    day = r"\d{4}-?\d\d(-?\d\d)?([-T]?\d\d-?\d\d-?\d\d|-\d{1,12})?([.-]\d{1,4})?"
    packed = "|".join(map(re.escape, SUFFIXES))
    # Or a number (the second one: logrotate's %s, seconds since the epoch).
    when = rf"(?:\.\d{{1,6}}|[.-]\d{{9,12}}|[.-]{day})"
    return re.compile(rf"(?:{name}{when}|{stem}{when}{suffix})(?:{packed})?\Z")


def _look(files: Files, path: Path) -> LedgerFile | None:
    state = files.state(path)
    if state is None or not _is_regular(state.mode):
        return None
    identity, begun, number = "", float("inf"), 0
    for texts, _ in blocks_of(files, path, block=FIRST_BLOCK):
        for text in texts:
            if not identity and text.strip():
                identity = digest(text)
                record = decode(text)
                begun = state.modified if isinstance(record, Damage) else record.ts.timestamp()
            if not number and _ROTATE in text:
                number = _number(decode(text))
        if identity:
            break
    return LedgerFile(path, identity, number, begun, state.size, state.modified)


def _is_regular(mode: int) -> bool:
    return (mode & 0o170000) == 0o100000


_ROTATE = b'"event":"rotate"'


def _number(record: Entry | Event | Damage) -> int:
    if isinstance(record, Event) and record.event == "rotate":
        number = record.data.get("file", 0)
        if isinstance(number, int):
            return number
    return 0


def first_line(files: Files, path: Path) -> bytes | None:
    """The first line that is not blank; None: there is none."""
    return next((line.text for line in lines_of(files, path) if line.text.strip()), None)


def is_rotation(record: Entry | Event | Damage) -> bool:
    """Whether it carries the totals of all lines before it."""
    return isinstance(record, Event) and record.event == "rotate" and "totals" in record.data


def blocks_of(
    files: Files, source: Path | int, offset: int = 0, block: int | None = None
) -> Iterator[tuple[list[bytes], bool]]:
    """The lines of one file, many at once, without line feeds.

    With each block comes whether its lines are whole: a last line without its line feed comes
    alone and is not. A line longer than ``LONGEST`` comes alone, as a ``LongLine``. A packed file
    that breaks off ends there; of one that is damaged the last line says so.

    Args:
        source: a name, or an open file that may have none any more.
        offset: where to begin; a packed file is read from its beginning.
        block: bytes read at once.

    Raises:
        OSError: it cannot be read.
    """
    with files.read(source) if isinstance(source, Path) else files.read_open(source) as raw:
        packed = isinstance(source, Path) and is_packed(source)
        read = unpacking(raw, source.suffix) if packed else raw.read  # type: ignore[union-attr]
        raw.seek(offset)
        rest: list[bytes] = []
        size = 0
        while True:
            try:
                data = read(block or BLOCK)
            except EOFError:
                break
            except Unreadable as error:
                yield [b"".join(rest) + f"(unreadable from here on: {error})".encode()], True
                return
            if not data:
                break
            if b"\n" not in data:
                if size < _longest(rest):
                    rest.append(data)
                size += len(data)
                continue
            lines = data.split(b"\n")
            if size >= _longest(rest):
                yield [LongLine(b"".join(rest), size + len(lines.pop(0)))], True
                rest.clear()
            elif rest:
                rest.append(lines[0])
                lines[0] = b"".join(rest)
                rest.clear()
            last = lines.pop()
            size = len(last)
            if last:
                rest.append(last)
            yield lines, True
        if rest:
            text = b"".join(rest)
            yield [text if size < _longest(rest) else LongLine(text, size)], False


def _longest(line: list[bytes]) -> int:
    return LONGEST_TOTALS if line and _ROTATE in line[0][:100] else LONGEST


def lines_of(files: Files, path: Path) -> Iterator[Line]:
    """The lines of one file with their places; the last one also without its line feed.

    Raises:
        OSError: it cannot be read.
    """
    number = offset = 0
    for texts, whole in blocks_of(files, path):
        for text in texts:
            number += 1
            yield Line(path, number, offset, text, digest(text), whole)
            offset += length_of(text) + 1
