"""Memory given back to the system after large bodies (glibc only; elsewhere nothing is done).

A freed 10 MB body makes glibc raise its own thresholds and keep up to 20 MB for the next one; a
proxy that mostly sees small calls would hold them for good.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

__all__ = ["give_back"]


def _found() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return trim


_trim = _found()


def give_back() -> None:
    """Return what is free at the top of the heap and in whole pages; some milliseconds."""
    if _trim is not None:
        _trim(0)
