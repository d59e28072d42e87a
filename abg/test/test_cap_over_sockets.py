"""The cap at its edge, over real sockets: many calls at once, in each mode of enforcement.

The vendor's own count proves what was refused: a blocked call never reached it.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import pytest

from abg.test.clients.exact import charged
from abg.test.clients.proxy import ProxyProcess
from abg.testing import FakeVendor

ROUNDS, AT_ONCE, WARM_UP = 100, 64, 2

MODEL = "claude-haiku-4-5"
USAGE = {"input_tokens": 100, "output_tokens": 1_000}
COST = Decimal("0.0051")
CAP = COST * 8
BODY = json.dumps(
    {
        "model": MODEL,
        "max_tokens": 1_024,
        "messages": [{"role": "user", "content": "x" * 300}],
    }
).encode()


class Client:
    """One kept connection that asks, and tells the status of each answer."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname, place.port

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)

    async def ask(self, session: str) -> int:
        head = (
            f"POST /v1/messages HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"x-api-key: sk-ant-fake\r\nanthropic-version: 2023-06-01\r\n"
            f"x-abg-session-id: {session}\r\nx-round: {session}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        self._writer.write(head.encode() + BODY)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length:")[2].partition("\r\n")[0])
        await self._reader.readexactly(length)
        return int(answer.split(" ")[1])

    def close(self) -> None:
        self._writer.close()


async def rounds(url: str) -> list[Counter[int]]:
    """The statuses of each round's parallel calls."""
    clients = [Client(url) for _ in range(AT_ONCE)]
    for client in clients:
        await client.connect()
    told = []
    for number in range(ROUNDS):
        session = f"round-{number}"
        for _ in range(WARM_UP):
            assert await clients[0].ask(session) == 200
        told.append(Counter(await asyncio.gather(*(client.ask(session) for client in clients))))
    for client in clients:
        client.close()
    return told


def overshoots(
    folder: Path, mode: str, cap: Decimal = CAP
) -> tuple[list[Decimal], list[Counter[int]]]:
    """Of each round: spend over the cap, and the statuses; all that must hold in every mode."""
    usage = {"turns": [{"usage": USAGE, "delay": 0.02}], "path": "/messages"}
    settings = {"session_budget_usd": float(cap), "daily_budget_usd": None, "enforcement": mode}
    with (
        FakeVendor({"rules": [usage]}) as vendor,
        ProxyProcess(folder, vendor.url, **settings) as proxy,
    ):
        told = asyncio.run(rounds(proxy.url))
        seen = Counter(
            r.request.header("x-round")
            for r in vendor.records
            if r.request.path == "/messages" and r.request.method == "POST"
        )
        sessions = proxy.status["sessions"]
        spent = {f"round-{n}": Decimal(str(sessions[f"round-{n}"])) for n in range(ROUNDS)}
        for number, statuses in enumerate(told):
            name = f"round-{number}"
            assert set(statuses) <= {200, 402}
            assert seen[name] == statuses[200] + WARM_UP, "a blocked call reached the vendor"
            assert spent[name] == COST * seen[name]
        entries = proxy.entries
        assert len(entries) == ROUNDS * (AT_ONCE + WARM_UP)
        assert sum((e["cost_usd"] for e in entries), Decimal(0)) == charged(vendor.charges)
        assert proxy.status["today_total_usd"] == charged(vendor.charges)
        return [max(amount - cap, Decimal(0)) for amount in spent.values()], told


@pytest.mark.timeout(240)
def test_after_lets_the_whole_swarm_pass(tmp_path: Path) -> None:
    over, _ = overshoots(tmp_path, "after")
    assert median(over) > 16 * COST, "the baseline that the other modes are measured against"


@pytest.mark.timeout(240)
def test_estimate_lets_one_call_cross(tmp_path: Path) -> None:
    over, told = overshoots(tmp_path, "estimate")
    assert median(over) <= COST
    assert sorted(over)[int(ROUNDS * 0.99) - 1] <= 2 * COST
    assert all(statuses[402] >= AT_ONCE - 8 for statuses in told)


@pytest.mark.timeout(240)
def test_strict_never_crosses(tmp_path: Path) -> None:
    over, told = overshoots(tmp_path, "strict")
    assert max(over) == 0
    # What is left unused is less than the bound of one more call.
    assert all(statuses[200] >= 3 for statuses in told)
