"""``abg ledger``: the exit code tells whether the record is whole, the text where it is not."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from abg.cli.ledger import add_ledger
from abg.test.journals import Desk


def call(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="abg ledger")
    add_ledger(parser)
    arguments = parser.parse_args(words)
    code: int = arguments.run(arguments)
    return code


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.open()
    for _ in range(30):
        desk.settle("0.01", "s")
    return desk


def test_a_sound_ledger_exits_0(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verify", str(desk.path)) == 0  # also while the proxy writes it
    assert capsys.readouterr().out == f"{desk.path}: 30 lines in 1 file, $0.3000: sound\n"


def test_findings_exit_1_with_their_places(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.journal.close()
    lines = desk.lines()
    lines[4] = b"nonsense"
    desk.path.write_bytes(b"\n".join(lines))
    assert call("verify", str(desk.path)) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("ledger.jsonl:5 (byte ")
    assert out[-1].endswith("30 lines in 1 file, $0.2900: 4 findings")
    desk.path.write_bytes(b"nonsense\n" * 30)
    call("verify", str(desk.path))
    assert "… and 10 more: --all" in capsys.readouterr().out
    call("verify", "--all", str(desk.path))
    assert len(capsys.readouterr().out.splitlines()) == 31


def test_a_repaired_copy_is_written(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.journal.close()
    lines = desk.lines()
    lines[4] = b"nonsense"
    desk.path.write_bytes(b"\n".join(lines) + b"\n")
    assert call("repair", str(desk.path)) == 0
    out = capsys.readouterr().out
    assert "left out ledger.jsonl:5 (byte " in out
    assert (
        "1 adjustment for lines that are lost: $0.0100\n25 lines linked anew\n29 lines kept" in out
    )
    assert call("verify", f"{desk.path}.repaired") == 0


def test_a_sound_ledger_needs_no_repair(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("repair", str(desk.path)) == 0
    assert capsys.readouterr().out.startswith("30 lines kept in ")


def test_what_cannot_be_read_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verify", str(tmp_path / "none.jsonl")) == 2
    assert "there is no ledger" in capsys.readouterr().err
    assert call("repair", str(tmp_path)) == 2
    assert "directory" in capsys.readouterr().err
    for what in ("verify", "repair"):
        assert call(what, str(tmp_path)) == 2
        assert call(what, os.devnull) == 2
        assert "not a regular file" in capsys.readouterr().err


def test_a_ledger_between_two_files_is_verified(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.path.rename(desk.path.with_name("ledger.jsonl.1"))
    assert call("verify", str(desk.path)) == 0
    assert "30 lines in 1 file" in capsys.readouterr().out


def test_the_configured_ledger_is_the_default(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABG_LEDGER_FILE", str(desk.path))
    monkeypatch.chdir(desk.path.parent)
    assert call("verify") == 0
    assert str(desk.path) in capsys.readouterr().out
    assert call("verify", "--config", str(desk.path.with_name("none.yaml"))) == 2
    assert "none.yaml" in capsys.readouterr().err
