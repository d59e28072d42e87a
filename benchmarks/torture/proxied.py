"""The real proxy under load: started, asked, killed, and held against what was charged."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from machine import free_port

from abg.journal import read_ledger
from abg.journal.verify import verify
from abg.ledger import Entry
from torture import MOMENTS, ROOT, Broken, progress

__all__ = [
    "Load",
    "configure",
    "hold_against",
    "start_proxy",
    "status_of",
    "surroundings",
    "torture_proxy",
]

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
