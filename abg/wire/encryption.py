"""TLS to a vendor: whom to trust, one context for each host, and why there is none, in words."""

# Twisted's are untyped in part.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import sys
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.ssl import optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from abg.errors import ConfigError
from abg.wire.late_tls import NoTLS
from abg.wire.outlet import Sender

__all__ = ["Encryption", "Roots", "why_not_encrypted"]

_RECORDS_BYTES = 32_768
"""Sent at once: more than one write of at most 16,384 bytes makes."""


# OpenSSL's words for what a user meets, and what he may do.
_MEANINGS = {
    "certificate verify failed": (
        " (it has expired, or nobody who is trusted vouches for it; "
        "a company's own root belongs into ca_file)"
    ),
    "wrong version number": " (what answers there speaks no TLS)",
}


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


class WatchedTLS(TLSMemoryBIOProtocol):
    """TLS under a ``VendorConnection``, which it tells of a vendor that closes it in order.

    The record that says so came with the acknowledgements of its moment; when the connection is
    lost at last, others have come (``abg.wire.tcpstate``).

    A request is encrypted and sent at once: Twisted's own class gathers what is written until the
    next turn of its loop, and queues it for the one after.
    """

    def makeConnection(self, transport: Any) -> None:
        self._send = Sender(transport, at_once=True).send
        super().makeConnection(transport)

    def _flushSendBIO(self) -> None:
        try:
            encrypted = self._tlsConnection.bio_read(_RECORDS_BYTES)
        except SSL.WantReadError:
            return
        self._send(encrypted)

    def dataReceived(self, data: bytes) -> None:
        connection: Any = self.wrappedProtocol
        untouched = connection.untouched()
        super().dataReceived(data)
        if untouched:
            tls = self.getHandle()
            if tls is not None and tls.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
                connection.closed_untouched()


class Encryption:
    """Puts TLS under the protocols that speak to vendors.

    Args:
        ca_file: a PEM file with further trusted roots.
        trust: what to trust instead (for tests).

    Raises:
        ConfigError: see ``Roots``.
    """

    def __init__(self, reactor: Any, ca_file: str | None, trust: Any) -> None:
        self._reactor = reactor
        self._trust = Roots(ca_file) if trust is None else trust
        # Making one reads all roots.
        self._options: dict[str, Any] = {}

    def over(self, host: str, factory: IProtocolFactory) -> TLSMemoryBIOFactory:
        """``factory``, its protocols speaking TLS to ``host``.

        Raises:
            NoTLS: there is no context for it.
        """
        options = self._options.get(host)
        if options is None:
            try:
                options = optionsForClientTLS(host, trustRoot=self._trust)
            except SSL.Error as problem:
                raise NoTLS(_reason(problem)) from None
            self._options[host] = options
        wrapper = TLSMemoryBIOFactory(options, True, factory, clock=self._reactor)
        wrapper.protocol = WatchedTLS
        return wrapper


def why_not_encrypted(failure: Failure) -> tuple[str, str]:
    """Kind and message of a connection that was lost before its TLS handshake was done."""
    problem = failure.value
    if isinstance(problem, VerificationError):
        return "tls", "its certificate is for another name"
    if isinstance(problem, SSL.Error):
        reason = _reason(problem)
        return "tls", f"TLS failed: {reason}{_MEANINGS.get(reason, '')}"
    return "tls", "the connection was closed inside the TLS handshake"


def _reason(problem: SSL.Error) -> str:
    """The words of an error, without a class name around them."""
    listed = problem.args[0] if problem.args and isinstance(problem.args[0], list) else []
    texts = [str(entry[-1]) for entry in listed if entry]
    return "; ".join(text for text in texts if text) or "no reason given"
