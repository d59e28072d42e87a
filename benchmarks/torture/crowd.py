"""A crowd around one ledger: readers, a second proxy and a rotator, at a proxy under load."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from machine import free_port

from abg.journal import read_ledger
from abg.ledger import Damage, Entry
from torture import Broken
from torture.proxied import Load, configure, hold_against, start_proxy, status_of, surroundings

__all__ = ["torture_crowd"]


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
