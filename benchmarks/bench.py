"""Compare abg with what stands between the client and the vendor otherwise; one command, one run.

    python benchmarks/bench.py            the long form: three rounds, about ten minutes
    python benchmarks/bench.py --quick    one short round, about a minute
    python benchmarks/bench.py --peers    mitmproxy, LiteLLM and Portkey too, installed for it
    python benchmarks/bench.py --of a.json b.json    the figures of earlier runs, taken together

In each round all subjects are started anew and every scenario visits them one after another, so
that what the machine does meanwhile hits all of them. Exit code 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from machine import Program, free_port, resident, wait_for_port  # noqa: E402
from peers import install  # noqa: E402
from scenarios import (  # noqa: E402
    SCENARIOS,
    Bench,
    Figures,
    build_tools,
    command_costs,
    write_bodies,
)
from subjects import HERE, LOAD_CORE, OURS, Started, Subject, start  # noqa: E402
from targets import judge, medians_of, table  # noqa: E402

__all__ = ["main"]

WITHOUT_STREAMS = ("json",)
BEGINS, ENDS = "<!-- bench.py begins -->", "<!-- bench.py ends -->"
"""Between them stand the tables, in a page that people write around them."""


def main(argv: list[str] | None = None) -> int:
    """The command."""
    arguments = _arguments(argv)
    if arguments.of:
        return _tell(*_together(arguments.of), arguments)
    if not sys.platform.startswith("linux"):
        print("the benchmarks read /proc and use epoll: they need Linux", file=sys.stderr)
        return 2
    if shutil.which("wrk") is None:
        print("wrk is not installed (Debian: apt-get install wrk nginx gcc)", file=sys.stderr)
        return 2
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    scale = 0.02 if arguments.smoke else 0.25 if arguments.quick else 1.0
    rounds = arguments.rounds or (1 if arguments.smoke or arguments.quick else 3)
    subjects = _subjects(arguments)
    with tempfile.TemporaryDirectory(prefix="abg-bench-") as name:
        bench = Bench(Path(name), scale)
        build_tools(bench.folder)
        write_bodies(bench.folder)
        port = free_port()
        vendor = Program([str(bench.folder / "vendor"), str(port)], core=LOAD_CORE)
        try:
            wait_for_port(port, vendor)
            measured = _measure(bench, subjects, arguments.scenarios, rounds, port)
        finally:
            vendor.stop()
    machine = f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}, {_machine()}"
    return _tell(machine, measured, arguments)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="one short round")
    length.add_argument("--smoke", action="store_true", help="only prove that all of it runs")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--peers", action="store_true", help="install and measure the peers too")
    parser.add_argument("--subjects", type=lambda text: text.split(","), help="only these")
    parser.add_argument(
        "--scenarios",
        type=lambda text: text.split(","),
        default=[*SCENARIOS, "commands"],
        help=f"only these of {', '.join([*SCENARIOS, 'commands'])}",
    )
    parser.add_argument("--of", type=Path, nargs="+", help="measure nothing: show these runs")
    parser.add_argument("--json", type=Path, help="write all figures of all rounds")
    parser.add_argument(
        "--markdown", type=Path, help="write the tables, into their place in a page that has one"
    )
    parser.add_argument("--environments", type=Path, default=HERE / ".venvs", help="for the peers")
    return parser.parse_args(argv)


def _subjects(arguments: argparse.Namespace) -> list[Subject]:
    found = [*OURS]
    if arguments.peers:
        found += install(arguments.environments)
    if arguments.subjects:
        found = [subject for subject in found if subject.name in arguments.subjects]
    able = []
    for subject in found:
        reason = subject.available()
        if reason:
            print(f"{subject.name} is left out: {reason}", file=sys.stderr)
        else:
            able.append(subject)
    return able


Measured = dict[str, dict[str, list[float]]]
"""As ``targets.Rounds``."""


def _measure(
    bench: Bench, subjects: list[Subject], scenarios: list[str], rounds: int, vendor_port: int
) -> Measured:
    """All figures by subject and name, one for each round."""
    measured: Measured = {}

    def book(name: str, figures: Figures) -> None:
        for figure, value in figures.items():
            measured.setdefault(name, {}).setdefault(figure, []).append(value)

    for number in range(1, rounds + 1):
        running: list[Started] = []
        try:
            for subject in subjects:
                folder = bench.folder / f"{number}-{subject.name.replace(' ', '-')}"
                try:
                    started = start(subject, folder, vendor_port)
                except RuntimeError as problem:
                    print(f"{subject.name}: {problem}", file=sys.stderr)
                    book(subject.name, {"start_broken": 1.0})
                    continue
                running.append(started)
                if started.program is not None and started.seconds_to_listen is not None:
                    time.sleep(0.3)
                    memory = float(resident(started.program.pid))
                    book(
                        subject.name,
                        {"listen": started.seconds_to_listen, "idle_resident": memory},
                    )
            for scenario in [s for s in SCENARIOS if s in scenarios]:
                for started in running:
                    if not started.subject.streams and scenario not in WITHOUT_STREAMS:
                        continue
                    _say(f"round {number}/{rounds}: {scenario}, {started.subject.name}")
                    book(started.subject.name, _run(bench, scenario, started))
        finally:
            for started in running:
                started.stop()
        if "commands" in scenarios:
            _say(f"round {number}/{rounds}: commands")
            book("commands", command_costs(bench, vendor_port))
    return measured


def _run(bench: Bench, scenario: str, started: Started) -> Figures:
    try:
        return SCENARIOS[scenario](bench, started)
    except RuntimeError as problem:
        # One that breaks under a load is a result too; the others go on.
        print(f"{started.subject.name}, {scenario}: {problem}", file=sys.stderr)
        return {f"{scenario}_broken": 1.0}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _together(runs: list[Path]) -> tuple[str, Measured]:
    """The machine and all rounds of some runs, as ``--json`` has written them."""
    machines: dict[str, None] = {}
    measured: Measured = {}
    for run in runs:
        told = json.loads(run.read_text("utf-8"))
        machines[told["machine"]] = None
        for name, figures in told["rounds"].items():
            for figure, values in figures.items():
                measured.setdefault(name, {}).setdefault(figure, []).extend(values)
    return " and ".join(machines), measured


def _tell(machine: str, measured: Measured, arguments: argparse.Namespace) -> int:
    shown = table(measured, [name for name in measured if name != "commands"])
    rounds = max((len(values) for f in measured.values() for values in f.values()), default=0)
    told = f"{machine}. Medians of {rounds} rounds; ± is half the spread.\n\n{shown}\n"
    print(told)
    if arguments.markdown:
        _publish(told, arguments.markdown)
    if arguments.json:
        whole: dict[str, Any] = {
            "machine": machine,
            "rounds": measured,
            "medians": medians_of(measured),
        }
        arguments.json.write_text(json.dumps(whole, indent=1), "utf-8")
    broken = [
        f"{name}: {figure}"
        for name, figures in measured.items()
        for figure in figures
        if figure.endswith("_broken") and "abg" in name
    ]
    if broken:
        print("broken: " + ", ".join(broken), file=sys.stderr)
        return 1
    if arguments.smoke:
        return 0
    return 1 if any(value > target.most for target, value in judge(medians_of(measured))) else 0


def _publish(told: str, page: Path) -> None:
    """Write the tables: between the two marks of a page that has them, else as the whole of it."""
    text = page.read_text("utf-8") if page.exists() else BEGINS + ENDS
    before, begins, rest = text.partition(BEGINS)
    _, ends, after = rest.partition(ENDS)
    if not (begins and ends):
        before, after = "", ""
    page.write_text(f"{before}{BEGINS}\n{told}{ENDS}{after}", "utf-8")


def _machine() -> str:
    model = "unknown processor"
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores, Linux, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
