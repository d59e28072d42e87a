"""The checkpoint: totals as of one byte of the ledger, so that a start reads only what follows.

It is a cache and never the truth: whoever loads it compares its digests with the ledger, and
reads everything where they do not fit. Two lines: a head with the place in the ledger and a digest
of both lines, then the totals.
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from attrs import frozen

from abg.journal.files import Files
from abg.ledger import digest, sound

__all__ = ["Checkpoint", "fits", "json_of", "pack", "saved_beside", "unpack"]

VERSION = 1

_WINDOW = 1 << 16
"""Bytes before the offset in which the last line must begin; longer lines do not fit."""


@frozen
class Checkpoint:
    """Totals after all lines of earlier files and the first ``offset`` bytes of one."""

    identity: str
    """Digest of that file's first line."""
    offset: int
    lines: int
    """Lines of that file before the offset."""
    tail: str
    """Digest of the last of them."""
    number: int
    """That file's number in the ledger's order, from 1."""
    budgets: str
    """Digest of the budget rules that the totals were folded under."""
    spent: Decimal
    """Sum of ``cost_usd`` over those lines: ``verify`` holds it against the file."""
    totals: Any
    ended: tuple[str, ...] = ()
    """Calls that have their line before the offset, while the in-flight journal may still hold
    them as open."""


class _Head(msgspec.Struct):
    version: int
    identity: str
    offset: int
    lines: int
    tail: str
    number: int
    budgets: str
    spent: Decimal
    ended: tuple[str, ...]
    check: str = ""


def json_of(totals: Any) -> bytes:
    """The JSON of a dump, whatever texts are in it."""
    try:
        return msgspec.json.encode(totals)
    except UnicodeEncodeError:
        return msgspec.json.encode(sound(totals))


def pack(checkpoint: Checkpoint) -> bytes:
    """The content of the file."""
    totals = json_of(checkpoint.totals)
    head = _Head(
        VERSION,
        checkpoint.identity,
        checkpoint.offset,
        checkpoint.lines,
        checkpoint.tail,
        checkpoint.number,
        checkpoint.budgets,
        checkpoint.spent,
        checkpoint.ended,
    )
    head.check = _check(head, totals)
    return msgspec.json.encode(head) + b"\n" + totals + b"\n"


def _check(head: _Head, totals: bytes) -> str:
    """The digest of both lines, the head's without it."""
    bare = msgspec.structs.replace(head, check="")
    return sha256(msgspec.json.encode(bare) + totals).hexdigest()


def unpack(data: bytes) -> Checkpoint | None:
    """What the file says; None: it is damaged, or of another version."""
    try:
        first, second, rest = data.split(b"\n")
        head = msgspec.json.decode(first, type=_Head)
        if head.version != VERSION or rest or _check(head, second) != head.check:
            return None
        totals = msgspec.json.decode(second)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return Checkpoint(
        head.identity,
        head.offset,
        head.lines,
        head.tail,
        head.number,
        head.budgets,
        head.spent,
        totals,
        head.ended,
    )


def saved_beside(files: Files, ledger: Path) -> Checkpoint | None:
    """The checkpoint of a ledger; None: there is none that can be used. It is only a cache: one
    that cannot even be read stops nobody."""
    try:
        data = files.read_all(ledger.with_name(ledger.name + ".checkpoint"))
    except OSError:
        return None
    return None if data is None else unpack(data)


def fits(checkpoint: Checkpoint, files: Files, path: Path, identity: str) -> bool:
    """Whether the file with that first line still has, before the offset, what it had.

    Raises:
        OSError: the file cannot be read.
    """
    if checkpoint.identity != identity:
        return False
    start = max(0, checkpoint.offset - _WINDOW)
    with files.read(path) as stream:
        stream.seek(start)
        before = stream.read(checkpoint.offset - start)
    if len(before) != checkpoint.offset - start or before[-1:] != b"\n":
        return False
    lines = before[:-1].split(b"\n")
    if start:
        del lines[0]  # it began before the window
    last = next((line for line in reversed(lines) if line.strip()), None)
    return last is not None and digest(last) == checkpoint.tail
