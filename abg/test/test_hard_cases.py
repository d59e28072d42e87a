"""Large, slow, many, broken: over both doors each call ends as described, and the sums are right.

Every test ends with the vendor's own books: as many entries as it answered calls, the exact cost of
each answer whose usage was told, and the same sum in ledger, session and day.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from abg.test.clients.exact import price
from abg.test.clients.proxy import ProxyProcess
from abg.testing import VendorProcess

DOORS = {
    "lane": ("", ("-m", "abg")),
    "mounted": ("/llm", ("-m", "abg.test.clients.embedded", "llm")),
}
"""Where the guard stands, and what Python runs."""
ASK: dict[str, Any] = {"model": "claude-opus-5-5", "max_tokens": 1000, "messages": []}
PATHS: dict[str, dict[str, Any]] = {
    "/v1/messages": ASK,
    "/v1/responses": {"model": "gpt-5.5", "input": "hello"},
    "/v1/chat/completions": {
        "model": "gpt-5.5",
        "messages": [],
        "stream_options": {"include_usage": True},
    },
}
FLAT_KB = 16_000
"""What an answer of 60 MB may add to the proxy's memory."""


@pytest.fixture(scope="module")
def vendor() -> Iterator[VendorProcess]:
    with VendorProcess() as running:
        yield running


@pytest.fixture(scope="module", params=DOORS)
def proxy(
    request: pytest.FixtureRequest, vendor: VendorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyProcess]:
    door: str = request.param
    place, program = DOORS[door]
    settings: dict[str, Any] = {"session_budget_usd": None, "daily_budget_usd": None}
    folder: Path = tmp_path_factory.mktemp(door)
    running = ProxyProcess(folder, vendor.url, program=program, **settings)
    running.place = place
    with running:
        yield running


class Case:
    """One test's session at the proxy, and the vendor's books about it."""

    def __init__(self, proxy: ProxyProcess, vendor: VendorProcess, name: str) -> None:
        self.proxy, self.vendor, self.session = proxy, vendor, name
        vendor.reset()

    def request(self, path: str, body: bytes) -> bytes:
        return (
            f"POST {self.proxy.place}/s/{self.session}{path} HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.proxy.port}\r\nx-api-key: k\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def connect(self, path: str, ask: dict[str, Any]) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.proxy.port), timeout=15)
        client.sendall(self.request(path, json.dumps(ask).encode()))
        return client

    def call(self, path: str, ask: dict[str, Any]) -> bytes:
        """The whole answer as it came: until its end, or until the connection's."""
        with self.connect(path, ask) as client:
            return read_answer(client)

    def settled(self, calls: int) -> list[dict[str, Any]]:
        """This session's entries, once there are so many; all books agree about them."""
        deadline = time.monotonic() + 10
        while len(entries := self._entries()) < calls and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(entries) == calls
        charges = self.vendor.charges
        assert len(charges) == calls
        measured = [e for e in entries if e["cost_source"] == "measured"]
        told = [c for c in charges if c["usage"] is not None and c["told"]]
        exact = sum((price(c["model"], c["usage"]) for c in told), Decimal(0))
        assert sum(e["cost_usd"] for e in measured) == exact
        status, all_lines = self.proxy.status, self.proxy.ledger
        total = sum(e["cost_usd"] for e in entries)
        assert entries[-1]["session_total_usd"] == total == status["sessions"][self.session]
        assert status["today_total_usd"] == sum(line.get("cost_usd", 0) for line in all_lines)
        assert status["holds"] == []
        return entries

    def _entries(self) -> list[dict[str, Any]]:
        return [e for e in self.proxy.entries if e["session_id"] == self.session]


def read_answer(client: socket.socket) -> bytes:
    answer = bytearray()
    try:
        while not whole(answer):
            piece = client.recv(65536)
            if not piece:
                break
            answer += piece
    except ConnectionResetError:
        pass
    return bytes(answer)


def whole(answer: bytearray) -> bool:
    head, mark, _ = bytes(answer[:4096]).partition(b"\r\n\r\n")
    if not mark:
        return False
    fields = head.lower()
    if b"transfer-encoding: chunked" in fields:
        return answer.endswith(b"\r\n0\r\n\r\n")
    length = fields.partition(b"content-length: ")[2].split(b"\r\n")[0]
    return bool(length) and len(answer) - len(head) - 4 >= int(length)


@pytest.fixture
def case(
    proxy: ProxyProcess, vendor: VendorProcess, request: pytest.FixtureRequest
) -> Iterator[Case]:
    yield Case(proxy, vendor, request.node.originalname)


def test_a_prompt_of_ten_megabytes(case: Case) -> None:
    case.vendor.script({"text": "ok"})
    prompt = {"role": "user", "content": "0123456789" * 1_000_000}
    body = json.dumps({**ASK, "messages": [prompt]}).encode()
    with socket.create_connection(("127.0.0.1", case.proxy.port), timeout=15) as client:
        client.sendall(case.request("/v1/messages", body))
        assert read_answer(client).startswith(b"HTTP/1.1 200 ")
    (seen,) = case.vendor.requests
    assert seen["sha256"] == hashlib.sha256(body).hexdigest()
    (entry,) = case.settled(1)
    assert entry["cost_source"] == "measured"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_an_answer_of_200_000_events_to_a_slow_reader(case: Case) -> None:
    case.vendor.script({"text": "x" * 180, "events": 200_000})
    case.call("/v1/messages", ASK)
    before = case.proxy.memory_kb
    highest, size, last = before, 0, b""
    with case.connect("/v1/messages", {**ASK, "stream": True}) as client:
        started = time.monotonic()
        while not last.endswith(b"\r\n0\r\n\r\n"):
            if time.monotonic() - started < 1.0:
                time.sleep(0.02)
                highest = max(highest, case.proxy.memory_kb)
            piece = client.recv(262_144)
            assert piece, "the answer was cut"
            last = (last + piece)[-16:]
            if size // 8_000_000 != (size + len(piece)) // 8_000_000:
                highest = max(highest, case.proxy.memory_kb)
            size += len(piece)
    assert size > 50_000_000
    assert highest - before < FLAT_KB
    assert [e["cost_source"] for e in case.settled(2)] == ["measured"] * 2


def test_200_streams_at_once(case: Case) -> None:
    case.vendor.script({"text": "hello ", "events": 20, "pause": 0.02})

    async def one(path: str, ask: dict[str, Any]) -> bytes:
        body = json.dumps({**ask, "stream": True}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", case.proxy.port)
        writer.write(case.request(path, body))
        answer = bytearray()
        while not answer.endswith(b"\r\n0\r\n\r\n"):
            piece = await reader.read(65536)
            assert piece, "a stream was cut"
            answer += piece
        writer.close()
        return bytes(answer)

    async def all_of_them() -> list[bytes]:
        kinds = list(PATHS.items())
        return await asyncio.gather(*(one(*kinds[i % len(kinds)]) for i in range(200)))

    answers = asyncio.run(asyncio.wait_for(all_of_them(), 30))
    assert all(a.count(b"hello ") >= 20 for a in answers)
    assert {e["cost_source"] for e in case.settled(200)} == {"measured"}


def test_a_client_that_leaves_inside_the_stream(case: Case) -> None:
    case.vendor.script({"text": "hello ", "events": 2000, "pause": 0.01})
    for path, ask in PATHS.items():
        with case.connect(path, {**ask, "stream": True}) as client:
            client.recv(65536)
            time.sleep(0.1)
    for entry in case.settled(3):
        assert entry["end"] == "client_gone"
        assert entry["cost_source"] == "estimated"
        assert entry["cost_usd"] > 0
    assert {r["ended"] for r in case.vendor.requests} == {"client_gone"}


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_vendor_that_dies_inside_its_answer(case: Case, how: str, stream: bool) -> None:
    case.session += f"-{how}-{stream}"
    case.vendor.script({"text": "hello ", "events": 20, "after": 10, "then": how})
    for path, ask in PATHS.items():
        answer = case.call(path, {**ask, "stream": stream})
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert not whole(bytearray(answer)), "the client must see that something is missing"
    for entry in case.settled(3):
        assert entry["end"] == "upstream_cut"
        assert entry["cost_source"] == "estimated"
        assert entry["cost_usd"] > 0


GARBAGE = (
    "",
    "}",
    "data: {",
    '{"usage": [], "id": 5}',
    "data: [1]\n\ndata: {}\n\n",
    "\x00\ufffd" * 99,
)


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "image/png"])
def test_garbage_goes_through_and_is_estimated(case: Case, kind: str) -> None:
    case.session += "-" + kind.replace("/", "-")
    for garbage in GARBAGE:
        case.vendor.script({"body": garbage, "content_type": kind, "usage": None})
        answer = case.call("/v1/messages", {**ASK, "stream": True})
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert garbage.encode() in answer
    calls = len(GARBAGE)
    deadline = time.monotonic() + 10
    while len(case._entries()) < calls and time.monotonic() < deadline:
        time.sleep(0.02)
    entries = case._entries()
    assert len(entries) == calls
    assert {e["cost_source"] for e in entries} == {"estimated"}
    assert all(e["cost_usd"] > 0 for e in entries)


def test_events_split_at_every_byte(case: Case) -> None:
    for (path, ask), size in zip(PATHS.items(), (1, 11, 5), strict=True):
        case.vendor.script({"text": "h\u00e4llo \U0001f600 ", "split": size})
        split = case.call(path, {**ask, "stream": True})
        assert whole(bytearray(split))
    assert {e["cost_source"] for e in case.settled(3)} == {"measured"}
