"""``abg status`` and ``abg reset``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from abg.cli import client

__all__ = ["add_reset", "add_status", "no_such"]


def add_status(parser: argparse.ArgumentParser) -> None:
    client.add_where(parser)
    parser.add_argument("--json", action="store_true", help="print what the proxy says, as JSON")
    parser.set_defaults(run=show_status)


def add_reset(parser: argparse.ArgumentParser) -> None:
    client.add_where(parser)
    parser.add_argument(
        "--session",
        type=client.session_name,
        metavar="NAME",
        required=True,
        help="whose budget",
    )
    parser.set_defaults(run=reset)


def show_status(arguments: argparse.Namespace) -> int:
    """Print the running proxy's status; 1 if there is none."""
    try:
        address, status = client.status(arguments)
    except client.NotRunning as problem:
        # After an ``abg run`` none runs any more, but the ledger has it all.
        raise client.NotRunning(f"{problem}\n  what was spent is in: abg report") from None
    if arguments.json:
        print(client.dumps(status))
        return 0
    from abg.home.status import status_text

    print(status_text(status, address.url))
    return 0


def reset(arguments: argparse.Namespace) -> int:
    """Start a session's budget again; the ledger keeps its history."""
    from abg.home.present import money

    name = arguments.session
    address, status = client.find(arguments.url, arguments.config, session=name)
    if not _is_known(name, status):
        _, status = client.status(arguments)
        print(f"abg: {no_such(name, status)}", file=sys.stderr)
        return 1
    client.post(address, "/abg/reset", {"session": name})
    spent = (status.get("sessions") or {}).get(name) or 0
    print(f"session {name} starts again at $0.00 (it had spent {money(spent)})")
    return 0


def _is_known(name: str, status: dict[str, Any]) -> bool:
    """Whether there is something to start again: spent in its life, or, as ``default`` may have
    before midnight, in a window of its own; or it was refused, as for a loop."""
    info = (status.get("session_info") or {}).get(name) or {}
    if (status.get("sessions") or {}).get(name) or info.get("requests") or info.get("blocked"):
        return True
    for row in status.get("budgets") or ():
        per, key = row.get("per"), str(row.get("key"))
        own = key == name if per == "session" else per == "subagent" and key.startswith(f"{name}/")
        if own and (row.get("spent_usd") or row.get("requests")):
            return True
    return False


def no_such(name: str, status: dict[str, object]) -> str:
    """That a session has spent nothing, with the name that may have been meant."""
    from difflib import get_close_matches

    sessions = status.get("sessions")
    near = get_close_matches(name, sessions if isinstance(sessions, dict) else (), n=1)
    hint = f"did you mean {near[0]}?" if near else "see: abg status"
    return f"no session {name!r} has spent anything: {hint}"
