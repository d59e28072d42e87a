"""The most that a call can cost, proven from its request: what ``enforcement: strict`` holds.

Every input token is taken at the dearest rate that could apply, every pass over the context that
the request allows is counted anew, and the output at its whole allowance. The bound is a straight
line in that allowance, so that it can be solved for the allowance that a budget still pays.

Where a part of the request has no bound, the answer is not a guess but the name of that part.
What the proof takes for granted stands in ``docs/money.md`` ("never, given these").
"""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from attrs import frozen

from abg.config import Config
from abg.money import ZERO
from abg.pricing import Ceiling, Openness, PriceTable
from abg.pricing.rates import PRECISE

__all__ = ["MOST_OUTPUT_TOKENS", "Bound", "BoundFacts", "Pass", "Terms", "Unprovable", "prove"]

HIDDEN_TOKENS = 2048
"""What a vendor adds to an input of its own: the instructions for tools and formats. Measured in
their documents: 290 to 806 tokens (Anthropic, by model and tool choice, as of 2026-11)."""
MOST_PASSES = 1000
"""Beyond, the bound is not worked out: a request of 20 MB can name half a million of them."""
MOST_OUTPUT_TOKENS = 1_000_000
"""Where neither the request nor the table names a limit; such a call is always lowered."""


@frozen
class Pass:
    """Further readings of the growing context that a request allows, beside the first one."""

    why: str
    """The part of the request that allows them: it is named where they have no bound."""
    model: str = ""
    """Who reads; empty: the call's own model."""
    times: int | None = 1
    """At most so often; None: without limit."""
    output: str = "shared"
    """``shared``: its output is inside the call's allowance; ``allowance``: each time as much
    again; ``model``: up to that model's own limit."""


@frozen
class BoundFacts:
    """What a request says of the most it can cost, as its dialect reads it."""

    vendor: str
    model: str
    text_bytes: int = 0
    """Bytes of the body: no tokenizer makes more tokens than bytes of text."""
    counted_tokens: int | None = None
    """What the vendor's counter said of the input."""
    opaque: str | None = None
    """A part of the input whose size the body does not show (image, document, file id, stored
    response): it needs the counter, or the context window bounds it."""
    max_output_tokens: int | None = None
    thinking_budget: int = 0
    """Output tokens below which the allowance must not fall: the API wants more than these."""
    choices: int = 1
    """Answers to one input: ``n``, ``best_of``, prompts of one completion call."""
    passes: tuple[Pass, ...] = ()
    """Server tools, fallbacks, advisor, compaction."""
    web_searches: int | None = 0
    """Searches that can be billed; None: without limit."""
    tier: str | None = None
    speed: str | None = None
    geo: str | None = None
    cache_lifetimes: frozenset[str] | None = None
    """Lifetimes in which input can be written to a cache; None: any."""
    audio: bool = False
    batch: bool = False
    unbounded: str | None = None
    """A part of the request that no rule bounds (a tool with fees of its own, an unread body)."""


@frozen
class Terms:
    """What the user's configuration says of bounds."""

    account_tier: str | None = None
    account_geo: str | None = None
    min_output_tokens: int = 1024
    counter_margin: Decimal = Decimal("0.02")
    """A vendor's counter is an estimate: so much more is taken as possible, …"""
    counter_margin_tokens: int = 512
    """… and so many tokens more."""

    @classmethod
    def of(cls, config: Config) -> Terms:
        """What a configuration says."""
        return cls(
            account_tier=config.account_tier,
            account_geo=config.account_geo,
            min_output_tokens=config.strict_min_output_tokens,
            counter_margin=config.counter_margin,
            counter_margin_tokens=config.counter_margin_tokens,
        )


@frozen
class Unprovable:
    """No bound exists: the call may not pass in strict mode."""

    part: str
    """The part of the request to blame, for the user."""


@frozen
class Bound:
    """A proven bound as a function of the output allowance."""

    base_usd: Decimal
    """What holds without any output: all input and all fees."""
    per_output_token_usd: Decimal
    allowance: int
    """Output tokens that the request allows as it stands."""
    floor_allowance: int
    """The smallest allowance that makes sense and that the API takes."""
    input_tokens: int
    """Tokens of the first reading that the bound counts with."""
    exact_input: bool
    """The vendor's counter was asked; asking it again would not lower the bound."""

    def usd(self, allowance: int) -> Decimal:
        """USD that the call cannot exceed with this output allowance."""
        output = PRECISE.multiply(self.per_output_token_usd, Decimal(allowance))
        return PRECISE.add(self.base_usd, output)

    @property
    def full_usd(self) -> Decimal:
        """With the allowance of the request as it stands."""
        return self.usd(self.allowance)

    @property
    def floor_usd(self) -> Decimal:
        """With the smallest allowance: below this the call cannot pass."""
        return self.usd(self.floor_allowance)

    def allowance_for(self, usd: Decimal) -> int | None:
        """The largest allowance that this amount still covers; None if not even the floor."""
        if usd >= self.full_usd:
            return self.allowance
        if usd < self.floor_usd:
            return None
        room = PRECISE.subtract(usd, self.base_usd)
        tokens = PRECISE.divide(room, self.per_output_token_usd)
        allowance = int(tokens.to_integral_value(ROUND_FLOOR, PRECISE))
        # The quotient was rounded; the amount decides.
        return allowance if self.usd(allowance) <= usd else allowance - 1


def prove(facts: BoundFacts, table: PriceTable, at: datetime, terms: Terms) -> Bound | Unprovable:
    """The bound of a call, or the part of it that has none."""
    blame = _unlimited(facts) or _unpriced(facts, table)
    if blame is not None:
        return Unprovable(blame)
    left = _left_open(facts, terms)
    own = table.dearest(facts.vendor, facts.model, at, left)
    first = _first_input(facts, own, terms)
    if first is None:
        return Unprovable(
            f"{facts.opaque}: its size is not in the body, and the price table names no context "
            f"window of {own.name}"
        )
    band = own.band(first)
    base = PRECISE.multiply(band.input, Decimal(first))
    output, besides = band.output, ZERO
    for more in facts.passes:
        reader = table.dearest(facts.vendor, more.model, at, left) if more.model else own
        limits = reader.context_window, reader.max_output_tokens
        if limits[0] is None or (more.output == "model" and limits[1] is None):
            return Unprovable(f"{more.why}: the price table names no limits of {reader.name}")
        often = Decimal(more.times or 0)
        dear = reader.band(limits[0])
        read = PRECISE.multiply(dear.input, Decimal(limits[0]))
        if more.output == "model":
            written = PRECISE.multiply(dear.output, Decimal(limits[1] or 0))
            read = PRECISE.add(read, written)
        elif more.output == "allowance":
            besides = PRECISE.fma(dear.output, often, besides)
        elif often:
            output = max(output, dear.output)
        base = PRECISE.fma(read, often, base)
    per_token = PRECISE.multiply(PRECISE.add(output, besides), Decimal(facts.choices))
    fees = PRECISE.multiply(own.web_search_usd, Decimal(facts.web_searches or 0))
    allowance = facts.max_output_tokens
    if allowance is None:
        allowance = own.max_output_tokens or MOST_OUTPUT_TOKENS
    return Bound(
        base_usd=PRECISE.add(base.scaleb(-6, PRECISE), fees),
        per_output_token_usd=per_token.scaleb(-6, PRECISE),
        allowance=allowance,
        floor_allowance=min(allowance, max(terms.min_output_tokens, facts.thinking_budget + 1)),
        input_tokens=first,
        exact_input=facts.counted_tokens is not None,
    )


def _unlimited(facts: BoundFacts) -> str | None:
    """The part of the request that nothing limits."""
    if facts.unbounded is not None:
        return facts.unbounded
    if facts.web_searches is None:
        return "web search without a limit of uses"
    if len(facts.passes) > MOST_PASSES:
        return f"{facts.passes[-1].why}: very many of such parts"
    for more in facts.passes:
        if more.times is None:
            return f"{more.why} without a limit of uses"
    return None


def _unpriced(facts: BoundFacts, table: PriceTable) -> str | None:
    """A model whose price is only assumed: what it really costs is not known."""
    for model in (facts.model, *(more.model for more in facts.passes if more.model)):
        match = table.resolve(facts.vendor, model)
        if match.price == "assumed" and match.how != "unknown_model":
            return f"model {match.name or '(none)'}: not in the price table"
    return None


def _left_open(facts: BoundFacts, terms: Terms) -> Openness:
    return Openness(
        tier=facts.tier,
        account_tier=terms.account_tier,
        geo=facts.geo,
        account_geo=terms.account_geo,
        speed=facts.speed,
        cache_lifetimes=facts.cache_lifetimes,
        audio=facts.audio,
        batch=facts.batch,
    )


def _first_input(facts: BoundFacts, own: Ceiling, terms: Terms) -> int | None:
    """Tokens that the first reading cannot exceed; None if nothing bounds them."""
    limits = []
    if own.context_window is not None:
        limits.append(own.context_window)
    if facts.opaque is None:
        limits.append(facts.text_bytes + HIDDEN_TOKENS)
    if facts.counted_tokens is not None:
        counted = Decimal(facts.counted_tokens)
        margin = PRECISE.multiply(counted, terms.counter_margin)
        more = int(margin.to_integral_value(ROUND_CEILING, PRECISE))
        limits.append(facts.counted_tokens + more + terms.counter_margin_tokens)
    return min(limits) if limits else None
