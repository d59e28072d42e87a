"""Asking the running proxy, and changing what it does: finds it, and speaks its admin API."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from abg.cli.http import Address, request
from abg.cli.where import addresses, places
from abg.errors import AbgError
from abg.wholefile import read_whole

__all__ = [
    "NotRunning",
    "Refused",
    "add_where",
    "admin_token",
    "change",
    "dumps",
    "find",
    "get",
    "places",
    "post",
    "session_name",
    "status",
    "who",
]


class NotRunning(AbgError):
    """No proxy answers; the text says where it was looked for, and how to start one."""


class Refused(AbgError):
    """The proxy answered that it will not do this; the text is its reason."""


def add_where(parser: argparse.ArgumentParser) -> None:
    """The arguments by which every command finds the proxy it talks to."""
    parser.add_argument(
        "--url", metavar="URL", help="the proxy's address (default: the one that runs)"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="the configuration that the proxy was started with"
    )


def session_name(text: str) -> str:
    """The session that an argument names, as abg writes it: bytes that are no text, and what would
    steer a terminal, end here."""
    from abg.attribution import safe_name

    if not text:
        raise argparse.ArgumentTypeError("a session has a name")
    return safe_name(text)


def status(arguments: argparse.Namespace, *, timeout: float = 5.0) -> tuple[Address, Any]:
    """The running proxy and its ``/abg/status``, amounts as Decimal.

    Raises:
        NotRunning: nothing that is abg answers.
    """
    return find(arguments.url, arguments.config, timeout=timeout)


def find(
    url: str | None = None,
    config: str | None = None,
    *,
    session: str | None = None,
    timeout: float = 5.0,
) -> tuple[Address, Any]:
    """The first place that answers as abg does, with its status.

    Args:
        session: only this session is of interest, which keeps the answer short.

    Raises:
        NotRunning: none does; all places that were tried are named.
    """
    from urllib.parse import quote

    tried = []
    path = "/abg/status" if session is None else f"/abg/status?session={quote(session, safe='')}"
    for address in addresses(url, config):
        try:
            answer = request(address, "GET", path, timeout=timeout)
            found = _parse(answer.body)
        except (OSError, ValueError) as problem:
            tried.append(f"{address.url} ({address.source}): {_reason(problem)}")
            continue
        if answer.status == 200 and isinstance(found, dict) and "today_total_usd" in found:
            return address, found
        tried.append(f"{address.url} ({address.source}): something else answers there")
    raise NotRunning(
        "no proxy is running. Start one with: abg proxy"
        + "".join(f"\n  looked at {place}" for place in tried)
    )


def change(arguments: argparse.Namespace, path: str, body: Mapping[str, Any]) -> Any:
    """Change something in the running proxy (POST with the admin token); its answer.

    Raises:
        NotRunning: there is none.
        Refused: it will not (locked budgets, an unknown name, a wrong token); says why.
    """
    address, _ = status(arguments)
    return post(address, path, body)


def post(address: Address, path: str, body: Mapping[str, Any], *, timeout: float = 10.0) -> Any:
    """POST to a proxy that has answered before.

    Raises:
        NotRunning: it has gone meanwhile.
        Refused: it will not; says why.
    """
    from abg.ledger import sound

    payload = json.dumps(sound({"who": who(), **body}), default=str).encode()
    headers = {"content-type": "application/json", "x-abg-admin-token": admin_token()}
    try:
        answer = request(address, "POST", path, payload, headers, timeout=timeout)
        said = _parse(answer.body) if answer.body else {}
    except (OSError, ValueError) as problem:
        raise NotRunning(f"the proxy at {address.url} did not answer: {_reason(problem)}") from None
    if answer.status >= 300:
        raise Refused(_complaint(answer.status, said))
    return said


def get(address: Address, path: str, *, timeout: float = 5.0) -> Any:
    """The JSON of a ``GET /abg/…``.

    Raises:
        NotRunning: the proxy has gone meanwhile.
        Refused: it has no such page; says why.
    """
    try:
        answer = request(address, "GET", path, timeout=timeout)
        said = _parse(answer.body)
    except (OSError, ValueError) as problem:
        raise NotRunning(f"the proxy at {address.url} did not answer: {_reason(problem)}") from None
    if answer.status >= 300:
        raise Refused(_complaint(answer.status, said))
    return said


def admin_token() -> str:
    """The token that proves we may change things: whoever can read this user's files may.

    Raises:
        AbgError: it cannot be read; says what to do.
    """
    path = places().admin_token
    try:
        return read_whole(path).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise AbgError(
            f"the admin token cannot be read ({_reason(problem)}). It is made when the proxy "
            f"first starts, by the user who runs it; run this command as that user: {path}"
        ) from None


def who() -> str:
    """The user, as changes are recorded in the ledger."""
    name = os.environ.get("USER") or os.environ.get("USERNAME") or ""
    if name or sys.platform == "win32":
        return name
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # A container's user without an entry.
        return f"uid {os.getuid()}"


def dumps(value: Any) -> str:
    """JSON for a program: indented, amounts as plain numbers; also fit for a terminal, whatever a
    ledger from elsewhere holds."""
    text = json.dumps(value, indent=2, default=_number, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _number(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"no JSON: {type(value).__name__}")


def _parse(body: bytes) -> Any:
    return json.loads(body, parse_float=Decimal)


def _complaint(code: int, said: Any) -> str:
    """The reason in an answer that refuses, in whichever of the usual shapes."""
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return str(error) if error else f"the proxy answered {code}"


def _reason(problem: Exception) -> str:
    if isinstance(problem, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(problem, TimeoutError):
        return "no answer in time"
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
