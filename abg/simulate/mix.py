"""What the simulated agents are like: one table, and draws from it by a seed.

The table was written down before the first run and is no choice made to please: it is the mix of
the issue that asked for the simulator, after what was measured on the real agents. Amounts are
counted in whole picodollars (10⁻¹² USD), so that the simulator's own sums are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import log
from random import Random
from typing import TypeVar

from attrs import frozen

__all__ = ["MIX", "MODELS", "Mix", "Model", "Plan", "Thread", "Turn", "dollars", "plan", "threads"]

T = TypeVar("T")


@frozen
class Model:
    """A class of models; picodollars for one token (USD per million, times a million)."""

    name: str
    weight: int
    input: int
    cache_read: int
    cache_write: int
    dearest_input: int
    """The dearest that input could cost: written into the longest cache."""
    output: int


def _model(name: str, weight: int, input: str, write: str, dearest: str, output: str) -> Model:
    base = Decimal(input)
    rates = (base, base / 10, base * Decimal(write), base * Decimal(dearest), Decimal(output))
    return Model(name, weight, *(int(rate * 1_000_000) for rate in rates))


MODELS = (
    _model("claude-sonnet", 5, "3", "1.25", "2", "15"),
    _model("claude-opus", 4, "5", "1.25", "2", "25"),
    _model("claude-haiku", 1, "1", "1.25", "2", "5"),
    _model("gpt-terra", 5, "2.5", "1.25", "2.5", "15"),
    _model("gpt-sol", 4, "5", "1.25", "2.5", "30"),
    _model("gpt-luna", 1, "1", "1.25", "2.5", "6"),
)
"""By price class 5 : 4 : 1, half of the sessions at each vendor."""


@frozen
class Mix:
    """Of the agents, their calls and their fates."""

    caps: tuple[tuple[str, int], ...] = (("5", 6), ("20", 4))
    """Session budget in USD, and its weight."""
    parallel: tuple[tuple[int, int, int], ...] = ((1, 1, 25), (2, 15, 50), (16, 16, 25))
    """(from, to, weight): how many threads work at once."""
    shared: float = 0.1
    """Share of swarms that are four sessions under one daily budget of half their caps."""
    start_tokens: tuple[int, int] = (20_000, 50_000)
    growth_tokens: tuple[int, int] = (1_000, 8_000)
    """By turn."""
    window_tokens: int = 200_000
    """Size at which the context is compacted, back to a start."""
    long_window_tokens: int = 900_000
    long_window: float = 0.1
    """Share of threads that have it."""
    cached: tuple[float, float] = (0.85, 0.97)
    """Share of the context that is read from the cache after the first turn."""
    cache_lost: float = 0.02
    """Share of turns that find no cache."""
    output_median: int = 400
    output_sigma: float = log(10) / 1.6449
    """Of the logarithm: 95 % of the outputs stay below ten times the median."""
    output_most: int = 64_000
    hidden: float = 1 / 3
    """Share of calls of whose output four fifths are hidden reasoning, which streams nothing."""
    allowance_tokens: tuple[tuple[int, int], ...] = ((128_000, 6), (32_000, 2), (8_192, 2))
    """Output that clients ask for, by weight."""
    same_model: float = 0.7
    """Share of sub-agents that run on their session's model."""
    bytes_per_token: tuple[float, float] = (3.2, 4.8)
    """Of request bodies, by session."""
    aborted: float = 0.03
    failed: float = 0.03
    """By the vendor; nothing is billed, and the client tries again."""
    crashed: float = 0.001
    """Of all calls: the proxy dies in the middle of one."""
    left_waiting: float = 0.03
    """Share of waiting calls whose client goes away."""
    think_seconds: tuple[float, float] = (1.0, 20.0)
    """Tools run between two calls of a thread."""
    tokens_per_second: tuple[float, float] = (40.0, 120.0)


MIX = Mix()


@frozen
class Plan:
    """One swarm: drawn from the mix by a seed, the same in every mode."""

    seed: str
    cap: int
    """Of each session, in picodollars."""
    sessions: int
    daily: int | None
    """Shared by all of them, in picodollars."""
    threads: int
    """In all."""


@frozen
class Turn:
    """One call, as it would be if it ran to its end."""

    model: Model
    context: int
    """Input tokens."""
    cached: int
    """Of which read from the cache."""
    output: int
    hidden: bool
    allowance: int
    body_bytes: int
    seconds: float


PICO = 10**12
SHARED_SESSIONS = 4


def dollars(pico: int) -> Decimal:
    """Exact USD."""
    return Decimal(pico).scaleb(-12)


def plan(seed: str, mix: Mix = MIX) -> Plan:
    """Draw a swarm."""
    draw = Random(seed)
    cap = int(Decimal(pick(draw, mix.caps)) * PICO)
    first, last = pick(draw, [((first, last), weight) for first, last, weight in mix.parallel])
    threads = draw.randint(first, last)
    if draw.random() >= mix.shared:
        return Plan(seed, cap, 1, None, threads)
    sessions = min(SHARED_SESSIONS, threads)
    return Plan(seed, cap, sessions, cap * sessions // 2, threads)


def pick(draw: Random, choices: Sequence[tuple[T, int]]) -> T:
    """One of the choices, by weight."""
    values, weights = zip(*choices, strict=True)
    found: T = draw.choices(values, weights)[0]
    return found


def threads(plan: Plan, mix: Mix = MIX) -> list[Thread]:
    """The agents of a swarm, dealt to its sessions by turns."""
    draw = Random(plan.seed + " agents")
    models = [(model, model.weight) for model in MODELS]
    mains = [pick(draw, models) for _ in range(plan.sessions)]
    sizes = [draw.uniform(*mix.bytes_per_token) for _ in range(plan.sessions)]
    found = []
    for number in range(plan.threads):
        session = number % plan.sessions
        main = mains[session]
        vendor = [pair for pair in models if pair[0].name[:3] == main.name[:3]]
        model = main if draw.random() < mix.same_model else pick(draw, vendor)
        found.append(Thread(f"{plan.seed} {number}", session, model, sizes[session], mix))
    return found


class Thread:
    """One agent or sub-agent: its context grows from turn to turn.

    Each has draws of its own, so that what it would do does not depend on the others, and every
    mode meets the same agents.
    """

    def __init__(self, seed: str, session: int, model: Model, size: float, mix: Mix) -> None:
        self.session = session
        self.draw = draw = Random(seed)
        self._mix = mix
        self._model = model
        self._size = size
        long = draw.random() < mix.long_window
        self._window = mix.long_window_tokens if long else mix.window_tokens
        self._allowance = pick(draw, mix.allowance_tokens)
        self._context = 0
        self._cold = True

    def turn(self) -> Turn:
        """The next call."""
        draw, mix = self.draw, self._mix
        if self._context:
            self._context += draw.randint(*mix.growth_tokens)
        if not self._context or self._context > self._window:
            self._context = draw.randint(*mix.start_tokens)
            self._cold = True
        lost = self._cold or draw.random() < mix.cache_lost
        self._cold = False
        cached = 0 if lost else int(self._context * draw.uniform(*mix.cached))
        output = int(draw.lognormvariate(log(mix.output_median), mix.output_sigma)) + 1
        output = min(output, mix.output_most, self._allowance)
        first = draw.uniform(0.5, 3.0)
        return Turn(
            self._model,
            self._context,
            cached,
            output,
            draw.random() < mix.hidden,
            self._allowance,
            int(self._context * self._size * draw.uniform(0.97, 1.03)),
            first + output / draw.uniform(*mix.tokens_per_second),
        )

    def think(self) -> float:
        """Seconds until the next call."""
        return self.draw.uniform(*self._mix.think_seconds)

    def fate(self) -> str:
        """How the next call ends: ``done``, ``aborted``, ``failed`` or ``crashed``."""
        mix, drawn = self._mix, self.draw.random()
        for name, share in (
            ("aborted", mix.aborted),
            ("failed", mix.failed),
            ("crashed", mix.crashed),
        ):
            if drawn < share:
                return name
            drawn -= share
        return "done"
