"""Ledger files that were packed after their rotation: by gzip, zstd, bzip2 or xz."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["SUFFIXES", "Unreadable", "is_packed", "name_unpacked", "unpacking"]

SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
"""By which a packed file is known."""


class Unreadable(Exception):
    """A packed file is damaged from here on."""


def is_packed(path: Path) -> bool:
    """Whether the name says so."""
    return path.suffix in SUFFIXES


def name_unpacked(path: Path) -> str:
    """What the file would be called if it were not packed."""
    return path.name.removesuffix(path.suffix) if is_packed(path) else path.name


def unpacking(raw: BinaryIO, suffix: str) -> Callable[[int], bytes]:
    """A ``read`` that unpacks; one that has come to the end of a file that breaks off gives
    nothing more, or raises ``EOFError``. What was unpacked before that is not lost.

    Its ``read`` raises:
        Unreadable: what follows is damaged.
    """
    read, damage = _reader(raw, suffix)

    def guarded(size: int) -> bytes:
        try:
            return read(size)
        except damage as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's
            raise Unreadable(str(error)) from None

    return guarded


def _reader(
    raw: BinaryIO, suffix: str
) -> tuple[Callable[[int], bytes], tuple[type[Exception], ...]]:
    # read1: it gives what it has before it stumbles over what follows.
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw).read1, (gzip.BadGzipFile, zlib.error)
    if suffix == ".bz2":
        import bz2

        return bz2.BZ2File(raw).read1, (OSError,)
    if suffix == ".xz":
        import lzma

        return lzma.LZMAFile(raw).read1, (lzma.LZMAError,)
    import zstandard

    stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    return stream.read1, (zstandard.ZstdError,)
