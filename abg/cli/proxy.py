"""``abg proxy``: run the proxy in this terminal."""

from __future__ import annotations

import argparse

from abg.cli.settings import load

__all__ = ["add_proxy"]


def add_proxy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="the configuration (trusted whole)")
    parser.add_argument("--port", metavar="N", help="listen on this port; 0 takes a free one")
    parser.add_argument("--host", metavar="ADDRESS", help="listen on this address")
    parser.add_argument("--ledger-file", metavar="FILE", help="write the ledger there")
    parser.add_argument(
        "--ephemeral",
        action="store_true",
        help="end when the last `abg run` that uses it has ended",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load the configuration, then serve until told to stop; the service's exit code."""
    flags = {
        name: value
        for name in ("port", "host", "ledger_file")
        if (value := getattr(arguments, name)) is not None
    }
    loaded = load(arguments.config, flags)
    # Only now: Twisted costs a tenth of a second, and a bad configuration needs none of it.
    from abg.service import run_proxy

    return run_proxy(loaded, ephemeral=True) if arguments.ephemeral else run_proxy(loaded)
