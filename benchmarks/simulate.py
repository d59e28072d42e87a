"""Ten thousand agents at their caps: how far each kind of enforcement lets them go beyond.

    python benchmarks/simulate.py                  # long form: 10,000 swarms in each mode
    python benchmarks/simulate.py --swarms 200     # a minute or less
    python benchmarks/simulate.py --seed 7 --mode strict

Everything is drawn from a seed by the table in ``abg/simulate/mix.py``: the same seed gives the
same figures. Each step is checked against sums kept apart; a broken promise ends the run with
exit code 1. No sockets, no real clock.
"""

from __future__ import annotations

import argparse
import sys
import time

from abg.simulate import Broken, Report, plan, simulate

MODES = ("after", "estimate", "strict")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swarms", type=int, default=10_000, help="how many in each mode")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--mode", choices=MODES, action="append", help="only this one")
    arguments = parser.parse_args()
    for mode in arguments.mode or MODES:
        begun = time.process_time()
        report = Report(mode)
        for number in range(arguments.swarms):
            try:
                report.add(simulate(plan(f"{arguments.seed} {number}"), mode))
            except Broken as broken:
                print(f"BROKEN ({mode}): {broken}", file=sys.stderr)
                return 1
        print("\n".join(report.lines()))
        took = time.process_time() - begun
        print(f"  {took:.0f} s of CPU, {took / max(1, report.calls) * 1e6:.0f} µs for a request")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
