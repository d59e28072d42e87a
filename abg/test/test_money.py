"""USD: exact in, exact through, rounded only where people look."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg.money import as_written, is_meant, show, show_exactly, usd


@pytest.mark.parametrize(
    ("text", "amount"),
    [("5", "5"), ("5.00", "5.00"), (5, "5"), (Decimal("0.1"), "0.1"), ("1e-3", "0.001")],
)
def test_what_is_an_amount(text, amount):
    assert usd(text) == Decimal(amount)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "five",
        "1_000",
        "\u0665",
        " 5",
        "5\n",
        ".",
        "1e99999",
        "NaN",
        "Infinity",
        "-inf",
        5.0,
        True,
        None,
        [1],
    ],
)
def test_what_is_none(value):
    with pytest.raises(ValueError, match="not a"):
        usd(value)


@pytest.mark.parametrize(
    ("limit", "meant"),
    [("0", True), ("1e-12", True), ("1e-13", False), ("1e12", True), ("1e13", False)],
)
def test_a_limit_is_one_that_can_be_meant(limit, meant):
    assert is_meant(Decimal(limit)) is meant


@pytest.mark.parametrize(
    ("amount", "places", "text"),
    [
        ("5.14", 2, "$5.14"),
        ("0.005", 2, "$0.01"),
        ("0.0184", 4, "$0.0184"),
        ("-0.1", 2, "-$0.10"),
        ("-0.001", 2, "$0.00"),
        ("123456789012.345", 2, "$123456789012.35"),
    ],
)
def test_shown_rounded_half_up(amount, places, text):
    assert show(Decimal(amount), places) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0.019143", "0.019143"), ("1.50", "1.5"), ("0.00", "0"), ("-0", "0"), ("1E+3", "1000")],
)
def test_shown_in_full(amount, text):
    assert show_exactly(Decimal(amount)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=0, max_value=10**9))
def test_nothing_is_lost_in_full(amount):
    assert Decimal(show_exactly(amount)) == amount


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        (False, "false"),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+99"), "1E+99"),
        ("a\x1b", "'a\\x1b'"),
        (7, "7"),
        ("x" * 99, "'" + "x" * 56 + "..."),
    ],
)
def test_a_wrong_value_is_shown_as_it_was_written(value: object, text: str) -> None:
    assert as_written(value) == text
