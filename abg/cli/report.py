"""``abg report``: totals over the ledger, also while the proxy writes it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import datetime, timezone, tzinfo
from pathlib import Path

from abg.cli import client
from abg.errors import AbgError
from abg.report import KEYS, Report, parse_since, report, rows_of

__all__ = ["add_report"]


def add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="the configuration that names the ledger")
    parser.add_argument("--ledger", metavar="FILE", help="this ledger instead")
    parser.add_argument(
        "--by",
        type=_keys,
        default=("day",),
        metavar="KEYS",
        help=f"one or more of {', '.join(KEYS)}, with commas (default: day)",
    )
    parser.add_argument("--since", metavar="WHEN", help="2026-11-01, today, 7d, 24h")
    parser.add_argument("--until", metavar="WHEN", help="up to then, the same forms")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print it as JSON")
    form.add_argument("--csv", action="store_true", help="print it as CSV, amounts in full")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the totals; 1 if there is no ledger yet."""
    from abg.journal import read_ledger

    ledger, zone = _where(arguments)
    now = datetime.now(timezone.utc)
    since = _moment(arguments.since, now, zone)
    until = _moment(arguments.until, now, zone)
    try:
        found = report(read_ledger(ledger), arguments.by, zone, since, until)
    except OSError as problem:
        raise AbgError(f"the ledger cannot be read: {problem.strerror}: {ledger}") from None
    if not found.totals and not found.damaged and not ledger.exists():
        raise AbgError(f"there is no ledger yet: {ledger}. It begins with the first call")
    for damage in found.damaged[:5]:
        print(f"abg: not counted: {damage}", file=sys.stderr)
    if len(found.damaged) > 5:
        print(f"abg: and {len(found.damaged) - 5} more damaged lines", file=sys.stderr)
    _form(arguments)(found)
    return 0


def _form(arguments: argparse.Namespace) -> Callable[[Report], None]:
    if arguments.json:
        return _as_json
    return _as_csv if arguments.csv else _as_table


def _as_json(found: Report) -> None:
    print(client.dumps({"by": found.by, "totals": rows_of(found), "all_usd": found.all.cost_usd}))


def _as_csv(found: Report) -> None:
    import csv

    rows = rows_of(found)
    if not rows:
        return
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    from abg.home.tables import plain_cells

    writer.writerows(map(plain_cells, rows))


def _as_table(found: Report) -> None:
    from abg.home.present import columns
    from abg.home.tables import report_rows

    if not found.totals:
        print("no call in this time")
        return
    print("\n".join(columns(report_rows(found))))


def _where(arguments: argparse.Namespace) -> tuple[Path, tzinfo]:
    """The ledger, and the zone whose midnight ends a day."""
    from abg.cli.settings import load

    settings = load(arguments.config).config
    ledger = Path(arguments.ledger) if arguments.ledger else settings.ledger_file
    return ledger or client.places().ledger, settings.zone


def _moment(text: str | None, now: datetime, zone: tzinfo) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_since(text, now, zone)
    except ValueError as problem:
        raise AbgError(str(problem)) from None


def _keys(text: str) -> tuple[str, ...]:
    keys = tuple(word.strip() for word in text.split(",") if word.strip())
    unknown = [k for k in keys if k not in KEYS]
    if not keys or unknown:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(KEYS)}")
    return keys
