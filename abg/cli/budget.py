"""``abg budget list`` and ``abg budget raise``: the limits, while the proxy runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from abg.cli import client
from abg.cli.status import no_such
from abg.commands import option
from abg.errors import ConfigError
from abg.money import is_meant, usd

__all__ = ["add_budget", "amount", "seconds"]

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_budget(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", metavar="list|raise", required=True)
    listing = commands.add_parser("list", help="every budget, with what is spent and held")
    client.add_where(listing)
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    listing.set_defaults(run=list_budgets)
    raising = commands.add_parser(
        "raise", help="let a session, or a named budget, spend more (or less: --to)"
    )
    client.add_where(raising)
    raising.add_argument(
        "--session", type=client.session_name, metavar="NAME", help="the budget of this session"
    )
    raising.add_argument(
        "--budget",
        metavar="NAME",
        help="the budget of this name, such as daily; with --session: its part for that session",
    )
    by = raising.add_mutually_exclusive_group(required=True)
    by.add_argument("--by", type=amount, metavar="USD", help="so much more")
    by.add_argument("--to", type=limit, metavar="USD", help="this limit from now on")
    raising.add_argument(
        "--for", dest="term", type=seconds, metavar="TIME", help="only so long: 30m, 1h, 2d"
    )
    raising.set_defaults(run=raise_budget)


def list_budgets(arguments: argparse.Namespace) -> int:
    """Print every budget that applies to something, with what is left."""
    _, status = client.status(arguments)
    budgets = status.get("budgets") or []
    if arguments.json:
        print(client.dumps(budgets))
        return 0
    if not budgets:
        print("no budget is set: nothing stops a call")
        return 0
    from abg.home.present import columns
    from abg.home.tables import budget_rows

    print("\n".join(columns(budget_rows(budgets))))
    return 0


def raise_budget(arguments: argparse.Namespace) -> int:
    """Raise a limit; calls that wait for it go on at once."""
    if arguments.session is None and arguments.budget is None:
        raise ConfigError("whose? Name --session NAME, or --budget NAME (see: abg budget list)")
    body: dict[str, object] = {}
    for key in ("session", "budget"):
        if getattr(arguments, key) is not None:
            body[key] = getattr(arguments, key)
    if arguments.by is not None:
        body["by_usd"] = str(arguments.by)
    else:
        body["to_usd"] = str(arguments.to)
    if arguments.term is not None:
        body["for_seconds"] = arguments.term
    try:
        address, status = client.status(arguments)
    except client.NotRunning as problem:
        if arguments.session is None:
            raise
        # The proxy of an ``abg run`` has ended with it.
        whose = option("--session", arguments.session)
        again = f"abg run {whose} --budget USD -- …"
        raise client.NotRunning(f"{problem}\n  or run the agent again with more: {again}") from None
    said = client.post(address, "/abg/budgets/raise", body)
    print(_raised(arguments, said, _spent(arguments, status)))
    if arguments.session is not None:
        name = arguments.session
        if name not in (status.get("sessions") or {}):
            print(f"abg: note: {no_such(name, status)}", file=sys.stderr)
    return 0


def _spent(arguments: argparse.Namespace, status: Mapping[str, Any]) -> Decimal:
    """What counts by now in the budget that is raised."""
    for row in status.get("budgets") or ():
        what = row.get("name") if arguments.budget else row.get("kind", row.get("name"))
        if (what, row.get("key")) == (arguments.budget or "session", arguments.session or ""):
            return Decimal(row.get("spent_usd") or 0)
    return Decimal(0)


def _raised(arguments: argparse.Namespace, said: object, spent: Decimal) -> str:
    from abg.home.present import duration, money

    named = (("budget", arguments.budget), ("session", arguments.session))
    whose = " of ".join(f"{what} {name}" for what, name in named if name)
    limit = said.get("limit_usd") if isinstance(said, dict) else None
    if limit is not None:
        change = f"may now spend {money(limit)}"
    elif arguments.by is not None:
        change = f"may now spend {money(arguments.by)} more"
    else:
        change = f"may now spend {money(arguments.to)}"
    term = f" for {duration(arguments.term)}" if arguments.term else ""
    was = said.get("was_usd") if isinstance(said, dict) else None
    if was is not None and limit is not None and limit <= was:
        return f"{whose} {change}{term} (before: {money(was)})"
    if limit is not None and spent >= limit:
        return f"{whose} {change}{term}, but {money(spent)} is spent already"
    return f"{whose} {change}{term}; a stopped agent goes on when you tell it to continue"


def amount(text: str) -> Decimal:
    """A positive amount of USD: ``2``, ``2.00``, ``$2``."""
    value = limit(text)
    if not value:
        raise argparse.ArgumentTypeError(f"must be more than 0: {text}")
    return value


def limit(text: str) -> Decimal:
    """The same, or 0: nothing may be spent."""
    try:
        value = usd(text.strip().removeprefix("$"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"no amount of USD: {text!r} (such as 2.00)") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"cannot be negative: {text}")
    if not is_meant(value):
        raise argparse.ArgumentTypeError(f"no amount of USD that could be meant: {text}")
    return value


def seconds(text: str) -> int:
    """A length of time in seconds: ``90s``, ``30m``, ``1h``, ``2d``."""
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS or not number.isascii() or not number.isdigit() or int(number) == 0:
        raise argparse.ArgumentTypeError(f"no length of time: {text!r} (such as 90s, 30m, 1h, 2d)")
    return int(number) * UNITS[unit]
