"""Anthropic's usage object as disjoint counts, sampling by sampling.

Sources: SDK 2.13.0 (``types/beta/beta_usage.py`` and its iterations), the vendor's release notes on
refusals (2026), what Claude Code 2.1.331 does with the same numbers. The rules stand in
``docs/money.md``; the ones that are easy to get wrong:

- Counts in a stream are cumulative: output replaces, input and cache counts replace only when they
  are not zero.
- ``iterations`` price the call entry by entry, each at its own model; the top level is used only
  where no entry is a pass of the call itself. Advisor and compaction come besides.
- A refusal before any output is not billed, nor is a hop that declined before any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from abg.dialects.counts import CLAMPED, MOST, Counts, count_of, mapping, text
from abg.usage import Sampling, Usage

__all__ = ["UNKNOWN_ITERATION", "AnthropicUsage", "tokens_of"]

UNKNOWN_ITERATION = "unknown_iteration"
_BESIDES = ("advisor_message", "compaction")
_REPLACE_WHEN_SAID = (
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "input_tokens",
)
_COUNTS = (*_REPLACE_WHEN_SAID, "output_tokens")
_REPLACE = frozenset(("inference_geo", "iterations", "service_tier", "speed"))
_MERGE = frozenset(("cache_creation", "output_tokens_details", "server_tool_use"))
"""Counts apart: each of them replaces only when it is not zero."""
BYTES_PER_TOKEN = 3
"""Of text, where a count that must be there is none; dear."""


class AnthropicUsage:
    """The usage of one answer, merged from all places where it is told."""

    __slots__ = ("_body_bytes", "_odd", "_told", "told_output")

    def __init__(self, body_bytes: int) -> None:
        self._told: dict[str, Any] = {}
        self._body_bytes = body_bytes
        self._odd = False
        self.told_output = False
        """A count of the whole output was told."""

    def begin(self, usage: Mapping[str, Any]) -> None:
        """The usage of ``message_start``: of its first token."""
        before, self._told = self._told, dict(usage)
        if before:
            # It began already: a second beginning takes nothing back.
            self._odd = True
            for name in _COUNTS:
                said = count_of(before.get(name)) or 0
                if said > (count_of(usage.get(name)) or 0):
                    self._told[name] = said

    def whole(self, usage: Mapping[str, Any]) -> None:
        """The usage of a whole message."""
        self._told = dict(usage)
        self.told_output = count_of(usage.get("output_tokens")) is not None

    def update(self, usage: Mapping[str, Any]) -> None:
        """The usage of a ``message_delta``: what it says replaces what was said.

        A count that is none replaces nothing: what was told before it is surer.
        """
        counts = Counts()
        for name in _REPLACE_WHEN_SAID:
            said = counts.get(usage, name)
            if said:
                self._told[name] = said
        for name, said in usage.items():
            if said and name in _REPLACE:
                self._told[name] = said
            elif name in _MERGE and isinstance(said, dict):
                more = {key: count for key in said if (count := counts.get(said, key))}
                self._told[name] = {**mapping(self._told.get(name)), **more}
        if usage.get("output_tokens") is not None:
            said = counts.get(usage, "output_tokens")
            self.told_output = said is not None
            if said is not None:
                self._told["output_tokens"] = said
        self._odd = self._odd or counts.odd

    def __bool__(self) -> bool:
        return bool(self._told)

    @property
    def output_tokens(self) -> int:
        return count_of(self._told.get("output_tokens")) or 0

    @property
    def thinking_tokens(self) -> int:
        details = self._told.get("output_tokens_details")
        return count_of(details.get("thinking_tokens")) or 0 if isinstance(details, dict) else 0

    def word(self, name: str) -> str | None:
        """``service_tier``, ``speed`` or ``inference_geo``, as told."""
        told = self._told.get(name)
        return None if told is None else text(told)

    def samplings(
        self, *, refused: bool, marks: list[str]
    ) -> tuple[tuple[Sampling, ...], bool, int]:
        """Samplings, whether anything of them is billed, and the searches.

        Args:
            refused: the model refused before it said anything.
            marks: takes what was not as it should be.
        """
        told = self._told
        iterations, tools = told.get("iterations"), told.get("server_tool_use")
        if iterations is None and not (tools or refused or self._odd):
            # As nearly all answers are: one pass, no searches, and nothing to leave out.
            usage = usual_tokens_of(told)
            if usage is not None:
                return (Sampling(usage),), True, 0
        counts = Counts()
        counts.odd = self._odd
        searches = counts.whole(mapping(tools), "web_search_requests")
        passes, besides = self._iterations(counts, marks)
        if not passes:
            passes = [Sampling(tokens_of(told, counts, self._body_bytes))]
        billed = [p for p in passes if not (refused and p.usage.output_tokens <= 1)]
        hops = [at for at, p in enumerate(billed) if p.kind == "fallback_message"]
        last = hops[-1] if hops else 0
        billed = [p for at, p in enumerate(billed) if at >= last or not _declined(p)]
        if counts.odd:
            marks.append(CLAMPED)
        if billed or besides or searches:
            return (*billed, *besides), True, searches
        return tuple(passes), False, 0

    def _iterations(
        self, counts: Counts, marks: list[str]
    ) -> tuple[list[Sampling], list[Sampling]]:
        """The passes of the call itself, and what was sampled besides."""
        entries = self._told.get("iterations")
        passes: list[Sampling] = []
        besides: list[Sampling] = []
        if not isinstance(entries, list):
            counts.odd = counts.odd or entries is not None
            return passes, besides
        unread = False
        for entry in entries:
            if not isinstance(entry, dict):
                unread = True
                continue
            kind = text(entry.get("type")) or "message"
            sampling = Sampling(tokens_of(entry, counts, 0), text(entry.get("model")), kind)
            if kind in ("message", "fallback_message"):
                passes.append(sampling)
            else:
                besides.append(sampling)
                if kind not in _BESIDES and UNKNOWN_ITERATION not in marks:
                    marks.append(UNKNOWN_ITERATION)
        if unread:
            # Who knows what the lost entry said: the top level may say more than those left.
            counts.odd = True
            whole = tokens_of(self._told, counts, self._body_bytes)
            if _size(whole) > sum(_size(p.usage) for p in passes):
                passes = [Sampling(whole)]
        return passes, besides


def tokens_of(told: Mapping[str, Any], counts: Counts, body_bytes: int) -> Usage:
    """One usage object as disjoint counts; they are disjoint on the wire already.

    Args:
        body_bytes: stands in for an input count that is missing or none.
    """
    return usual_tokens_of(told) or unusual_tokens_of(told, counts, body_bytes)


def usual_tokens_of(told: Mapping[str, Any]) -> Usage | None:
    """What nearly every answer tells, whole counts that add up, at a third of the cost.

    None for anything else; where it is something it is what ``unusual_tokens_of`` says.
    """
    long: Any = 0
    try:
        fresh, out = told["input_tokens"], told["output_tokens"]
        read, written = told["cache_read_input_tokens"], told["cache_creation_input_tokens"]
        if not (type(fresh) is type(out) is type(read) is type(written) is int):
            return None
        lifetimes = told.get("cache_creation")
        if lifetimes is not None:
            short = lifetimes["ephemeral_5m_input_tokens"]
            long = lifetimes["ephemeral_1h_input_tokens"]
            if not (type(short) is type(long) is int) or short < 0 or short + long > written:
                return None
    except (KeyError, TypeError):
        return None
    # An or is at least as large as each of its parts, and negative if one of them is.
    if not 0 <= fresh | out | read | written | long <= MOST:
        return None
    return Usage(fresh, read, written - long, long, 0, 0, out)


def unusual_tokens_of(told: Mapping[str, Any], counts: Counts, body_bytes: int) -> Usage:
    """``tokens_of`` for whatever may be told, and however."""
    fresh = counts.get(told, "input_tokens")
    read = counts.whole(told, "cache_read_input_tokens")
    written = counts.whole(told, "cache_creation_input_tokens")
    lifetimes = mapping(told.get("cache_creation"))
    short = counts.whole(lifetimes, "ephemeral_5m_input_tokens")
    long = counts.whole(lifetimes, "ephemeral_1h_input_tokens")
    if short + long <= written:
        short = written - long
    elif told.get("cache_creation_input_tokens") is not None:
        # More than the total: the larger reading counts.
        counts.odd = True
    if fresh is None:
        # None was told beside the others, or one that cannot be: all of the body may be fresh.
        untold = told.get("input_tokens") is None and (read or written or short or long)
        fresh = 0 if untold else -(-body_bytes // BYTES_PER_TOKEN)
        counts.odd = counts.odd or fresh > 0
    return Usage(
        input_tokens=fresh,
        cache_read_tokens=read,
        cache_write_5m_tokens=short,
        cache_write_1h_tokens=long,
        output_tokens=counts.whole(told, "output_tokens"),
    )


def _declined(sampling: Sampling) -> bool:
    """A hop that declined before it said anything, if another model took over later."""
    return sampling.kind == "message" and sampling.usage.output_tokens <= 1


def _size(usage: Usage) -> int:
    return usage.total_input_tokens + usage.output_tokens
