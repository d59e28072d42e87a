"""``abg holds``: the money that running requests hold, and ``abg holds void ID``."""

from __future__ import annotations

import argparse
import time

from abg.cli import client

__all__ = ["add_holds"]


def add_holds(parser: argparse.ArgumentParser) -> None:
    client.add_where(parser)
    parser.add_argument("--json", action="store_true", help="print them as JSON")
    parser.add_argument(
        "what",
        nargs="*",
        metavar="void ID",
        help="end this hold: its call is aborted and charged as estimated",
    )
    parser.set_defaults(run=holds, parser=parser)


def holds(arguments: argparse.Namespace) -> int:
    """List the holds, or void one."""
    words = arguments.what
    if words and (words[0] != "void" or len(words) != 2):
        arguments.parser.print_usage()
        print("abg holds: say `abg holds` or `abg holds void ID`")
        return 2
    address, status = client.status(arguments)
    if words:
        client.post(address, "/abg/holds/void", {"id": words[1]})
        print(f"hold {words[1]} is void: its call was aborted and charged as estimated")
        return 0
    held = status.get("holds") or []
    if arguments.json:
        print(client.dumps(held))
        return 0
    if not held:
        print("no request is running: nothing is held")
        return 0
    from abg.home.present import columns
    from abg.home.tables import hold_rows

    print("\n".join(columns(hold_rows(held, time.time()))))
    return 0
