"""``abg doctor``: looks at all that has to fit together, and says what to do about the rest."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abg import __version__
from abg.cli import client
from abg.errors import AbgError
from abg.home.checks import (
    FAIL,
    NOTE,
    OK,
    Finding,
    claude_goes,
    codex_goes,
    lines,
    past_proxy,
    price_age,
)

if TYPE_CHECKING:
    from abg.config import Config, Loaded

__all__ = ["add_doctor"]

LITTLE_SPACE = 100 * 1024 * 1024
"""Bytes free below which the ledger is in danger."""


def add_doctor(parser: argparse.ArgumentParser) -> None:
    client.add_where(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--offline", action="store_true", help="do not try to reach the vendors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print every finding; 1 if something would fail, or pass by uncounted."""
    findings = list(_findings(arguments))
    if arguments.json:
        keys = ("level", "subject", "text", "remedy")
        print(client.dumps([{key: getattr(f, key) for key in keys} for f in findings]))
    else:
        print("\n".join(lines(findings)))
    return 1 if any(f.level == FAIL for f in findings) else 0


def _findings(arguments: argparse.Namespace) -> Iterator[Finding]:
    loaded, problem = _load(arguments.config)
    if loaded is None:
        yield Finding(FAIL, "configuration", problem, "Correct that place; nothing else is checked")
        return
    config = loaded.config
    yield Finding(OK, "configuration", str(loaded.path or "the defaults (no file)"))
    for note in loaded.notes:
        yield Finding(NOTE, "configuration", note)
    port = config.port
    try:
        address, status = client.find(arguments.url, arguments.config)
        port = address.port
        yield from _running(address.url, status)
    except AbgError:
        yield _not_running(config)
    ledger = config.ledger_file or client.places().ledger
    yield from _ledger(Path(ledger))
    yield from _token()
    yield _prices()
    yield from past_proxy(os.environ)
    if not arguments.offline:
        from abg.cli.reach import vendors

        yield from vendors(config)
    yield from _agents(port)


def _load(config: str | None) -> tuple[Loaded | None, str]:
    from abg.cli.settings import load

    try:
        return load(config), ""
    except AbgError as problem:
        return None, str(problem)


def _running(url: str, status: Any) -> Iterator[Finding]:
    version = status.get("version")
    if version not in (None, __version__):
        yield Finding(
            NOTE,
            "proxy",
            f"version {version} runs at {url}, this is {__version__}",
            "Start it again to use the new one",
        )
    else:
        yield Finding(OK, "proxy", f"runs at {url}")
    ledger = status.get("ledger") or {}
    if ledger.get("healthy") is False:
        yield Finding(
            FAIL,
            "proxy",
            f"its ledger cannot be written: {ledger.get('problem')}",
            f"Make room, or mend the rights: {ledger.get('path')}. Until then no call passes",
        )
    if status.get("unknown_models"):
        yield Finding(
            NOTE,
            "proxy",
            f"models without a price: {', '.join(map(str, status['unknown_models']))}",
            "They are charged as the dearest of their family. Set `prices:` in the configuration",
        )


def _not_running(config: Config) -> Finding:
    try:
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        with socket.socket(family) as probe:
            # As the proxy itself binds: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((config.host, config.port))
    except OSError as problem:
        return Finding(
            FAIL,
            "proxy",
            f"none runs, and {config.host}:{config.port} cannot be had: {problem.strerror}",
            "Choose another port in the configuration, or abg proxy --port N",
        )
    return Finding(
        NOTE, "proxy", f"none runs; port {config.port} is free", "Start it with: abg proxy"
    )


def _ledger(path: Path) -> Iterator[Finding]:
    there = path if path.exists() else _nearest(path.parent)
    if not os.access(there, os.W_OK):
        yield Finding(FAIL, "ledger", f"{there} cannot be written", "Mend its rights")
    else:
        yield Finding(OK, "ledger", f"{path}{'' if path.exists() else ' (not begun yet)'}")
    free = shutil.disk_usage(_nearest(path.parent)).free
    if free < LITTLE_SPACE:
        yield Finding(
            FAIL,
            "ledger",
            f"only {free // 1024 // 1024} MB are free: when it is full, no call passes",
            "Make room, or name another place in ledger_file",
        )


def _nearest(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _token() -> Iterator[Finding]:
    path = client.places().admin_token
    if sys.platform == "win32" or not path.exists():
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield Finding(
            FAIL,
            "admin token",
            f"others can read {path} (mode {mode:o}), and raise your budgets with it",
            f"chmod 600 {path}",
        )


def _prices() -> Finding:
    from abg.pricing import PriceTable

    return price_age(PriceTable.builtin().as_of, datetime.now(timezone.utc).date())


def _agents(port: int) -> Iterator[Finding]:
    from abg.cli.settings import claude_files, codex_files

    agents: tuple[tuple[str, str, Callable[[], Iterator[Finding]]], ...] = (
        ("claude", "Claude Code", lambda: claude_goes(claude_files(), os.environ, port)),
        ("codex", "Codex", lambda: codex_goes(codex_files(), os.environ, port)),
    )
    for program, name, goes in agents:
        path = shutil.which(program)
        if path is None:
            yield Finding(NOTE, name, "is not installed")
            continue
        yield Finding(OK, name, f"{_version(path)} at {path}")
        yield from goes()
    yield from _stale_daemon()


def _version(path: str) -> str:
    try:
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return "a version that does not answer"
    return done.stdout.strip().splitlines()[0][:80] if done.stdout.strip() else "an unknown version"


def _stale_daemon(proc: Path = Path("/proc")) -> Iterator[Finding]:
    """A Codex daemon that is older than Codex's configuration still follows the old one."""
    config = Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex") / "config.toml"
    if not proc.is_dir() or not config.exists():
        return
    changed = config.stat().st_mtime
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            began = entry.stat().st_mtime
        except OSError:
            continue
        if b"app-server" in words and b"--managed-daemon" in words and began < changed:
            yield Finding(
                NOTE,
                "Codex",
                f"its background daemon (process {entry.name}) is older than {config}",
                f"End it, so that the next start reads the new one: kill {entry.name}",
            )
