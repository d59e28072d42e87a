"""What a response is taken to have used when its vendor did not say: never less than likely.

A cut stream, a missing usage and an endpoint without one are billed all the same, so they are
charged by a marked reading that errs on the dear side: the input as seen or counted from the
body, and for output the larger of the streamed text and of what the model could have sampled in
the time (hidden reasoning streams nothing and is billed).
"""

from __future__ import annotations

from attrs import evolve, frozen

from abg.call import Call
from abg.usage import Reading, Sampling, Usage

__all__ = ["OUTPUT_TOKENS_PER_SECOND", "Shortfall", "input_of", "presume"]

BYTES_PER_INPUT_TOKEN = 3
"""Dear: English and code have 3.5 to 4.5 bytes a token in the vendors' tokenizers."""
BYTES_PER_OUTPUT_TOKEN = 3
OUTPUT_TOKENS_PER_SECOND = 200
"""A high rate: the fast models of both vendors were seen at 80 to 200 tokens a second."""
UNTOLD_OUTPUT_TOKENS = 4096
"""For an answer that shows neither usage nor text, and whose request sets no limit."""


@frozen
class Shortfall:
    """How an answer ended without its final usage."""

    seconds: float = 0.0
    """From sending the request to the end of the answer; negative clocks count as zero."""
    answered: bool = False
    """The vendor's answer came whole, only without usage: time says nothing about it."""
    max_output_tokens: int | None = None
    """The model's own limit, if the price table knows it."""


def presume(reading: Reading, call: Call, shortfall: Shortfall) -> Reading:
    """The reading to charge, final, with the mark ``estimated``.

    Counts that the vendor did send are kept; only what is missing is filled in, and output is
    never estimated beyond the request's own allowance or the model's limit.
    """
    samplings = list(reading.samplings)
    last = samplings.pop() if samplings else Sampling(input_of(call))
    seen = last.usage.output_tokens
    likely = max(seen, _output_tokens(reading, call, shortfall))
    samplings.append(evolve(last, usage=evolve(last.usage, output_tokens=likely)))
    return evolve(
        reading,
        samplings=tuple(samplings),
        final=True,
        billed=True,
        marks=(*reading.marks, "estimated"),
    )


def input_of(call: Call) -> Usage:
    """The input that a request is taken to have while its vendor has told nothing of it."""
    return Usage(input_tokens=-(-call.body_bytes // BYTES_PER_INPUT_TOKEN))


def _output_tokens(reading: Reading, call: Call, shortfall: Shortfall) -> int:
    limits = [n for n in (call.max_output_tokens, shortfall.max_output_tokens) if n is not None]
    streamed = -(-reading.output_bytes // BYTES_PER_OUTPUT_TOKEN)
    if not shortfall.answered:
        sampled = int(max(0.0, shortfall.seconds) * OUTPUT_TOKENS_PER_SECOND)
        likely = max(streamed, sampled)
    else:
        likely = streamed or UNTOLD_OUTPUT_TOKENS
    return min([likely, *limits]) if limits else likely
