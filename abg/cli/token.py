"""``abg token new|list|revoke``: tokens by which clients spend without a vendor's key."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timedelta, timezone

from abg.cli import client
from abg.cli.budget import amount, seconds
from abg.keyring import Keyring

__all__ = ["add_token", "keyring"]


def add_token(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", metavar="new|list|revoke", required=True)
    new = commands.add_parser("new", help="a token for a session; it is shown once")
    new.add_argument(
        "--session", type=client.session_name, metavar="NAME", required=True, help="where it spends"
    )
    new.add_argument(
        "--budget", type=amount, metavar="USD", help="the session's budget (default: configured)"
    )
    new.add_argument(
        "--for", dest="term", type=seconds, metavar="TIME", help="good so long: 8h, 7d"
    )
    new.set_defaults(run=new_token)
    listing = commands.add_parser("list", help="all tokens, without their secrets")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    listing.set_defaults(run=list_tokens)
    ending = commands.add_parser("revoke", help="end a token now")
    ending.add_argument("id", metavar="ID", help="as `abg token list` shows it")
    ending.set_defaults(run=revoke)


def keyring() -> Keyring:
    """This user's tokens."""
    return Keyring(client.places().tokens)


def new_token(arguments: argparse.Namespace) -> int:
    """Print a new token on stdout, and what it is for on stderr."""
    expires = None
    if arguments.term is not None:
        expires = datetime.now(timezone.utc) + timedelta(seconds=arguments.term)
    token, grant = keyring().new(arguments.session, arguments.budget, expires)
    print(token)
    print(
        f"abg: spends in session {grant.session}; it is not shown again. "
        f"End it with: abg token revoke {grant.id}",
        file=sys.stderr,
    )
    return 0


def list_tokens(arguments: argparse.Namespace) -> int:
    """Print every token's id, session and budget, never its secret."""
    now = datetime.now(timezone.utc)
    grants = keyring().grants().all
    if arguments.json:
        rows = [
            {
                "id": g.id,
                "session": g.session,
                "budget_usd": g.budget_usd,
                "created": g.created.isoformat(),
                "expires": g.expires.isoformat() if g.expires else None,
                "live": g.live(now),
            }
            for g in grants
        ]
        print(client.dumps(rows))
        return 0
    if not grants:
        print("there are no tokens. Make one with: abg token new --session NAME")
        return 0
    from abg.home.present import columns
    from abg.home.tables import token_rows

    print("\n".join(columns(token_rows(grants, now))))
    return 0


def revoke(arguments: argparse.Namespace) -> int:
    """End a token."""
    keyring().revoke(arguments.id)
    print(f"token {arguments.id} is revoked: no call passes with it from now on")
    return 0
