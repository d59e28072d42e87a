"""What is remembered of sessions for estimates: bounded, the latest used are kept."""

from __future__ import annotations

from decimal import Decimal

from abg.call import Call
from abg.histories import Histories
from abg.pricing import PriceTable
from abg.test.playbook import START
from abg.usage import Reading, Sampling, Usage

CALL = Call("anthropic", "messages", "claude-opus-4-8", body_bytes=100_000)
RATES = PriceTable.builtin().typical("anthropic", "claude-opus-4-8", START)


def read(output: int) -> Reading:
    usage = Usage(cache_read_tokens=28_000, input_tokens=100, output_tokens=output)
    return Reading(samplings=(Sampling(usage),), final=True)


def test_what_was_measured_changes_the_estimate():
    histories = Histories()
    before = histories.estimate("s", CALL, RATES)
    for _ in range(5):
        histories.learn("s", CALL, read(100), Decimal("0.02"))
    after = histories.estimate("s", CALL, RATES)
    assert after < before, "a cached context is cheaper than a first one"
    assert histories.estimate("other", CALL, RATES) == before


def test_the_least_recently_used_is_forgotten():
    histories = Histories(2)
    for name in ("a", "b", "a", "c"):
        histories.learn(name, CALL, read(1), Decimal(0))
    assert len(histories) == 2
    first = histories.estimate("b", CALL, RATES)
    assert first == Histories().estimate("b", CALL, RATES)
    assert histories.estimate("a", CALL, RATES) != first
