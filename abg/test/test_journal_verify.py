"""What a ledger's lines say of each other: nothing is changed, lost or doubled without a trace."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from attrs import evolve

from abg.journal.repair import Repaired, repair
from abg.journal.running import RunningTotals
from abg.journal.verify import prev_of, verify
from abg.ledger import Event, digest, encode
from abg.test.journals import START, Desk, abandon, entry, inline


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Ten calls of two sessions, cleanly ended."""
    inline(monkeypatch)
    desk = Desk(tmp_path)
    desk.open()
    for number in range(10):
        desk.settle(f"0.{number + 1:02}", "even" if number % 2 else "odd")
    desk.journal.close()
    return desk


def found(desk: Desk) -> list[tuple[int, str]]:
    return [(damage.number, damage.reason) for damage in verify(desk.path).findings]


def rewrite(desk: Desk, lines: list[bytes]) -> None:
    desk.path.write_bytes(b"".join(line + b"\n" for line in lines))


CHAIN = "prev names another line: lines before it were changed, added or removed"


def test_a_sound_ledger_is_counted(desk: Desk) -> None:
    verdict = verify(desk.path)
    assert verdict.findings == []
    assert (verdict.lines, verdict.spent, verdict.files) == (10, Decimal("0.55"), [desk.path])


def test_an_empty_ledger_and_none_are_sound(tmp_path: Path) -> None:
    assert verify(tmp_path / "none.jsonl").findings == []
    (tmp_path / "empty.jsonl").touch()
    assert verify(tmp_path / "empty.jsonl").lines == 0


def test_a_changed_amount_is_found_by_chain_and_totals(desk: Desk) -> None:
    lines = desk.lines()
    lines[2] = lines[2].replace(b'"cost_usd":0.03', b'"cost_usd":0.01')
    rewrite(desk, lines)
    assert found(desk) == [
        (3, "session_total_usd is 0.02 more than the lines before come to"),
        (4, CHAIN),
    ]


def test_a_removed_line_is_found(desk: Desk) -> None:
    lines = desk.lines()
    del lines[4]
    rewrite(desk, lines)
    assert found(desk) == [
        (5, CHAIN),
        (6, "session_total_usd is 0.05 more than the lines before come to"),
    ]


def test_removed_first_lines_are_found(desk: Desk) -> None:
    rewrite(desk, desk.lines()[2:])
    assert found(desk) == [(1, "the lines before it are missing")]


def test_a_removed_last_line_is_found_by_the_checkpoint_or_not_at_all(desk: Desk) -> None:
    rewrite(desk, desk.lines()[:-1])
    assert found(desk) == []  # nothing after it could know


def test_a_checkpoint_is_held_against_the_file(desk: Desk) -> None:
    desk.open()
    desk.settle("1", "x")
    abandon(desk.journal)
    lines = desk.lines()
    lines[3] = lines[3].replace(b'"cost_usd":0.04', b'"cost_usd":0.44')
    lines[4] = lines[4].replace(digest(desk.lines()[3]).encode(), digest(lines[3]).encode())
    rewrite(desk, lines)
    reasons = [reason for _, reason in found(desk)]
    assert "the checkpoint knows of 0.55 USD before this line, the file of 0.95" in reasons


def test_an_added_line_is_found(desk: Desk) -> None:
    lines = desk.lines()
    lines.insert(5, encode(entry("0.5", "odd"))[:-1])
    rewrite(desk, lines)
    assert found(desk) == [
        (6, "has no prev: another program wrote it"),
        (7, CHAIN),
        (8, "session_total_usd is 0.5 less than the lines before come to"),
    ]


def test_doubled_and_swapped_lines_are_found(desk: Desk) -> None:
    lines = desk.lines()
    rewrite(desk, [*lines[:5], lines[4], *lines[5:]])
    assert [number for number, _ in found(desk)] == [6, 6, 11]
    lines[4], lines[6] = lines[6], lines[4]
    rewrite(desk, lines)
    assert (5, CHAIN) in found(desk)


def test_damage_is_told_with_its_place(desk: Desk) -> None:
    lines = desk.lines()
    whole = lines[4]
    lines[4] = whole[:50]
    rewrite(desk, lines)
    (first, *rest) = verify(desk.path).findings
    assert str(first).startswith(f"ledger.jsonl:5 (byte {sum(map(len, lines[:4])) + 4}): not JSON")
    assert [damage.number for damage in rest] == [6, 7]


def test_a_line_under_way_is_no_finding(desk: Desk) -> None:
    with desk.path.open("ab") as file:
        file.write(b'{"ts":"2026')
    assert len(found(desk)) == 2
    assert verify(desk.path, written_now=True).findings == []


def test_a_whole_last_line_without_a_line_feed_is_told(desk: Desk) -> None:
    desk.path.write_bytes(desk.path.read_bytes()[:-1])
    assert found(desk) == [(10, "the last line has no line feed")]


def test_the_original_tools_lines_at_the_beginning_are_only_read(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.path.write_text('{"date":"2026-04-19","session_id":"odd","cost_usd":0.1}\n\n' * 2)
    desk.open()
    for _ in range(3):
        desk.settle("0.2", "odd")
    desk.journal.close()
    assert found(desk) == []
    with desk.path.open("ab") as file:
        file.write(encode(entry("0.5", "odd")))
    assert [number for number, _ in found(desk)] == [8]


# -- running totals --------------------------------------------------------------------------------


def test_totals_follow_resets_and_adjustments() -> None:
    running = RunningTotals()

    def call(cost: str, total: str, session: str = "s") -> Decimal:
        made = entry(cost, session)
        return running.step(evolve(made, session_total_usd=Decimal(total)))

    assert call("0.1", "5.0") == 0  # whatever came before
    assert call("0.1", "5.1") == 0
    running.step(Event(START, "adjust", {"session_id": "s", "cost_usd": Decimal("0.4")}))
    running.step(Event(START, "raise", {"session_id": "s"}))
    running.step(Event(START, "adjust", {"session_id": "unheard", "cost_usd": Decimal("0.4")}))
    assert call("0", "5.5") == 0
    running.step(Event(START, "reset", {"session_id": "s"}))
    assert call("0.1", "0.1") == 0
    # It may concern what was spent before the reset, and then changes nothing.
    running.step(Event(START, "adjust", {"session_id": "s", "cost_usd": Decimal("-0.05")}))
    assert call("0.1", "0.2") == 0
    assert call("0.1", "0.9") == Decimal("0.6")
    assert call("0.1", "1.0") == 0
    assert call("0.1", "0.5") == Decimal("-0.6")


def test_the_daily_session_may_start_anew_and_end_late() -> None:
    running = RunningTotals()

    def call(cost: str, total: str) -> Decimal:
        return running.step(evolve(entry(cost), session_total_usd=Decimal(total)))

    assert call("1", "1") == 0
    assert call("1", "2") == 0
    assert call("0.1", "0.1") == 0  # the next day
    assert call("1", "3") == 0  # admitted the day before
    assert call("0.1", "0.2") == 0
    running.step(Event(START, "adjust", {"session_id": "default", "cost_usd": Decimal("0.5")}))
    assert call("0.1", "0.3") == 0  # the adjustment was of the day before
    assert call("1", "9") != 0
    for day in range(2, 9):
        assert call(f"0.{day}", f"0.{day}") == 0


# -- repair ----------------------------------------------------------------------------------------


def repaired(desk: Desk) -> Repaired:
    before = desk.path.read_bytes()
    done = repair(desk.path)
    assert desk.path.read_bytes() == before
    assert done.copy.stat().st_mode & 0o777 == 0o600
    assert verify(done.copy).findings == []
    return done


def test_a_sound_ledger_is_copied_as_it_is(desk: Desk) -> None:
    done = repaired(desk)
    assert done.copy == desk.path.with_name("ledger.jsonl.repaired")
    assert done.copy.read_bytes() == desk.path.read_bytes()
    assert (done.kept, done.left_out, done.linked, done.adjustments) == (10, [], 0, 0)
    assert repaired(desk).copy == desk.path.with_name("ledger.jsonl.repaired-2")


def test_what_a_lost_line_had_cost_is_kept(desk: Desk) -> None:
    lines = desk.lines()
    lines[4] = b"x" * 30
    lines[7] = b"y" * 30
    rewrite(desk, lines)
    done = repaired(desk)
    assert [damage.number for damage in done.left_out] == [5, 8]
    assert (done.adjustments, done.adjusted) == (2, Decimal("0.13"))
    assert verify(done.copy).spent == Decimal("0.55")


def test_a_first_line_that_is_lost(desk: Desk) -> None:
    lines = desk.lines()
    lines[0] = lines[0][:-40]
    rewrite(desk, lines)
    assert repaired(desk).kept == 9
    lines[0] = b'x"prev":""}'
    rewrite(desk, lines)
    assert repaired(desk).linked == 9


def test_glued_lines_and_holes_are_taken_apart(desk: Desk) -> None:
    lines = desk.lines()
    glued = [lines[0] + lines[1], b"\0\0\0" + lines[2], lines[3] + b"\0\0" + lines[4][:30], b""]
    rewrite(desk, [*glued, *lines[5:]])
    done = repaired(desk)
    assert done.kept == 9
    assert done.left_out == []
    assert verify(done.copy).spent == Decimal("0.55")


def test_a_torn_end_is_left_out(desk: Desk) -> None:
    desk.path.write_bytes(desk.path.read_bytes() + b'{"ts":"2026' + b"\0" * 100)
    assert repaired(desk).kept == 10


def test_events_and_other_programs_lines_stay(desk: Desk) -> None:
    lines = desk.lines()
    lines.insert(3, encode(Event(START + timedelta(days=1), "raise", {"session_id": "odd"}))[:-1])
    lines.insert(5, encode(entry("0.5", "odd"), "0123")[:-1])
    rewrite(desk, lines)
    done = repair(desk.path)
    assert done.kept == 12


def test_lines_that_were_written_again_need_no_adjustment(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.open()
    desk.settle("1", "s")
    desk.settle("2", "s")
    desk.journal.tick()
    beside = desk.path.with_name("new")
    beside.write_bytes(desk.path.read_bytes())
    desk.settle("4", "s")  # while an editor is open
    with desk.path.open("ab") as file:
        file.write(b"nonsense\n")
    beside.replace(desk.path)
    desk.journal.tick()
    desk.settle("8", "s")
    desk.journal.close()
    done = repaired(desk)
    assert (done.adjustments, done.left_out) == (0, [])
    assert verify(done.copy).spent == 15


def test_a_gap_with_nothing_lost_before_it_is_left_alone(desk: Desk) -> None:
    desk.open()
    again = evolve(desk.entry("0.5", "odd"), session_total_usd=Decimal(99))
    desk.journal.append(again)
    desk.journal.close()
    assert [number for number, _ in found(desk)] == [11]
    assert repair(desk.path).adjustments == 0


def test_large_copies_are_written_in_blocks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abg.journal.repair.BLOCK", 1000)
    assert repaired(desk).copy.read_bytes() == desk.path.read_bytes()


def test_prev_is_read_from_the_end_of_a_line() -> None:
    assert prev_of(b'{"reason":"\\"prev\\":\\"abc\\"}"}') is None
    assert prev_of(b'{"x":1,"prev":"0a"}\r') == "0a"
    assert prev_of(b'{"prev": "0a" }') == "0a"
    assert prev_of(b"") is None
