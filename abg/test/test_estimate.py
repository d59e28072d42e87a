"""The estimate that a call holds: from its size, its model and the session's recent calls."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal

from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from abg.call import Call
from abg.estimate import REMEMBERED, History, estimate, weighed
from abg.usage import Reading, Sampling, Usage

D = Decimal
USD_3, USD_15 = D(3), D(15)


@frozen
class Rates:
    input: Decimal = USD_3
    output: Decimal = USD_15


CALL = Call("anthropic", "messages", max_output_tokens=128_000, body_bytes=350_000)


def reading(output=400, **usage):
    return Reading((Sampling(Usage(output_tokens=output, **usage)),))


def learnt(*readings, call=CALL):
    history = History()
    for one in readings:
        history.add(call, one, D(1))
    return history


def test_a_first_call_is_taken_to_write_its_whole_context_into_the_cache():
    # 350 kB at 3.5 bytes a token, written at 1.25 x 3 USD, and 4000 tokens of output.
    expected = (D(125_001) * 3 + D(4000) * 15) / 1_000_000
    assert estimate(CALL, Rates(), None) == expected
    assert estimate(CALL, Rates(), History()) == expected


def test_not_the_clients_allowance_counts_unless_it_is_small():
    small = evolve(CALL, max_output_tokens=100)
    saved = estimate(CALL, Rates(), None) - estimate(small, Rates(), None)
    assert saved == D(3900) * 15 / 1_000_000
    assert estimate(evolve(CALL, max_output_tokens=-5), Rates(), None) < estimate(
        small, Rates(), None
    )


def test_a_cached_context_is_cheap_and_that_is_learnt():
    history = learnt(*[reading(400, cache_read_tokens=95_000, input_tokens=5_000)] * 3)
    # 9,500 + 5,000 tokens' worth of plain input for these 350 kB, and 400 tokens of output.
    likely = (D(14_500) * 3 + D(400) * 15) / 1_000_000
    assert likely <= estimate(CALL, Rates(), history) <= likely + D("0.00001")


def test_it_grows_with_the_body_and_goes_by_the_models_rates():
    history = learnt(reading(0, input_tokens=100_000))
    double = evolve(CALL, body_bytes=700_000)
    assert D("0.6") <= estimate(double, Rates(), history) <= D("0.60001")
    assert D("1.2") <= estimate(double, Rates(D(6)), history) <= D("1.20001")


def test_it_is_a_high_quantile_and_not_the_mean():
    cheap, dear = reading(100, input_tokens=1_000), reading(9_000, input_tokens=90_000)
    a_few_dear = learnt(*[cheap] * 36, *[dear] * 4)
    assert a_few_dear.output_tokens == 9_000
    one_dear = learnt(*[cheap] * 39, dear)
    assert one_dear.output_tokens == 100
    assert learnt(cheap, dear).output_tokens == 9_000, "of few calls the dearest"


def test_old_calls_are_forgotten():
    history = learnt(reading(9_000), *[reading(100)] * REMEMBERED)
    assert len(history) == REMEMBERED
    assert history.output_tokens == 100


def test_every_kind_of_input_weighs_what_it_costs():
    assert weighed(Usage(input_tokens=10)) == 10
    assert weighed(Usage(audio_input_tokens=10)) == 10
    assert weighed(Usage(cache_read_tokens=10)) == 1
    assert weighed(Usage(cache_write_5m_tokens=4, cache_write_30m_tokens=4)) == 10
    assert weighed(Usage(cache_write_1h_tokens=10)) == 20
    assert weighed(Usage(cache_write_12h_tokens=10)) == 25


@given(
    size=st.integers(0, 10**8),
    outputs=st.lists(st.integers(0, 10**6), max_size=50),
    most=st.none() | st.integers(-1, 10**6),
)
def test_it_is_always_an_amount(size, outputs, most):
    history = learnt(*(reading(n, input_tokens=n) for n in outputs))
    call = evolve(CALL, body_bytes=size, max_output_tokens=most)
    amount = estimate(call, Rates(), history)
    assert amount.is_finite() and amount > 0
    assert amount == amount.quantize(D("0.000001"))
    assert amount == estimate(call, Rates(), history)


@given(
    st.integers(0, 10**8),
    st.none() | st.integers(-5, 10**9),
    st.decimals(0, 1000, places=12),
    st.decimals(0, 1000, places=4),
)
def test_it_is_rounded_up_at_the_millionth(size, most, for_input, for_output):
    call = Call("anthropic", "messages", max_output_tokens=most, body_bytes=size)
    history = History()
    tokens = int(size * history.weight) + 1
    output = history.output_tokens if most is None else min(history.output_tokens, max(0, most))
    exact = (tokens * for_input + output * for_output) / 1_000_000
    found = estimate(call, Rates(for_input, for_output), history)
    assert str(found) == str(exact.quantize(Decimal("0.000001"), ROUND_UP))


def test_each_choice_has_an_allowance_of_its_own():
    one = evolve(CALL, max_output_tokens=100)
    eight = evolve(one, choices=8)
    input_alone = estimate(evolve(CALL, max_output_tokens=0), Rates(), None)
    each = estimate(one, Rates(), None) - input_alone
    assert estimate(eight, Rates(), None) - input_alone == 8 * each
