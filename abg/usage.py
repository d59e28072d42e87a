"""What one response was charged for: disjoint counts, by sampling and model.

Every dialect turns its vendor's overlapping counts into these, so that pricing is one sum of
products and nothing is charged twice. Values only: no I/O, no clock.
"""

from __future__ import annotations

from attrs import fields, frozen

from abg.making import made_at_once

__all__ = ["NOTHING_USED", "Reading", "Sampling", "Usage"]


@made_at_once
@frozen
class Usage:
    """Tokens of one sampling; all counts are disjoint and never negative."""

    input_tokens: int = 0
    """Text (and image) input that was neither read from nor written to a cache."""
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    """Anthropic's default cache lifetime."""
    cache_write_1h_tokens: int = 0
    cache_write_30m_tokens: int = 0
    """OpenAI's default cache lifetime."""
    cache_write_12h_tokens: int = 0
    output_tokens: int = 0
    """Text output, hidden reasoning included."""
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    """Tokens that an image tool of the vendor reported beside the usage."""

    @property
    def cache_write_tokens(self) -> int:
        """Cache writes of every lifetime."""
        return (
            self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.cache_write_30m_tokens
            + self.cache_write_12h_tokens
        )

    @property
    def total_input_tokens(self) -> int:
        """All that was read: what decides the context band."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
            + self.cache_write_30m_tokens
            + self.cache_write_12h_tokens
            + self.audio_input_tokens
        )

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, n) + getattr(other, n) for n in _COUNTS))


_COUNTS = tuple(f.name for f in fields(Usage))
NOTHING_USED = Usage()


@made_at_once
@frozen
class Sampling:
    """One pass of one model inside a response; it has its own context band and price."""

    usage: Usage
    model: str | None = None
    """The model that ran; None: the one the response names."""
    kind: str = "message"
    """``message``, ``fallback_message``, ``advisor_message``, ``compaction``, ``image``."""


@made_at_once
@frozen
class Reading:
    """All that a meter has learnt of one response so far."""

    samplings: tuple[Sampling, ...] = ()
    model: str | None = None
    """The model as answered; None while unknown (then the requested one counts)."""
    final: bool = False
    """The counts are the vendor's last word; nothing later in the answer changes them."""
    tier: str | None = None
    """The service tier that was used, in the vendor's own word."""
    speed: str | None = None
    geo: str | None = None
    web_searches: int = 0
    """Searches that are billed by the piece."""
    reasoning_tokens: int = 0
    """Hidden output, already inside ``output_tokens``; told for people, not priced."""
    billed: bool = True
    """False: the vendor bills nothing for it whatever the counts say (a refusal at once)."""
    response_id: str | None = None
    failed: bool = False
    """The vendor itself ended the answer with an error."""
    output_bytes: int = 0
    """Bytes of generated text seen so far: the ground of an estimate if the answer is cut."""
    marks: tuple[str, ...] = ()
    """Why a count is not what stood on the wire: ``clamped``, ``line_too_long``, …"""

    @property
    def usage(self) -> Usage:
        """The sum over all samplings, for people and totals; pricing goes by sampling."""
        total = NOTHING_USED
        for sampling in self.samplings:
            total = sampling.usage if total is NOTHING_USED else total + sampling.usage
        return total
