"""``abg statusline``: Claude Code runs it every few seconds, with its JSON on stdin."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from abg.cli import client
from abg.errors import AbgError

__all__ = ["add_statusline", "ask"]

PATIENCE = 0.5
"""Seconds for the proxy's answer: the screen waits for this line."""


def add_statusline(parser: argparse.ArgumentParser) -> None:
    client.add_where(parser)
    parser.add_argument("--no-color", action="store_true", help="plain text (also: NO_COLOR)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print one line; whatever goes wrong, it is one quiet line and exit code 0."""
    from abg.statusline import DIM, DOWN, line, paint, session_name, standing

    colour = not arguments.no_color and not os.environ.get("NO_COLOR")
    try:
        name = session_name(read_json(), os.environ)
        found = standing(ask(arguments, name), name)
    except (AbgError, OSError, ValueError):
        print(paint(DOWN, DIM) if colour else DOWN)
        return 0
    print(line(found, colour=colour))
    return 0


def ask(arguments: argparse.Namespace, session: str) -> Any:
    """The status as far as this session needs it.

    Raises:
        NotRunning: no proxy answers soon enough.
    """
    url = arguments.url
    if url is None and arguments.config is None and not os.environ.get("ABG_URL"):
        url = _base_url()
    return client.find(url, arguments.config, session=session, timeout=PATIENCE)[1]


def read_json() -> dict[str, Any]:
    """What Claude Code wrote to stdin; nothing where it is a terminal, or no JSON object."""
    if sys.stdin is None or sys.stdin.isatty():
        return {}
    try:
        said = json.loads(sys.stdin.read() or "{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _base_url() -> str | None:
    """Where Claude Code sends its calls, if that is on this machine: there is the proxy."""
    base = os.environ.get("ANTHROPIC_BASE_URL", "")
    local = ("http://127.0.0.1", "http://localhost", "http://[::1]")
    return base if base.startswith(local) else None
