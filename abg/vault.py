"""Key custody: abg alone holds the vendors' keys, clients present tokens of abg's own.

An agent that goes past abg then has nothing to spend with. Without ``credentials`` for a vendor
its calls pass with the client's own key; an abg token never reaches a vendor in any case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from abg.call import Headers
from abg.custody import PREFIX, Grant
from abg.errors import AbgError, ConfigError
from abg.keyring import Keyring
from abg.wholefile import read_whole

__all__ = ["Forbidden", "Vault", "read_keys", "token_in"]


LONGEST_FILE = 65536
"""Bytes; no key is as long."""


class Forbidden(AbgError):
    """The credential that a client presents is not good here."""


def read_keys(credentials: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The real keys, from ``env:NAME`` or ``file:PATH`` for each vendor.

    Raises:
        ConfigError: one cannot be read, or is empty; the text never holds a key.
    """
    keys = {}
    for vendor, source in credentials.items():
        kind, _, where = source.partition(":")
        if kind == "env":
            key = environ.get(where, "")
        elif kind == "file":
            try:
                key = read_whole(Path(where).expanduser(), LONGEST_FILE).decode("utf-8")
            except (OSError, ValueError) as problem:
                why = getattr(problem, "strerror", None) or type(problem).__name__
                raise ConfigError(
                    f"credentials: {vendor}: {where} cannot be read ({why})"
                ) from None
        else:
            raise ConfigError(f"credentials: {vendor}: give env:NAME or file:PATH, never the key")
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable():
            raise ConfigError(f"credentials: {vendor}: {source} holds no key")
        keys[vendor] = key
    return keys


@frozen
class Vault:
    """The keys by vendor, and the tokens by which clients may use them."""

    keys: Mapping[str, str]
    keyring: Keyring

    def open(self, vendor: str, headers: Headers) -> tuple[Headers, Grant | None]:
        """The headers to send to a vendor, and the grant that pays.

        Raises:
            Forbidden: no good token where one is needed; the text never holds the credential.
        """
        return self.admit(vendor, headers, token_in(headers))

    def admit(
        self, vendor: str, headers: Headers, token: str | None
    ) -> tuple[Headers, Grant | None]:
        """``open``, for who knows already which token the headers hold."""
        key = self.keys.get(vendor)
        if key is None:
            if token is not None:
                raise Forbidden(
                    f"[abg] This is a token of abg's, and abg holds no key for {vendor} "
                    "(credentials in its configuration)"
                )
            return headers, None
        if token is None:
            raise Forbidden(
                "[abg] This abg holds the keys itself: present a token (abg token new), not a key"
            )
        try:
            grant = self.keyring.find(token)
        except AbgError as problem:
            raise Forbidden(f"[abg] {problem}") from None
        if grant is None:
            raise Forbidden("[abg] This token is unknown, revoked or expired (abg token list)")
        kept = [h for h in headers if h[0].lower() not in _AUTH]
        raw = key.encode("ascii")
        if vendor == "anthropic" and not key.startswith("sk-ant-oat"):
            kept.append((b"x-api-key", raw))
        else:
            kept.append((b"Authorization", b"Bearer " + raw))
        return kept, grant


def token_in(headers: Headers) -> str | None:
    """The token of abg's own that a request presents."""
    # Lengths first: most fields are neither, and lower() costs more than len().
    tokens = [t for f in headers if len(f[0]) in _LENGTHS and (t := _token(f))]
    return tokens[0] if tokens else None


_AUTH = frozenset((b"authorization", b"x-api-key"))
_LENGTHS = frozenset(map(len, _AUTH))
_TOKEN = re.compile(rf"(?<![\w-]){PREFIX}[\w-]*", re.ASCII)


def _token(field: tuple[bytes, bytes]) -> str:
    name = field[0].lower()
    if name not in _AUTH:
        return ""
    # Behind whatever scheme and sign: what looks like a token of abg's never goes to a vendor.
    found = _TOKEN.search(field[1].decode("latin-1"))
    return "" if found is None else found[0]
