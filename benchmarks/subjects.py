"""The proxies that are compared, and how each is started before the fake vendor."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from attrs import define, field, frozen
from machine import Program, free_port, wait_for_port

__all__ = ["OURS", "PROXY_CORE", "Started", "Subject", "start"]

HERE = Path(__file__).resolve().parent
PROXY_CORE, LOAD_CORE = 0, 1


@frozen
class Subject:
    """One way from the client to the vendor."""

    name: str
    command: Callable[[Path, int, int], list[str]] | None
    """Folder, own port, the vendor's port → the command; None: no proxy at all."""
    path: str = "/v1/messages"
    headers: tuple[str, ...] = ()
    """``Name: value``, beside those that every client sends; ``{vendor}`` is the vendor's port."""
    streams: bool = True
    """Its streams can be measured with the same client."""
    patience: float = 20.0
    available: Callable[[], str] = field(default=lambda: "")
    """Why it cannot run on this machine; empty if it can."""


@define
class Started:
    """A subject that runs."""

    subject: Subject
    port: int
    vendor_port: int
    program: Program | None
    seconds_to_listen: float | None

    def stop(self) -> None:
        if self.program is not None:
            self.program.stop()


def start(subject: Subject, folder: Path, vendor_port: int) -> Started:
    """Start a subject on the proxies' core and wait until it takes connections.

    Raises:
        RuntimeError: it does not start.
    """
    if subject.command is None:
        return Started(subject, vendor_port, vendor_port, None, None)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    program = Program(
        subject.command(folder, port, vendor_port),
        core=PROXY_CORE,
        folder=folder,
        environment=_environment(folder),
        log=folder / "log.txt",
    )
    try:
        seconds = wait_for_port(port, program, subject.patience)
    except RuntimeError:
        program.stop()
        raise
    return Started(subject, port, vendor_port, program, seconds)


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PYTHONPATH": str(HERE.parent),
    }


def _nginx(folder: Path, port: int, vendor: int) -> list[str]:
    config = f"""
daemon off; user root; worker_processes 1; error_log stderr error; pid {folder}/nginx.pid;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
  access_log off; client_max_body_size 64m; client_body_buffer_size 1m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000;
  upstream vendor {{ server 127.0.0.1:{vendor}; keepalive 1024; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://vendor; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 900s;
    }}
  }}
}}
"""
    (folder / "nginx.conf").write_text(config, "utf-8")
    return [_nginx_program(), "-c", str(folder / "nginx.conf"), "-p", str(folder)]


def _nginx_program() -> str:
    return shutil.which("nginx") or "/usr/sbin/nginx"


def _bare(folder: Path, port: int, vendor: int) -> list[str]:
    script = str(HERE / "bare_twisted.py")
    return [sys.executable, script, str(port), f"http://127.0.0.1:{vendor}"]


def _wire(folder: Path, port: int, vendor: int) -> list[str]:
    script = str(HERE / "passthrough.py")
    return [sys.executable, script, str(port), f"http://127.0.0.1:{vendor}"]


def settings(port: int, vendor: int) -> dict[str, object]:
    """Everything on: metering, budgets with reservations, ledger, console; nothing blocks."""
    return {
        "port": port,
        "session_budget_usd": 100_000_000,
        "daily_budget_usd": 100_000_000,
        "ledger_file": "ledger.jsonl",
        "upstream_anthropic": f"http://127.0.0.1:{vendor}",
        "upstream_openai": f"http://127.0.0.1:{vendor}",
    }


def _abg(folder: Path, port: int, vendor: int) -> list[str]:
    config = folder / "agentbillguard.yaml"
    config.write_text(json.dumps(settings(port, vendor)), "utf-8")
    return [sys.executable, "-m", "abg", "proxy", "--config", str(config)]


def _mounted(folder: Path, port: int, vendor: int) -> list[str]:
    config = folder / "agentbillguard.yaml"
    config.write_text(json.dumps(settings(port, vendor)), "utf-8")
    return [sys.executable, str(HERE / "mounted.py"), str(port), str(config)]


def _nginx_missing() -> str:
    return "" if os.path.exists(_nginx_program()) else "nginx is not installed"


OURS = (
    Subject("direct", None),
    Subject("nginx", _nginx, available=_nginx_missing),
    Subject("bare Twisted", _bare),
    Subject("wire alone", _wire),
    Subject("abg", _abg),
    Subject("mounted abg", _mounted),
)
