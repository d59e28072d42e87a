"""Through a company's proxy: which one (``HTTPS_PROXY``, ``NO_PROXY``), and the CONNECT tunnel.

Plain http upstreams are never reached through a proxy: they are fakes and local servers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from abg.errors import AbgError
from abg.wire.answer_head import AnswerHead, BadAnswer, no_answer, read_answer
from abg.wire.fields import head_end

__all__ = [
    "NO_PROXIES",
    "Proxies",
    "Proxy",
    "ProxyNotReached",
    "TunnelEndpoint",
    "TunnelRefused",
]

_HEAD_BYTES = 65_536


class TunnelRefused(AbgError):
    """The proxy did not open the tunnel; the text says what it answered."""


class ProxyNotReached(AbgError):
    """There is no connection to the proxy itself; ``failure`` says why."""

    def __init__(self, proxy: Proxy, failure: Failure) -> None:
        super().__init__(f"the proxy {proxy.host}:{proxy.port} cannot be reached")
        self.failure = failure


@frozen
class Proxy:
    """A proxy that opens tunnels."""

    host: str
    port: int
    authorization: bytes | None = None
    """The value of ``Proxy-Authorization``; a secret."""

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Read ``http://[user:password@]host[:port]``; the scheme may be missing.

        Raises:
            ValueError: it is no such URL, or asks for TLS to the proxy itself or SOCKS.
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("only http:// proxies are supported in HTTPS_PROXY")
        authorization = None
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = b"Basic " + base64.b64encode(pair.encode())
        return cls(parts.hostname, parts.port or 80, authorization)


@frozen
class Proxies:
    """Which hosts are reached through a proxy."""

    proxy: Proxy | None = None
    exceptions: tuple[str, ...] = ()
    """Host names, domains, addresses and networks that are reached directly; ``*``: all."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Proxies:
        """Read ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` (lower case first, as curl does).

        Raises:
            ValueError: a proxy is named that cannot be used.
        """
        url = next(
            (
                environment[name]
                for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
                if environment.get(name)
            ),
            "",
        )
        no = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        exceptions = tuple(part for part in no.replace(",", " ").lower().split() if part)
        return cls(Proxy.parse(url) if url else None, exceptions)

    def proxy_for(self, host: str, port: int) -> Proxy | None:
        """The proxy for ``host``, or None for the direct way."""
        if self.proxy is None or _is_loopback(host):
            return None
        host = host.lower().rstrip(".")
        for exception in self.exceptions:
            if exception == "*" or _matches(exception, host, port):
                return None
        return self.proxy


NO_PROXIES = Proxies()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _matches(exception: str, host: str, port: int) -> bool:
    name, colon, wanted = exception.rpartition(":")
    if colon and wanted.isdigit() and (":" not in name or name.endswith("]")):
        if int(wanted) != port:
            return False
        exception = name.strip("[]")
    try:
        return ip_address(host) in ip_network(exception.strip("[]"), strict=False)
    except ValueError:
        pass
    domain = exception.lstrip("*").lstrip(".")
    return bool(domain) and (host == domain or host.endswith("." + domain))


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """Connects through ``proxy`` to ``host``:``port``."""

    def __init__(self, below: IStreamClientEndpoint, proxy: Proxy, host: str, port: int) -> None:
        self._below = below
        self._proxy = proxy
        self._authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        head = f"CONNECT {self._authority} HTTP/1.1\r\nHost: {self._authority}\r\n".encode(
            "idna" if not self._authority.isascii() else "ascii"
        )
        if self._proxy.authorization is not None:
            head += b"Proxy-Authorization: " + self._proxy.authorization + b"\r\n"
        opened: Deferred[Any] = Deferred(lambda _: tunnel.give_up())
        factory = Factory.forProtocol(
            lambda: _Tunnel(head + b"\r\n", self._proxy, protocolFactory, opened)
        )
        factory.noisy = False
        connecting: Deferred[Any] = self._below.connect(factory)
        tunnel = _Way(connecting)
        connecting.addCallbacks(tunnel.reached, self._not_reached, errbackArgs=(opened,))
        return opened

    def _not_reached(self, failure: Failure, opened: Deferred[Any]) -> None:
        if not opened.called:
            opened.errback(ProxyNotReached(self._proxy, failure))


class _Way:
    """What is to be given up when the tunnel is cancelled."""

    def __init__(self, connecting: Deferred[Any]) -> None:
        self._connecting = connecting
        self._tunnel: _Tunnel | None = None

    def reached(self, tunnel: _Tunnel) -> None:
        self._tunnel = tunnel

    def give_up(self) -> None:
        if self._tunnel is not None:
            transport: Any = self._tunnel.transport
            transport.abortConnection()
        else:
            self._connecting.cancel()


class _Tunnel(Protocol):
    """Asks the proxy for the tunnel, then stands aside."""

    def __init__(
        self, request: bytes, proxy: Proxy, factory: IProtocolFactory, opened: Deferred[Any]
    ) -> None:
        self._request = request
        self._name = f"the proxy {proxy.host}:{proxy.port}"
        self._factory = factory
        self._opened = opened
        self._inner: IProtocol | None = None
        self._buffer = b""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self._buffer += data
        while end := head_end(self._buffer):
            try:
                answer = read_answer(self._buffer[:end], b"CONNECT")
            except BadAnswer as error:
                self._refuse(f"{self._name} did not answer in HTTP: {error}")
                return
            self._buffer = self._buffer[end:]
            if answer.status >= 200 or answer.status == 101:
                self._answered(answer)
                return
        if len(self._buffer) > _HEAD_BYTES:
            self._refuse(f"{self._name} answered with too large a head")
        elif no_answer(self._buffer):
            self._refuse(f"{self._name} did not answer in HTTP")

    def _answered(self, answer: AnswerHead) -> None:
        if not 200 <= answer.status < 300:
            reason = answer.reason.decode("latin-1")
            self._refuse(f"{self._name} answered {answer.status} {reason}".rstrip())
            return
        if self._buffer:
            # The other end speaks only when it has been spoken to.
            self._refuse(f"{self._name} sent more than its answer")
            return
        self._enter()

    def _enter(self) -> None:
        transport: Any = self.transport
        address: IAddress = transport.getPeer()
        inner = self._factory.buildProtocol(address)
        if inner is None:
            self._refuse("the tunnel is not wanted any more")
            return
        self._inner = inner
        inner.makeConnection(transport)
        if not self._opened.called:
            self._opened.callback(inner)

    def _refuse(self, message: str) -> None:
        transport: Any = self.transport
        transport.abortConnection()
        if not self._opened.called:
            self._opened.errback(TunnelRefused(message))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)
        elif not self._opened.called:
            self._opened.errback(
                TunnelRefused(f"{self._name} closed the connection without an answer")
            )
