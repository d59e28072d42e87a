"""A file that somebody named is read whole, and a pipe without a writer keeps nobody waiting."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from abg import wholefile
from abg.cli import settings, where
from abg.errors import ConfigError
from abg.journal.lock import holder
from abg.vault import read_keys

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no such pipes")


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(wholefile.read_whole, "__defaults__", (wholefile.MOST, 0.05))
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_a_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 200_000)
    assert wholefile.read_whole(path) == b"x" * 200_000
    assert wholefile.read_whole(path, 70_000) == b"x" * 70_000


def test_a_device_without_an_end_has_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no key"):
        read_keys({"openai": "file:/dev/zero"}, {})


def test_what_is_written_into_a_pipe_is_read_as_it_comes(pipe: Path) -> None:
    writer = threading.Thread(target=pipe.write_bytes, args=(b"fake-key\n" * 50_000,))
    writer.start()
    assert wholefile.read_whole(pipe, patience=10) == b"fake-key\n" * 50_000
    writer.join()


def test_nobody_waits_for_a_pipe_without_a_writer(pipe: Path) -> None:
    with pytest.raises(OSError, match="nobody writes into this pipe"):
        wholefile.read_whole(pipe)
    with pytest.raises(ConfigError, match=r"pipe cannot be read \(nobody writes"):
        read_keys({"anthropic": f"file:{pipe}"}, {})
    with pytest.raises(ConfigError, match="cannot be read: nobody writes"):
        settings.load(str(pipe))


def test_a_pipe_of_a_proxy_with_many_connections_is_read(
    pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl
    import resource

    high = 2000
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != before[1] <= high:
        pytest.skip("this machine allows no file of a number that high")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], high + 1), before[1]))

    def numbered(path: str, flags: int) -> int:
        low = os.open(path, flags | os.O_NONBLOCK)
        try:
            return fcntl.fcntl(low, fcntl.F_DUPFD, high)
        finally:
            os.close(low)

    monkeypatch.setattr(wholefile, "_at_once", numbered)
    try:
        with pytest.raises(OSError, match="nobody writes into this pipe"):
            wholefile.read_whole(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(b"fake-key",))
        writer.start()
        assert wholefile.read_whole(pipe, patience=10) == b"fake-key"
        writer.join()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_lock_file_that_is_a_pipe_tells_of_no_proxy(pipe: Path) -> None:
    ledger = pipe.parent / "ledger.jsonl"
    pipe.rename(f"{ledger}.lock")
    assert where.read_lock(ledger) is None
    assert holder(ledger) is None
    Path(f"{ledger}.lock").unlink()
    Path(f"{ledger}.lock").write_text(json.dumps({"host": "127.0.0.1", "port": 9}))
    assert where.read_lock(ledger) is not None
