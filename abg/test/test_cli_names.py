"""Names that are typed, or that a script hands on: whatever they hold, a command means the session
that a call of that name spends in, and what it says steers no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from abg.attribution import safe_name
from abg.cli import main
from abg.test.standin import StandIn, own_places

STRANGE = ["x\nall sessions: blocked", "x\x1b[2Jy", "x\udcff", "x\u202ey"]
COMMANDS = {
    "/abg/block": ["block", "NAME"],
    "/abg/unblock": ["unblock", "NAME"],
    "/abg/budgets/raise": ["budget", "raise", "--by", "1", "--session", "NAME"],
}


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    own_places(monkeypatch, tmp_path)
    with StandIn() as running:
        yield running


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("path", COMMANDS)
def test_a_strange_name_is_the_session_that_its_calls_spend_in(
    proxy: StandIn, path: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [name if word == "NAME" else word for word in COMMANDS[path]]
    assert main([*words, "--url", proxy.url]) == 0
    assert proxy.posts[0][1]["session"] == safe_name(name)
    out = capsys.readouterr().out
    assert safe_name(name) in out
    assert out.count("\n") == 1
    assert out.strip().isprintable()


@pytest.mark.parametrize(
    ("whose", "said"),
    [
        (
            ["--session", "default"],
            "session default may now spend $4.00, but $4.12 is spent already",
        ),
        (["--budget", "daily"], "budget daily may now spend $4.00, but $5.34 is spent already"),
        (
            ["--session", "bugfix-login"],
            "session bugfix-login may now spend $4.00; a stopped agent",
        ),
        (["--budget", "daily", "--session", "default"], "may now spend $4.00; a stopped agent"),
    ],
)
def test_a_raise_that_lets_nothing_pass_yet_says_so(
    proxy: StandIn, whose: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy.replies["/abg/budgets/raise"] = (200, {"was_usd": 3.5, "limit_usd": 4})
    assert main(["budget", "raise", "--by", "0.5", *whose, "--url", proxy.url]) == 0
    assert said in capsys.readouterr().out


def test_bytes_that_are_no_text_reach_the_proxy_as_json(
    proxy: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "u\udcff")
    assert main(["budget", "raise", "--by", "1", "--budget", "b\udcff", "--url", proxy.url]) == 0
    body = proxy.posts[0][1]
    assert (body["budget"], body["who"]) == ("b\\udcff", "u\\udcff")


@pytest.mark.parametrize(
    "words",
    [
        ["status", "x\x1b[2J"],
        ["status", "--config", "x\x1b[2J"],
        ["prices", "update", "x\x1b[2J"],
        ["token", "revoke", "x\x1b[2J"],
        ["block", ""],
    ],
)
def test_a_complaint_repeats_nothing_that_steers_a_terminal(
    proxy: StandIn, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) in (1, 2)
    told = capsys.readouterr()
    assert told.err
    assert (told.out + told.err).replace("\n", "").isprintable()
