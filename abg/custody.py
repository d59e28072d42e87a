"""Tokens that stand for the vendors' keys: minting, hashing, checking. Pure.

With ``credentials`` in the configuration, abg alone holds the real keys, and a client presents a
token of abg's own, which fixes whose session it spends in. Only the SHA-256 of a token is kept:
it has 256 random bits, so a slow hash would add nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from attrs import evolve, field, frozen

from abg.attribution import safe_name
from abg.errors import AbgError
from abg.money import show_exactly, usd

__all__ = ["PREFIX", "Grant", "Grants", "decode", "digest", "encode", "is_token", "mint"]

PREFIX = "abg_"
RANDOM_BYTES = 40
"""8 for the public id by which a token is found and listed, 32 for the secret."""


@frozen
class Grant:
    """What a token allows, without the token."""

    id: str
    """Public: it names the token in lists, and is the token's own second part."""
    sha256: str
    session: str
    """All calls with this token spend in this session, whatever their path or headers say."""
    budget_usd: Decimal | None
    """The session's budget; None: the one that is configured."""
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def raising(self, *, locked: bool) -> dict[str, Any]:
        """The data of the ``raise`` that gives the session this budget; locked ones only shrink."""
        data: dict[str, Any] = {"session_id": self.session, "to_usd": self.budget_usd}
        data |= {"who": f"token {self.id}", "token": self.id}
        return {**data, "at_most": True} if locked else data

    def live(self, now: datetime) -> bool:
        """Whether it is good at this moment."""
        return self.revoked is None and (self.expires is None or now < self.expires)


@frozen
class Grants:
    """All grants; a token is found by its public id, and compared in constant time."""

    all: tuple[Grant, ...] = ()
    _by_id: Mapping[str, Grant] = field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {g.id: g for g in self.all})

    def find(self, token: str, now: datetime) -> Grant | None:
        """The live grant of a token; None for a forged, unknown, expired or revoked one."""
        grant = self._by_id.get(_public(token))
        known = grant.sha256 if grant is not None else "0" * 64
        same = hmac.compare_digest(digest(token), known)
        return grant if grant is not None and same and grant.live(now) else None

    def add(self, grant: Grant, now: datetime) -> Grants:
        """With one more; those that ended more than a month ago are forgotten."""
        kept = [g for g in self.all if g.live(now) or (now - _end(g)).days < 30]
        return Grants((*kept, grant))

    def revoke(self, id: str, now: datetime) -> Grants:
        """With this one ended.

        Raises:
            AbgError: there is none that is live.
        """
        grant = self._by_id.get(id)
        if grant is None:
            raise AbgError(f"there is no token {id!r} (abg token list shows them)")
        if not grant.live(now):
            raise AbgError(f"token {id} has ended already")
        ended = evolve(grant, revoked=now)
        return Grants(tuple(ended if g.id == id else g for g in self.all))


def mint(
    random: bytes,
    session: str,
    budget_usd: Decimal | None,
    now: datetime,
    expires: datetime | None = None,
) -> tuple[str, Grant]:
    """A new token, shown once, and its grant.

    Args:
        random: ``RANDOM_BYTES`` from the system's source of randomness.
        session: any name; kept as abg writes it everywhere.

    Raises:
        AbgError: it is no name.
    """
    if not session:
        raise AbgError("a token needs the name of the session that it spends in")
    if len(random) != RANDOM_BYTES:
        raise ValueError("a token needs exactly 40 random bytes")
    id = random[:8].hex()
    secret = urlsafe_b64encode(random[8:]).rstrip(b"=").decode("ascii")
    token = f"{PREFIX}{id}_{secret}"
    return token, Grant(id, digest(token), safe_name(session), budget_usd, now, expires)


def digest(token: str) -> str:
    """The form in which a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_token(credential: str) -> bool:
    """Whether a client's credential claims to be abg's own; no vendor's key begins so."""
    return credential.startswith(PREFIX)


def encode(grants: Grants) -> bytes:
    """The file's content: JSON, one grant a line so that a person can read it."""
    lines = ",\n".join(json.dumps(_row(g)) for g in grants.all)
    return f'{{"version": 1, "tokens": [\n{lines}\n]}}\n'.encode()


def decode(content: bytes) -> Grants:
    """The grants in a file's content.

    Raises:
        AbgError: it is damaged; nothing is guessed, so that no token passes by mistake.
    """
    try:
        value = json.loads(content)
        if value["version"] != 1:
            raise AbgError(f"the token file has version {value['version']}; this abg reads 1")
        return Grants(tuple(map(_grant, value["tokens"])))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise AbgError(f"the token file is damaged ({type(problem).__name__})") from None


def _public(token: str) -> str:
    return token[len(PREFIX) :].partition("_")[0] if is_token(token) else ""


def _end(grant: Grant) -> datetime:
    ends: Iterable[datetime] = (e for e in (grant.revoked, grant.expires) if e is not None)
    return min(ends)


def _row(grant: Grant) -> dict[str, Any]:
    row: dict[str, Any] = {"id": grant.id, "sha256": grant.sha256, "session": grant.session}
    if grant.budget_usd is not None:
        row["budget_usd"] = show_exactly(grant.budget_usd)
    for name in ("created", "expires", "revoked"):
        when = getattr(grant, name)
        if when is not None:
            row[name] = when.astimezone(timezone.utc).isoformat()
    return row


def _grant(row: Mapping[str, Any]) -> Grant:
    budget = row.get("budget_usd")
    return Grant(
        id=_text(row["id"]),
        sha256=_text(row["sha256"]),
        session=safe_name(_text(row["session"])),
        budget_usd=None if budget is None else usd(budget),
        created=_when(row["created"]),
        expires=None if row.get("expires") is None else _when(row["expires"]),
        revoked=None if row.get("revoked") is None else _when(row["revoked"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("not a text")
    return value


def _when(value: Any) -> datetime:
    when = datetime.fromisoformat(_text(value))
    if when.tzinfo is None:
        raise ValueError("a time without its zone")
    return when
