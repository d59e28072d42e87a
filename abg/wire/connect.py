"""Ways to a vendor: names, TCP, tunnels, TLS; and why there is none, in words."""

# Twisted's are untyped in part.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import sys
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from abg.errors import ConfigError
from abg.wire.tunnel import Proxies, TunnelEndpoint, TunnelRefused

__all__ = ["Connector", "Origin", "Roots", "why_not_connected", "why_not_encrypted"]


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


@implementer(IOpenSSLTrustRoot)
class Roots:
    """The machine's roots, and those of a file beside them.

    OpenSSL honours ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` by itself. On macOS and Windows its
    wheels find none of the machine's, so certifi's are taken.

    Raises:
        ConfigError: the file cannot be read, or holds no certificate.
    """

    def __init__(self, ca_file: str | None) -> None:
        self.ca_file = ca_file
        if ca_file is not None:
            try:
                SSL.Context(SSL.TLS_METHOD).load_verify_locations(ca_file)
            except SSL.Error as problem:
                raise ConfigError(
                    f"ca_file {ca_file} cannot be used: {_reason(problem)}; "
                    "it must be a file of certificates in PEM form"
                ) from None

    def _addCACertsToContext(self, context: SSL.Context) -> None:
        context.set_default_verify_paths()
        if sys.platform != "linux":
            import certifi

            context.load_verify_locations(certifi.where())
        if self.ca_file is not None:
            context.load_verify_locations(self.ca_file)


class WatchedTLS(BufferingTLSTransport):
    """TLS under a ``VendorConnection``, which it tells of a vendor that closes it in order.

    The record that says so came with the acknowledgements of its moment; when the connection is
    lost at last, others have come (``abg.wire.tcpstate``).
    """

    def dataReceived(self, data: bytes) -> None:
        connection: Any = self.wrappedProtocol
        untouched = connection.untouched()
        super().dataReceived(data)
        if untouched:
            tls = self.getHandle()
            if tls is not None and tls.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
                connection.closed_untouched()


class Connector:
    """Opens connections, with one TLS context for each host (making one reads all roots)."""

    def __init__(
        self, reactor: Any, ca_file: str | None, trust_root: Any, proxies: Proxies
    ) -> None:
        self._reactor: Any = reactor
        self._trust = Roots(ca_file) if trust_root is None else trust_root
        self._proxies = proxies
        self._options: dict[str, Any] = {}

    def connect(self, host: str, port: int, tls: bool, factory: IProtocolFactory) -> Deferred[Any]:
        """A connected protocol of ``factory``; under TLS its handshake may still be running."""
        try:
            endpoint = self._way(host, port, tls)
            if not tls:
                return endpoint.connect(factory)
            options = self._options.get(host)
            if options is None:
                options = self._options[host] = optionsForClientTLS(host, trustRoot=self._trust)
            wrapper = TLSMemoryBIOFactory(options, True, factory, clock=self._reactor)
            wrapper.protocol = WatchedTLS
            connected: Deferred[Any] = endpoint.connect(wrapper)
            return connected.addCallback(lambda protocol: protocol.wrappedProtocol)
        except Exception:
            failed: Deferred[Any] = Deferred()
            failed.errback(Failure())
            return failed

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
    if isinstance(problem, TunnelRefused):
        return "refused", str(problem)
    if isinstance(problem, SSL.Error):
        return "tls", f"no TLS: {_reason(problem)}"
    return "refused", f"no connection: {_reason(problem)}"


def why_not_encrypted(failure: Failure) -> tuple[str, str]:
    """Kind and message of a connection that was lost before its TLS handshake was done."""
    problem = failure.value
    if isinstance(problem, VerificationError):
        return "tls", "its certificate is for another name"
    if isinstance(problem, SSL.Error):
        return "tls", f"TLS failed: {_reason(problem)}"
    return "tls", "the connection was closed inside the TLS handshake"


def _reason(problem: BaseException | None) -> str:
    """The words of an error, without a class name around them."""
    if isinstance(problem, SSL.Error) and problem.args and isinstance(problem.args[0], list):
        texts = [str(entry[-1]) for entry in problem.args[0] if entry]
        return "; ".join(text for text in texts if text) or "no reason given"
    text = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return str(text).rstrip(".")
