"""``abg block`` and ``abg unblock``: the kill switch, at once and across a restart."""

from __future__ import annotations

import argparse

from abg.cli import client
from abg.commands import unblock as unblock_command

__all__ = ["add_block", "add_unblock"]

EVERYBODY = "*"


def add_block(parser: argparse.ArgumentParser) -> None:
    _add_target(parser)
    parser.set_defaults(run=block)


def add_unblock(parser: argparse.ArgumentParser) -> None:
    _add_target(parser)
    parser.set_defaults(run=unblock)


def _add_target(parser: argparse.ArgumentParser) -> None:
    client.add_where(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "session",
        type=client.session_name,
        nargs="?",
        metavar="NAME",
        help="this session",
    )
    which.add_argument("--all", action="store_true", help="every session")


def block(arguments: argparse.Namespace) -> int:
    """Refuse every further call of a session, or of all."""
    address, status = client.status(arguments)
    client.post(address, "/abg/block", _target(arguments))
    back = f"Let it go on with: {unblock_command('*' if arguments.all else arguments.session)}"
    if status.get("locked"):
        back = "Budgets are locked (lock_budgets): nobody can let it go on while that is so"
    print(f"{_named(arguments)}: no further call passes. {back}")
    return 0


def unblock(arguments: argparse.Namespace) -> int:
    """Let a blocked session, or all, go on (within its budgets)."""
    said = client.change(arguments, "/abg/unblock", _target(arguments))
    if isinstance(said, dict) and "*" in (said.get("blocked") or ()):
        everybody = unblock_command("*")
        print(f"{_named(arguments)}: blocked with all sessions still. Let them go on: {everybody}")
        return 1
    print(f"{_named(arguments)}: calls pass again, within the budgets")
    return 0


def _target(arguments: argparse.Namespace) -> dict[str, object]:
    # A lone star is what everybody types for all of them, and it blocks all of them.
    everybody = arguments.all or arguments.session == EVERYBODY
    return {"all": True} if everybody else {"session": arguments.session}


def _named(arguments: argparse.Namespace) -> str:
    return "all sessions" if "all" in _target(arguments) else f"session {arguments.session}"
