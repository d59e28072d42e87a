"""Whether the vendors can be reached from here: address, TLS, certificates, corporate proxy."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from abg.home.checks import FAIL, OK, Finding

if TYPE_CHECKING:
    from abg.config import Config

__all__ = ["vendors"]

PATIENCE = 8.0


def vendors(config: Config) -> Iterator[Finding]:
    """One finding for each upstream; any HTTP answer at all means that it is reached."""
    for key in ("upstream_anthropic", "upstream_openai"):
        url = getattr(config, key)
        try:
            status = _ask(url, str(config.ca_file) if config.ca_file else None)
        except ssl.SSLCertVerificationError as problem:
            yield Finding(
                FAIL,
                key,
                f"{url} shows a certificate that is not trusted: {problem.verify_message}",
                "Behind a corporate proxy, name its root certificate: "
                "ca_file in the configuration, or SSL_CERT_FILE",
            )
        except (OSError, http.client.HTTPException, ValueError) as problem:
            why = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
            yield Finding(
                FAIL, key, f"{url} cannot be reached: {why}", "Check the network, or HTTPS_PROXY"
            )
        else:
            yield Finding(OK, key, f"{url} answers ({status})")


def _ask(url: str, ca_file: str | None) -> int:
    """The status of a ``HEAD /`` there, through the corporate proxy if one is set."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    proxy = getproxies().get(parts.scheme)
    if proxy is not None and proxy_bypass(f"{host}:{port}"):
        proxy = None
    context = ssl.create_default_context()
    # What the proxy itself trusts (``abg.wire.encryption``) is judged, and no more strictly: from
    # Python 3.13 on, ``ssl`` refuses the certificates of many a corporate proxy for a formality.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    at = urlsplit(proxy) if proxy else parts
    to_host = at.hostname or ""
    to_port = (at.port or 80) if proxy else port
    if secure:
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            to_host, to_port, timeout=PATIENCE, context=context
        )
        if proxy:
            connection.set_tunnel(host, port, _credentials(at.username, at.password))
    else:
        connection = http.client.HTTPConnection(to_host, to_port, timeout=PATIENCE)
    try:
        connection.request("HEAD", url if proxy and not secure else "/", headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()


def _credentials(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
