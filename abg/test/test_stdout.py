"""The console's lines: none is lost for its characters, and none stops the guard."""

from __future__ import annotations

import io
import sys

import pytest
from twisted.internet.task import Clock

from abg.stdout import Console, tell, write_out


class Reactor(Clock):
    running = True


@pytest.mark.parametrize("coding", ["ascii", "latin-1", "utf-8"])
def test_what_a_terminal_does_not_know_is_escaped(coding: str) -> None:
    # A session named so hid its own lines, and those of others in the same turn.
    raw = io.BytesIO()
    console = Console(io.TextIOWrapper(raw, coding), reactor := Reactor())
    console.say("[abg] ALLOW session=plain")
    console.say("[abg] ALLOW session=\N{GRINNING FACE}")
    reactor.advance(0)
    first, second = raw.getvalue().decode(coding).splitlines()
    assert first.endswith("=plain")
    assert second.endswith("=\N{GRINNING FACE}" if coding == "utf-8" else r"=\U0001f600")


def test_lines_of_one_turn_are_one_write() -> None:
    stream = io.StringIO()
    console = Console(stream, reactor := Reactor())
    console.say("a")
    console.say("b")
    assert stream.getvalue() == ""
    reactor.advance(0)
    console.flush()
    assert stream.getvalue() == "a\nb\n"


def test_before_the_reactor_runs_a_line_is_written_at_once() -> None:
    stream = io.StringIO()
    reactor = Reactor()
    reactor.running = False
    Console(stream, reactor).say("a")
    assert stream.getvalue() == "a\n"


def test_a_console_that_has_gone_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = io.StringIO()
    gone.close()
    write_out(gone, "x")
    monkeypatch.setattr(sys, "stdout", gone)
    tell("x")


def test_a_line_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    tell("half an emoji: \ud83d")
    assert capsys.readouterr().out == "half an emoji: \\ud83d\n"
