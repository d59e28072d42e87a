"""The ``abg`` command: one table of commands, each imported only when it is called.

``abg statusline`` runs every few seconds inside the agent's screen, so starting the program
must stay cheap: nothing here imports Twisted, yaml or ``http.client``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple, NoReturn

from abg import __version__
from abg.console import printable
from abg.errors import AbgError, ConfigError

__all__ = ["COMMANDS", "Command", "main"]

SUCCESS, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130


class Command(NamedTuple):
    """Where a command lives: ``function(parser)`` adds its arguments and a default ``run``."""

    module: str
    function: str
    summary: str


COMMANDS = {
    "proxy": Command("abg.cli.proxy", "add_proxy", "run the proxy that counts and stops"),
    "run": Command("abg.cli.run", "add_run", "run an agent inside a budget of its own"),
    "status": Command("abg.cli.status", "add_status", "what has been spent, by session and today"),
    "budget": Command("abg.cli.budget", "add_budget", "list budgets, raise one while running"),
    "reset": Command("abg.cli.status", "add_reset", "start a session's budget again"),
    "block": Command("abg.cli.block", "add_block", "stop a session, or all, at once"),
    "unblock": Command("abg.cli.block", "add_unblock", "let a stopped session go on"),
    "holds": Command("abg.cli.holds", "add_holds", "money held by requests that are running"),
    "report": Command("abg.cli.report", "add_report", "totals by day, session, model or agent"),
    "ledger": Command("abg.cli.ledger", "add_ledger", "check the ledger, or repair it"),
    "prices": Command(
        "abg.cli.prices", "add_prices", "what models cost, and where that is known from"
    ),
    "price": Command("abg.cli.price", "add_price", "what one answer costs, with the arithmetic"),
    "init": Command("abg.cli.init", "add_init", "write a config, point the agents at the proxy"),
    "doctor": Command("abg.cli.doctor", "add_doctor", "check the set-up, with a remedy each"),
    "demo": Command("abg.cli.demo", "add_demo", "watch an agent hit its cap: no key, no network"),
    "token": Command("abg.cli.token", "add_token", "tokens by which clients spend without a key"),
    "statusline": Command("abg.cli.statusline", "add_statusline", "one line for Claude Code"),
    "hook": Command("abg.cli.hook", "add_hook", "answer Claude Code's hooks"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is the answer.

    0: done; 1: it failed, the reason is on stderr; 2: wrong usage or a bad configuration.
    """
    try:
        return _main(argv)
    except KeyboardInterrupt:
        # Whenever it comes: a command is still being loaded when somebody thinks better of it.
        return INTERRUPTED


def _main(argv: Sequence[str] | None) -> int:
    _speak_any_tongue()
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        print(overview(), file=sys.stderr)
        return USAGE
    name, *rest = words
    if name in ("-h", "--help", "help"):
        print(overview())
        return SUCCESS
    if name in ("-V", "--version", "version"):
        print(f"abg {__version__}")
        return SUCCESS
    command = COMMANDS.get(name)
    if command is None:
        print(f"abg: {unknown(name)}", file=sys.stderr)
        return USAGE
    parser = Parser(
        prog=f"abg {name}",
        description=command.summary[0].upper() + command.summary[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    getattr(import_module(command.module), command.function)(parser)
    try:
        arguments = parser.parse_args(rest)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE
    return _run(arguments)


class Parser(argparse.ArgumentParser):
    """Its complaints repeat what was typed, or what a script was given: as ``said`` does."""

    def error(self, message: str) -> NoReturn:
        super().error(said(message))


def said(problem: object) -> str:
    """A message whose lines steer no terminal, whatever names they repeat."""
    return "\n".join(map(printable, str(problem).split("\n")))


def _speak_any_tongue() -> None:
    """What the terminal's encoding lacks is shown as ``?``, instead of an error (LC_ALL=C)."""
    change = getattr(sys.stdout, "reconfigure", None)
    if change is not None and sys.stdout.errors in ("strict", "surrogateescape"):
        change(errors="replace")


def overview() -> str:
    """What ``abg --help`` says."""
    width = max(map(len, COMMANDS)) + 2
    rows = "\n".join(f"  {name:<{width}}{c.summary}" for name, c in COMMANDS.items())
    return (
        "usage: abg COMMAND [arguments]\n\n"
        "Hard budget limits for AI coding agents.\n\n"
        f"commands:\n{rows}\n\n"
        "Each command explains itself: abg COMMAND --help"
    )


def unknown(name: str) -> str:
    """A wrong command's name, with the nearest right one."""
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else "see: abg --help"
    return f"there is no command {name!r}: {hint}"


def _run(arguments: argparse.Namespace) -> int:
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except ConfigError as problem:
        print(f"abg: {said(problem)}", file=sys.stderr)
        return USAGE
    except AbgError as problem:
        print(f"abg: {said(problem)}", file=sys.stderr)
        return FAILURE
    except BrokenPipeError:
        # The reader (head, less) has gone; a second complaint at exit would be noise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except OSError as problem:
        # A folder or file of the user's that is not as it should be, wherever it was met.
        where = f": {problem.filename}" if problem.filename else ""
        print(f"abg: {said(problem.strerror or problem)}{said(where)}", file=sys.stderr)
        return FAILURE
    return code
