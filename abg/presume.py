"""What a response is taken to have used when its vendor did not say: never less than likely.

A cut stream, a missing usage and an endpoint without one are billed all the same, so they are
charged by a marked reading that errs on the dear side: the input as seen or counted from the
body, and for output the larger of the streamed text and of what the model could have sampled in
the time (hidden reasoning streams nothing and is billed).
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from abg.call import Call
from abg.usage import Reading, Sampling, Usage

__all__ = [
    "OUTPUT_TOKENS_PER_SECOND",
    "Shortfall",
    "filled",
    "input_of",
    "output_limits",
    "own_of",
    "presume",
]

BYTES_PER_INPUT_TOKEN = 3
"""Dear: English and code have 3.5 to 4.5 bytes a token in the vendors' tokenizers."""
BYTES_PER_OUTPUT_TOKEN = 3
OUTPUT_TOKENS_PER_SECOND = 200
"""A high rate: the fast models of both vendors were seen at 80 to 200 tokens a second."""
UNTOLD_OUTPUT_TOKENS = 4096
"""For an answer that shows neither usage nor text, and whose request sets no limit."""
OWN = ("message", "fallback_message")
"""Kinds of sampling that are passes of the call itself."""
READ_ONCE = ("messages", "responses", "responses.compact", "chat.completions")
"""Calls whose input is one context; others hold many (batches, vectors)."""
SPEECH = "audio.speech"
"""All that it generates is sound, which costs as sound."""


@frozen
class Shortfall:
    """How an answer ended without its final usage."""

    seconds: float = 0.0
    """From sending the request to the end of the answer; negative clocks count as zero."""
    answered: bool = False
    """The vendor's answer came whole, only without usage: time says nothing about it."""
    max_output_tokens: int | None = None
    """The model's own limit, if the price table knows it."""
    context_window: int | None = None
    """The most that it reads, likewise."""


def presume(reading: Reading, call: Call, shortfall: Shortfall) -> Reading:
    """The reading to charge, final, with the mark ``estimated``.

    Counts that the vendor did send are kept; only what is missing is filled in, and output is
    never estimated beyond the request's own allowance or the model's limit.
    """
    own = own_of(reading.samplings, call, shortfall.context_window)
    likely = _output_tokens(reading, call, shortfall)
    if call.endpoint == SPEECH:
        usage = evolve(own.usage, audio_output_tokens=max(own.usage.output_tokens, likely))
        usage = evolve(usage, output_tokens=0)
    else:
        usage = evolve(own.usage, output_tokens=max(own.usage.output_tokens, likely))
    return evolve(
        reading,
        samplings=filled(reading.samplings, own, usage),
        final=True,
        billed=True,
        marks=(*reading.marks, "estimated"),
    )


def own_of(samplings: Sequence[Sampling], call: Call, window: int | None) -> Sampling:
    """The pass that still generates: the last one of the call's own, not what came besides (an
    advisor, a picture); one with the input that the request is taken to have, if none was told."""
    for sampling in reversed(samplings):
        if sampling.kind in OWN:
            return sampling
    return Sampling(input_of(call, window))


def filled(samplings: Sequence[Sampling], own: Sampling, usage: Usage) -> tuple[Sampling, ...]:
    """The samplings with other counts for the one that ``own_of`` gave."""
    changed = evolve(own, usage=usage)
    if any(sampling is own for sampling in samplings):
        return tuple(changed if sampling is own else sampling for sampling in samplings)
    return (changed, *samplings)


def input_of(call: Call, window: int | None = None) -> Usage:
    """The input that a request is taken to have while its vendor has told nothing of it."""
    tokens = -(-call.body_bytes // BYTES_PER_INPUT_TOKEN)
    if window is not None and call.endpoint in READ_ONCE:
        # What is larger all the same holds pictures or documents, of which no byte is a token.
        tokens = min(tokens, window)
    return Usage(input_tokens=tokens)


def output_limits(call: Call, of_model: int | None) -> list[int]:
    """The most that a call may generate, by the request and by the model, as far as known."""
    return [n * call.choices for n in (call.max_output_tokens, of_model) if n is not None]


def _output_tokens(reading: Reading, call: Call, shortfall: Shortfall) -> int:
    limits = output_limits(call, shortfall.max_output_tokens)
    streamed = -(-reading.output_bytes // BYTES_PER_OUTPUT_TOKEN)
    if not shortfall.answered:
        sampled = int(max(0.0, shortfall.seconds) * OUTPUT_TOKENS_PER_SECOND) * call.choices
        likely = max(streamed, sampled)
    else:
        likely = streamed or UNTOLD_OUTPUT_TOKENS * call.choices
    return min([likely, *limits]) if limits else likely
