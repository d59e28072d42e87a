"""The crash torture in short: a few kills of the journal, and of the real proxy under load.

By hand it runs for as long as one likes: ``python benchmarks/crash_torture.py --help``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import abg

RUNNER = Path(abg.__file__).parent.parent / "benchmarks" / "crash_torture.py"

pytestmark = [
    pytest.mark.skipif(not RUNNER.exists(), reason="benchmarks/ is not part of an installed abg"),
    pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL"),
]


@pytest.mark.parametrize(
    "words",
    [
        ("journal", "--rounds", "4"),
        ("points", "--rounds", "4"),
        ("proxy", "--rounds", "2"),
        ("proxy", "--rounds", "2", "--points"),
        ("crowd", "--rounds", "6"),
    ],
    ids=" ".join,
)
def test_what_is_killed_comes_back_whole(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, str(RUNNER), *words], capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "sound" in done.stdout
