"""Abg killed and crowded, in rooms: the journal alone, the real proxy, and a crowd at one ledger.

``crash_torture.py`` beside this folder is the command.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["MOMENTS", "ROOT", "Broken", "progress"]

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = ("before", "in", "after")
"""When, of a change to the disk, a life ends."""


class Broken(Exception):
    """The ledger does not say what it must."""


def progress(done: int, of: int, what: str) -> None:
    print(f"\r{done}/{of} kills survived, {what}   ", end="", flush=True)
