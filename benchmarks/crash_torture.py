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
import gzip
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from abg.journal import Files, Journal, read_ledger  # noqa: E402
from abg.journal.faults import FaultyFiles, kill  # noqa: E402
from abg.journal.verify import verify  # noqa: E402
from abg.ledger import Damage, Entry  # noqa: E402

HELD, SPENT = Decimal("0.05"), Decimal("0.01")
MOMENTS = ("before", "in", "after")


class Broken(Exception):
    """The ledger does not say what it must."""


# -- the journal alone -----------------------------------------------------------------------------


class Sums:
    """Totals by session, with the ids that were counted."""

    def __init__(self) -> None:
        self.sessions: dict[str, Decimal] = {}

    def apply(self, record: Any) -> None:
        if record.session_id is not None:
            spent = self.sessions.get(record.session_id, Decimal(0))
            self.sessions[record.session_id] = spent + record.cost_usd

    def dump(self) -> Any:
        return {name: str(usd) for name, usd in self.sessions.items()}

    def load(self, data: Any) -> None:
        self.sessions = {name: Decimal(usd) for name, usd in data.items()}

    def session_total(self, session_id: str) -> Decimal:
        return self.sessions.get(session_id, Decimal(0))

    def digest(self) -> str:
        return "torture"


def now() -> datetime:
    return datetime.now(timezone.utc)


def live(path: Path, prefix: str, change: int, moment: str, sync: str) -> None:
    """The child: calls come and go for ever; each promise is told on stdout once it holds."""
    import abg.journal.inflight
    import abg.journal.journal

    abg.journal.inflight.EMPTY_FROM = 2000
    abg.journal.inflight.REWRITE_FROM = 4000
    abg.journal.journal.CHECKPOINT_LINES = 20
    files = Files()
    if change:
        files = FaultyFiles(kill)
        files.die_at(change, moment)
    totals = Sums()
    journal = Journal.open(path, totals=totals, clock=now, sync=sync, rotate=20_000, files=files)
    chance = random.Random(prefix)
    open_calls: list[str] = []
    for number in range(1_000_000):
        id = f"{prefix}-{number}"
        tell("try", id)
        journal.reserve(id, {"ts": now(), "session_id": "s", "hold_usd": HELD})
        tell("held", id)
        open_calls.append(id)
        if len(open_calls) > 4:
            ended = open_calls.pop(chance.randrange(4))
            entry = ended_call(ended)
            totals.apply(entry)
            journal.append(ended_call(ended, totals.session_total("s")))
            tell("done", ended)
        if number % 5 == 4:
            journal.tick()
        if number % 50 == 49:
            # Another program rotates, as logrotate does.
            aside = path.with_name(f"{path.name}.{time.time_ns() % 1_000_000}")
            path.rename(aside)
            journal.reopen()


def ended_call(id: str, total: Decimal = SPENT) -> Entry:
    return Entry(
        ts=now(),
        session_id="s",
        model="m",
        input_tokens=1,
        output_tokens=1,
        cost_usd=SPENT,
        session_total_usd=total,
        action="allow",
        request_id=id,
    )


def tell(word: str, id: str) -> None:
    os.write(1, f"{word} {id}\n".encode())


class Witness:
    """What the parent was told, over all lives of the child."""

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.held: set[str] = set()
        self.done: set[str] = set()

    def hear(self, text: str) -> None:
        words = {"try": self.tried, "held": self.held, "done": self.done}
        for line in text.splitlines(keepends=True):
            word, _, id = line.rstrip("\n").partition(" ")
            if line.endswith("\n"):
                words[word].add(id)

    def check(self, path: Path) -> None:
        """Open the ledger once more, and look."""
        totals = Sums()
        Journal.open(path, totals=totals, clock=now).close()
        entries: dict[str, Entry] = {}
        for record in read_ledger(path):
            if isinstance(record, Damage):
                raise Broken(f"damage: {record}")
            if isinstance(record, Entry):
                if record.request_id in entries:
                    raise Broken(f"{record.request_id} is there twice")
                entries[record.request_id] = record
        if not entries.keys() <= self.tried:
            raise Broken(f"calls that never were: {entries.keys() - self.tried}")
        for id in self.done:
            if id not in entries or entries[id].end != "complete":
                raise Broken(f"{id} was acknowledged and is {entries.get(id)}")
        for id in self.held - entries.keys():
            raise Broken(f"{id} was reserved and is gone")
        spent = sum((entry.cost_usd for entry in entries.values()), Decimal(0))
        if totals.sessions.get("s", Decimal(0)) != spent:
            raise Broken(f"totals {totals.sessions}, lines {spent}")
        findings = verify(path).findings
        if findings:
            raise Broken(f"verify: {findings[0]}")


def one_life(
    path: Path,
    witness: Witness,
    prefix: str,
    *,
    seconds: float,
    change: int,
    moment: str,
    sync: str,
) -> bool:
    """Let a child live until it is killed. False: its own disk never killed it."""
    child = subprocess.Popen(
        [
            *(sys.executable, __file__, "live", "--path", str(path), "--prefix", prefix),
            *("--change", str(change), "--moment", moment, "--sync", sync),
        ],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(child.stdout.read()))
    reader.start()
    killed = False
    try:
        code = child.wait(seconds)
        if code != -signal.SIGKILL:
            raise Broken(f"the child ended with {code}")
        killed = True
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    reader.join()
    witness.hear(heard[0].decode())
    return killed


def torture_journal(folder: Path, rounds: int, chance: random.Random) -> None:
    """Kills at random instants; all lives share one ledger."""
    path = folder / "ledger.jsonl"
    witness = Witness()
    for number in range(rounds):
        sync = chance.choice(("os", "interval", "always"))
        seconds = chance.uniform(0.15, 0.6)
        life = {"seconds": seconds, "change": 0, "moment": "", "sync": sync}
        one_life(path, witness, f"r{number}", **life)  # type: ignore[arg-type]
        witness.check(path)
        progress(number + 1, rounds, f"{len(witness.done):,} calls")


def torture_points(folder: Path, rounds: int, chance: random.Random) -> None:
    """Kills at each write point in turn: of a fresh ledger, then of one with a past."""
    moments = [(change, moment) for change in range(1, 70) for moment in MOMENTS]
    witness = Witness()
    path = folder / "ledger.jsonl"
    for number, (change, moment) in enumerate(moments[: rounds * len(MOMENTS)]):
        if number % 40 == 0:
            path = folder / f"{number}" / "ledger.jsonl"
            witness = Witness()
        life = {"seconds": 20.0, "change": change, "moment": moment, "sync": "always"}
        if not one_life(path, witness, f"p{number}", **life):  # type: ignore[arg-type]
            raise Broken(f"never came to change {change}")
        witness.check(path)
        progress(number + 1, len(moments), f"change {change} {moment}")


def configure(folder: Path, vendor: str) -> tuple[Path, Path, dict[str, Any]]:
    """Where the configuration lies, where the ledger, and what is configured."""
    settings = {
        "port": free_port(),
        "ledger_file": "ledger.jsonl",
        "upstream_anthropic": vendor,
        "session_budget_usd": None,
        "daily_budget_usd": None,
    }
    return folder / "agentbillguard.yaml", folder / "ledger.jsonl", settings


def surroundings(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_STATE_HOME": str(folder), "PYTHONPATH": str(ROOT)}


# -- the proxy -------------------------------------------------------------------------------------

BOOT = """
import sys
from abg.journal import faults, journal
from abg.cli import main
files = faults.FaultyFiles(faults.kill)
change = int(sys.argv.pop(1))
moment = sys.argv.pop(1)
if change:
    files.die_at(change, moment)
    journal.Files = lambda: files
sys.exit(main(sys.argv[1:]))
"""


class Load:
    """Clients that ask and ask again, whatever becomes of the proxy."""

    def __init__(self, port: int, clients: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self.whole: list[str] = []
        """Ids of answers that arrived to the last byte."""
        self.safe: list[str] = []
        """Those of them that came through a proxy with ``ledger_sync: always``."""
        self.mode = ""
        self._threads = [
            threading.Thread(target=self._ask, args=(number,), daemon=True)
            for number in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, number: int) -> None:
        chance = random.Random(number)
        while not self._stop.is_set():
            stream = chance.random() < 0.7
            mode = self.mode
            body = {
                "model": "claude-sonnet-4-6",
                "max_tokens": 1000,
                "stream": stream,
                "messages": [{"role": "user", "content": "hello"}],
            }
            with suppress(OSError, http.client.HTTPException, ValueError):
                client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
                client.request(
                    "POST",
                    f"/s/client{number % 3}/v1/messages",
                    json.dumps(body),
                    {
                        "x-api-key": "sk-ant-torture",
                        "anthropic-version": "2023-06-01",
                        "content-type": "application/json",
                    },
                )
                answer = client.getresponse()
                text = answer.read().decode()
                client.close()
                if answer.status == 200 and (not stream or "message_stop" in text):
                    id = text.partition('"id":')[2].split('"')[1]
                    self.whole.append(id)
                    if mode == self.mode == "always":
                        self.safe.append(id)
                    continue
            time.sleep(0.01)


def torture_proxy(folder: Path, rounds: int, chance: random.Random, *, points: bool) -> None:
    """The real proxy under load, killed; one ledger, one vendor, many lives."""
    from abg.testing import VendorProcess

    script = {"text": "some words of an answer ", "events": 6, "pause": 0.004}
    with VendorProcess(script) as vendor:
        config, path, settings = configure(folder, vendor.url)
        settings["ledger_rotate"] = "200k"
        port = settings["port"]
        seen: set[bytes] = set()
        load = Load(port, 12)
        for number in range(rounds):
            settings["ledger_sync"] = chance.choice(("os", "interval", "always"))
            config.write_text(json.dumps(settings))
            load.mode = settings["ledger_sync"]
            change = chance.randrange(1, 400) if points else 0
            child = start_proxy(config, folder, change, chance.choice(MOMENTS))
            with suppress(subprocess.TimeoutExpired):
                child.wait(chance.uniform(0.7, 1.6) if not points else 6)
            child.kill()
            child.wait()
            load.mode = ""
            now_there = set(whole_lines(path))
            if not seen <= now_there:
                raise Broken(f"lines are gone: {sorted(seen - now_there)[:3]}")
            seen = now_there
            progress(number + 1, rounds, f"{len(seen):,} lines")
        child = start_proxy(config, folder, 0, "")
        time.sleep(1.5)
        load.stop()
        totals = status_of(port)
        child.terminate()
        if child.wait(60) != 0:
            raise Broken("the last life did not end well")
        hold_against(path, vendor.charges, load, totals)


# -- a crowd around one ledger ---------------------------------------------------------------------


class Crowd:
    """Two readers, a rotator and a second proxy, all busy until they are told to stop."""

    def __init__(self, path: Path, config: Path, folder: Path, chance: random.Random) -> None:
        self._path, self._config, self._folder = path, config, folder
        self._chance = chance
        self._stop = threading.Event()
        # One way for the whole run: by two ways logrotate writes over its own older files.
        words = ["rotate 100000", "missingok", "ifempty"]
        words += [chance.choice(("nocreate", "create 0600", "copytruncate"))]
        words += chance.choice(([], ["compress"], ["compress", "delaycompress"]))
        words += chance.choice(([], ["dateext", "dateformat -%s"]))
        rules = folder / "logrotate.conf"
        rules.write_text(f"{path} {{\n  " + "\n  ".join(words) + "\n}\n")
        rules.chmod(0o600)
        self.rotating = ", ".join(words)
        self.problems: list[str] = []
        self.counts = {"reads": 0, "rotations": 0, "by logrotate itself": 0, "refused proxies": 0}
        acts = (self._read, self._read, self._rotate, self._intrude)
        self._threads = [threading.Thread(target=self._loop, args=(act,)) for act in acts]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _loop(self, act: Callable[[], None]) -> None:
        while not self._stop.is_set() and not self.problems:
            try:
                act()
            except Exception as problem:
                self.problems.append(f"{act.__name__}: {problem!r}")

    def _read(self) -> None:
        seen: set[str] = set()
        for record in read_ledger(self._path):
            if isinstance(record, Damage):
                raise Broken(f"a reader sees damage: {record}")
            if isinstance(record, Entry):
                if record.request_id in seen:
                    raise Broken(f"a reader sees {record.request_id} twice")
                seen.add(record.request_id)
        self.counts["reads"] += 1

    def _rotate(self) -> None:
        time.sleep(self._chance.uniform(1.2, 3))  # it is noticed within a second
        self.counts["rotations"] += 1
        if shutil.which("logrotate") and self._chance.random() < 0.6:
            self._logrotate()
            return
        aside = self._path.with_name(f"{self._path.name}.{1000 - self.counts['rotations']}")
        how = self._chance.choice(("move", "copytruncate", "move and pack"))
        if how == "copytruncate":
            shutil.copyfile(self._path, aside)
            os.truncate(self._path, 0)
            return
        self._path.rename(aside)
        if how == "move and pack":
            beside = aside.with_name("packing")
            beside.write_bytes(gzip.compress(aside.read_bytes(), 1))
            beside.rename(aside.with_name(aside.name + ".gz"))
            aside.unlink()

    def _logrotate(self) -> None:
        """The real program."""
        rules = self._folder / "logrotate.conf"
        done = subprocess.run(
            ["logrotate", "--force", "--state", str(self._folder / "rotated"), str(rules)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise Broken(f"logrotate ({rules.read_text()}): {done.stderr}")
        self.counts["by logrotate itself"] += 1

    def _intrude(self) -> None:
        other = self._folder / "other.yaml"
        other.write_text(json.dumps({**json.loads(self._config.read_text()), "port": free_port()}))
        done = subprocess.run(
            [sys.executable, "-m", "abg", "proxy", "--config", str(other)],
            env=surroundings(self._folder),
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode == 0 or "in use by another abg" not in done.stdout + done.stderr:
            raise Broken(f"a second proxy: {done.returncode} {done.stdout} {done.stderr}")
        self.counts["refused proxies"] += 1
        time.sleep(1)


def torture_crowd(folder: Path, seconds: float, chance: random.Random) -> None:
    """One proxy under load, and everybody else at its ledger."""
    from abg.testing import VendorProcess

    script = {"text": "some words of an answer ", "events": 4, "pause": 0.002}
    with VendorProcess(script) as vendor:
        config, path, settings = configure(folder, vendor.url)
        config.write_text(json.dumps(settings))
        child = start_proxy(config, folder, 0, "")
        load = Load(settings["port"], 8)
        crowd = Crowd(path, config, folder, chance)
        time.sleep(seconds)
        crowd.stop()
        load.stop()
        time.sleep(2.5)
        totals = status_of(settings["port"])
        child.terminate()
        if child.wait(60) != 0:
            raise Broken("the proxy did not end well")
        if crowd.problems:
            raise Broken(crowd.problems[0])
        print(", ".join(f"{count:,} {what}" for what, count in crowd.counts.items()))
        print(f"logrotate: {crowd.rotating}")
        hold_against(path, vendor.charges, load, totals)
        child = start_proxy(config, folder, 0, "")
        again = status_of(settings["port"])
        child.terminate()
        child.wait(60)
        if again != totals:
            raise Broken(f"before the restart {totals}, after it {again}")


def hold_against(
    path: Path, charges: list[dict[str, Any]], load: Load, totals: dict[str, Decimal]
) -> None:
    """The ledger against what the vendor charged, what clients got, and what status says."""
    findings = verify(path).findings
    if findings:
        raise Broken(f"verify: {findings[0]}")
    entries = [record for record in read_ledger(path) if isinstance(record, Entry)]
    ids = [entry.request_id for entry in entries]
    if len(ids) != len(set(ids)):
        raise Broken("a call is there twice")
    measured = [entry for entry in entries if entry.cost_source == "measured"]
    guessed = [entry for entry in entries if entry.cost_source == "estimated"]
    charged = {f"msg_fake_{charge['number']:06d}" for charge in charges}
    billed = [entry.response_id for entry in measured]
    if len(billed) != len(set(billed)) or not set(billed) <= charged:
        raise Broken("an answer is billed twice, or was never charged")
    if not set(load.safe) <= set(billed):
        raise Broken("an answer was seen whole that the ledger only guesses at, in mode always")
    missing = charged - set(billed)
    if len(missing) > len(guessed):
        raise Broken(f"{len(missing)} charges, but {len(guessed)} estimates for them")
    costs = {entry.cost_usd for entry in measured}
    if len(costs) != 1:
        raise Broken(f"one answer, many costs: {costs}")
    by_session: dict[str, Decimal] = {}
    for entry in entries:
        spent = by_session.get(entry.session_id, Decimal(0))
        by_session[entry.session_id] = spent + entry.cost_usd
    if by_session != totals:
        raise Broken(f"the lines come to {by_session}, status says {totals}")
    print(
        f"\n{len(charges):,} answers charged, {len(load.whole):,} arrived whole; "
        f"{len(measured):,} lines measured, {len(guessed):,} estimated"
    )


def start_proxy(config: Path, folder: Path, change: int, moment: str) -> subprocess.Popen[bytes]:
    """A new life; returns when it listens, or has died on the way."""
    child = subprocess.Popen(
        [
            *(sys.executable, "-c", BOOT, str(change), moment),
            *("proxy", "--config", str(config)),
        ],
        env=surroundings(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdout is not None
    said = []
    for line in child.stdout:
        said.append(line.decode())
        if b"listening on http" in line:
            threading.Thread(target=child.stdout.read, daemon=True).start()
            return child
    if child.wait() != -signal.SIGKILL:
        raise Broken("it did not start:\n" + "".join(said))
    return child


def whole_lines(path: Path) -> Iterator[bytes]:
    """All whole lines that are in any file of the ledger."""
    for file in path.parent.glob("ledger*.jsonl"):
        with suppress(FileNotFoundError):
            yield from file.read_bytes().split(b"\n")[:-1]


def status_of(port: int) -> dict[str, Decimal]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("GET", "/abg/status")
    status = json.loads(client.getresponse().read(), parse_float=Decimal)
    return {name: Decimal(usd) for name, usd in status["sessions"].items()}


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def progress(done: int, of: int, what: str) -> None:
    print(f"\r{done}/{of} kills survived, {what}   ", end="", flush=True)


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
