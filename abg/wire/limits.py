"""The bounds of the wire: sizes and seconds that no client and no vendor may exceed."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen, validators

__all__ = ["DEFAULT_LIMITS", "Limits"]

_positive: Any = validators.gt(0)


@frozen
class Limits:
    """What a server bears from its clients; times in seconds, sizes in bytes.

    Bodies have no bound here: how large one may be depends on what it is for, so the application
    decides, as soon as it has seen the head.
    """

    head_bytes: int = field(default=65_536, validator=_positive)
    """Request line and header fields together, up to and with the blank line; beyond: 431."""
    pipelined_bytes: int = field(default=65_536, validator=_positive)
    """What may wait behind a request whose answer is under way; then reading stops."""
    header_seconds: float = field(default=30.0, validator=_positive)
    """From a request's first byte (or the connection's begin) to the end of its head."""
    idle_seconds: float = field(default=120.0, validator=_positive)
    """How long a kept-alive connection may lie idle between two requests."""
    body_seconds: float = field(default=60.0, validator=_positive)
    """In each such span a request body must grow by ``body_bytes`` (unless we paused it)."""
    body_bytes: int = field(default=1024, validator=_positive)
    stall_seconds: float = field(default=600.0, validator=_positive)
    """How long a client may refuse to read its answer."""
    linger_seconds: float = field(default=15.0, validator=_positive)
    """How long a closing connection may take: to read its last answer, to stop sending."""


DEFAULT_LIMITS = Limits()
