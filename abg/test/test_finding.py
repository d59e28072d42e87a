"""The words of a refusal and of a warning; sums are true as shown."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg.finding import Finding

D = Decimal


def finding(budget="session", kind="session", why="spent", **amounts):
    return Finding(budget, kind, "s", **{k: D(v) for k, v in amounts.items()}, why=why)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (finding(spent="5.14", limit="5"), "Session budget exhausted: $5.14 >= $5.00"),
        (finding("daily", "daily", spent="20", limit="20"), "Daily budget exhausted: $20.00 >="),
        (finding("opus", "budget", spent="10.006", limit=10), "Budget 'opus' exhausted: $10.01"),
        (finding("bugfixes", spent="2.5", limit=2), "Budget 'bugfixes' exhausted: $2.50 >= $2.00"),
        (finding(spent="4.999999999", limit="4.999999999"), "exhausted: $5.00 >= $5.00"),
        (finding(spent="0.00125", limit="0.0012"), "exhausted: $0.0013 >= $0.0012"),
        (finding(spent=0, limit=0), "Session budget exhausted: $0.00 >= $0.00"),
        (
            finding(why="held", spent="4.70", held="0.42", needed="0.31", limit=5),
            "Session budget held by running requests: "
            "$4.70 spent + $0.42 held + $0.31 needed > $5.00",
        ),
        (
            finding(why="held", spent="4.704", held="0.294", needed="0.004", limit=5),
            "$4.704 spent + $0.294 held + $0.004 needed > $5.000",
        ),
        (
            finding(why="held", spent="4.704", held="0.296", needed="0", limit=5),
            "$4.70 spent + $0.30 held + $0.00 needed >= $5.00",
        ),
        (
            finding(why="held", spent="4.704", held="0.293", needed="0.003", limit=5),
            "$4.704 spent + $0.293 held + $0.003 needed >= $5.000",
        ),
        (
            finding(why="short", spent="4.90", needed="0.31", limit=5),
            "Session budget does not cover this request: $4.90 spent + $0.31 needed > $5.00",
        ),
        (
            finding("calm", "requests", spent=100, limit=100),
            "Budget 'calm' exhausted: 100 >= 100 requests",
        ),
        (
            finding("calm", "requests", "held", spent=98, held=2, needed=1, limit=100),
            "Budget 'calm' held by running requests: 98 made + 2 running >= 100 requests",
        ),
        (
            finding("calm", "request", needed="2.31", limit=1),
            "Budget 'calm' does not cover one request so dear: $2.31 needed > $1.00",
        ),
        (
            finding(why="held", spent="0", held="0.0051", needed="0.0051", limit="0.004"),
            "$0.000 spent + $0.005 held + $0.005 needed > $0.004",
        ),
        (
            finding("calm", "request", needed="0.0051", limit="0.0001"),
            "Budget 'calm' does not cover one request so dear: $0.0051 needed > $0.0001",
        ),
        (
            finding(why="held", spent="4.99999999991", held="0", needed="0.0000000001", limit=5),
            "$5.000000000 spent + $0.000000000 held + $0.000000000 needed > $5.000000000",
        ),
        (
            Finding("strict", "strict", "tools[2]"),
            "Strict enforcement finds no upper bound for this request: tools[2]",
        ),
        (
            Finding("unknown_model", "unknown_model", "gpt-9"),
            "Unknown model 'gpt-9' (unknown_model: block)",
        ),
        (Finding("block", "blocked", "s"), "This session is blocked by hand"),
        (Finding("block", "blocked", "*"), "All sessions are blocked by hand"),
        (
            finding("max_identical_requests", "loop", spent=5, limit=5),
            "The same message was sent 5 times in a row (max_identical_requests: 5)",
        ),
    ],
)
def test_messages(found, message):
    assert message in found.message()


@pytest.mark.parametrize(
    ("found", "warning"),
    [
        (finding(spent="4.01", limit=5), "Budget warning: session=$4.01/5.00"),
        (finding("daily", "daily", spent="16.2", limit=20), "Budget warning: daily=$16.20/20.00"),
        (finding("tiny", "budget", spent="0.003", limit="0.004"), "tiny=$0.003/0.004"),
        (finding("calm", "requests", spent=80, limit=100), "calm=80/100 requests"),
        (
            finding("calm", "request", needed="3.2", limit=3),
            "Budget warning: calm=$3.20/3.00 for one request",
        ),
    ],
)
def test_warnings(found, warning):
    assert warning in found.warning()


amounts = st.decimals(D(0), D(50), places=9)


@given(spent=amounts, held=amounts, needed=amounts, limit=amounts)
def test_a_shown_sum_is_never_wrong(spent, held, needed, limit):
    if spent + held + needed < limit:
        limit = spent + held + needed
    text = finding(why="held", spent=spent, held=held, needed=needed, limit=limit).message()
    left, sign, right = re.search(r"(\$.*) (>=?) \$([\d.]+)$", text).groups()
    total = sum(D(number) for number in re.findall(r"\$([\d.]+)", left))
    assert total > D(right) if sign == ">" else total == D(right)


FORBIDDEN = (
    "timeout",
    "credit balance is too low",
    "prompt is too long",
    "organization has been disabled",
    "usage credits are required",
)


def test_no_client_reacts_to_any_word():
    for kind in ("session", "requests", "request", "blocked", "loop"):
        for why in ("spent", "held", "short"):
            for budget in ("session", "daily", "x"):
                found = finding(budget, kind, why, spent=1, held=1, needed=1, limit=1)
                assert not any(word in found.message().lower() for word in FORBIDDEN)
