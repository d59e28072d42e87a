"""Where a running proxy may be: told, in a lock file, or as configured.

The status line asks this every few seconds, so only as much is read as is needed: the lock file
before the configuration, which costs more to read than all else.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from abg.cli.http import Address
from abg.errors import AbgError, ConfigError
from abg.wholefile import read_whole

if TYPE_CHECKING:
    from abg.places import Places

__all__ = [
    "DEFAULT_HOST",
    "DEFAULT_PORT",
    "addresses",
    "parse_url",
    "places",
    "read_lock",
    "working_folder",
]

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8788
LONGEST_NOTE = 65536
"""Bytes of a lock file."""


def places(environ: Mapping[str, str] = os.environ) -> Places:
    """Where this user's state and configuration lie."""
    from abg.places import Places

    return Places.of(environ, sys.platform)


def working_folder() -> Path:
    """Where we are; one that was removed meanwhile (a git worktree) is an empty one."""
    try:
        return Path.cwd()
    except OSError:
        # Where the shell still believes itself to be. Whatever lies there now is meant.
        return Path(os.environ.get("PWD") or Path(os.devnull, "removed"))


def addresses(
    url: str | None, config: str | None, environ: Mapping[str, str] = os.environ
) -> Iterator[Address]:
    """The places where a proxy may be, the surest first.

    Order: ``--url``; ``ABG_URL`` (set by ``abg run``); the lock file beside the ledger of the
    configuration; the host and port of the configuration.
    """
    if url is not None:
        yield parse_url(url, "--url")
        return
    if config is None and environ.get("ABG_URL"):
        yield parse_url(environ["ABG_URL"], "ABG_URL")
    home = places(environ)
    found = _config_file(config, home)
    lock = None
    if not environ.get("ABG_LEDGER_FILE") and not _names_a_ledger(found):
        lock = read_lock(home.ledger)
        if lock is not None:
            yield lock
    ledger, configured = _configured(config, found, home, environ)
    if lock is None:
        lock = read_lock(ledger)
        if lock is not None:
            yield lock
    if lock is None or lock[:2] != configured[:2]:
        yield configured


def parse_url(url: str, source: str) -> Address:
    """``http://HOST:PORT``, with or without a path, as an address.

    Raises:
        AbgError: it is no such URL.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port = None, 0
    if host is None or parts.scheme != "http":
        raise AbgError(f"{source} is no address of a proxy (http://127.0.0.1:8788): {url!r}")
    return Address(host, port, source)


def read_lock(ledger: Path) -> Address | None:
    """The address in the lock file beside a ledger; None without one that names a port."""
    try:
        lock = json.loads(read_whole(ledger.parent / (ledger.name + ".lock"), LONGEST_NOTE, 0))
        host, port = lock["host"], lock["port"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(host, str) or type(port) is not int or not 0 < port < 65536:
        return None
    if not _stays_here(_reachable(host)):
        # A lock file can lie in a cloned folder: the admin token goes nowhere but to loopback.
        return None
    return Address(_reachable(host), port, "lock file of the ledger")


def _config_file(config: str | None, home: Places) -> Path | None:
    from abg.places import CONFIG_NAME

    if config is not None:
        return Path(config)
    looked = (working_folder() / CONFIG_NAME, home.config_file)
    return next((path for path in looked if path.is_file()), None)


def _names_a_ledger(config: Path | None) -> bool:
    """Whether a file may say where the ledger is; the word alone is looked for."""
    if config is None:
        return False
    try:
        return b"ledger_file" in read_whole(config)
    except OSError:
        return True


def _configured(
    config: str | None, found: Path | None, home: Places, environ: Mapping[str, str]
) -> tuple[Path, Address]:
    """Ledger and address of the configuration; yaml is imported only where a file exists."""
    if found is None:
        ledger = Path(environ.get("ABG_LEDGER_FILE") or home.ledger)
        host = environ.get("ABG_HOST") or DEFAULT_HOST
        port = environ.get("ABG_PORT", "")
        number = int(port) if port.isascii() and port.isdigit() else DEFAULT_PORT
        return ledger, Address(_reachable(host), number, "the default address")
    from abg.cli.settings import load

    try:
        settings = load(config).config
    except ConfigError:
        # A file of the working folder that may not steer a proxy can still tell where the user
        # started one with --config, as long as that is on this machine.
        if config is not None:
            raise
        settings = load(str(found)).config
        if not _stays_here(_reachable(settings.host)):
            raise
    address = Address(_reachable(settings.host), settings.port, f"from {found}")
    return settings.ledger_file or home.ledger, address


def _stays_here(host: str) -> bool:
    # Not by its beginning: 127.example.com is anybody's name.
    return host in ("localhost", "::1") or re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", host) is not None


def _reachable(host: str) -> str:
    """Where to connect to reach a proxy that is bound to this address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
