"""Ways to a vendor: names, TCP, tunnels, TLS; and why there is none, in words."""

# Twisted's are untyped in part.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure

from abg.wire.late_tls import NoTLS, bring_tls
from abg.wire.tunnel import Proxies, ProxyNotReached, TunnelEndpoint, TunnelRefused

if TYPE_CHECKING:
    from abg.wire.encryption import Encryption

__all__ = ["Connector", "Origin", "why_not_connected"]


@frozen
class Origin:
    """Where an origin is."""

    name: str
    tls: bool
    host: str
    port: int
    host_line: bytes
    """The ``Host`` field of its requests."""

    @classmethod
    def parse(cls, origin: str) -> Origin:
        """Read ``https://host[:port]``.

        Raises:
            ValueError: it is no http or https origin.
        """
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{origin} is no http or https origin")
        tls = parts.scheme == "https"
        usual = 443 if tls else 80
        port = parts.port or usual
        shown = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        authority = shown if port == usual else f"{shown}:{port}"
        name = authority.encode("ascii" if authority.isascii() else "idna")
        return cls(origin, tls, parts.hostname, port, b"Host: " + name)


class Connector:
    """Opens connections.

    Raises:
        ConfigError: the file of roots cannot be used.
    """

    def __init__(
        self, reactor: Any, ca_file: str | None, trust_root: Any, proxies: Proxies
    ) -> None:
        self._reactor: Any = reactor
        self._ca_file = ca_file
        self._trust = trust_root
        self._proxies = proxies
        self._encryption: Encryption | None = None
        if ca_file is not None:
            self._encrypted()  # a file that cannot be used is told at the start

    def connect(self, host: str, port: int, tls: bool, factory: IProtocolFactory) -> Deferred[Any]:
        """A connected protocol of ``factory``; under TLS its handshake may still be running."""
        try:
            endpoint = self._way(host, port, tls)
            if not tls:
                return endpoint.connect(factory)
            connected: Deferred[Any] = endpoint.connect(self._encrypted().over(host, factory))
            return connected.addCallback(lambda protocol: protocol.wrappedProtocol)
        except Exception:
            failed: Deferred[Any] = Deferred()
            failed.errback(Failure())
            return failed

    def _encrypted(self) -> Encryption:
        if self._encryption is None:
            self._encryption = bring_tls().Encryption(self._reactor, self._ca_file, self._trust)
        return self._encryption

    def _way(self, host: str, port: int, tls: bool) -> IStreamClientEndpoint:
        proxy = self._proxies.proxy_for(host, port) if tls else None
        if proxy is None:
            return _endpoint(self._reactor, host, port)
        below = _endpoint(self._reactor, proxy.host, proxy.port)
        return TunnelEndpoint(below, proxy, host, port)


def _endpoint(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
    """TCP to ``host``; the pool sets the time."""
    # With the first connection only: endpoints bring Twisted's plugins (0.8 MB, 6 ms).
    from twisted.internet.endpoints import (
        HostnameEndpoint,
        TCP4ClientEndpoint,
        TCP6ClientEndpoint,
    )

    try:
        version = ip_address(host).version
    except ValueError:
        return HostnameEndpoint(reactor, host, port, timeout=3600)
    if version == 4:
        return TCP4ClientEndpoint(reactor, host, port, timeout=3600)
    return TCP6ClientEndpoint(reactor, host, port, timeout=3600)


def why_not_connected(failure: Failure) -> tuple[str, str]:
    """Kind and message (``AnswerListener.answer_failed``) of a connection that was not made."""
    problem = failure.value
    if isinstance(problem, error.DNSLookupError):
        return "dns", "its name cannot be resolved"
    if isinstance(problem, error.ConnectionRefusedError):
        return "refused", "the connection was refused"
    if isinstance(problem, (error.TimeoutError, error.TCPTimedOutError, CancelledError)):
        return "connect_timeout", "the connection took too long"
    if isinstance(problem, ProxyNotReached):
        kind, why = why_not_connected(problem.failure)
        return kind, f"{problem}: {why}"
    if isinstance(problem, TunnelRefused):
        return "refused", str(problem)
    if isinstance(problem, NoTLS):
        return "tls", f"no TLS: {problem}"
    return "refused", f"no connection: {_reason(problem)}"


def _reason(problem: BaseException | None) -> str:
    """The words of an error, without a class name around them."""
    text = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return str(text).rstrip(".")
