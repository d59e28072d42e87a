"""``abg demo``: an agent runs into a five-cent cap before your eyes, without key or network."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from abg.cli.http import Address, request
from abg.cli.launch import launcher
from abg.cli.where import parse_url
from abg.errors import AbgError
from abg.home.plan import LOCAL_NAMES, PROXIES
from abg.home.show import CAP_USD, CONTINUED, MODEL, TURNS, Turn, config, vendor_script

__all__ = ["add_demo"]

START_WITHIN = 15.0
LISTENING = "[abg] listening on "


def add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fast", action="store_true", help="without pauses to read")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show it; 1 if something in it went otherwise than told."""
    from abg.testing import FakeVendor

    pause = (lambda seconds: None) if arguments.fast else time.sleep
    _tell("A scripted agent, a fake vendor and abg between them, all on 127.0.0.1.")
    _tell(f"Nothing leaves this machine. The session may spend ${CAP_USD}.\n")
    script = vendor_script((*TURNS[:3], CONTINUED))
    with (
        tempfile.TemporaryDirectory(prefix="abg-demo-") as folder,
        FakeVendor(script) as vendor,
    ):
        path = Path(folder, "demo.yaml")
        path.write_text(config(vendor.url), "utf-8")
        environ = _environ(folder)
        with _proxy(path, environ) as address:
            pause(1)
            good = _play(address, environ, pause)
        good = good and len(vendor.records) == len(TURNS[:3]) + 1
        _tell(f"\nThe vendor saw {len(vendor.records)} calls: the refused one never reached it.")
        _tell("Now with your own agent: abg run -- claude, or: abg run -- codex")
    return 0 if good else 1


def _play(address: Address, environ: Mapping[str, str], pause: Callable[[float], None]) -> bool:
    """The agent's session; whether it was stopped and went on as told."""
    status = 200
    for turn in TURNS[:4]:
        status = _turn(address, turn, pause)
        if status != 200:
            break
    stopped = status == 402
    if stopped:
        _tell("agent   stops: one refused call, no retry.\n")
    pause(0.8)
    _command(["status", "--url", address.url], environ)
    pause(0.8)
    _command(
        ["budget", "raise", "--session", "demo", "--by", CAP_USD, "--url", address.url], environ
    )
    pause(0.8)
    return stopped and _turn(address, CONTINUED, pause) == 200


def _turn(address: Address, turn: Turn, pause: Callable[[float], None]) -> int:
    """One call, as an agent makes it; the status of the answer."""
    _tell(f"agent   {turn.asks}")
    pause(0.3)
    body = {
        "model": MODEL,
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": turn.asks}],
    }
    headers = {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "no-key-is-needed",
    }
    answer = request(
        address, "POST", "/s/demo/v1/messages", json.dumps(body).encode(), headers, timeout=10
    )
    said = json.loads(answer.body)
    if answer.status == 200:
        _tell(f"model   {said['content'][0]['text']}")
    else:
        _tell(f"agent   is refused (HTTP {answer.status}): {said['error']['message']}")
    # The proxy prints its line as the answer ends: let it come before the next turn.
    time.sleep(0.15)
    pause(0.4)
    return answer.status


@contextmanager
def _proxy(path: Path, environ: Mapping[str, str]) -> Iterator[Address]:
    """``abg proxy`` as a process of its own, its lines shown as they come.

    Raises:
        AbgError: it does not start.
    """
    words = [*launcher(), "proxy", "--config", str(path), "--port", "0"]
    _tell("$ abg proxy --config demo.yaml")
    process = subprocess.Popen(
        words,
        env=dict(environ),
        cwd=path.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    found: list[Address] = []
    ready = threading.Event()

    def show() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            _tell(line.rstrip())
            if line.startswith(LISTENING) and not found:
                found.append(parse_url(line[len(LISTENING) :].strip(), "the demo's proxy"))
                ready.set()
        ready.set()

    reader = threading.Thread(target=show, name="abg demo", daemon=True)
    reader.start()
    try:
        if not ready.wait(START_WITHIN) or not found:
            raise AbgError("the demo's proxy did not start; its last words stand above")
        yield found[0]
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(5)


def _command(words: Sequence[str], environ: Mapping[str, str]) -> None:
    """A command as the user would type it, with what it prints."""
    shown = [w for w in words if not w.startswith(("--url", "http"))]
    _tell(f"$ abg {' '.join(shown)}")
    done = subprocess.run(
        [*launcher(), *words], env=dict(environ), capture_output=True, text=True, timeout=30
    )
    _tell((done.stdout + done.stderr).rstrip() + "\n")


def _environ(folder: str) -> dict[str, str]:
    """A home of its own, so that the user's files are neither read nor written."""
    environ: dict[str, Any] = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ABG_") and name not in PROXIES
    }
    environ |= {
        "HOME": folder,
        "XDG_STATE_HOME": os.path.join(folder, "state"),
        "XDG_CONFIG_HOME": os.path.join(folder, "config"),
        "LOCALAPPDATA": folder,
        "APPDATA": folder,
        "NO_PROXY": ",".join(LOCAL_NAMES),
    }
    return environ


def _tell(text: str) -> None:
    print(text, flush=True, file=sys.stdout)
