"""When a ledger begins a new file, and what the old one is called then."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path

from attrs import frozen

from abg.journal.packing import SUFFIXES

__all__ = ["Rotation", "parse_rotation"]

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
LEAST_BYTES = 10_000
"""A file smaller than this would be mostly totals carried over."""


@frozen
class Rotation:
    """``never`` (both None), every calendar month (UTC), or from a size on."""

    monthly: bool = False
    size: int | None = None

    def due(self, now: datetime, begun: datetime, size: int) -> bool:
        """Whether a file begun then, and now of that size in bytes, is to be put away.

        A clock that steps back never makes it due.
        """
        if self.monthly:
            return _month(now) > _month(begun)
        return self.size is not None and size >= self.size

    def archive(self, active: Path, now: datetime, begun: datetime, taken: frozenset[str]) -> Path:
        """The name under which the file is put away; none of the names that are taken."""
        if self.monthly:
            when = begun.astimezone(timezone.utc).strftime("%Y-%m")
        else:
            when = now.astimezone(timezone.utc).strftime("%Y%m%d-%H%M%S")
        name, count = f"{active.stem}-{when}{active.suffix}", 1
        while any(name + suffix in taken for suffix in ("", *SUFFIXES)):
            count += 1
            name = f"{active.stem}-{when}.{count}{active.suffix}"
        return active.with_name(name)


def _month(ts: datetime) -> tuple[int, int]:
    ts = ts.astimezone(timezone.utc)
    return ts.year, ts.month


def parse_rotation(text: str | int) -> Rotation:
    """``month``, ``never``, or a size: ``100MB``, ``512k``, bytes as a number.

    Raises:
        ValueError: none of these; the text says what would be.
    """
    words = str(text).strip().lower()
    if words == "never":
        return Rotation()
    if words == "month":
        return Rotation(monthly=True)
    found = re.fullmatch(r"(\d{1,15})\s*([kmg]?)b?", words)
    if found is None:
        raise ValueError(f"{text!r} is none of month, never, or a size such as 100MB")
    size = int(found[1]) * _UNITS[found[2]]
    if size < LEAST_BYTES:
        raise ValueError(f"{text!r}: a ledger file cannot be smaller than {LEAST_BYTES} bytes")
    return Rotation(size=size)
