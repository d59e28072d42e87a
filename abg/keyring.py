"""The file of tokens (see ``abg.custody``): written by the command line, read by the guard."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

from abg.custody import RANDOM_BYTES, Grant, Grants, decode, encode, mint
from abg.errors import AbgError

__all__ = ["Keyring"]


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Keyring:
    """Tokens in a file of mode 0600; a change by another process counts from the next call on.

    Args:
        path: ``tokens.json`` in the state folder; it need not exist.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = _now) -> None:
        self._path = path
        self._clock = clock
        self._seen: tuple[int, int, int] | None = None
        self._grants = Grants()

    def find(self, token: str) -> Grant | None:
        """The live grant of a token, None for any other text.

        Raises:
            AbgError: the file is damaged or cannot be read: then no token is good.
        """
        return self.grants().find(token, self._clock())

    def grants(self) -> Grants:
        """All of them, read anew only when the file has changed (one ``stat`` a call).

        Raises:
            AbgError: as for ``find``.
        """
        try:
            about = self._path.stat()
        except FileNotFoundError:
            self._seen, self._grants = None, Grants()
            return self._grants
        except OSError as problem:
            raise AbgError(f"tokens cannot be read: {problem.strerror}: {self._path}") from None
        seen = (about.st_mtime_ns, about.st_size, about.st_ino)
        if seen != self._seen:
            try:
                self._grants = decode(self._path.read_bytes())
            except OSError as problem:
                raise AbgError(f"tokens cannot be read: {problem.strerror}: {self._path}") from None
            except AbgError as problem:
                raise AbgError(f"{problem}: {self._path}") from None
            self._seen = seen
        return self._grants

    def new(
        self, session: str, budget_usd: Decimal | None, expires: datetime | None = None
    ) -> tuple[str, Grant]:
        """A new token, which is never shown again, and its grant.

        Raises:
            AbgError: the file cannot be read or written, or the session has no name.
        """
        now = self._clock()
        token, grant = mint(secrets.token_bytes(RANDOM_BYTES), session, budget_usd, now, expires)
        with self._alone():
            self._write(self.grants().add(grant, now))
        return token, grant

    def revoke(self, id: str) -> None:
        """End a token now.

        Raises:
            AbgError: there is none such, or the file cannot be written.
        """
        with self._alone():
            self._write(self.grants().revoke(id, self._clock()))

    def _write(self, grants: Grants) -> None:
        """Replace the file as a whole, so that a reader sees the old or the new one."""
        beside = self._path.with_name(self._path.name + ".new")
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(encode(grants))
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self._path)
        except OSError as problem:
            raise AbgError(f"tokens cannot be written: {problem.strerror}: {self._path}") from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time: several ``abg run`` may start at once."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(
                self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600
            )
        except OSError as problem:
            raise AbgError(f"tokens cannot be written: {problem.strerror}: {self._path}") from None
        try:
            try:
                import fcntl
            except ImportError:  # pragma: no cover - Windows: the last writer wins
                pass
            else:
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
