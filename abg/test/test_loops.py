"""The loop breaker: how often a thread has sent the same message in a row."""

from __future__ import annotations

from abg import loops as loops_room
from abg.loops import Loops


def test_only_the_same_message_in_a_row_counts():
    loops = Loops(3)
    for message in (b"a", b"a", b"b", b"a", b"a"):
        loops.count("s", "t", message)
    assert loops.length("s", "t", b"a") == 2
    assert loops.length("s", "t", b"b") == 0


def test_threads_and_sessions_are_apart():
    loops = Loops(3)
    loops.count("s", "t", b"a")
    assert loops.length("s", "u", b"a") == 0
    assert loops.length("r", "t", b"a") == 0


def test_what_a_vendor_failed_is_taken_back():
    loops = Loops(3)
    loops.count("s", "t", b"a")
    loops.count("s", "t", b"a")
    loops.take_back("s", "t", b"a")
    assert loops.length("s", "t", b"a") == 1
    loops.take_back("s", "t", b"b")
    loops.take_back("s", "t", None)
    loops.take_back("s", "t", b"a")
    loops.take_back("s", "t", b"a")
    assert loops.length("s", "t", b"a") == 0


def test_nothing_is_followed_without_a_limit_or_a_message():
    loops = Loops(None)
    loops.count("s", "t", b"a")
    assert loops.length("s", "t", b"a") == 0
    loops = Loops(3)
    loops.count("s", "t", b"a")
    loops.count("s", "t", None)
    assert loops.length("s", "t", b"a") == 1


def test_a_session_that_starts_again_has_sent_nothing():
    loops = Loops(3)
    loops.count("s", "t", b"a")
    loops.count("r", "t", b"a")
    loops.forget("s")
    assert loops.length("s", "t", b"a") == 0
    assert loops.length("r", "t", b"a") == 1


def test_quiet_threads_are_forgotten(monkeypatch):
    monkeypatch.setattr(loops_room, "THREADS", 2)
    loops = Loops(3)
    for thread in "abac":
        loops.count("s", thread, b"x")
    assert [loops.length("s", thread, b"x") for thread in "abc"] == [2, 0, 1]
