"""The lives of a session with the real clients: resumed, forked, compacted, left, waited for.

After each life the books are compared: what the vendor answered, once each, is what the ledger
has, call by call, and its cost is what the vendor would charge.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from abg.test import test_real_terminals
from abg.test.clients import terminal
from abg.test.clients.exact import charged
from abg.test.clients.proxy import ProxyProcess
from abg.test.clients.running import Finished, claude_environment, run, run_codex
from abg.test.test_real_terminals import codex_terminal, wait_for_entries
from abg.testing import FakeVendor

pytestmark = pytest.mark.usefixtures("loopback_network")

WORD = "A word from the vendor."
TALK: dict[str, Any] = {"text": WORD, "usage": {"input_tokens": 12, "output_tokens": 2_000}}
NAME = "my-task"


def sessions(proxy: ProxyProcess, since: int = 0) -> list[str]:
    """The session of each call, in order."""
    return [e["session_id"] for e in proxy.entries[since:]]


def compare_books(vendor: FakeVendor, proxy: ProxyProcess) -> None:
    """No call is lost, none is sent or counted twice, and each total is the sum of its calls."""
    paid = [e for e in proxy.entries if e["action"] != "block"]
    asked = [r for r in vendor.records if r.request.method == "POST"]
    assert len(paid) == len(asked)
    told = [e["response_id"] for e in paid]
    assert len(set(told)) == len(told)
    measured = [e["cost_usd"] for e in paid if e["cost_source"] == "measured"]
    assert sum(measured, Decimal(0)) == charged(vendor.charges)
    totals: dict[str, Decimal] = {}
    for entry in paid:
        totals[entry["session_id"]] = totals.get(entry["session_id"], 0) + entry["cost_usd"]
    assert proxy.status["sessions"] == totals


# -- Claude Code ---------------------------------------------------------------------------------


Say = Callable[..., Finished]


def claude_in(binary: Path, folder: Path, proxy: ProxyProcess) -> Say:
    """Says something to Claude Code, always in the same home and folder."""
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()

    def say(text: str, *arguments: str, under: str = "") -> Finished:
        environment = claude_environment(home, proxy.url + under)
        environment["CLAUDE_CODE_GATEWAY_HINT_HEADERS"] = "1"
        words = ["-p", text, "--output-format", "json", "--dangerously-skip-permissions"]
        return run([str(binary), *words, *arguments], environment, work, 20)

    return say


def test_claude_code_resumed_is_the_same_session_a_fork_is_another(
    claude: Path, tmp_path: Path
) -> None:
    with FakeVendor(TALK) as vendor, ProxyProcess(tmp_path / "abg", vendor.url) as proxy:
        say = claude_in(claude, tmp_path, proxy)
        first = say("one").json["session_id"]
        for words in (("--resume", first), ("--continue",)):
            done = say("more", *words)
            assert (done.code, done.json["result"]) == (0, WORD)
        forked = say("else", "--resume", first, "--fork-session").json["session_id"]
        assert forked != first
        assert sessions(proxy) == [first] * 3 + [forked]
        assert proxy.entries[2]["session_total_usd"] == 3 * proxy.entries[0]["cost_usd"]

        # The path outlives them all.
        under = f"/s/{NAME}"
        again = say("one", under=under).json["session_id"]
        say("more", "--resume", again, under=under)
        say("else", "--resume", again, "--fork-session", under=under)
        assert sessions(proxy, 4) == [NAME] * 3
        compare_books(vendor, proxy)


def test_a_compaction_in_claude_code_counts_like_any_other_call(
    claude: Path, tmp_path: Path
) -> None:
    with (
        FakeVendor(TALK) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=0.16) as proxy,
    ):
        say = claude_in(claude, tmp_path, proxy)
        session = say("one").json["session_id"]
        say("more", "--resume", session)
        before = len(proxy.entries)
        done = say("/compact", "--resume", session)
        assert (done.code, done.json["session_id"]) == (0, session)
        compacting = proxy.entries[before:]
        assert compacting
        assert set(sessions(proxy)) == {session}
        assert all(e["cost_usd"] > 0 for e in compacting)
        # The older version gives no hints.
        if proxy.entries[0].get("request_class") is not None:
            assert {e["request_class"] for e in compacting} == {"compaction"}
        compare_books(vendor, proxy)

        # And where the budget is spent, it is refused like any other.
        while proxy.status["sessions"][session] < Decimal("0.16"):
            assert say("more", "--resume", session).code == 0
        asked = len(vendor.records)
        done = say("/compact", "--resume", session)
        assert "API Error: 402 [abg] Session budget exhausted: $" in done.stdout
        assert len([r for r in vendor.records[asked:] if r.request.method == "POST"]) == 0
        compare_books(vendor, proxy)


@pytest.fixture
def a_terminal() -> None:
    reason = terminal.why_not()
    if reason:
        pytest.skip(reason)


@pytest.mark.usefixtures("a_terminal")
def test_the_title_counts_in_claude_code_and_the_context_is_free(
    claude: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talkative(home: Path, url: str) -> dict[str, str]:
        environment = claude_environment(home, url)
        del environment["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"]
        return environment

    monkeypatch.setattr(test_real_terminals, "claude_environment", talkative)
    with (
        FakeVendor(TALK) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=0.06) as proxy,
        test_real_terminals.claude_terminal(claude, tmp_path, proxy.url) as screen,
    ):
        screen.wait_for("bypass permissions on")
        screen.type("say something")
        screen.wait_for(WORD)
        found = wait_for_entries(proxy, 2)
        assert len(set(sessions(proxy))) == 1
        # The turn and the title: each costs two thirds of the budget.
        assert found[-1]["session_total_usd"] >= Decimal("0.06")
        screen.type("/context")
        screen.wait_for("by category")
        counted = [r for r in vendor.records if "count_tokens" in r.request.target]
        assert len(counted) > 5
        assert {r.status for r in counted} == {200}
        assert proxy.entries == found
        vendor_calls = [r for r in vendor.records if r.request.path.endswith("/messages")]
        assert len(vendor_calls) == len(found)


# -- Codex ---------------------------------------------------------------------------------------


def events(done: Finished) -> list[dict[str, Any]]:
    """What ``codex exec --json`` said."""
    assert done.code == 0, done
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def thread_of(done: Finished) -> str:
    started = [e["thread_id"] for e in events(done) if e["type"] == "thread.started"]
    return str(started[0])


@pytest.mark.usefixtures("codex")
def test_codex_resumed_is_the_same_session_a_fork_is_another(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    with FakeVendor(TALK) as vendor, ProxyProcess(tmp_path / "abg", vendor.url) as proxy:

        def say(text: str, *arguments: str, under: str = "") -> Finished:
            url = f"{proxy.url}{under}/v1"
            return run_codex(home, url, text, "--json", *arguments, folder=work)

        told = say("one")
        first = thread_of(told)
        items = [e["item"] for e in events(told) if e["type"] == "item.completed"]
        assert WORD in [item.get("text") for item in items]
        assert thread_of(say("more", "resume", first)) == first
        forked = thread_of(say("else", "fork", first))
        assert forked != first
        assert sessions(proxy) == [first, first, forked]
        assert proxy.entries[1]["session_total_usd"] == 2 * proxy.entries[0]["cost_usd"]

        under = f"/s/{NAME}"
        again = thread_of(say("one", under=under))
        say("more", "resume", again, under=under)
        say("else", "fork", again, under=under)
        assert sessions(proxy, 3) == [NAME] * 3
        compare_books(vendor, proxy)


# What Codex wants from a compaction: one item of this type, which a fake vendor's step can say only
# as a field of the response (``input`` is for the fake, which tells an item's words in two halves).
SHORT = {"type": "compaction", "id": "cmp_fake", "encrypted_content": "ZmFrZQ==", "input": ""}
COMPACTING = {
    "rules": [
        {"contains": "compaction_trigger", "turns": [{**TALK, "fields": {"output": [SHORT]}}]},
        {"turns": [TALK]},
    ]
}


@pytest.mark.usefixtures("a_terminal")
def test_codex_compacts_and_starts_anew_in_the_same_budget(codex: Path, tmp_path: Path) -> None:
    with (
        FakeVendor(COMPACTING) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url) as proxy,
        codex_terminal(codex, tmp_path, f"{proxy.url}/s/{NAME}") as screen,
    ):
        screen.wait_for("Ask Codex to do anything")
        screen.type("say something")
        screen.wait_for(WORD)
        # The turn and the title of its thread.
        before = len(wait_for_entries(proxy, 2))
        screen.type("/compact")
        screen.wait_for("Context compacted")
        before = len(wait_for_entries(proxy, before + 1))
        vendor.script({**TALK, "text": "Quite new."})
        screen.type("/new")
        screen.type("say more")
        screen.wait_for("Quite new.")
        wait_for_entries(proxy, before + 2)
        assert set(sessions(proxy)) == {NAME}
        compare_books(vendor, proxy)


@pytest.mark.usefixtures("a_terminal")
def test_escape_in_codex_settles_what_was_streamed(codex: Path, tmp_path: Path) -> None:
    endless = {"text": "word by word ", "events": 2_000, "pause": 0.02, "usage": TALK["usage"]}
    with (
        FakeVendor(endless) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url) as proxy,
        codex_terminal(codex, tmp_path, f"{proxy.url}/s/{NAME}") as screen,
    ):
        screen.wait_for("Ask Codex to do anything")
        screen.type("say something")
        screen.wait_for("esc to interrupt")
        screen.wait_for("word")
        screen.press("Escape")
        found = wait_for_entries(proxy, 1)
        left = [e for e in found if e["end"] == "client_gone"]
        assert left
        assert all(e["cost_source"] == "estimated" and e["cost_usd"] > 0 for e in left)
        vendor.script({**TALK, "text": "On we go."})
        screen.type("go on")
        screen.wait_for("On we go.")
        assert set(sessions(proxy)) == {NAME}


@pytest.mark.usefixtures("a_terminal")
def test_codex_waits_for_a_proxy_that_is_restarted(codex: Path, tmp_path: Path) -> None:
    with FakeVendor(TALK) as vendor:
        proxy = ProxyProcess(tmp_path / "abg", vendor.url)
        with proxy, codex_terminal(codex, tmp_path, f"{proxy.url}/s/{NAME}") as screen:
            screen.wait_for("Ask Codex to do anything")
            screen.type("say something")
            screen.wait_for(WORD)
            wait_for_entries(proxy, 2)
            vendor.script({**TALK, "text": "On we go."})
            before = proxy.restart_after(1.5, lambda: screen.type("say more"))
            screen.wait_for("On we go.", 15)
            wait_for_entries(proxy, before + 1)
            assert set(sessions(proxy)) == {NAME}
            compare_books(vendor, proxy)
