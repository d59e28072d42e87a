"""A stage for the corridor: a scripted client, a scripted vendor, a clock, a ledger in memory.

Reads like a script::

    stage = Stage()
    client = stage.ask(b"/v1/messages", {"model": "claude-opus-5-5"})
    vendor = stage.vendor()           # the request as the vendor got it
    vendor.answer(200, body=...)      # or head(), data(), end(), fail()
    assert client.status == 200
    assert stage.entries[-1].end == "complete"
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from abg.background import OpenCalls
from abg.book import Book
from abg.call import Headers
from abg.config import Config
from abg.engine import counting_budgets
from abg.errors import LedgerUnavailable
from abg.exchange import AnswerListener, Kin
from abg.guard import Guard
from abg.keyring import Keyring
from abg.ledger import Entry, Event
from abg.pricing import PriceTable
from abg.proxy import Corridor
from abg.routing import Router
from abg.vault import Vault

START = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
LOCAL = [(b"Host", b"127.0.0.1:8788"), (b"Content-Type", b"application/json")]
CLAUDE = [*LOCAL, (b"x-api-key", b"sk-ant-fake"), (b"anthropic-version", b"2023-06-01")]
CODEX = [*LOCAL, (b"authorization", b"Bearer sk-fake"), (b"session-id", b"codex-1")]


class MemoryLedger:
    """The guard's ledger, kept in lists; ``broken`` makes it fail."""

    def __init__(self) -> None:
        self.records: list[Entry | Event] = []
        self.reserved: dict[str, dict[str, Any]] = {}
        self.broken = ""

    @property
    def healthy(self) -> bool:
        return not self.broken

    @property
    def problem(self) -> str:
        return self.broken

    def append(self, record: Entry | Event) -> None:
        self.records.append(record)
        if self.broken:
            raise LedgerUnavailable(self.broken)

    def reserve(self, id: str, facts: dict[str, Any]) -> None:
        if self.broken:
            raise LedgerUnavailable(self.broken)
        self.reserved[id] = facts

    def release(self, id: str) -> None:
        del self.reserved[id]


class Client:
    """An exchange, from the outside: what the client saw."""

    def __init__(self, method: bytes, target: bytes, headers: Headers, length: int | None) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.peer = "127.0.0.1"
        self.content_length = length
        self.kin = Kin()
        self.status = 0
        self.answer_headers: Headers = []
        self.received = b""
        self.finished = self.aborted = False
        self.reading = True
        self.handler: Any = None

    def pause_body(self) -> None:
        self.reading = False

    def resume_body(self) -> None:
        self.reading = True

    def respond(self, status: int, reason: bytes, headers: Headers) -> None:
        assert not self.status, "answered twice"
        self.status = status
        self.answer_headers = headers

    def write(self, data: bytes) -> None:
        assert self.status and not self.finished and not self.aborted
        self.received += data

    def flush(self) -> None: ...

    def finish(self) -> None:
        assert self.status and not self.finished and not self.aborted
        self.finished = True

    def abort(self) -> None:
        self.aborted = True

    def header(self, name: bytes) -> bytes | None:
        return next((v for n, v in self.answer_headers if n.lower() == name), None)

    @property
    def json(self) -> Any:
        return json.loads(self.received)


class Sent:
    """One request as a vendor sees it, and the vendor's side of the conversation."""

    def __init__(
        self,
        origin: str,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: bytes | None,
        listener: AnswerListener,
    ) -> None:
        self.origin = origin
        self.method = method
        self.target = target
        self.headers = headers
        self.body = b"" if body is None else body
        self.listener = listener
        self.sent = True
        self.aborted = self.ended = self.paused = False

    # VendorCall
    def write(self, data: bytes) -> None:
        self.body += data

    def end(self) -> None:
        self.ended = True

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True

    # the script
    def head(self, status: int = 200, headers: Headers | None = None) -> None:
        kept = [(b"content-type", b"application/json")] if headers is None else headers
        self.listener.answer_head(status, b"OK", kept, True)

    def data(self, data: bytes) -> None:
        self.listener.answer_data(data)
        self.listener.answer_flush()

    def finish(self) -> None:
        self.listener.answer_end()

    def took(self) -> None:
        self.listener.body_left()

    def fail(self, kind: str = "cut", message: str = "the vendor hung up") -> None:
        self.listener.answer_failed(kind, message)

    def answer(self, status: int = 200, body: bytes | dict[str, Any] = b"") -> None:
        self.head(status)
        self.data(body if isinstance(body, bytes) else json.dumps(body).encode())
        self.finish()


class Timer:
    """What ``callLater`` gives."""

    def __init__(self, due: float, function: Callable[[], object]) -> None:
        self.due = due
        self.function = function
        self.waits = True

    def active(self) -> bool:
        return self.waits

    def cancel(self) -> None:
        self.waits = False


class Stage:
    """A corridor with nothing real around it."""

    def __init__(
        self, *, start: datetime = START, keys: dict[str, str] | None = None, **settings: Any
    ) -> None:
        settings.setdefault("timezone", "UTC")
        self.config = config = Config(**settings)
        self.now = start
        self.seconds = 0.0
        self.lines: list[str] = []
        self.ledger = MemoryLedger()
        self.sent: list[Sent] = []
        self.book = Book(
            counting_budgets(config),
            config.zone,
            enforcement=config.enforcement,
            block_on_limit=config.block_on_limit,
            busy_wait=timedelta(seconds=config.busy_wait_seconds),
            max_identical=config.max_identical_requests,
        )
        self.opened = OpenCalls()
        self._ids = 0
        self.guard = Guard(
            config,
            PriceTable.builtin().with_overrides(config.prices, config.unknown_model),
            self.book,
            self.opened,
            self.ledger,
            clock=lambda: self.now,
            monotonic=lambda: self.seconds,
            new_id=self._new_id,
            say=self.lines.append,
        )
        vault = Vault(keys or {}, Keyring(Path("nowhere/tokens.json")))
        self._timers: list[Timer] = []
        self.corridor = Corridor(self.guard, Router(config), self, config, vault, later=self._later)

    def _new_id(self) -> str:
        self._ids += 1
        return f"req_{self._ids}"

    def request(self, *what: Any) -> Sent:
        sent = Sent(*what)
        self.sent.append(sent)
        return sent

    def _later(self, seconds: float, function: Callable[[], object]) -> Timer:
        timer = Timer(self.seconds + seconds, function)
        self._timers.append(timer)
        return timer

    def pass_time(self, seconds: float) -> None:
        """Time goes by; what is due on the way happens at its time."""
        end = self.seconds + seconds
        while True:
            due = [t for t in self._timers if t.waits and t.due <= end]
            if not due:
                break
            timer = min(due, key=lambda t: t.due)
            self._step(timer.due)
            timer.waits = False
            self._timers.remove(timer)
            timer.function()
        self._step(end)
        self.guard.wake()

    def _step(self, to: float) -> None:
        self.now += timedelta(seconds=to - self.seconds)
        self.seconds = to

    def ask(
        self,
        target: bytes,
        body: bytes | dict[str, Any] = b"",
        headers: Headers | None = None,
        method: bytes = b"POST",
        split: int = 0,
    ) -> Client:
        """Send a whole request; ``split`` sends its body in pieces of that size."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        client = Client(method, target, list(CLAUDE if headers is None else headers), len(raw))
        return self.send(client, raw, split)

    def send(self, client: Client, raw: bytes, split: int = 0) -> Client:
        """Send the request of a client."""
        client.handler = self.corridor.begin(client)
        step = split or len(raw) or 1
        for at in range(0, len(raw), step):
            client.handler.body(raw[at : at + step])
        client.handler.body_end()
        return client

    def vendor(self) -> Sent:
        """The last request that reached a vendor."""
        return self.sent[-1]

    @property
    def entries(self) -> list[Entry]:
        return [r for r in self.ledger.records if isinstance(r, Entry)]

    @property
    def events(self) -> list[Event]:
        return [r for r in self.ledger.records if isinstance(r, Event)]

    def spend(self, usd: str, session: str = "default") -> None:
        """A call that costs just so much."""
        # opus-4-8: 5 USD per million input tokens
        tokens = int(Decimal(usd) * 1_000_000 / 5)
        headers = [*CLAUDE, (b"x-abg-session-id", session.encode())]
        self.ask(b"/v1/messages", {"model": "claude-opus-4-8", "max_tokens": 9}, headers)
        self.vendor().answer(
            200,
            {
                "type": "message",
                "model": "claude-opus-4-8",
                "usage": {"input_tokens": tokens, "output_tokens": 0},
                "content": [{"type": "text", "text": "x"}],
                "stop_reason": "end_turn",
            },
        )
