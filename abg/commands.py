"""Names in the commands that a person is told to type: quoted, and never read as options. Pure."""

from __future__ import annotations

from shlex import quote

__all__ = ["option", "unblock"]


def option(flag: str, name: str) -> str:
    """``--session 'my task'``; of a name that begins like an option ``--session=-x``."""
    return f"{flag}={quote(name)}" if name.startswith("-") else f"{flag} {quote(name)}"


def unblock(name: str) -> str:
    """What lets a session go on that was blocked by hand; ``*``: all of them.

    Who calls his session ``--all`` does not have all of them let go for it.
    """
    if name == "*":
        return "abg unblock --all"
    return f"abg unblock {'-- ' if name.startswith('-') else ''}{quote(name)}"
