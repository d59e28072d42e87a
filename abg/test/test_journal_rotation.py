"""One file after another, by our own hand or another program's: no total and no line is lost."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import pytest

from abg.journal import Files, read_ledger
from abg.journal.history import ledger_files
from abg.journal.rotation import Rotation, parse_rotation
from abg.journal.verify import verify
from abg.ledger import Damage, Entry, Event, encode
from abg.test.journals import START, Desk, abandon, entry, inline


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    inline(monkeypatch)
    return Desk(tmp_path)


def ids(desk: Desk) -> list[str]:
    assert verify(desk.path).findings == []
    found = list(read_ledger(desk.path))
    assert not [record for record in found if isinstance(record, Damage)]
    return [record.request_id for record in found if isinstance(record, Entry)]


def rotations(desk: Desk) -> list[Event]:
    return [r for r in read_ledger(desk.path) if isinstance(r, Event) and r.event == "rotate"]


def names(desk: Desk) -> list[str]:
    return sorted(p.name for p in desk.path.parent.iterdir() if p.suffix not in (".lock",))


def restart(desk: Desk, rules: str = "rules-1") -> None:
    """By a kill, and without the checkpoint."""
    abandon(desk.journal)
    desk.path.with_name("ledger.jsonl.checkpoint").unlink(missing_ok=True)
    desk.open(rules)


# -- our own rotation ------------------------------------------------------------------------------


def test_a_new_month_begins_a_new_file_that_carries_the_totals(desk: Desk) -> None:
    desk.open(rotate="month")
    desk.settle("1")
    desk.journal.tick()
    desk.clock.advance(days=6)
    desk.journal.tick()
    desk.settle("2")
    desk.journal.tick()
    archive = desk.path.with_name("ledger-2026-11.jsonl")
    assert len(archive.read_bytes().splitlines()) == 1
    (rotation,) = rotations(desk)
    assert rotation.data["reason"] == "rotated"
    assert (rotation.data["file"], rotation.data["from"]) == (2, archive.name)
    assert ids(desk) == ["req_1", "req_2"]
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal(3)}
    archive.unlink()
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal(3)}
    assert desk.journal.broken == ()


def test_a_size_begins_a_new_file(desk: Desk) -> None:
    desk.open(rotate="10k")
    for _ in range(90):
        desk.settle()
        desk.journal.tick()
    # All in the same second of the clock: no name is given twice.
    assert names(desk)[:4] == [
        "ledger-20261125-100000.2.jsonl",
        "ledger-20261125-100000.3.jsonl",
        "ledger-20261125-100000.jsonl",
        "ledger.jsonl",
    ]
    assert ids(desk) == [f"req_{n}" for n in range(1, 91)]
    assert [event.data["file"] for event in rotations(desk)] == [2, 3, 4]
    desk.journal.close()
    desk.open()
    assert desk.totals.sessions == {"default": Decimal("0.90")}


def test_an_empty_file_is_not_rotated(desk: Desk) -> None:
    desk.open(rotate="month")
    desk.clock.advance(days=90)
    desk.journal.tick()
    assert names(desk) == ["ledger.jsonl", "ledger.jsonl.inflight"]


def test_a_death_between_the_rename_and_the_new_file_is_made_good(desk: Desk) -> None:
    desk.open()
    desk.settle("1.5")
    held = desk.reserve("0.25")
    abandon(desk.journal)
    desk.path.rename(desk.path.with_name("ledger-2026-11.jsonl"))
    desk.open()
    assert desk.totals.sessions == {"default": Decimal("1.75")}
    assert [event.data["reason"] for event in rotations(desk)] == ["resumed"]
    assert ids(desk) == ["req_1", held]
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal("1.75")}
    assert desk.journal.crashed == 0


@pytest.mark.parametrize(
    ("text", "rotation"),
    [
        ("never", Rotation()),
        ("Month", Rotation(monthly=True)),
        ("100MB", Rotation(size=100_000_000)),
        ("512k", Rotation(size=512_000)),
        (20_000, Rotation(size=20_000)),
        ("1 GB", Rotation(size=10**9)),
    ],
)
def test_when_to_rotate_is_read(text: str | int, rotation: Rotation) -> None:
    assert parse_rotation(text) == rotation


@pytest.mark.parametrize("text", ["weekly", "", "-5", "1.5MB", "100", "10TB"])
def test_what_is_no_such_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"none of|smaller than"):
        parse_rotation(text)


def test_rotation_by_month_never_goes_back() -> None:
    monthly = Rotation(monthly=True)
    new_year = datetime(2027, 1, 1, tzinfo=timezone.utc)
    assert monthly.due(new_year, START, 0)
    assert not monthly.due(START, new_year, 10**12)
    assert not Rotation().due(new_year, START, 10**12)


# -- other programs --------------------------------------------------------------------------------


def test_a_moved_file_is_left_and_a_new_one_begun(desk: Desk) -> None:
    desk.open()
    desk.settle("1")
    desk.path.rename(desk.path.with_name("ledger.jsonl.1"))
    desk.settle("2")  # not noticed yet: it goes to the moved file
    desk.journal.reopen()
    desk.settle("4")
    desk.journal.tick()
    assert len(desk.lines()) == 2
    assert ids(desk) == ["req_1", "req_2", "req_3"]
    assert [event.data["reason"] for event in rotations(desk)] == ["moved"]
    desk.path.with_name("ledger.jsonl.1").unlink()
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal(7)}


@pytest.mark.parametrize(
    "name",
    [
        "ledger.jsonl.1",
        "ledger.jsonl.14.gz",
        "ledger.1.jsonl",  # extension .jsonl
        "ledger.jsonl-20261101",  # dateext
        "ledger.jsonl-20261101.gz",
        "ledger-20261101.jsonl.gz",
        "ledger.jsonl-2026110114",  # hourly
        "ledger.jsonl-20261101-1795596722",  # dateformat -%Y%m%d-%s
        "ledger.jsonl-1795596722",  # dateformat -%s
        "ledger-1795596722.jsonl",
        "ledger.jsonl.2026-11-01",
        "ledger-2026-10.jsonl",
        "ledger-20261125-140201.jsonl",
    ],
)
def test_the_names_that_a_moved_file_is_known_by(desk: Desk, name: str) -> None:
    desk.open()
    desk.settle()
    aside = desk.path.with_name(name)
    if aside.suffix == ".gz":
        aside.write_bytes(gzip.compress(desk.path.read_bytes()))
        desk.path.unlink()
    else:
        desk.path.rename(aside)
    desk.journal.tick()
    desk.settle()
    assert ids(desk) == ["req_1", "req_2"]


@pytest.mark.parametrize(
    "name",
    ["ledger.jsonl.bak", "ledger.jsonl~", "ledger-other.jsonl", "ledger2.jsonl", "ledger-7.jsonl"],
)
def test_other_files_are_left_alone(desk: Desk, name: str) -> None:
    desk.path.with_name(name).write_bytes(b"no line of ours\n")
    desk.open()
    desk.settle()
    assert ids(desk) == ["req_1"]


def test_lines_that_a_quick_gzip_has_missed_are_written_again(desk: Desk) -> None:
    desk.open()
    for _ in range(3):
        desk.settle()
    desk.journal.tick()
    desk.settle()
    moved = desk.path.with_name("ledger.jsonl.1")
    desk.path.rename(moved)
    packed = gzip.compress(moved.read_bytes())
    for _ in range(2):
        desk.settle()  # gzip has read to the end already
    desk.path.with_name("ledger.jsonl.1.gz").write_bytes(packed)
    moved.unlink()
    desk.journal.tick()
    desk.settle()
    desk.journal.tick()
    assert sorted(ids(desk)) == [f"req_{n}" for n in range(1, 8)]
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal("0.07")}
    assert desk.journal.broken == ()


def test_copytruncate_loses_no_line_between_copy_and_truncation(desk: Desk) -> None:
    desk.open()
    for _ in range(3):
        desk.settle()
    desk.journal.tick()
    desk.settle()
    copy = desk.path.read_bytes()
    desk.settle()  # after the copy, before the truncation
    desk.path.with_name("ledger.jsonl.1").write_bytes(copy)
    os.truncate(desk.path, 0)
    desk.settle()  # after the truncation, before anyone notices
    desk.journal.tick()
    desk.settle()
    assert sorted(ids(desk)) == [f"req_{n}" for n in range(1, 8)]
    assert [event.data["reason"] for event in rotations(desk)] == ["truncated"]
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal("0.07")}


def test_copytruncate_with_a_packed_copy(desk: Desk) -> None:
    desk.open()
    desk.settle()
    desk.settle()
    copy = gzip.compress(desk.path.read_bytes())
    desk.settle()
    desk.path.with_name("ledger.jsonl-20261125.gz").write_bytes(copy)
    os.truncate(desk.path, 0)
    desk.journal.tick()
    assert ids(desk) == ["req_1", "req_2", "req_3"]


def test_a_file_that_is_thrown_away_on_purpose_stays_away(desk: Desk) -> None:
    desk.open()
    desk.settle("1")
    os.truncate(desk.path, 0)
    desk.journal.tick()
    assert ids(desk) == []
    desk.settle("2")
    # The lines are gone, as somebody wished; what was spent was spent all the same.
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal(3)}


def test_a_removed_file_is_begun_again(desk: Desk) -> None:
    desk.open()
    desk.settle("1")
    desk.path.unlink()
    desk.journal.tick()
    desk.journal.tick()
    assert desk.journal.healthy
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal(1)}


def test_an_editor_that_replaces_the_file_is_followed(desk: Desk) -> None:
    desk.open()
    desk.settle("1")
    desk.settle("2")
    desk.journal.tick()
    text = desk.path.read_bytes()
    desk.settle("4")  # while the editor is open
    beside = desk.path.with_name("new")
    beside.write_bytes(text[:-1])  # it writes no last line feed
    beside.replace(desk.path)
    desk.journal.tick()
    desk.settle("8")
    assert [event.data["reason"] for event in rotations(desk)] == ["replaced"]
    assert ids(desk) == ["req_1", "req_2", "req_3", "req_4"]
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal(15)}
    assert desk.journal.broken == ()


def test_what_an_editors_user_has_removed_stays_removed(desk: Desk) -> None:
    desk.open()
    for usd in ("1", "2", "4"):
        desk.settle(usd)
    desk.journal.tick()
    lines = desk.lines()
    beside = desk.path.with_name("new")
    beside.write_bytes(lines[0] + b"\n" + lines[2] + b"\n")
    beside.replace(desk.path)
    desk.journal.tick()
    found = [record.request_id for record in read_ledger(desk.path) if isinstance(record, Entry)]
    assert found == ["req_1", "req_3"]
    # Another file altogether:
    beside.write_bytes(encode(entry("8", id="other")))
    beside.replace(desk.path)
    desk.journal.tick()
    found = [record.request_id for record in read_ledger(desk.path) if isinstance(record, Entry)]
    assert found == ["other"]
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal(7)}


def test_lines_that_another_program_adds_are_counted_at_once(desk: Desk) -> None:
    desk.open()
    desk.settle("1")
    desk.journal.tick()
    desk.settle("2")
    with desk.path.open("ab") as file:
        file.write(encode(entry("4", id="by hand")))
        file.write(b"nonsense\n\n")
    desk.settle("8")
    with desk.path.open("ab") as file:
        file.write(encode(Event(START, "adjust", {"session_id": "x", "cost_usd": 16}))[:-1])
        # (and no line feed)
    desk.journal.tick()
    assert desk.totals.sessions == {"default": Decimal(15), "x": Decimal(16)}
    desk.settle("32")
    desk.journal.tick()
    assert desk.said == ["[abg] WARNING ledger: another program adds lines to it; they are counted"]
    assert json.loads(desk.lines()[-1])["request_id"] == "req_4"
    desk.journal.close()
    desk.open()
    assert desk.totals.sessions == {"default": Decimal(47), "x": Decimal(16)}
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal(47), "x": Decimal(16)}


# -- the files of a ledger -------------------------------------------------------------------------


def write(path: Path, *records: Entry | Event) -> None:
    data = b"".join(encode(record) for record in records)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def at(day: int, id: str = "") -> Entry:
    return entry(ts=START.replace(day=day), id=id or f"day{day}")


def test_files_are_read_in_the_order_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, at(20))
    write(tmp_path / "ledger.jsonl.1", at(19))
    write(tmp_path / "ledger.jsonl.2.gz", at(18))
    write(tmp_path / "ledger.jsonl-20261117", at(17))
    write(tmp_path / "ledger-20261116.jsonl.gz", at(16))
    write(tmp_path / "ledger-2026-10.jsonl", at(15))
    write(tmp_path / "ledger-20261114-100000.3.jsonl", at(14))
    # None of ours:
    for name in ("ledger-work.jsonl", "ledger.jsonl.bak", "other.jsonl.1", "ledger.jsonl.lock"):
        write(tmp_path / name, at(1))
    (tmp_path / "ledger.jsonl.7").mkdir()
    (tmp_path / "ledger.jsonl.8").touch()
    found = [record.request_id for record in read_ledger(path) if isinstance(record, Entry)]
    assert found == [f"day{n}" for n in range(14, 21)]


def test_the_number_in_a_rotate_event_beats_every_clock(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, Event(START.replace(year=2020), "rotate", {"file": 3}), at(3))
    write(
        tmp_path / "ledger.jsonl.1", Event(START.replace(year=2030), "rotate", {"file": 2}), at(2)
    )
    write(tmp_path / "ledger.jsonl.2", at(1))
    found = [record.request_id for record in read_ledger(path) if isinstance(record, Entry)]
    assert found == ["day1", "day2", "day3"]


def test_copies_of_a_file_count_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, at(20), at(21))
    write(tmp_path / "ledger.jsonl.1", at(20))  # a copytruncate half done
    write(tmp_path / "ledger.jsonl.2", at(18), at(19))
    write(tmp_path / "ledger.jsonl.2.gz", at(18))  # a gzip half done
    write(tmp_path / "ledger.jsonl.3", at(18))
    found = [record.request_id for record in read_ledger(path) if isinstance(record, Entry)]
    assert found == ["day18", "day19", "day20", "day21"]


def test_a_gzip_file_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, at(20))
    whole = gzip.compress(b"".join(encode(at(1 + n % 19, f"n{n}")) for n in range(5000)))
    (tmp_path / "ledger.jsonl.1.gz").write_bytes(whole[: len(whole) // 2])
    found = [r.request_id for r in read_ledger(path) if isinstance(r, Entry)]
    assert found[0] == "n0" and found[-1] == "day20"
    assert 100 < len(found) < 5000


def test_a_gzip_file_that_is_damaged_says_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, at(20))
    (tmp_path / "ledger.jsonl.2.gz").write_bytes(b"no gzip at all")
    whole = bytearray(gzip.compress(b"".join(encode(at(5, f"n{n}")) for n in range(5000))))
    whole[len(whole) // 2 :] = bytes(len(whole) // 2)
    (tmp_path / "ledger.jsonl.1.gz").write_bytes(whole)
    found = list(read_ledger(path))
    damaged = [record for record in found if isinstance(record, Damage)]
    assert {damage.file for damage in damaged} == {"ledger.jsonl.1.gz", "ledger.jsonl.2.gz"}
    assert len(found) > 100


def test_a_number_that_is_none_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, at(20), Event(START, "rotate", {"file": "two"}), at(21))
    assert [file.number for file in ledger_files(Files(), path)] == [0]


def test_a_file_that_begins_with_damage_is_ordered_by_its_age(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, at(20))
    old = tmp_path / "ledger.jsonl.1"
    old.write_bytes(b"\nnonsense\n" + encode(at(5)))
    os.utime(old, (1, 1))
    (file, _) = ledger_files(Files(), path)
    assert (file.begun, file.number) == (1, 0)
    damage, *_ = read_ledger(path)
    assert isinstance(damage, Damage)
    assert (damage.file, damage.number, damage.offset) == ("ledger.jsonl.1", 2, 1)


def test_a_line_without_end_is_read_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abg.journal.history.BLOCK", 100)
    monkeypatch.setattr("abg.journal.history.LONGEST", 1000)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(encode(at(1)) + b"\0" * 50_000 + b"\n" + encode(at(2)))
    first, damage, last = read_ledger(path)
    assert isinstance(first, Entry) and isinstance(damage, Damage) and isinstance(last, Entry)


# -- rules that change -----------------------------------------------------------------------------


def test_under_new_rules_all_files_are_folded_anew(desk: Desk) -> None:
    desk.open(rotate="month")
    desk.settle("1")
    desk.clock.advance(days=30)
    desk.journal.tick()
    desk.settle("2")
    desk.journal.close()
    desk.open("rules-2")
    assert (desk.totals.sessions, desk.totals.loads) == ({"default": Decimal(3)}, 0)
    desk.journal.close()
    # Where the old file is gone, the totals that were carried over are the best there is.
    desk.path.with_name("ledger-2026-11.jsonl").unlink()
    desk.open("rules-3")
    assert desk.totals.sessions == {"default": Decimal(3)}


def test_totals_that_cannot_be_loaded_leave_the_folded_ones(desk: Desk) -> None:
    desk.open()
    desk.settle("1")
    desk.journal.append(Event(START, "rotate", {"rules": "rules-1", "totals": {"no": "sense"}}))
    desk.settle("2")
    restart(desk)
    assert desk.totals.sessions == {"default": Decimal(3)}


# -- readers while others rotate -------------------------------------------------------------------


class Meanwhile(Files):
    """Does something when a certain file is opened for the so-manieth time."""

    def __init__(self) -> None:
        self.plans: list[tuple[str, int, Callable[[], None]]] = []
        self.opened: Counter[str] = Counter()

    def read(self, path: Path) -> BinaryIO:
        self.opened[path.name] += 1
        for name, time, act in self.plans:
            if (name, time) == (path.name, self.opened[path.name]):
                act()
        return super().read(path)


def found_by(path: Path, files: Files) -> list[str]:
    return [r.request_id for r in read_ledger(path, files) if isinstance(r, Entry)]


def days(first: int, last: int) -> list[Entry]:
    return [at(day) for day in range(first, last + 1)]


@pytest.mark.parametrize("opening", range(1, 7))
@pytest.mark.parametrize("how", ["moved", "moved and packed", "copied and truncated", "removed"])
def test_a_reader_sees_each_line_once(tmp_path: Path, how: str, opening: int) -> None:
    path = tmp_path / "ledger.jsonl"
    write(tmp_path / "ledger.jsonl.1", *days(1, 3))
    write(path, *days(4, 6))

    def rotate() -> None:
        if how == "removed":
            (tmp_path / "ledger.jsonl.1").unlink()
        elif how == "copied and truncated":
            (tmp_path / "ledger.jsonl.2").write_bytes(path.read_bytes() + encode(at(7)))
            os.truncate(path, 0)
            path.write_bytes(encode(at(8)))
        else:
            name = "ledger.jsonl.2.gz" if how == "moved and packed" else "ledger.jsonl.2"
            write(tmp_path / name, *days(4, 7))
            write(tmp_path / "new", at(8))
            (tmp_path / "new").replace(path)

    files = Meanwhile()
    files.plans.append(("ledger.jsonl", opening, rotate))
    found = found_by(path, files)
    if how == "removed":
        assert found[-3:] == ["day4", "day5", "day6"]
        return
    whole = [f"day{n}" for n in range(1, 9)]
    assert found in (whole, whole[:6])


def test_a_file_that_vanishes_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(tmp_path / "ledger.jsonl.1", *days(1, 3))
    write(path, *days(4, 6))
    files = Meanwhile()
    files.plans.append(("ledger.jsonl.1", 2, (tmp_path / "ledger.jsonl.1").unlink))
    assert found_by(path, files) == ["day4", "day5", "day6"]
