"""Whatever a disk gives back, totals are those of the lines that are whole."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from abg.journal import Journal
from abg.journal.checkpoint import Checkpoint, json_of, pack, unpack
from abg.journal.files import Files
from abg.journal.history import LedgerFile
from abg.journal.inflight import read_open
from abg.journal.replay import Replay
from abg.ledger import encode
from abg.test.journals import Clock, Desk, Sums, abandon, entry, inline


@contextmanager
def ledger(data: bytes, checkpoint: bytes | None = None, inflight: bytes = b"") -> Iterator[Sums]:
    """Totals of a ledger with such contents, opened as a proxy opens it."""
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "ledger.jsonl"
        path.write_bytes(data)
        path.with_name("ledger.jsonl.inflight").write_bytes(inflight)
        if checkpoint is not None:
            path.with_name("ledger.jsonl.checkpoint").write_bytes(checkpoint)
        totals = Sums()
        journal = Journal.open(path, totals=totals, clock=Clock())
        yield totals
        abandon(journal)
        # What the start has repaired needs no repair, and says the same.
        again = Sums()
        journal = Journal.open(path, totals=again, clock=Clock())
        assert again.sessions == totals.sessions
        assert journal.crashed == 0
        abandon(journal)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, bytes]:
    """A ledger of forty calls, its checkpoint, and an in-flight journal with calls in it."""
    with pytest.MonkeyPatch.context() as patch:
        inline(patch)
        patch.setattr("abg.journal.journal.CHECKPOINT_LINES", 30)
        desk = Desk(tmp_path_factory.mktemp("valid"))
        desk.open()
        for number in range(40):
            desk.finish(desk.reserve(), f"0.{number + 1:03}", f"s{number % 3}")
            if number == 30:
                desk.journal.tick()
        for _ in range(4):
            desk.reserve("7", "open")
        abandon(desk.journal)
        read = [desk.path.with_name(f"ledger.jsonl{x}") for x in ("", ".checkpoint", ".inflight")]
        data, checkpoint, inflight = (path.read_bytes() for path in read)
        assert unpack(checkpoint) is not None
        return data, checkpoint, inflight


def sums_of(data: bytes, lines: list[bytes]) -> dict[str, Decimal]:
    """An oracle without a parser: which of the known lines stand in the data on their own."""
    sums: dict[str, Decimal] = {}
    known = {line: (f"s{n % 3}", Decimal(f"0.{n + 1:03}")) for n, line in enumerate(lines)}
    *whole, last = data.split(b"\n")
    for piece in (*whole, last.rstrip(b"\0")):
        found = known.get(piece.lstrip(b"\0").strip(b"\r \t\n"))
        if found is not None:
            sums[found[0]] = sums.get(found[0], Decimal(0)) + found[1]
    return sums


def is_json(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


garbage = st.one_of(
    st.binary(max_size=60),
    st.integers(0, 10_000).map(bytes),
    st.sampled_from([b"\n", b"\n\n", b"{", b'{"ts":"2026', b"\0\n\0", b'"}\n', b"\xff\n", b" \t"]),
)


@given(st.data(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_prefix_and_any_garbage_replay_to_the_whole_lines(
    valid: tuple[bytes, bytes, bytes], data: st.DataObject, with_checkpoint: bool
) -> None:
    whole, checkpoint, _ = valid
    cut = data.draw(st.integers(0, len(whole)))
    torn = whole[:cut] + data.draw(garbage)
    # Garbage that happens to close what was torn makes a line of its own, and is none.
    torn_line = torn[:cut].rpartition(b"\n")[2]
    assume(not is_json(torn[cut - len(torn_line) :].partition(b"\n")[0]) or torn == whole[:cut])
    with ledger(torn, checkpoint if with_checkpoint else None) as totals:
        assert totals.sessions == sums_of(torn, whole.splitlines())


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_checkpoint_never_makes_a_wrong_total(
    valid: tuple[bytes, bytes, bytes], data: st.DataObject
) -> None:
    whole, checkpoint, _ = valid
    at = data.draw(st.integers(0, len(checkpoint)))
    changed = checkpoint[:at] + data.draw(st.binary(max_size=3)) + checkpoint[at + 1 :]
    with ledger(whole, changed) as totals:
        assert totals.sessions == sums_of(whole, whole.splitlines())


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_prefix_of_the_side_journal_tells_its_whole_lines(
    valid: tuple[bytes, bytes, bytes], data: st.DataObject
) -> None:
    whole, _, inflight = valid
    torn = inflight[: data.draw(st.integers(0, len(inflight)))]
    tail = data.draw(st.sampled_from([b"", b"\0" * 9, b"\n{", b"\n\xff\n[]\n"]))
    left = len([line for line in torn.split(b"\n") if b'"7"' in line and line[-1:] == b"}"])
    with ledger(whole, None, torn + tail) as totals:
        assert totals.sessions.get("open", Decimal(0)) == 7 * left


def test_the_checkpoint_is_used_where_it_fits(valid: tuple[bytes, bytes, bytes]) -> None:
    whole, checkpoint, _ = valid
    with ledger(whole, checkpoint) as totals:
        assert totals.loads == 1
        assert totals.sessions == sums_of(whole, whole.splitlines())


def lines_of(whole: bytes) -> list[bytes]:
    return [line + b"\n" for line in whole.splitlines()]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("another ledger", lambda lines: lines[:0] + lines[1:]),
        ("a shorter one", lambda lines: lines[:20]),
        ("changed before it", lambda lines: [*lines[:30], b"x" * 30 + b"\n", *lines[30:]]),
    ],
)
def test_a_foreign_or_stale_checkpoint_is_left_alone(
    valid: tuple[bytes, bytes, bytes], name: str, change: object
) -> None:
    whole, checkpoint, _ = valid
    changed = b"".join(change(lines_of(whole)))  # type: ignore[operator]
    with ledger(changed, checkpoint) as totals:
        assert totals.loads == 0, name
        assert totals.sessions == sums_of(changed, whole.splitlines())


def test_a_checkpoint_of_other_rules_is_left_alone(valid: tuple[bytes, bytes, bytes]) -> None:
    whole, checkpoint, _ = valid
    saved = unpack(checkpoint)
    assert saved is not None
    other = Checkpoint(
        saved.identity,
        saved.offset,
        saved.lines,
        saved.tail,
        saved.number,
        "other rules",
        saved.spent,
        {"sessions": {"s0": "999"}, "ids": []},
    )
    with ledger(whole, pack(other)) as totals:
        assert totals.loads == 0
        assert totals.sessions == sums_of(whole, whole.splitlines())


def test_a_checkpoint_that_the_totals_cannot_load_is_left_alone(
    valid: tuple[bytes, bytes, bytes],
) -> None:
    whole, checkpoint, _ = valid
    saved = unpack(checkpoint)
    assert saved is not None
    other = Checkpoint(
        saved.identity,
        saved.offset,
        saved.lines,
        saved.tail,
        saved.number,
        saved.budgets,
        saved.spent,
        ["no", "sense"],
    )
    with ledger(whole, pack(other)) as totals:
        assert totals.sessions == sums_of(whole, whole.splitlines())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}\n{}\n",
        b"\n\n",
        b'{"version":1}\nnull\n',
        b"[" * 100_000 + b"\nnull\n",
    ],
)
def test_what_is_no_checkpoint_is_none(data: bytes) -> None:
    assert unpack(data) is None


def test_a_dump_may_hold_any_text() -> None:
    assert json_of({"s\ud800": 1}) == b'{"s\\\\ud800":1}'


def test_a_long_replay_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abg.journal.replay.PROGRESS_BYTES", 1000)
    monkeypatch.setattr("abg.journal.history.BLOCK", 500)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"".join(encode(entry(id=f"r{n}")) for n in range(20)))
    said: list[str] = []
    Journal.open(path, totals=Sums(), clock=Clock(), say=said.append).close()
    assert re.fullmatch(r"\[abg\] reading the ledger: 1\d %", said[0])
    assert len(said) > 4


def test_findings_are_kept_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"x\n" * 500 + (encode(entry(), "0123") + encode(entry())) * 300)
    replay = Replay(Files(), Sums())
    replay.run([LedgerFile(path, "", 0, 0.0, path.stat().st_size, 0.0)], None)
    assert (replay.damages, len(replay.damaged)) == (500, 100)
    assert (replay.breaks, len(replay.broken)) == (600, 100)


def test_no_input_breaks_the_side_journals_reader() -> None:
    for data in (b"null\n", b"3\n", b'{"reserve":[]}\n', b'{"release":{}}\n', b'{"progress":1}\n'):
        assert isinstance(read_open(data), dict)
