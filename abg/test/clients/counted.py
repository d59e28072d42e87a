"""abg under a counter: ``python -m abg.test.clients.counted FILE proxy …`` counts its own work.

Every call of a function, Python's or C's, is one; the sum stands in FILE at the end. Unlike time it
hardly depends on the machine or on what else that does.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["main"]


def main() -> int:
    """Run abg with the arguments behind the file's name."""
    path, calls = Path(sys.argv[1]), 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1

    sys.argv = ["abg", *sys.argv[2:]]
    from abg.cli import main as abg

    sys.setprofile(count)
    try:
        return abg(sys.argv[1:])
    finally:
        sys.setprofile(None)
        path.write_text(str(calls))


if __name__ == "__main__":
    sys.exit(main())
