"""How much abg does for a call and for an event: counted in function calls, not in time.

A regression in speed shows here on any machine. The bounds are a tenth above what was counted on
CPython 3.11 and hold for 3.10, 3.12 and 3.13 as well; whoever makes abg faster lowers them.
"""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from abg.test.clients.proxy import ProxyProcess
from abg.testing import FakeVendor

MOST_FOR_A_CALL = 610
MOST_FOR_AN_EVENT = 52

HEADERS = {
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": "claude-cli/2.1.331 (external, sdk-cli)",
    "X-Claude-Code-Session-Id": "00000000-0000-4000-8000-000000000001",
    "X-Stainless-Lang": "js",
    "X-Stainless-Timeout": "600",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
    "anthropic-version": "2023-06-01",
    "x-api-key": "sk-ant-fake",
    "x-app": "cli",
}


def work(folder: Path, script: dict[str, Any], requests: int, stream: bool) -> int:
    """Function calls in a proxy's whole life, in which it served so many requests."""
    counted = folder / "calls"
    program = ("-m", "abg.test.clients.counted", str(counted))
    ask: dict[str, Any] = {"model": "claude-opus-5-5", "max_tokens": 9, "stream": stream}
    ask["messages"] = [{"role": "user", "content": "x" * 1_900}]
    body = json.dumps(ask).encode()
    with FakeVendor(script) as vendor, ProxyProcess(folder, vendor.url, program) as proxy:
        connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=60)
        for _ in range(requests):
            connection.request("POST", "/v1/messages?beta=true", body, HEADERS)
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()
        connection.close()
    return int(counted.read_text())


def test_a_small_call(tmp_path: Path) -> None:
    few, many = 20, 220
    script = {"text": "x" * 1_700}
    costs = [work(tmp_path / str(n), script, n, stream=False) for n in (few, many)]
    each = (costs[1] - costs[0]) / (many - few)
    assert each <= MOST_FOR_A_CALL, f"{each:.0f} function calls for one small call"


def test_an_event(tmp_path: Path) -> None:
    few, many = 50, 550
    costs = [
        work(tmp_path / str(n), {"text": "word", "events": n, "pause": 0.002}, 1, stream=True)
        for n in (few, many)
    ]
    each = (costs[1] - costs[0]) / (many - few)
    assert each <= MOST_FOR_AN_EVENT, f"{each:.0f} function calls for one event"
