"""The proxy as a user starts it: ``python -m abg proxy --config …``, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import abg

__all__ = ["ProxyProcess"]

PATIENCE = 20.0
"""Seconds for the start, and for the end."""


class ProxyProcess:
    """A running proxy whose three vendors are all at one URL.

    Args:
        folder: where its configuration, ledger and state lie.
        vendor_url: the fake vendor.
        program: what Python runs as ``abg``.
        settings: keys of the configuration.
    """

    def __init__(
        self,
        folder: Path,
        vendor_url: str,
        program: Sequence[str] = ("-m", "abg"),
        **settings: Any,
    ) -> None:
        self.folder = folder
        self._program = program
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.place = ""
        """Where the guard is mounted: a path without a slash at its end."""
        self.ledger_file = folder / "ledger.jsonl"
        self.console: list[str] = []
        self._listening = threading.Event()
        self._settings = {
            "port": self.port,
            "ledger_file": "ledger.jsonl",
            "upstream_anthropic": vendor_url,
            "upstream_openai": vendor_url,
            "upstream_chatgpt": f"{vendor_url}/backend-api/codex",
            **settings,
        }

    # -- what it did -----------------------------------------------------------------------------

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """All lines so far, amounts as exact decimals."""
        lines = self.ledger_file.read_text("utf-8").splitlines()
        return [json.loads(line, parse_float=Decimal) for line in lines]

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The lines that are calls."""
        return [line for line in self.ledger if "action" in line]

    @property
    def status(self) -> dict[str, Any]:
        """``GET /abg/status``."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}{self.place}/abg/status", timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read(), parse_float=Decimal)
            return found

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def memory_kb(self) -> int:
        """Its resident memory, as Linux tells it."""
        text = Path(f"/proc/{self.pid}/status").read_text("ascii")
        return int(text.partition("VmRSS:")[2].split()[0])

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command of abg beside this proxy (``budget``, ``reset``, …)."""
        return subprocess.run(
            [sys.executable, "-m", "abg", *arguments],
            env=self._environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    # -- its life --------------------------------------------------------------------------------

    def __enter__(self) -> ProxyProcess:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_file = self.folder / "agentbillguard.yaml"
        # JSON is YAML.
        self.config_file.write_text(json.dumps(self._settings), "utf-8")
        self._start()
        return self

    def restart_after(self, seconds: float, meanwhile: Callable[[], Any]) -> int:
        """Stop, do something, and start again after some seconds; entries before that."""
        entries = len(self.entries)
        self._stop()
        meanwhile()
        time.sleep(seconds)
        self._start()
        return entries

    def _start(self) -> None:
        self._listening.clear()
        self._up = False
        self._process = subprocess.Popen(
            [sys.executable, *self._program, "proxy", "--config", str(self.config_file)],
            env=self._environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(PATIENCE) or not self._up:
            self._process.kill()
            raise AssertionError("the proxy did not start; it said:\n" + "\n".join(self.console))

    def _stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(PATIENCE)
        return code

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        code = self._stop()
        if kind is None:
            assert code == 0, f"the proxy ended with {code}:\n" + "\n".join(self.console)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.console.append(line.rstrip("\n"))
            if "listening on http" in line:
                self._up = True
                self._listening.set()
        self._listening.set()

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "PYTHONPATH": str(Path(abg.__file__).parent.parent),
            "PYTHONUNBUFFERED": "1",
        }


def _free_port() -> int:
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        port: int = any_socket.getsockname()[1]
        return port
