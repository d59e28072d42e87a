"""A stand-in for a running proxy on 127.0.0.1: answers ``/abg/…``, and notes what it was sent."""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from abg.places import Places

__all__ = ["STATUS", "StandIn", "own_places"]


def own_places(monkeypatch: Any, folder: Path) -> Places:
    """A user of his own: nothing of this machine's user is read or written by the test."""
    for name in list(os.environ):
        if name.startswith(("ABG_", "ANTHROPIC_", "OPENAI_", "CLAUDE", "CODEX")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    places = Places.of(os.environ, sys.platform)
    places.state.mkdir(parents=True)
    places.admin_token.write_text("token-of-the-test")
    places.admin_token.chmod(0o600)
    return places


STATUS: dict[str, Any] = {
    "sessions": {"default": 4.12, "bugfix-login": 1.22},
    "today_total_usd": 5.34,
    "budgets": [
        {
            "name": "session",
            "per": "session",
            "key": "default",
            "window": "lifetime",
            "limit_usd": 5.0,
            "spent_usd": 4.12,
            "held_usd": 0.2,
            "action": "block",
            "resets_at": None,
        },
        {
            "name": "session",
            "per": "session",
            "key": "bugfix-login",
            "window": "lifetime",
            "limit_usd": 5.0,
            "spent_usd": 1.22,
            "held_usd": 0,
            "action": "block",
            "resets_at": None,
        },
        {
            "name": "daily",
            "per": "none",
            "key": "",
            "window": "day",
            "limit_usd": 20.0,
            "spent_usd": 5.34,
            "held_usd": 0.2,
            "action": "block",
            "resets_at": "2026-11-26T00:00:00+01:00",
        },
    ],
    "holds": [
        {
            "id": "req_abg_1",
            "session": "default",
            "model": "claude-opus-5-5",
            "usd": 0.2,
            "since": "2026-11-25T10:00:00+00:00",
        }
    ],
    "waiting": 0,
    "blocked": [],
    "counts": {"allow": 40, "warn": 2, "block": 1},
    "session_info": {
        "default": {
            "requests": 30,
            "input_tokens": 10_000,
            "output_tokens": 5_000,
            "cache_read_tokens": 90_000,
            "cache_write_tokens": 0,
            "blocked": 1,
            "agent": "claude-code",
            "usd_per_minute": 0.1,
            "budget_usd": 5.0,
        }
    },
    "unknown_models": [],
    "unmetered": [],
    "ledger": {"path": "/home/u/ledger.jsonl", "healthy": True, "problem": ""},
    "config": "",
    "version": "0.1.0",
    "uptime_seconds": 8040,
    "locked": False,
}


class StandIn:
    """A context manager: a server in a thread, with the status it gives and the posts it got."""

    def __init__(self, status: Any = None, replies: dict[str, tuple[int, Any]] | None = None):
        self.status = json.loads(json.dumps(STATUS)) if status is None else status
        self.replies = replies or {}
        self.posts: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.gets: list[str] = []
        self.after_gets: tuple[int, Callable[[], Any]] | None = None
        """Do this once so many reads have been answered."""

    def __enter__(self) -> StandIn:
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer._answer(self.rfile, self.wfile)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # A connection that is gone before it is accepted must not hold up the end.
        self._server.socket.settimeout(1)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Answer nothing any more."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def _answer(self, reader: Any, writer: Any) -> None:
        first = reader.readline().decode()
        if not first:
            return
        method, path, _ = first.split(" ", 2)
        headers = {}
        while line := reader.readline().strip().decode():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", 0)))
        place = path.partition("?")[0]
        if method == "GET":
            self.gets.append(path)
            code, said = self.replies.get(place, (200, self.status))
        else:
            self.posts.append((path, json.loads(body), headers))
            code, said = self.replies.get(place, (200, {}))
        payload = said if isinstance(said, bytes) else json.dumps(said).encode()
        writer.write(
            b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n%s" % (code, len(payload), payload)
        )
        if self.after_gets is not None and len(self.gets) == self.after_gets[0]:
            self.after_gets[1]()
