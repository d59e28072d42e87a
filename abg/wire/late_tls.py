"""TLS, brought in with the first call to a vendor that speaks it.

It is 13 MB of a proxy's 55, and an eighth of its start: nothing that an idle one needs, and where
the vendors are reached by plain HTTP (a gateway on the same machine, tests) none ever does. Twisted
runs without TLS where OpenSSL's package is not installed; so nothing is put off but its finding.
"""

from __future__ import annotations

import sys
from types import ModuleType

__all__ = ["NoTLS", "bring_tls", "put_off_tls"]

_NEEDED = "OpenSSL"


class NoTLS(Exception):
    """TLS cannot be spoken; the text says why."""


def put_off_tls() -> None:
    """Before Twisted is imported: let it find no TLS until somebody asks for it here."""
    if _NEEDED not in sys.modules:
        sys.modules[_NEEDED] = None  # type: ignore[assignment]


def bring_tls() -> ModuleType:
    """``abg.wire.encryption``; the first asking takes some 50 ms.

    Raises:
        ImportError: it is not installed.
    """
    if _NEEDED in sys.modules and sys.modules[_NEEDED] is None:
        del sys.modules[_NEEDED]
    from abg.wire import encryption

    return encryption
