"""Kill abg again and again, and hold its ledger against what the outside world knows.

    python benchmarks/crash_torture.py journal --rounds 200    # the journal alone, random instants
    python benchmarks/crash_torture.py points                  # … at each write point
    python benchmarks/crash_torture.py proxy --rounds 1000     # the real proxy under load
    python benchmarks/crash_torture.py proxy --rounds 200 --points   # … killed by its own disk
    python benchmarks/crash_torture.py crowd --rounds 60    # nobody is killed; all at one ledger

``crowd`` lets two readers, a second proxy and a rotator (move, copytruncate, gzip at once) loose on
the ledger of a proxy under load, for so many seconds.

Every kill is a SIGKILL. After each one the same ledger is opened again. What must hold, always:

- a call whose line was acknowledged is in the ledger once, at its exact cost;
- a call that was reserved and not acknowledged is there once, measured or as a marked estimate;
- nothing else is there, the chain is whole, and no line that was once there is ever gone;
- for the proxy: every answer the vendor charged has its line, and totals are the lines' sum.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from torture import Broken  # noqa: E402
from torture.alone import live, torture_journal, torture_points  # noqa: E402
from torture.crowd import torture_crowd  # noqa: E402
from torture.proxied import torture_proxy  # noqa: E402

__all__ = ["main"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("journal", "points", "proxy", "crowd", "live"))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--points", action="store_true", help="proxy: killed by its own disk")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    for name in ("--path", "--prefix", "--change", "--moment", "--sync"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.what == "live":
        path = Path(arguments.path)
        live(path, arguments.prefix, int(arguments.change), arguments.moment, arguments.sync)
    chance = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="abg-torture-"))
    try:
        if arguments.what == "journal":
            torture_journal(folder, arguments.rounds, chance)
        elif arguments.what == "points":
            torture_points(folder, arguments.rounds, chance)
        elif arguments.what == "crowd":
            torture_crowd(folder, arguments.rounds, chance)
        else:
            torture_proxy(folder, arguments.rounds, chance, points=arguments.points)
    except Broken as problem:
        print(f"\nBROKEN: {problem}\nthe files are in {folder}, --seed {arguments.seed}")
        return 1
    shutil.rmtree(folder)
    print(f"\nsound; --seed {arguments.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
