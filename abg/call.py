"""What one request asks for, and for whom: the values that travel down the corridor."""

from __future__ import annotations

from attrs import frozen

from abg.making import made_at_once

__all__ = ["Call", "Headers", "Scope", "Session"]

Headers = list[tuple[bytes, bytes]]
"""Header fields as they came: order and case kept, values stripped of outer white space."""


@made_at_once
@frozen
class Call:
    """A paid request as its dialect reads it; unknown fields stay at their defaults."""

    dialect: str
    """Name of the dialect (a key of ``abg.dialects.DIALECTS``)."""
    endpoint: str
    """``messages``, ``responses``, ``chat.completions``, ``embeddings``, … or ``other``."""
    model: str = ""
    """The requested model, as spelt; empty when unknown."""
    stream: bool = False
    max_output_tokens: int | None = None
    tier: str | None = None
    """Requested service tier: only a wish, the response's counts."""
    speed: str | None = None
    geo: str | None = None
    body_bytes: int = 0
    """Size of the body as text, decompressed; what is no text in it counts by what it may cost."""
    background: bool = False
    """The answer comes without usage, and is fetched later by its id."""
    include_usage: bool = True
    """False: a stream that would come without usage unless abg asks for it."""
    readable: bool = True
    """False: nobody could read the body; it passes under the dearest estimate."""
    session_hint: str | None = None
    """The agent's own session id in the body, if it names one there."""
    thread_hint: str | None = None
    fingerprint: bytes | None = None
    """Digest of the last message by content, for the loop breaker."""
    choices: int = 1
    """Answers that are asked for at once, each with an output allowance of its own."""


@made_at_once
@frozen
class Session:
    """The unit a coding agent works in, and what else is known of who asks."""

    id: str
    source: str = "default"
    """``path``, ``header``, ``agent``, ``default`` or ``token``."""
    agent: str = "unknown"
    """``claude-code``, ``codex``, … by the request's headers."""
    subagent: str | None = None
    thread: str | None = None
    parent: str | None = None
    project: str | None = None
    auth: str = "none"
    """``api_key``, ``subscription`` or ``none``."""
    request_class: str | None = None
    """``main``, ``subagent``, ``compaction``, … where the agent says it."""


@made_at_once
@frozen
class Scope:
    """What budgets can speak of; fixed when a call is admitted."""

    session: str
    agent: str = "unknown"
    subagent: str = ""
    model: str = ""
    """The requested model as the price table resolved it."""
    project: str = ""
    auth: str = "none"
