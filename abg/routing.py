"""Which call a request is, and where it goes. Nothing that costs gets by under another spelling.

A request is judged by its raw path: only exactly spelt paths are known calls, and only they are
forwarded as such. Every other path is looked at through ``canonical``: if that names a known
call, the request is refused. What stays is unknown, and an unknown POST is a paid call. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import unquote_to_bytes, urlsplit

from attrs import frozen

from abg.access import is_own_host, split_authority
from abg.attribution import safe_name
from abg.call import Headers
from abg.canonical import canonical, is_odd
from abg.endpoints import Endpoint, Kind, family_of, known_post

__all__ = ["Kind", "Route", "Router", "origin"]

_NOTHING_IN_IT = "openai_other"
"""The dialect in which abg answers where nothing tells what the client speaks."""

_FREE_METHODS = frozenset((b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE"))
_PASSING_METHODS = frozenset((b"PUT", b"PATCH"))
_REMEMBERED, _LONGEST_REMEMBERED = 2048, 512

# What the headers say, as bits: the rest of a request's head decides nothing.
_ANTHROPIC, _AUTHORIZED, _CHATGPT, _UPGRADE, _OVERRIDE = 1, 2, 4, 8, 16


@frozen
class Route:
    """Where a request goes and how it is treated."""

    kind: Kind
    dialect: str = _NOTHING_IN_IT
    """Of the call, or of the shape in which a refusal is told; always a known one."""
    endpoint: str = "other"
    upstream: str = ""
    """``anthropic``, ``openai``, ``chatgpt``; empty where nothing is forwarded."""
    target: bytes = b""
    """Path and query for the vendor, the upstream's base path included."""
    session: str | None = None
    """The name from ``/s/<name>/``, made safe."""
    status: int = 0
    message: str = ""


class Settings(Protocol):
    """What routing needs of the configuration."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def allowed_hosts(self) -> tuple[str, ...]: ...
    @property
    def upstream_anthropic(self) -> str: ...
    @property
    def upstream_openai(self) -> str: ...
    @property
    def upstream_chatgpt(self) -> str: ...
    @property
    def upstream_headers(self) -> Mapping[str, tuple[tuple[str, str], ...]]: ...


def origin(config: Settings, upstream: str) -> str:
    """``https://api.anthropic.com``: scheme, host and port of an upstream."""
    parts = urlsplit(_url(config, upstream))
    return f"{parts.scheme}://{parts.netloc}"


def _url(config: Settings, upstream: str) -> str:
    urls = {
        "anthropic": config.upstream_anthropic,
        "openai": config.upstream_openai,
        "chatgpt": config.upstream_chatgpt,
    }
    return urls[upstream]


class Router:
    """Routes for one configuration.

    Attributes:
        bound: host and port that abg listens on, for targets in absolute form; port 0: any.
    """

    def __init__(self, config: Settings) -> None:
        self.bound = (config.host, config.port)
        self._allowed_hosts = config.allowed_hosts
        self._origins: dict[str, str] = {}
        self._bases: dict[str, bytes] = {}
        self._extra: dict[str, Headers] = {}
        for upstream in ("anthropic", "openai", "chatgpt"):
            self._origins[upstream] = origin(config, upstream)
            base = urlsplit(_url(config, upstream)).path.rstrip("/")
            if upstream != "chatgpt" and base.endswith("/v1"):
                base = base[:-3]
            self._bases[upstream] = base.encode("ascii")
            self._extra[upstream] = [
                (name.encode("ascii"), value.encode("latin-1"))
                for name, value in config.upstream_headers.get(upstream, ())
            ]
        self._known: dict[tuple[bytes, bytes, int], Route] = {}

    def origin(self, upstream: str) -> str:
        """As the function ``origin``."""
        return self._origins[upstream]

    def extra_headers(self, upstream: str) -> Headers:
        """The fields that ``upstream_headers`` adds to each request."""
        return self._extra[upstream]

    def route(self, method: bytes, target: bytes, headers: Headers) -> Route:
        """Judge a request by its head."""
        said = 0
        bits = _BITS
        for name, value in headers:
            bit = bits[name]
            if bit:
                said |= bit if bit > 0 else _look(name, value)
        key = (method, target, said)
        found = self._known.get(key)
        if found is None:
            found = self._judge(method, target, said)
            if len(target) <= _LONGEST_REMEMBERED and len(method) <= 16:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[key] = found
        return found

    # -- inside ------------------------------------------------------------------------------

    def _judge(self, method: bytes, target: bytes, said: int) -> Route:
        if target == b"*":
            # OPTIONS *: abg itself has nothing to say of it.
            return Route(Kind.NOT_FOUND, status=404)
        if target[:1] != b"/":
            inside = self.own_path(target)
            if inside is None:
                text = _NO_FORWARD_PROXY if b"://" in target else "that is no path"
                return _refuse(400, text, _shape(said))
            target = inside
        if target[:4] == b"/abg" and target[4:5] in (b"", b"/", b"?"):
            return Route(Kind.OWN)
        if said & _UPGRADE:
            return Route(Kind.UPGRADE)
        path, mark, query = target.partition(b"?")
        prefix = _Prefix()
        path = prefix.take(path)
        if prefix.problem:
            return _refuse(400, prefix.problem, _shape(said))
        return self._place(method, path, mark + query, said, prefix)

    def _place(self, method: bytes, path: bytes, query: bytes, said: int, prefix: _Prefix) -> Route:
        text = path.decode("latin-1")
        endpoint = known_post(text)
        vendor, dialect = family_of(text)
        if prefix.vendor:
            vendor = prefix.vendor
        elif not vendor:
            vendor = _by_headers(method, path, said)
        if endpoint is None and (problem := self._disguise(method, path, vendor)):
            return problem
        if endpoint is not None and endpoint.only not in ("", vendor):
            endpoint = None
        if not vendor:
            return Route(Kind.NOT_FOUND, status=404)
        upstream = "chatgpt" if vendor == "openai" and said & _CHATGPT else vendor
        name = endpoint.name if endpoint is not None else "other"
        kind = _kind(method, endpoint, said)
        if kind is None:
            text = "a method is spelt in capitals, and not overridden"
            return _refuse(400, text, dialect or f"{vendor}_other")
        if kind in (Kind.MODEL, Kind.UNMETERED) or method == b"POST":
            dialect = endpoint.dialect if endpoint is not None else ""
            if kind is Kind.UNMETERED and endpoint is not None and endpoint.kind is Kind.MODEL:
                dialect = ""
        return Route(
            kind,
            dialect or f"{vendor}_other",
            name,
            upstream,
            self._target(upstream, path, query),
            prefix.session,
        )

    def _target(self, upstream: str, path: bytes, query: bytes) -> bytes:
        versioned = path == b"/v1" or path.startswith(b"/v1/")
        if upstream == "chatgpt":
            path = (path[3:] or b"/") if versioned else path
        elif not versioned and path != b"/" and not _AS_IT_IS.match(path):
            path = b"/v1" + path
        return self._bases[upstream] + path + query

    def _disguise(self, method: bytes, path: bytes, vendor: str) -> Route | None:
        """A refusal, if some server could take this unknown path for a known call."""
        plain = canonical(path)
        if plain == "/abg" or plain.startswith("/abg/"):
            return Route(Kind.NOT_FOUND, status=404)
        dialect = f"{vendor or 'openai'}_other"
        # No vendor serves a paid call by the free methods.
        if method not in _FREE_METHODS:
            if _PREFIXED.match(plain):
                text = "/s/, /anthropic/ and /openai/ stand once, at the beginning"
                return _refuse(400, text, dialect)
            known = known_post(plain)
            if known is not None:
                text = f"this path has to be spelt {plain}"
                return _refuse(400, text, known.dialect or dialect)
        if is_odd(path):
            return _refuse(400, "the path holds dot segments or control characters", dialect)
        return None

    def own_path(self, target: bytes) -> bytes | None:
        """The path of a target in absolute form, if its host is abg's own (RFC 9112, 3.2.2)."""
        parts = _ABSOLUTE.match(target)
        if parts is None:
            return None
        host, port = self.bound
        name, given = split_authority(parts[2].decode("latin-1"))
        if name is None or not is_own_host(name, host, self._allowed_hosts, given):
            return None
        there = given or (443 if parts[1].lower() == b"https" else 80)
        if port and there != port and is_own_host(name, host, ()):
            # Another program on this machine.
            return None
        rest = target[parts.end() :]
        return rest if rest[:1] == b"/" else b"/" + rest


class _Prefix:
    """What stands before the vendor's own path, exactly as spelt, each at most once."""

    def __init__(self) -> None:
        self.session: str | None = None
        self.vendor = ""
        self.problem = ""

    def take(self, path: bytes) -> bytes:
        while True:
            if path[:3] == b"/s/" and self.session is None:
                name, mark, rest = path[3:].partition(b"/")
                if not name:
                    self.problem = "the session's name in the path is empty"
                    return path
                decoded = unquote_to_bytes(name).decode("utf-8", "surrogateescape")
                self.session = safe_name(decoded)
                path = mark + rest or b"/"
                continue
            if not self.vendor:
                for vendor in ("anthropic", "openai"):
                    start = b"/" + vendor.encode()
                    if path == start or path.startswith(start + b"/"):
                        self.vendor = vendor
                        path = path[len(start) :] or b"/"
                        break
                else:
                    return path
                continue
            return path


_NO_FORWARD_PROXY = (
    "the target names another host: abg is no forward proxy, set its address as the base URL"
)
_ABSOLUTE = re.compile(rb"(https?)://([^/?#@\\]+)(?=[/?]|$)", re.IGNORECASE)
_PREFIXED = re.compile(r"/s(?:/|$)|/(?:anthropic|openai)(?:/|$)")
# Not under /v1: what an agent asks of the vendor's site itself, and other versions of an API.
_AS_IT_IS = re.compile(rb"/api(?:/|$)|/v[0-9]")


def _refuse(status: int, message: str, dialect: str = "") -> Route:
    return Route(Kind.REJECT, dialect or _NOTHING_IN_IT, status=status, message=f"[abg] {message}")


def _shape(said: int) -> str:
    """The dialect of a client of whom only the headers tell."""
    return "anthropic_other" if said & _ANTHROPIC else ""


def _by_headers(method: bytes, path: bytes, said: int) -> str:
    """Whose a path is that names no vendor: contract 7."""
    if said & _ANTHROPIC:
        return "anthropic"
    if said & _AUTHORIZED:
        return "openai"
    free = method in (b"GET", b"HEAD")
    if (path == b"/" and method == b"HEAD") or (path == b"/api/hello" and free):
        return "anthropic"
    return ""


def _kind(method: bytes, endpoint: Endpoint | None, said: int) -> Kind | None:
    """None: the method is not what it seems."""
    if method == b"POST":
        return endpoint.kind if endpoint is not None else Kind.UNMETERED
    if said & _OVERRIDE or method.upper() == b"POST":
        return None
    if method in _FREE_METHODS:
        return Kind.FREE
    return Kind.PASS if method in _PASSING_METHODS else Kind.UNMETERED


# -- what the headers say ---------------------------------------------------------------------

_LOOK = -1
"""The value of this field has to be looked at."""

_FIELDS = {
    b"x-api-key": _ANTHROPIC,
    b"authorization": _LOOK,
    b"chatgpt-account-id": _CHATGPT,
    b"upgrade": _LOOK,
    b"x-http-method-override": _OVERRIDE,
    b"x-http-method": _OVERRIDE,
    b"x-method-override": _OVERRIDE,
}


class _Bits(dict[bytes, int]):
    """What the name of a field says, by its spelling."""

    def __missing__(self, name: bytes) -> int:
        lower = name.lower()
        bit = _ANTHROPIC if lower.startswith(b"anthropic-") else _FIELDS.get(lower, 0)
        if len(name) <= 64:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[name] = bit
        return bit


_BITS = _Bits()


def _look(name: bytes, value: bytes) -> int:
    if name.lower() == b"upgrade":
        return _UPGRADE if b"websocket" in value.lower() else 0
    if value[:7].lower() == b"bearer " and value[7:].lstrip().startswith(b"sk-ant-"):
        return _ANTHROPIC | _AUTHORIZED
    return _AUTHORIZED
