"""``abg proxy``: run the proxy in this terminal."""

from __future__ import annotations

import argparse
import gc

from abg.cli.settings import load
from abg.wire.late_tls import put_off_tls

__all__ = ["add_proxy"]

YOUNG_OBJECTS = 5000
"""New objects after which the collector looks at them; Python's own 700 are a dozen calls."""


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
    # From the first import on: nearly all that a start makes stays (20 of 280 ms).
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    flags = {
        name: value
        for name in ("port", "host", "ledger_file")
        if (value := getattr(arguments, name)) is not None
    }
    loaded = load(arguments.config, flags)
    put_off_tls()
    # Only now: Twisted costs a tenth of a second, and a bad configuration needs none of it.
    from abg.service import run_proxy

    return run_proxy(loaded, ephemeral=True) if arguments.ephemeral else run_proxy(loaded)
