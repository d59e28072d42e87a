"""Who may speak to abg at all: no page of the web, and nobody who was led here by a name.

A web page in the user's browser can send requests to loopback, and by DNS rebinding under a name
of its own. Both give themselves away: the one by ``Origin``, the other by ``Host``. Pure.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Protocol

from abg.call import Headers

__all__ = ["Allowances", "check_access", "is_own_host", "split_authority"]


class Allowances(Protocol):
    """What the configuration says of it."""

    @property
    def allowed_hosts(self) -> tuple[str, ...]: ...
    @property
    def allowed_origins(self) -> tuple[str, ...]: ...


_NO_HOST = "the request has no Host header"
_BAD_HOST = (
    "the Host header names neither this machine's loopback nor the address abg listens on; "
    "add the name to allowed_hosts if it is yours"
)
_BAD_ORIGIN = (
    "the request comes from a web page (its Origin header is not abg's own); "
    "add the origin to allowed_origins if it is yours"
)
_EVERYWHERE = ("0.0.0.0", "::", "")
_LONGEST = 300
"""Of a host name with its port; DNS has 253."""
_PORTS = {"http": 80, "https": 443}


def check_access(
    headers: Headers, allow: Allowances, host: str, port: int, *, check_host: bool = True
) -> str | None:
    """Why a request is refused, or None.

    Args:
        host, port: what abg listens on; port 0: unknown.
        check_host: False where a mounting site answers for the ``Host`` header itself.
    """
    named: bytes | None = None
    origin: bytes | None = None
    for name, value in headers:
        # Lengths first: most fields are neither, and lower() costs more than len().
        size = len(name)
        if size == 4:
            if name.lower() == b"host":
                if check_host and not _host_is_own(value, host, allow.allowed_hosts):
                    return _BAD_HOST
                named = value
        elif size == 6 and name.lower() == b"origin":
            if origin is not None and origin != value:
                return _BAD_ORIGIN
            origin = value
    if check_host and named is None:
        return _NO_HOST
    if origin is not None and not _origin_is_own(
        origin, named, allow, host, port, check_host=check_host
    ):
        return _BAD_ORIGIN
    return None


def is_own_host(name: str, bound: str, allowed: tuple[str, ...], port: int | None = None) -> bool:
    """Whether a host name or address means abg itself.

    Args:
        name: lower case, without port and brackets.
        bound: the address that abg listens on.
        allowed: further names, each with or without a port.
        port: the port beside the name, if there was one.
    """
    if _is_loopback(name) or (name == bound.lower().strip("[]") and bound not in _EVERYWHERE):
        return True
    if bound in _EVERYWHERE and _is_address(name):
        # Who names an address was not led here by a name.
        return True
    for entry in allowed:
        known, known_port = split_authority(entry.lower())
        if known == name and known_port in (None, port):
            return True
    return False


def split_authority(text: str) -> tuple[str | None, int | None]:
    """Host (lower case, no brackets, no final dot) and port of ``host:port``; (None, None) if it
    is none."""
    return _split(text) if len(text) <= _LONGEST else (None, None)


@lru_cache(1024)
def _split(text: str) -> tuple[str | None, int | None]:
    host, colon, digits = text.rpartition(":")
    if not colon or digits.endswith("]") or ":" in host.partition("]")[2]:
        host, digits = text, ""
    elif host.count(":") and not host.startswith("["):
        # An IPv6 address without brackets has no port.
        host, digits = text, ""
    if digits and not (digits.isascii() and digits.isdigit() and int(digits) < 65536):
        return None, None
    if host.startswith("[") and host.endswith("]") and ":" in host:
        host = host[1:-1]
    host = host.lower().removesuffix(".")
    if not host or any(c in host for c in "[]/@?#\\ "):
        return None, None
    return host, int(digits) if digits else None


def _host_is_own(value: bytes, bound: str, allowed: tuple[str, ...]) -> bool:
    return len(value) <= _LONGEST and _own(value, bound, allowed)


@lru_cache(1024)
def _own(value: bytes, bound: str, allowed: tuple[str, ...]) -> bool:
    name, port = split_authority(value.decode("latin-1"))
    return name is not None and is_own_host(name, bound, allowed, port)


def _origin_is_own(
    value: bytes,
    named: bytes | None,
    allow: Allowances,
    bound: str,
    port: int,
    *,
    check_host: bool,
) -> bool:
    text = value.decode("latin-1").lower().rstrip("/")
    if text in {entry.lower().rstrip("/") for entry in allow.allowed_origins}:
        return True
    scheme, mark, authority = text.partition("://")
    default = _PORTS.get(scheme)
    name, given = split_authority(authority)
    if not mark or default is None or name is None:
        return False
    there = default if given is None else given
    if check_host and is_own_host(name, bound, ()):
        # abg itself speaks plain HTTP; behind somebody's TLS it has a name in allowed_hosts.
        if scheme != "http":
            return False
        if there == port:
            return True
    if named is not None:
        host, own = split_authority(named.decode("latin-1"))
        return host == name and (default if own is None else own) == there
    return False


@lru_cache(1024)
def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return ".." not in name and name[0] != "."
    if "%" in name:
        # The zone of an IPv6 address; in any other name nobody knows what it would mean.
        name, _, zone = name.partition("%")
        if ":" not in name or not zone.isalnum():
            return False
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
