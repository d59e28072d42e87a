"""Just enough HTTP/1.1 to ask the proxy something, over one socket.

``http.client`` alone costs 19 ms to import, more than all that is needed here.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Address", "Answer", "request"]

MAX_ANSWER = 64 * 1024 * 1024
_LONGEST_HEAD = 65_536


class Address(NamedTuple):
    """A place where a proxy may listen, and how it was found."""

    host: str
    port: int
    source: str

    @property
    def url(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}"


class Answer(NamedTuple):
    status: int
    body: bytes


def request(
    address: Address,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    timeout: float = 5.0,
) -> Answer:
    """One HTTP/1.1 request on a connection of its own.

    Args:
        timeout: seconds for all of it.

    Raises:
        OSError: not reachable, or not in time.
        ValueError: what came is no HTTP answer.
    """
    host = address.url.partition("//")[2]
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    message = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body
    ends = time.monotonic() + timeout
    with socket.create_connection((address.host, address.port), timeout) as connection:
        connection.sendall(message)
        return _read_answer(connection, ends)


def _read_answer(connection: socket.socket, ends: float) -> Answer:
    received = bytearray()
    while len(received) <= MAX_ANSWER:
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        connection.settimeout(left)
        part = connection.recv(262144)
        if part:
            received += part
        # All of it is copied only where that may be the end of it.
        answer = _answer(bytes(received), ended=not part) if _may_be_whole(received, part) else None
        if answer is not None:
            return answer
    raise ValueError("the answer is too large")


def _may_be_whole(received: bytearray, part: bytes) -> bool:
    end = received.find(b"\r\n\r\n", 0, _LONGEST_HEAD)
    if not part or end < 0:
        return not part
    head = received[:end].lower()
    if not head.startswith(b"http/1."):
        return True
    if b"transfer-encoding" in head:
        return received.endswith(b"\r\n\r\n")
    length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0].strip()
    return length.isdigit() and len(received) >= end + 4 + int(length)


def _answer(received: bytes, *, ended: bool) -> Answer | None:
    """The answer, once it is complete.

    Raises:
        ValueError: it is no HTTP, or ends in the middle.
    """
    head, blank, body = received.partition(b"\r\n\r\n")
    if not blank:
        if ended:
            raise ValueError("no HTTP answer")
        return None
    first, *rest = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise ValueError("no HTTP answer")
    fields = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in rest)}
    if "chunked" in fields.get("transfer-encoding", "").lower():
        whole = _unchunk(body)
    elif "content-length" in fields:
        length = int(fields["content-length"])
        whole = body[:length] if len(body) >= length else None
    else:
        whole = body if ended else None
    if whole is None:
        if ended:
            raise ValueError("the answer was cut")
        return None
    return Answer(int(words[1]), whole)


def _unchunk(body: bytes) -> bytes | None:
    whole: list[bytes] = []
    at = 0
    while True:
        end = body.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(body[at:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(whole)
        at = end + 2
        if len(body) < at + size + 2:
            return None
        whole.append(body[at : at + size])
        at += size + 2
