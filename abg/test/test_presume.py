"""What is charged when the vendor did not say what was used: never less than likely."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg.call import Call
from abg.presume import (
    OUTPUT_TOKENS_PER_SECOND,
    UNTOLD_OUTPUT_TOKENS,
    Shortfall,
    presume,
)
from abg.usage import Reading, Sampling, Usage

CALL = Call("anthropic", "messages", "claude-opus-5-5", body_bytes=3001)


def output(reading: Reading) -> int:
    return reading.usage.output_tokens


def test_input_is_counted_from_the_body_when_none_was_seen():
    reading = presume(Reading(), CALL, Shortfall(answered=True))
    assert reading.usage.input_tokens == 1001
    assert reading.final
    assert "estimated" in reading.marks


def test_counts_that_were_seen_are_kept():
    seen = Reading(samplings=(Sampling(Usage(cache_read_tokens=900, output_tokens=1)),))
    reading = presume(seen, CALL, Shortfall())
    assert reading.usage.cache_read_tokens == 900
    assert reading.usage.input_tokens == 0


@pytest.mark.parametrize(
    ("streamed", "shortfall", "expected"),
    [
        (0, Shortfall(seconds=2.0), 2 * OUTPUT_TOKENS_PER_SECOND),
        (30_000, Shortfall(seconds=2.0), 10_000),
        (0, Shortfall(seconds=-5.0), 0),
        (0, Shortfall(seconds=9.0, max_output_tokens=7), 7),
        (0, Shortfall(answered=True), UNTOLD_OUTPUT_TOKENS),
        (300, Shortfall(seconds=99.0, answered=True), 100),
    ],
)
def test_output_is_the_larger_of_text_and_time_within_the_limit(streamed, shortfall, expected):
    assert output(presume(Reading(output_bytes=streamed), CALL, shortfall)) == expected


def test_the_requests_own_allowance_is_a_limit():
    call = Call("anthropic", "messages", "m", max_output_tokens=50)
    assert output(presume(Reading(output_bytes=9000), call, Shortfall(seconds=10))) == 50


def test_only_the_last_sampling_is_filled_in():
    first = Sampling(Usage(input_tokens=5, output_tokens=7), "m1")
    last = Sampling(Usage(input_tokens=6, output_tokens=1), "m2")
    reading = presume(Reading(samplings=(first, last)), CALL, Shortfall(seconds=1))
    assert reading.samplings[0] == first
    assert reading.samplings[1].model == "m2"
    assert reading.samplings[1].usage.output_tokens == OUTPUT_TOKENS_PER_SECOND


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.floats(0, 1e5),
    st.booleans(),
    st.none() | st.integers(1, 10**6),
)
def test_never_less_than_what_was_seen(seen, streamed, seconds, answered, limit):
    reading = Reading(samplings=(Sampling(Usage(output_tokens=seen)),), output_bytes=streamed)
    presumed = presume(reading, CALL, Shortfall(seconds, answered, limit))
    assert output(presumed) >= seen


def test_the_pass_that_still_generates_is_filled_in_and_not_what_came_besides():
    own = Sampling(Usage(input_tokens=5, output_tokens=7))
    advisor = Sampling(Usage(input_tokens=6, output_tokens=1), "m2", "advisor_message")
    reading = presume(Reading(samplings=(own, advisor)), CALL, Shortfall(seconds=1))
    assert reading.samplings[0].usage.output_tokens == OUTPUT_TOKENS_PER_SECOND
    assert reading.samplings[1] == advisor


def test_a_picture_is_no_pass_of_the_call_whose_own_usage_nobody_told():
    drawn = Sampling(Usage(image_output_tokens=1000), None, "image")
    reading = presume(Reading(samplings=(drawn,)), CALL, Shortfall(answered=True))
    own, picture = reading.samplings
    assert own == Sampling(Usage(input_tokens=1001, output_tokens=UNTOLD_OUTPUT_TOKENS))
    assert picture == drawn


def test_every_choice_has_the_whole_allowance():
    call = Call("openai_chat", "chat.completions", "m", max_output_tokens=50, choices=8)
    assert output(presume(Reading(output_bytes=900), call, Shortfall())) == 300
    assert output(presume(Reading(output_bytes=9000), call, Shortfall())) == 400


def test_every_choice_samples_beside_the_others():
    call = Call("openai_chat", "chat.completions", "m", choices=8)
    assert output(presume(Reading(), call, Shortfall(seconds=2.0))) == 3200
    untold = presume(Reading(), call, Shortfall(answered=True))
    assert output(untold) == 8 * UNTOLD_OUTPUT_TOKENS


def test_no_context_is_larger_than_the_models_window():
    pictures = Call("anthropic", "messages", "m", body_bytes=6_000_000)
    shortfall = Shortfall(answered=True, context_window=200_000)
    assert presume(Reading(), pictures, shortfall).usage.input_tokens == 200_000
    assert presume(Reading(), CALL, shortfall).usage.input_tokens == 1001
    many = Call("anthropic_other", "messages.batches", "m", body_bytes=6_000_000)
    assert presume(Reading(), many, shortfall).usage.input_tokens == 2_000_000


def test_speech_is_charged_as_sound():
    call = Call("openai_other", "audio.speech", "gpt-4o-mini-tts", body_bytes=30)
    usage = presume(Reading(), call, Shortfall(answered=True)).usage
    assert (usage.output_tokens, usage.audio_output_tokens) == (0, UNTOLD_OUTPUT_TOKENS)
