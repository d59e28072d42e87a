"""HTTP for the fake vendor: only as good as a test needs, over asyncio.

Keep-alive, both body framings, 100-continue; answers leave as the script wants them to, whole or
broken. Under ``/_`` stands the control (``abg.testing.vendor`` lists it).
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Iterable
from typing import Any

from attrs import asdict

from abg.testing.ask import Request
from abg.testing.script import parse_script
from abg.testing.scripted import Answer, ScriptedVendor

__all__ = ["serve"]

JOINED = 65536
"""Events without a pause between them leave in segments of about this size."""


class _Gone(Exception):
    """The client has left."""


class _Connection(asyncio.Protocol):
    """One client: its requests are answered one after another."""

    def __init__(self, vendor: ScriptedVendor, open_answers: set[int]) -> None:
        self._vendor = vendor
        self._open = open_answers
        self._buffer = bytearray()
        self._news = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._gone = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self._news.set()
        self._drained.set()

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    async def _serve(self) -> None:
        try:
            while True:
                request, version = await self._request()
                keep = version == "HTTP/1.1" and request.header("connection").lower() != "close"
                if request.target.startswith("/_"):
                    self._control(request)
                else:
                    keep = await self._reply(request, version) and keep
                if not keep:
                    self._transport.close()
                    return
        except _Gone:
            self._transport.close()

    # -- reading ---------------------------------------------------------------------------------

    async def _request(self) -> tuple[Request, str]:
        head = (await self._until(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        method, _, rest = first.partition(" ")
        target, _, version = rest.rpartition(" ")
        headers = tuple(
            (name, value.strip()) for name, _, value in (line.partition(":") for line in lines)
        )
        request = Request(method, target, headers)
        if request.header("expect").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in request.header("transfer-encoding").lower():
            body = await self._chunked()
        else:
            body = await self._take(int(request.header("content-length") or 0))
        return Request(method, target, headers, body), version

    async def _until(self, mark: bytes) -> bytes:
        while (at := self._buffer.find(mark)) < 0:
            await self._more()
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(mark)]
        return found

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _chunked(self) -> bytes:
        whole = bytearray()
        while size := int((await self._until(b"\r\n")).split(b";")[0], 16):
            whole += await self._take(size)
            await self._take(2)
        while await self._until(b"\r\n"):
            pass
        return bytes(whole)

    async def _more(self) -> None:
        if self._gone.is_set():
            raise _Gone
        self._news.clear()
        await self._news.wait()

    # -- answering -------------------------------------------------------------------------------

    async def _reply(self, request: Request, version: str) -> bool:
        """Send the answer; whether the connection may serve another request."""
        answer = self._vendor.answer(request)
        sending = _Sending(self, answer, request.method, version)
        self._open.add(answer.number)
        how, whole = "client_gone", False
        try:
            if answer.step.delay:
                await self.pause(answer.step.delay)
            how, whole = await sending.run()
        finally:
            self._open.discard(answer.number)
            self._vendor.ended(answer.number, how, sending.sent, told=whole or sending.told)
        return how == "complete" and sending.framing != "close"

    def _control(self, request: Request) -> None:
        vendor = self._vendor
        status, told = 200, b"{}"
        path = request.target.partition("?")[0]
        if path == "/_requests" and request.method == "GET":
            told = json.dumps([record.as_json() for record in vendor.records]).encode()
        elif path == "/_charges":
            told = json.dumps([asdict(charge) for charge in vendor.charges]).encode()
        elif path == "/_open":
            told = b"%d" % len(self._open)
        elif path == "/_reset" or (path == "/_requests" and request.method == "DELETE"):
            vendor.reset()
        elif path == "/_script":
            try:
                vendor.use(parse_script(json.loads(request.body)))
            except (ValueError, TypeError) as error:
                status, told = 400, json.dumps({"error": str(error)}).encode()
        else:
            status = 404
        self.write(
            b"HTTP/1.1 %d Control\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % (status, len(told))
            + told
        )

    # -- for the one who sends -------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self._gone.is_set():
            raise _Gone
        self._transport.write(data)

    async def drain(self) -> None:
        await self._drained.wait()
        if self._gone.is_set():
            raise _Gone

    async def pause(self, seconds: float | None) -> None:
        """Wait; a client that leaves meanwhile ends it."""
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except asyncio.TimeoutError:
            return
        raise _Gone

    async def break_off(self, how: str) -> None:
        """End the connection in the middle of an answer."""
        if how == "hang":
            await self.pause(None)
        if how == "rst":
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()


class _Sending:
    """One answer on its way out."""

    def __init__(self, to: _Connection, answer: Answer, method: str, version: str) -> None:
        self._to = to
        self._answer = answer
        self._head_only = method == "HEAD" or answer.status in (204, 304)
        self.sent = 0
        self.told = False
        self.framing = answer.step.framing or ("length" if answer.length is not None else "chunked")
        if self.framing == "chunked" and version != "HTTP/1.1":
            self.framing = "close"

    async def run(self) -> tuple[str, bool]:
        """How it ended, and whether all of it went out."""
        step = self._answer.step
        self._to.write(self._head())
        if self._head_only:
            return "complete", True
        broken = await self._body()
        if not broken or step.then == "end":
            if self.framing == "chunked":
                self._to.write(b"0\r\n\r\n")
            await self._to.drain()
            return ("complete", True) if not broken else ("broken", False)
        await self._to.drain()
        await self._to.break_off(step.then)
        return "broken", False

    async def _body(self) -> bool:
        """Send the body as far as the script lets it; whether it was broken off."""
        step, held, telling = self._answer.step, bytearray(), False
        for count, piece in enumerate(self._pieces()):
            if step.after is not None and self._answer.length is None and count >= step.after:
                await self._send(held)
                self.told = telling
                return True
            held += piece
            telling = telling or (b'"usage"' in piece and _tells_counts(piece))
            if step.pause or len(held) >= JOINED:
                await self._send(held)
                self.told = telling
                held.clear()
                if step.pause:
                    await self._to.pause(step.pause)
        await self._send(held)
        self.told = telling
        return step.after is not None

    def _pieces(self) -> Iterable[bytes]:
        step, length = self._answer.step, self._answer.length
        if length is None:
            return self._answer.pieces
        body = b"".join(self._answer.pieces)
        return [body if step.after is None else body[: step.after]]

    async def _send(self, data: bytearray) -> None:
        size = self._answer.step.split or len(data) or 1
        for start in range(0, len(data), size):
            part = bytes(data[start : start + size])
            self.sent += len(part)
            if self.framing == "chunked":
                part = b"%x\r\n%s\r\n" % (len(part), part)
            self._to.write(part)
            await self._to.drain()
            if self._answer.step.split:
                await self._to.pause(0.0002)

    def _head(self) -> bytes:
        status = self._answer.status
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
        lines += [f"{name}: {value}" for name, value in self._answer.headers]
        if self.framing == "chunked" and not self._head_only:
            lines.append("transfer-encoding: chunked")
        elif self.framing == "close":
            lines.append("connection: close")
        elif self._answer.length is not None and status != 204:
            lines.append(f"content-length: {self._answer.length}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def _tells_counts(event: bytes) -> bool:
    """The event that ends the counting, of any of the streams."""
    last = (b"message_delta", b"response.completed", b"response.incomplete", b"response.failed")
    return any(b'"type":"%s"' % kind in event for kind in last) or b'"choices":[]' in event


_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    413: "Payload Too Large",
    426: "Upgrade Required",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    529: "Overloaded",
}


async def serve(
    vendor: ScriptedVendor,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> asyncio.Server:
    """Start to serve; the port is that of the server's first socket."""
    open_answers: set[int] = set()
    loop = asyncio.get_running_loop()
    return await loop.create_server(
        lambda: _Connection(vendor, open_answers), host, port, backlog=4096, ssl=tls
    )
