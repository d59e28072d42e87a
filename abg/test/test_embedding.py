"""The README's five lines in a bare ``Site``: a real call goes through, the next is stopped."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import abg
from abg.test.clients.proxy import ProxyProcess
from abg.testing import FakeVendor

ROOT = Path(abg.__file__).parent.parent
USAGE = {"input_tokens": 1_000_000, "output_tokens": 0}
ASK = json.dumps({"model": "claude-opus-5-5", "max_tokens": 9, "messages": []})
HOST = """\
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

site = Site(Resource())
{lines}
port = reactor.listenTCP(0, site, interface="127.0.0.1")
print("port", port.getHost().port, flush=True)
reactor.run()
"""


def the_five_lines(vendor_url: str) -> str:
    """The README's example, pointed at the fake vendor."""
    readme = (ROOT / "README.md").read_text("utf-8")
    found = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    lines = found[1]
    assert "Config(session_budget_usd=" in lines
    return lines.replace("Config(", f"Config(upstream_anthropic={vendor_url!r}, ", 1)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[tuple[int, FakeVendor]]:
    """The port of a service that mounts the guard as the README says, and its vendor."""
    with FakeVendor({"usage": USAGE}) as vendor:
        service = subprocess.Popen(
            [sys.executable, "-c", HOST.format(lines=the_five_lines(vendor.url))],
            env={
                "HOME": str(tmp_path),
                "XDG_STATE_HOME": str(tmp_path / "state"),
                "PATH": os.environ.get("PATH", os.defpath),
                "PYTHONPATH": str(ROOT),
            },
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert service.stdout is not None
        try:
            for line in service.stdout:
                if line.startswith("port "):
                    break
            yield int(line.split()[1]), vendor
        finally:
            service.terminate()
            service.communicate(timeout=15)


def ask(port: int, method: str, path: str, body: str = "") -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"x-api-key": "k", "x-abg-session-id": "s"})
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def test_the_readmes_five_lines_guard_a_real_call(
    mounted: tuple[int, FakeVendor], tmp_path: Path
) -> None:
    port, vendor = mounted
    for _ in range(2):
        status, _, body = ask(port, "POST", "/llm/v1/messages", ASK)
        assert (status, body["usage"]["input_tokens"]) == (200, 1_000_000)
    status, headers, body = ask(port, "POST", "/llm/v1/messages", ASK)
    assert status == 402
    assert headers["x-abg-decision"] == "block"
    assert body["error"]["message"].startswith("[abg] Session budget exhausted: $8.00 >= $5.00")
    assert len(vendor.records) == 2
    assert ask(port, "GET", "/llm/abg/status")[2]["sessions"] == {"s": 8.0}
    assert ask(port, "HEAD", "/llm/")[0] == 200
    (ledger,) = (tmp_path / "state").rglob("ledger.jsonl")
    actions = [json.loads(line)["action"] for line in ledger.read_text("utf-8").splitlines()]
    assert actions == ["warn", "warn", "block"]


@pytest.mark.parametrize("place", ["", "llm"])
def test_at_the_root_and_below_a_path(tmp_path: Path, place: str) -> None:
    program = ("-m", "abg.test.clients.embedded", *([place] if place else []))
    with FakeVendor({"usage": USAGE}) as vendor:
        proxy = ProxyProcess(tmp_path, vendor.url, program=program, session_budget_usd=3)
        proxy.place = f"/{place}" if place else ""
        with proxy:
            status, headers, _ = ask(proxy.port, "POST", f"{proxy.place}/v1/messages?beta=%2F", ASK)
            assert status == 200
            assert headers["Server"] == "fake-vendor"
            assert vendor.records[0].request.target == "/v1/messages?beta=%2F"
            assert ask(proxy.port, "POST", f"{proxy.place}/v1//messages", ASK)[0] == 400
            assert ask(proxy.port, "POST", f"{proxy.place}/v1/messages", ASK)[0] == 402
            assert proxy.status["sessions"] == {"s": Decimal(4)}
