"""A proxy of our own for ``abg run``, where none runs: detached, and gone when the last has ended.

It lives on leases: each ``abg run`` renews its own, and a proxy started as ephemeral ends with
the last one.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from abg.cli import client
from abg.cli.http import Address
from abg.errors import AbgError

__all__ = ["Lease", "launch", "launcher"]

START_WITHIN = 15.0
"""Seconds that a start may take on a slow machine."""

TERM, RENEW_EVERY = 120, 20.0
"""Seconds of a lease, and between its renewals: a machine may sleep a little in between."""

FIRST_LOOK = 1.0
"""Seconds to the first renewal: a proxy found at its very end would be gone by then."""


def launcher() -> list[str]:
    """The command by which this program is called again."""
    script = Path(sys.argv[0])
    if script.name in ("abg", "abg.exe") and script.is_file():
        return [str(script.absolute())]
    return [sys.executable, "-m", "abg"]


def launch(config: str | None, environ: Mapping[str, str], *, port: int = 0) -> tuple[Address, Any]:
    """Start a proxy and wait until it answers; its address and status.

    Two that start at once agree by themselves: the ledger has one writer, the other one ends,
    and both find the first through the lock file.

    Raises:
        AbgError: it did not start; the text has its last words.
    """
    words = [*launcher(), "proxy", "--ephemeral", "--port", str(port)]
    if config is not None:
        words += ["--config", config]
    log = client.places().run_log
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        os.chmod(log, 0o600)
        process = subprocess.Popen(
            words,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    ends = time.monotonic() + START_WITHIN
    while time.monotonic() < ends:
        ended = process.poll()
        try:
            return client.find(None, config, timeout=1.0)
        except client.NotRunning:
            if ended not in (None, 0):
                # One more look: another one may have been faster, and hold the ledger.
                time.sleep(0.2)
                try:
                    return client.find(None, config, timeout=1.0)
                except client.NotRunning:
                    break
        time.sleep(0.03)
    raise AbgError(f"the proxy did not start:\n{_last_words(log)}\n  Try it in view: abg proxy")


class Lease:
    """Keeps the proxy alive from a thread of its own, and starts it again should it die.

    Args:
        ours: it was started by an ``abg run``, and may be started again.
        about: said with the lease: the session, and the project it works on.
    """

    def __init__(
        self,
        address: Address,
        config: str | None,
        environ: Mapping[str, str],
        *,
        ours: bool,
        about: Mapping[str, str],
    ) -> None:
        self.address = address
        self._config = config
        self._environ = environ
        self._ours = ours
        self._about = dict(about)
        self._id = f"run-{os.getpid()}-{secrets.token_hex(4)}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="abg-lease", daemon=True)

    def start(self) -> None:
        """Take the lease.

        Raises:
            AbgError: the proxy gives none.
        """
        self._renew(TERM)
        self._thread.start()

    def end(self) -> None:
        """Give it back; a proxy that has gone needs none."""
        self._over.set()
        self._thread.join(5)
        try:
            self._renew(0)
        except AbgError:
            pass

    def _renew(self, seconds: int) -> None:
        client.post(
            self.address, "/abg/lease", {**self._about, "id": self._id, "ttl_seconds": seconds}
        )

    def _keep(self) -> None:
        wait = FIRST_LOOK
        while not self._over.wait(wait):
            wait = RENEW_EVERY
            try:
                self._renew(TERM)
            except client.NotRunning:
                self._revive()
            except AbgError:
                continue

    def _revive(self) -> None:
        """On the same port: the clients wait for it, and go on."""
        if not self._ours:
            return
        try:
            launch(self._config, self._environ, port=self.address.port)
            self._renew(TERM)
        except AbgError:
            pass


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()[-8:]
    except OSError:
        lines = []
    return "\n".join(f"  {line}" for line in lines) or "  (it said nothing)"
