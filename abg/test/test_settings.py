"""The agents' files are read as the agents read them; abg's own from wherever one stands."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from abg.cli import settings, where
from abg.home import claude
from abg.test.standin import own_places

TEXT = json.dumps({"env": {"ANTHROPIC_BASE_URL": "https://gw"}})


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT[:-1].encode() + b', "x": "\xff"}',
    ],
)
def test_settings_are_read_in_every_encoding_that_claude_reads(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(raw)
    text = settings.read_text(str(path))
    assert text is not None
    assert claude.parse_settings("", text).env == {"ANTHROPIC_BASE_URL": "https://gw"}


@pytest.mark.parametrize("path", ["gone", "a\0b", "."])
def test_what_cannot_be_read_is_no_text(tmp_path: Path, path: str) -> None:
    assert settings.read_text(str(tmp_path / path)) is None


def test_managed_settings_have_a_folder_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed = tmp_path / "managed-settings.json"
    monkeypatch.setattr(claude, "setting_paths", lambda *_: ((str(managed), True),))
    assert settings.claude_files() == ()
    parts = tmp_path / "managed-settings.d"
    parts.mkdir()
    for name, url in (("20.json", "b"), ("10.json", "a"), ("x.txt", "c")):
        (parts / name).write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": url}}))
    found = settings.claude_files()
    assert [file.env["ANTHROPIC_BASE_URL"] for file in found] == ["a", "b"]
    assert all(file.managed for file in found)


def test_local_settings_are_found_at_the_root_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_places(monkeypatch, tmp_path)
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / ".claude").mkdir()
    (tmp_path / "repo" / ".claude" / "settings.local.json").write_text(TEXT)
    (tmp_path / "repo" / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repo" / "a" / "b")
    assert [file.env for file in settings.claude_files()] == [json.loads(TEXT)["env"]]


def test_a_working_folder_that_was_removed_is_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_places(monkeypatch, tmp_path)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("PWD", str(gone))
    gone.rmdir()
    assert where.working_folder() == gone
    assert settings.load().path is None
    assert [address.source for address in where.addresses(None, None)] == ["the default address"]
    monkeypatch.delenv("PWD")
    assert not where.working_folder().exists()
    assert settings.load().path is None
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "lock",
    [
        # Anybody's name, though it begins like loopback: it would be given the admin token.
        '{"host": "127.example.com", "port": 80}',
        '{"host": "127.0.0.1.example.com", "port": 80}',
        '{"host": "127.0.0.1", "port": 65536}',
        '{"host": "127.0.0.1", "port": -1}',
        '{"host": "127.0.0.1", "port": true}',
        "[" * 100_000,
    ],
)
def test_a_lock_file_leads_nowhere_but_to_this_machine(tmp_path: Path, lock: str) -> None:
    (tmp_path / "ledger.jsonl.lock").write_text(lock)
    assert where.read_lock(tmp_path / "ledger.jsonl") is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "0.0.0.0", "::"])
def test_a_lock_file_of_this_machine_counts(tmp_path: Path, host: str) -> None:
    (tmp_path / "ledger.jsonl.lock").write_text(json.dumps({"host": host, "port": 80}))
    assert where.read_lock(tmp_path / "ledger.jsonl") is not None
