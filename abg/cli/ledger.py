"""``abg ledger verify`` and ``abg ledger repair``: is the record whole, and what if it is not."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from abg.errors import AbgError

__all__ = ["add_ledger", "run"]

SHOWN = 20
"""Findings that are printed without ``--all``."""


def add_ledger(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``abg ledger``."""
    parser.epilog = "exit codes: 0 sound (or repaired), 1 something was found, 2 cannot be read"
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for name, text in (
        ("verify", "check every line: parse, order, chain, running totals, checkpoint"),
        ("repair", "write a repaired copy beside the file, which is left as it is"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("file", nargs="?", type=Path, help="default: the configured ledger")
        command.add_argument("--config", help="configuration that names the ledger")
        if name == "verify":
            command.add_argument("--all", action="store_true", help="print all findings")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Verify or repair; the exit code says what was found."""
    try:
        path = Path(os.path.realpath(arguments.file or _configured(arguments.config)))
        problem = _unusable(path, arguments.what)
        if problem:
            print(f"abg: {problem}", file=sys.stderr)
            return 2
        return _verify(path, arguments) if arguments.what == "verify" else _repair(path)
    except OSError as error:
        where = error.filename or arguments.file
        print(f"abg: {error.strerror or error}" + f": {where}" * bool(where), file=sys.stderr)
        return 2
    except AbgError as error:
        print(f"abg: {error}", file=sys.stderr)
        return 2


def _unusable(path: Path, what: str) -> str:
    """Why there is nothing to check or repair; empty if there is."""
    from abg.journal.files import Files
    from abg.journal.history import ledger_files

    if path.exists():
        kind = "a directory" if path.is_dir() else "not a regular file"
        return "" if path.is_file() else f"{kind}, and no ledger: {path}"
    # abg may have ended between putting a file away and beginning the next one.
    there = what == "verify" and any(file.identity for file in ledger_files(Files(), path))
    return "" if there else f"there is no ledger {path}"


def _configured(config: str | None) -> Path:
    from abg.cli.client import places
    from abg.cli.settings import load

    return load(config).config.ledger_file or places().ledger


def _verify(path: Path, arguments: argparse.Namespace) -> int:
    from abg.journal.lock import holder
    from abg.journal.verify import verify
    from abg.money import show

    verdict = verify(path, written_now=holder(path) is not None)
    findings = verdict.findings
    shown = findings if arguments.all else findings[:SHOWN]
    for finding in shown:
        print(finding)
    if len(findings) > len(shown):
        print(f"… and {len(findings) - len(shown)} more: --all")
    files = "1 file" if len(verdict.files) == 1 else f"{len(verdict.files)} files"
    print(
        f"{path}: {verdict.lines:,} lines in {files}, {show(verdict.spent, 4)}: "
        + (_count(len(findings), "finding") if findings else "sound")
    )
    return 1 if findings else 0


def _repair(path: Path) -> int:
    from abg.journal.packing import is_packed
    from abg.journal.repair import repair
    from abg.money import show

    done = repair(path)
    for damage in done.left_out:
        print(f"left out {damage}")
    if done.adjustments:
        print(
            f"{_count(done.adjustments, 'adjustment')} for lines that are lost: "
            f"{show(done.adjusted, 4)}"
        )
    if done.linked:
        print(f"{_count(done.linked, 'line')} linked anew")
    print(f"{_count(done.kept, 'line')} kept in {done.copy}")
    packed = f" (it is not packed: leave {path.suffix} away)" if is_packed(path) else ""
    print(f"to use it: stop abg, then put it in the place of {path}{packed}")
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
