"""The journal in quiet times: what is appended is there after a restart, once, and exactly."""

from __future__ import annotations

import json
import os
import stat
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from abg.errors import LedgerLocked, LedgerUnavailable
from abg.journal import Journal, read_ledger
from abg.journal.inflight import crash_entry, read_open
from abg.ledger import Damage, Entry, Event, digest
from abg.test.journals import START, Desk, Sums, entry, facts, inline


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_totals_are_rebuilt_from_the_file(desk: Desk) -> None:
    desk.open()
    for usd in ("0.1", "0.2", "0.000000000000000003"):
        desk.settle(usd)
    desk.settle("1", "other")
    desk.journal.close()
    desk.open()
    assert desk.totals.sessions == {
        "default": Decimal("0.300000000000000003"),
        "other": Decimal(1),
    }
    assert desk.said == []


def test_lines_stand_one_after_the_other_each_naming_the_one_before(desk: Desk) -> None:
    desk.open()
    for _ in range(3):
        desk.settle()
    desk.journal.close()
    desk.open()
    desk.settle()
    lines = desk.lines()
    assert [json.loads(line)["prev"] for line in lines] == [
        "",
        *(digest(line) for line in lines[:-1]),
    ]


@pytest.mark.skipif(os.name != "posix", reason="needs file modes")
def test_the_files_are_the_users_alone(desk: Desk) -> None:
    desk.path.touch(mode=0o644)
    desk.open()
    desk.reserve()
    desk.settle()
    desk.die()
    desk.open()
    desk.journal.close()
    for path in desk.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_the_folder_is_made(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "state" / "abg")
    desk.open()
    desk.settle()
    assert len(desk.lines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a FIFO")
def test_what_is_no_regular_file_is_refused(desk: Desk) -> None:
    os.mkfifo(desk.path)
    with pytest.raises(LedgerUnavailable, match=r"not a regular file: .*ledger.jsonl"):
        desk.open()
    desk.path.unlink()
    desk.path.mkdir()
    with pytest.raises(LedgerUnavailable, match=r"directory: .*ledger.jsonl"):
        desk.open()
    desk.path.rmdir()
    desk.open()


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
@pytest.mark.parametrize("name", ["lock", "inflight"])
def test_a_link_beside_the_ledger_is_never_followed(desk: Desk, name: str) -> None:
    # As a cloned repository may bring it; before, the user's file was emptied.
    theirs = desk.path.with_name("theirs")
    theirs.write_text("precious")
    desk.path.with_name(f"{desk.path.name}.{name}").symlink_to(theirs)
    with pytest.raises(LedgerUnavailable, match=rf"ledger\.jsonl\.{name}"):
        desk.open()
    assert theirs.read_text() == "precious"


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_nor_one_in_the_place_of_a_file_that_is_written_anew(desk: Desk) -> None:
    theirs = desk.path.with_name("theirs")
    theirs.write_text("precious")
    desk.open()
    for name in ("checkpoint.new", "inflight.new"):
        desk.path.with_name(f"{desk.path.name}.{name}").symlink_to(theirs)
    desk.settle()
    inflight = desk.path.with_name(f"{desk.path.name}.inflight")
    inflight.unlink()
    desk.journal.tick()
    desk.journal.close()
    assert theirs.read_text() == "precious"
    desk.open()
    assert desk.totals.ids


@pytest.mark.parametrize("options", [{"sync": "sometimes"}, {"rotate": "daily"}])
def test_settings_that_are_none_are_refused(desk: Desk, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="none of"):
        desk.open(**options)


# -- in flight -----------------------------------------------------------------------------------


def test_a_call_under_way_at_a_crash_becomes_an_estimated_entry(desk: Desk) -> None:
    desk.open()
    desk.settle("1")
    open_one = desk.reserve("0.31")
    done = desk.reserve("0.07")
    desk.finish(done, "0.02")
    desk.clock.advance(hours=1)
    desk.die()
    desk.open()
    assert desk.journal.crashed == 1
    assert desk.totals.sessions == {"default": Decimal("1.33")}
    (found,) = [r for r in read_ledger(desk.path) if isinstance(r, Entry) and r.end == "crash"]
    assert found.request_id == open_one
    assert (found.ts, found.session_id, found.model) == (START, "default", "gpt-5.4")
    assert (found.cost_usd, found.hold_usd) == (Decimal("0.31"), Decimal("0.31"))
    assert (found.cost_source, found.action, found.auth) == ("estimated", "allow", "api_key")
    assert found.session_total_usd == Decimal("1.33")
    assert desk.said == [
        "[abg] ledger: 1 call was under way when abg last ended without warning; "
        "entered as estimated, $0.3100"
    ]


def test_progress_makes_the_estimate_better(desk: Desk) -> None:
    desk.open()
    first, second = desk.reserve("0.31"), desk.reserve("0.4")
    desk.journal.progress(first, {"input_tokens": 4821, "cost_usd": Decimal("0.01")})
    desk.journal.progress(first, {"output_tokens": 99, "cost_usd": Decimal("0.02")})
    desk.journal.progress("unknown", {"cost_usd": Decimal(1)})
    desk.journal.release(second)
    desk.journal.release(second)
    desk.die()
    desk.open()
    (found,) = read_ledger(desk.path)
    assert isinstance(found, Entry)
    assert (found.input_tokens, found.output_tokens) == (4821, 99)
    assert found.cost_usd == Decimal("0.02")


def test_a_crash_between_line_and_release_counts_the_call_once(desk: Desk) -> None:
    desk.open()
    id = desk.reserve("0.31")
    inflight = desk.path.with_name("ledger.jsonl.inflight").read_bytes()
    desk.finish(id, "0.02")
    desk.die()
    desk.path.with_name("ledger.jsonl.inflight").write_bytes(inflight)
    desk.open()
    assert desk.journal.crashed == 0
    assert desk.totals.sessions == {"default": Decimal("0.02")}


def test_a_clean_end_leaves_nothing_in_flight(desk: Desk) -> None:
    desk.open()
    desk.finish(desk.reserve())
    desk.journal.close()
    assert desk.path.with_name("ledger.jsonl.inflight").read_bytes() == b""


def test_what_is_open_at_a_clean_end_is_entered_at_the_next_start(desk: Desk) -> None:
    desk.open()
    desk.reserve("0.31")
    desk.journal.close()
    desk.open()
    assert desk.journal.crashed == 1


def test_the_side_journal_is_emptied_when_it_has_grown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    inline(monkeypatch)
    monkeypatch.setattr("abg.journal.inflight.EMPTY_FROM", 1000)
    desk.open()
    path = desk.path.with_name("ledger.jsonl.inflight")
    for _ in range(20):
        desk.finish(desk.reserve())
        desk.journal.tick()
        assert path.stat().st_size < 1400


def test_it_is_written_anew_where_something_is_always_open(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    inline(monkeypatch)
    monkeypatch.setattr("abg.journal.inflight.EMPTY_FROM", 1000)
    monkeypatch.setattr("abg.journal.inflight.REWRITE_FROM", 4000)
    desk.open(sync="always")
    path = desk.path.with_name("ledger.jsonl.inflight")
    held = [desk.reserve("0.31", "long")]
    for turn in range(60):
        held.append(desk.reserve())
        desk.finish(held.pop(1 if turn % 3 else 0))
        desk.journal.tick()
        assert path.stat().st_size < 5000
    assert set(read_open(path.read_bytes())) == set(held)
    desk.die()
    desk.open()
    assert desk.journal.crashed == 1


def test_facts_that_cannot_be_read_still_make_an_entry() -> None:
    found = crash_entry("req_1", {"ts": "nonsense", "hold_usd": "x"}, START)
    assert (found.end, found.cost_usd, found.request_id) == ("crash", 0, "req_1")
    assert found.reason is not None and "cannot be read" in found.reason
    found = crash_entry("req_2", {"model": "m\ud800"}, START)
    assert (found.ts, found.cost_usd, found.session_id) == (START, 0, "default")


def test_facts_may_hold_anything(desk: Desk) -> None:
    desk.open()
    desk.journal.reserve("a", {**facts("0.1", "s", START), "model": "m\ud800"})
    desk.journal.reserve("b", {**facts("0.2", "s", START), "model": "m" * 100_000})
    desk.journal.reserve("c", {**facts("0.3", "s", START), "thing": Path("x")})
    desk.die()
    desk.open()
    assert desk.totals.sessions == {"s": Decimal("0.6")}
    assert max(map(len, desk.lines())) < 2000


def test_a_damaged_side_journal_says_what_it_can() -> None:
    data = (
        b'{"reserve":"a","ts":"2026-11-25T10:00:00Z","hold_usd":"1"}\n'
        b'\0\0\0{"reserve":"b","hold_usd":"2"}\n'
        b'[1]\n\xff\n{"progress":"z","x":1}\n{"release":"y"}\n{}\n'
        b'{"release":"a'
    )
    assert list(read_open(data)) == ["a", "b"]


# -- one writer ----------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_has_it(desk: Desk) -> None:
    desk.open()
    desk.journal.announce("127.0.0.1", 8788, "0.1.0")
    with pytest.raises(LedgerLocked) as refused:
        Journal.open(desk.path, totals=Sums(), clock=desk.clock)
    assert f"process {os.getpid()}, http://127.0.0.1:8788, since 2026-11-25T10:00:00Z" in str(
        refused.value
    )
    assert "ledger_file" in str(refused.value)
    desk.settle()
    desk.journal.close()
    Journal.open(desk.path, totals=Sums(), clock=desk.clock).close()


def test_a_reader_never_disturbs(desk: Desk) -> None:
    desk.open()
    desk.settle()
    before = desk.path.read_bytes()
    with desk.path.open("ab") as torn:
        torn.write(b'{"ts":"2026')  # a line that is just being written
    assert [type(record) for record in read_ledger(desk.path)] == [Entry]
    desk.path.write_bytes(before)
    assert len(list(read_ledger(desk.path))) == 1
    assert list(read_ledger(desk.path.with_name("none.jsonl"))) == []
    assert list(read_ledger(desk.path.parent / "no" / "folder.jsonl")) == []


# -- the end of the file -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tail", "what", "size"),
    [
        (b'{"ts":"2026', "cut", 11),
        (b"\0" * 5000, "cut", 5000),
        (b'{"ts":"2026\0\0\0', "cut", 14),
        (b"x" * 200_000, "cut", 200_000),
        (b" ", "cut", 1),
    ],
)
def test_a_torn_end_is_cut_and_recorded(desk: Desk, tail: bytes, what: str, size: int) -> None:
    desk.open()
    desk.settle("0.5")
    desk.journal.close()
    with desk.path.open("ab") as file:
        file.write(tail)
    desk.open()
    desk.settle("0.25")
    desk.journal.close()
    first, repair, last = read_ledger(desk.path)
    assert isinstance(first, Entry) and isinstance(last, Entry) and isinstance(repair, Event)
    assert (repair.event, repair.data["what"], repair.data["bytes"]) == ("repair", what, size)
    assert f"the last line was {what}" in desk.said[0]
    desk.open()
    assert desk.totals.sessions == {"default": Decimal("0.75")}
    assert desk.journal.broken == ()


@pytest.mark.parametrize("tail", [b"", b"\0" * 70_000])
def test_a_whole_last_line_without_its_line_feed_is_completed(desk: Desk, tail: bytes) -> None:
    desk.open()
    desk.settle("0.5")
    desk.journal.close()
    desk.path.write_bytes(desk.path.read_bytes()[:-1] + tail)
    desk.open()
    assert "the last line was completed" in desk.said[0]
    desk.settle("0.25")
    assert [r.cost_usd for r in read_ledger(desk.path) if not isinstance(r, Damage)] == [
        Decimal("0.5"),
        Decimal("0.25"),
    ]


def test_damaged_lines_inside_are_kept_reported_and_skipped(desk: Desk) -> None:
    desk.open()
    for _ in range(7):
        desk.settle()
    desk.journal.close()
    lines = desk.lines()
    for number in (1, 3, 4, 5, 6):
        lines[number] = b"garbage " + lines[number][:10]
    desk.path.write_bytes(b"\n".join(lines) + b"\n\n")
    desk.path.with_name("ledger.jsonl.checkpoint").unlink()
    desk.open()
    assert desk.totals.sessions == {"default": Decimal("0.02")}
    assert [damage.number for damage in desk.journal.damaged] == [2, 4, 5, 6, 7]
    assert [damage.number for damage in desk.journal.broken] == [3]
    warnings = [line for line in desk.said if "WARNING" in line]
    assert "ledger.jsonl:2 (byte" in warnings[0] and "counts for nothing" in warnings[0]
    assert "2 more findings: abg ledger verify" in warnings[-1]
    desk.settle()
    assert desk.lines()[:7] == lines


def test_a_line_that_was_changed_or_removed_is_noticed(desk: Desk) -> None:
    desk.open()
    for _ in range(4):
        desk.settle("0.50")
    desk.journal.close()
    lines = desk.lines()
    lines[0] = lines[0].replace(b"0.5", b"0.1", 1)
    del lines[2]
    desk.path.write_bytes(b"\n".join(lines) + b"\n")
    desk.open()
    assert [damage.number for damage in desk.journal.broken] == [2, 3]
    assert "lines were changed, added or removed there" in desk.said[0]


def test_the_original_tools_ledger_is_taken_over(desk: Desk) -> None:
    desk.path.write_text(
        '{"date":"2026-04-19T14:22:01","session_id":"default","model":"gpt-4o","cost_usd":0.1}\n'
        '{"date":"2026-04-20T14:22:01","session_id":"default","model":"gpt-4o","cost_usd":2e-1}\n'
    )
    desk.open()
    assert desk.totals.sessions == {"default": Decimal("0.3")}
    assert desk.said == []
    desk.settle("0.5")
    desk.journal.close()
    desk.open()
    assert desk.totals.sessions == {"default": Decimal("0.8")}
    assert desk.journal.broken == ()


def test_lines_that_know_of_no_chain_are_no_finding(desk: Desk) -> None:
    line = (
        '{"ts":"2026-04-19T14:22:01Z","session_id":"default","model":"claude-sonnet-4-6",'
        '"input_tokens":4821,"output_tokens":312,"cost_usd":0.019143,"session_total_usd":4.12,'
        '"action":"allow"}\n'
    )
    desk.path.write_text(line * 3)
    desk.open()
    assert desk.said == []
    assert desk.totals.sessions == {"default": Decimal("0.057429")}
    desk.settle()
    desk.journal.close()
    with desk.path.open("a") as file:
        file.write(line)
    desk.path.with_name("ledger.jsonl.checkpoint").unlink()
    desk.open()
    assert [damage.number for damage in desk.journal.broken] == [5]


def test_an_entry_with_an_open_id_reaches_the_totals_whole(desk: Desk) -> None:
    desk.open()
    made = entry(id="req_x", open="resp_1", endpoint="responses")
    desk.totals.apply(made)
    desk.journal.append(made)
    desk.journal.append(Event(START + timedelta(seconds=1), "reset", {"session_id": "default"}))
    desk.die()
    seen = []

    class Watch(Sums):
        def apply(self, record: object) -> None:
            seen.append(record)
            super().apply(record)

    Journal.open(desk.path, totals=Watch(), clock=desk.clock).close()
    assert seen == [
        made,
        Event(START + timedelta(seconds=1), "reset", {"session_id": "default"}),
    ]
