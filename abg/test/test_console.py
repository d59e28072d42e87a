"""The console's lines, exactly as users know them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg import console


def test_the_lines_of_the_contract():
    assert console.allowed(
        "default", "claude-sonnet-4-6", Decimal("0.01838"), Decimal("1.234")
    ) == ("[abg] ALLOW session=default model=claude-sonnet-4-6 cost=$0.0184 session_total=$1.23")
    assert console.warned(
        "default", Decimal("0.0291"), Decimal("4.01"), "Budget warning: session=$4.01/5.00"
    ) == (
        "[abg] WARN session=default cost=$0.0291 session_total=$4.01 | "
        "Budget warning: session=$4.01/5.00"
    )
    assert console.blocked("default", "Session budget exhausted: $5.14 >= $5.00") == (
        "[abg] BLOCKED session=default | Session budget exhausted: $5.14 >= $5.00"
    )
    assert console.listening("127.0.0.1", 8788) == "[abg] listening on http://127.0.0.1:8788"
    assert console.listening("::1", 1) == "[abg] listening on http://[::1]:1"
    assert console.budgets(Decimal(5), None) == "[abg] session budget: $5.00 daily budget: none"
    assert console.budgets(Decimal("0.003"), Decimal("20.0")) == (
        "[abg] session budget: $0.003 daily budget: $20.00"
    )


def test_a_note_and_an_error():
    line = console.allowed("s", "", Decimal(0), Decimal(0), "client gone")
    assert line.endswith(" model=? cost=$0.0000 session_total=$0.00 | client gone")
    assert console.failed("s", "", "no route") == "[abg] ERROR session=s model=? | no route"


@given(st.text())
def test_no_name_can_forge_a_line(name):
    line = console.blocked(name, "x")
    assert line.isprintable()
    assert line.startswith("[abg] BLOCKED session=")
    assert console.blocked("s", name).isprintable()
    assert console.unknown_model(name, name).isprintable()
    assert console.failed(name, name, name).isprintable()
    assert console.allowed("s", "m", Decimal(1), Decimal(1), name).isprintable()
    assert console.warned("s", Decimal(1), Decimal(1), name).isprintable()


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2026-12-01T00:00:00", "2026-12-01 00:00"),
        ("2026-12-01T00:00:00.001", "2026-12-01 00:01"),
        ("2026-12-31T23:59:30", "2027-01-01 00:00"),
    ],
)
def test_a_moment_is_said_shortly_and_never_too_early(moment: str, said: str):
    assert console.spoken(datetime.fromisoformat(moment)) == said


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/me/work:main", "/home/me/work:main"),
        ("größe-5", "größe-5"),
        ("my task", '"my task"'),
        ("x cost=$0.00", '"x cost=$0.00"'),
        ("a|b", '"a|b"'),
        ('a"b', '"a\\"b"'),
        ("x\u2003y", '"x\N{REPLACEMENT CHARACTER}y"'),
    ],
)
def test_a_name_imitates_no_field_of_its_line(name, shown):
    for line in (
        console.allowed(name, name, Decimal(1), Decimal(1)),
        console.warned(name, Decimal(1), Decimal(1), "w"),
        console.blocked(name, "b"),
        console.failed(name, name, "f"),
    ):
        assert f" session={shown} " in line
        assert ("model=" in line) == (f" model={shown} " in line)
