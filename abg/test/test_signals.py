"""How the program ends: whenever it is told so, in order, settled, with exit code 0."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from abg.test.clients.proxy import ProxyProcess
from abg.testing import FakeVendor

LONG = {"text": "word ", "events": 3000, "pause": 0.05}
ASK = {"model": "claude-opus-4-8", "max_tokens": 100, "messages": []}


class Call(threading.Thread):
    """One streamed call; ``answer`` is all that came until the connection's end."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.answer = b""
        body = json.dumps({**ASK, "stream": True}).encode()
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        self._socket.sendall(
            b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: k\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.start()

    def run(self) -> None:
        with self._socket as client:
            while piece := client.recv(65536):
                self.answer += piece


def until(wanted: Any) -> None:
    deadline = time.monotonic() + 10
    while not wanted() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert wanted()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_reads_the_first_line_may_end_it_at_once(tmp_path: Path, number: int) -> None:
    proxy = ProxyProcess(tmp_path, "http://127.0.0.1:9")
    with proxy:
        os.kill(proxy.pid, number)
    assert not any("Traceback" in line for line in proxy.console)


def test_a_second_term_ends_what_still_runs(tmp_path: Path) -> None:
    with FakeVendor(LONG) as vendor:
        proxy = ProxyProcess(tmp_path, vendor.url, shutdown_grace_seconds=60)
        with proxy:
            call = Call(proxy.port)
            until(lambda: b"word" in call.answer)
            started = time.monotonic()
            os.kill(proxy.pid, signal.SIGTERM)
            time.sleep(0.3)
            assert call.is_alive(), "the first one lets it run"
            os.kill(proxy.pid, signal.SIGTERM)
            call.join(15)
        assert time.monotonic() - started < 30
        assert not any("Traceback" in line for line in proxy.console)
        (entry,) = proxy.entries
        assert (entry["end"], entry["cost_source"]) == ("shutdown", "estimated")
        assert not call.answer.endswith(b"0\r\n\r\n")


def test_who_waits_is_refused_as_busy_when_it_ends(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"enforcement": "strict", "session_budget_usd": 0.02}
    with FakeVendor({"text": "word ", "events": 40, "pause": 0.05}) as vendor:
        proxy = ProxyProcess(tmp_path, vendor.url, **settings)
        with proxy:
            first, second = Call(proxy.port), Call(proxy.port)
            until(lambda: proxy.status["waiting"] == 1)
            os.kill(proxy.pid, signal.SIGTERM)
            first.join(15)
            second.join(15)
        refused, served = sorted((first.answer, second.answer), key=len)
        assert refused.startswith(b"HTTP/1.1 402 ")
        assert b"x-abg-decision: busy" in refused
        assert b"[abg] Session budget held by running requests: " in refused
        assert b"message_stop" in served
        assert sorted(e["action"] for e in proxy.entries) == ["allow", "block"]


def test_hup_reopens_the_ledger_that_was_moved_away(tmp_path: Path) -> None:
    with FakeVendor({}) as vendor, ProxyProcess(tmp_path, vendor.url) as proxy:
        for _ in range(2):
            Call(proxy.port).join(15)
            until(lambda: proxy.ledger_file.exists() and len(proxy.entries) == 1)
            total = proxy.status["sessions"]["default"]
            assert total == proxy.entries[0]["session_total_usd"]
            if _ == 0:
                proxy.ledger_file.rename(tmp_path / "moved.jsonl")
                os.kill(proxy.pid, signal.SIGHUP)
                until(proxy.ledger_file.exists)
        moved = json.loads((tmp_path / "moved.jsonl").read_text("utf-8"))
        assert total == proxy.entries[0]["cost_usd"] + type(total)(str(moved["cost_usd"]))
