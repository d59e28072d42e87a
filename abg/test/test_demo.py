"""``abg demo`` shows what it says, without a key, without network, and in time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from abg.home.show import CONTINUED, TURNS, config, vendor_script
from abg.testing import parse_script

HERE = Path(__file__).parents[2]


def test_the_script_is_one_the_vendor_can_follow():
    parse_script(vendor_script((*TURNS, CONTINUED)))


def test_the_third_turn_crosses_the_cap():
    def cost(turn):
        per_million = (3, 3.75, 0.3, 15)
        return sum(n * p for n, p in zip(turn.usage.values(), per_million, strict=True)) / 1e6

    assert cost(TURNS[0]) + cost(TURNS[1]) < 0.05
    assert cost(TURNS[0]) + cost(TURNS[1]) + cost(TURNS[2]) >= 0.05


def test_its_configuration_is_plain_yaml():
    assert yaml.safe_load(config("http://127.0.0.1:1"))["session_budget_usd"] == 0.05


def test_an_agent_is_stopped_at_five_cents_and_goes_on_after_a_raise(tmp_path):
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(HERE),
        "LANG": "C.UTF-8",
        # A corporate proxy that is not there: nothing of the demo may ask it.
        "HTTP_PROXY": "http://127.0.0.1:1",
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "abg", "demo", "--fast"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    out = done.stdout
    assert out.count("[abg] ALLOW session=demo") >= 2
    assert "[abg] WARN session=demo" in out
    assert "[abg] BLOCKED session=demo | Session budget exhausted: $0.06 >= $0.05" in out
    assert "is refused (HTTP 402): [abg] Session budget exhausted: $0.06 >= $0.05" in out
    assert "session demo may now spend" in out
    assert "The vendor saw 4 calls" in out
    assert list(tmp_path.iterdir()) == []
    assert time.monotonic() - began < 60
