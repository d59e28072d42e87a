"""The ground a command stands on: a terminal, a folder, a home that is not as it should be."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from abg.cli import client, main
from abg.test.standin import own_places


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_that_lacks_letters_gets_the_rest(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    assert main(["run", "--help"]) == 0
    sys.stdout.flush()
    assert b"PROGRAM" in raw.getvalue()


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (
            PermissionError(13, "Permission denied", "/home/u/.config"),
            "abg: Permission denied: /home/u/.config\n",
        ),
        (OSError("odd"), "abg: odd\n"),
    ],
)
def test_a_folder_that_may_not_be_entered_is_told_in_a_line(
    problem: OSError,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def denied(*_: object) -> None:
        raise problem

    monkeypatch.setattr(client, "status", denied)
    assert main(["holds"]) == 1
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    "words", [["status"], ["report"], ["doctor", "--offline"], ["ledger", "verify"], ["holds"]]
)
def test_no_command_is_lost_in_a_folder_that_was_removed(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_places(monkeypatch, tmp_path)
    monkeypatch.setenv("ABG_PORT", "1")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(words) in (0, 1, 2)
    monkeypatch.chdir(tmp_path)


def test_who_thinks_better_of_it_while_a_command_is_loaded_sees_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("abg.cli.import_module", interrupted)
    assert main(["status"]) == 130
