"""Checks of single values: addresses, names, zones. Each gives the value as it is kept. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from abg.access import split_authority
from abg.config.kinds import Wrong, nearest
from abg.headers import of_one_hop

__all__ = [
    "check_credential",
    "check_header_name",
    "check_header_value",
    "check_host",
    "check_host_name",
    "check_origin",
    "check_rotation",
    "check_upstream",
    "check_zone",
    "is_loopback_address",
]

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_URL = re.compile(r"[\x21-\x7e]+")
_SIZE = re.compile(r"([0-9]{1,15}) ?([kKmMgG]?)[bB]?")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
LEAST_LEDGER = 10_000
"""Bytes; a smaller ledger file would hold but a few lines."""


def check_upstream(text: str) -> str:
    """An upstream's origin with its base path, without a slash at the end (contract 4)."""
    example = "https://api.example.com"
    if not _URL.fullmatch(text):
        raise Wrong(f"a URL such as {example}, in ASCII and without spaces")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise Wrong("the host in the URL is none") from None
    if parts.scheme.lower() not in ("http", "https") or "://" not in text:
        raise Wrong(f"a URL that begins with https:// or http://, such as {example}")
    if "@" in parts.netloc:
        raise Wrong("no user or password in the URL; keys belong into credentials")
    host, port = split_authority(parts.netloc)
    if host is None or parts.netloc.endswith(":") or not (_NAME.fullmatch(host) or ":" in host):
        raise Wrong(f"the host in the URL is none: {parts.netloc[:60] or 'nothing'}")
    if ":" in host and not is_address(host):
        raise Wrong(f"the host in the URL is none: {parts.netloc[:60]}")
    if port == 0:
        raise Wrong("the URL names port 0")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise Wrong("origin and base path only, without a query (?) or a fragment (#)")
    path = parts.path.rstrip("/")
    if "//" in path or "\\" in path or {".", ".."} & set(path.split("/")):
        raise Wrong("the base path of the URL is written without //, . and ..")
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme.lower()]
    authority = shown if port in (None, default) else f"{shown}:{port}"
    return f"{parts.scheme.lower()}://{authority}{path}"


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback_address(host: str) -> bool:
    """Whether only programs on this machine can reach it."""
    if host == "localhost":
        return True
    return is_address(host) and ip_address(host).is_loopback


def check_host(text: str) -> str:
    """The address to listen on."""
    host = text.strip("[]") if text.startswith("[") else text
    if host == "localhost" or is_address(host):
        return host
    raise Wrong(f"an address to listen on, such as 127.0.0.1, ::1 or 0.0.0.0; not {text[:60]}")


def check_host_name(text: str) -> str:
    """A value of the ``Host`` header: a name or address, with a port or without."""
    host, _ = split_authority(text)
    if host is None or not (_NAME.fullmatch(host) or is_address(host)):
        raise Wrong(f"a host name such as abg.example.com or abg.example.com:8788; not {text[:60]}")
    return text.lower()


def check_origin(text: str) -> str:
    """A value of the ``Origin`` header: ``https://host[:port]``, or ``null``."""
    if text == "null":
        return text
    scheme, mark, authority = text.rstrip("/").partition("://")
    good = re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) and _URL.fullmatch(authority)
    if not mark or not good or "/" in authority:
        raise Wrong(f"an origin such as https://app.example.com; not {text[:60]}")
    return f"{scheme}://{authority}".lower()


def check_zone(text: str) -> str:
    """A name of the IANA time zone database."""
    if text == "UTC":
        # Where there is no database, this one is known all the same.
        return text
    # Most configurations name no zone.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        names = {name.lower(): name for name in available_timezones()}
        near = nearest(text, list(names)).removeprefix("did you mean ").rstrip("?")
        hint = f"; did you mean {names[near]}?" if near else ""
        why = f"no time zone is called {text[:60]}: write it like Europe/Berlin{hint}"
        raise Wrong(why) from None
    return text


def check_rotation(text: str) -> str:
    """``never``, ``month`` or a size."""
    if text in ("never", "month"):
        return text
    size = _SIZE.fullmatch(text)
    if size is not None:
        if int(size[1]) * _UNITS[size[2].lower()] < LEAST_LEDGER:
            raise Wrong(f"a ledger file cannot be smaller than {LEAST_LEDGER} bytes: {text}")
        return text
    raise Wrong(f"never, month, or a size such as 100MB; not {text[:60]}")


def check_credential(text: str) -> str:
    """``env:NAME`` or ``file:PATH``. A wrong value is not shown: it may be the key itself."""
    kind, _, where = text.partition(":")
    if kind == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", where):
        return text
    if kind == "file" and where.strip():
        return text
    raise Wrong("env:NAME or file:PATH says where the key is; the key itself never stands here")


def check_header_name(name: str) -> None:
    """A field that may be added to requests."""
    if not _TOKEN.fullmatch(name):
        raise Wrong("this is no name of a header")
    lower = name.lower().encode("ascii")
    if of_one_hop(lower) or lower in (b"accept-encoding", b"content-encoding"):
        raise Wrong("this header cannot be set: abg or HTTP itself says it")


def check_header_value(text: str) -> str:
    """Visible ASCII; a wrong value is not shown: it may be a secret."""
    if not text.isascii() or not text.isprintable():
        raise Wrong("a header's value is one line of visible ASCII characters")
    return text
