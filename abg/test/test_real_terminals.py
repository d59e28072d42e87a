"""The real clients in a terminal, through a real proxy: what only their interactive side does."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from abg.test.clients import terminal
from abg.test.clients.exact import charged
from abg.test.clients.proxy import ProxyProcess
from abg.test.clients.running import claude_environment, codex_environment, ended
from abg.test.clients.terminal import Terminal
from abg.testing import FakeVendor

pytestmark = pytest.mark.usefixtures("loopback_network")

WORD = "A word from the vendor."
SMALL = {"input_tokens": 12, "output_tokens": 2_000}
TALK: dict[str, Any] = {"text": WORD, "usage": SMALL}


@pytest.fixture(autouse=True)
def a_terminal() -> None:
    reason = terminal.why_not()
    if reason:
        pytest.skip(reason)


def places(folder: Path) -> tuple[Path, Path]:
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    return home, work


def claude_terminal(binary: Path, folder: Path, url: str) -> Terminal:
    """Claude Code past its first questions."""
    home, work = places(folder)
    environment = claude_environment(home, url)
    answered = {
        "hasCompletedOnboarding": True,
        "theme": "dark",
        "bypassPermissionsModeAccepted": True,
        "customApiKeyResponses": {"approved": [environment["ANTHROPIC_API_KEY"][-20:]]},
        "projects": {str(work): {"hasTrustDialogAccepted": True}},
    }
    (home / ".claude.json").write_text(json.dumps(answered))
    (home / ".claude").mkdir()
    settings = {"skipDangerousModePermissionPrompt": True}
    (home / ".claude" / "settings.json").write_text(json.dumps(settings))
    return Terminal([str(binary), "--dangerously-skip-permissions"], environment, work)


def codex_terminal(binary: Path, folder: Path, url: str) -> Terminal:
    """Codex, logged in with a fake key and trusting its folder."""
    home, work = places(folder)
    environment = codex_environment(home)
    # The terminal side takes its key from the login alone.
    del environment["CODEX_API_KEY"]
    place = Path(environment["CODEX_HOME"])
    login = {"auth_mode": "apikey", "OPENAI_API_KEY": "sk-fake"}
    (place / "auth.json").write_text(json.dumps(login))
    (place / "config.toml").write_text(f'[projects."{work}"]\ntrust_level = "trusted"\n')
    command = [str(binary), "-c", f"openai_base_url={url}/v1", "-c", "analytics.enabled=false"]
    command.append("--dangerously-bypass-approvals-and-sandbox")
    return Terminal(command, environment, work)


def wait_for_entries(proxy: ProxyProcess, count: int) -> list[dict[str, Any]]:
    """The ledger's calls as soon as there are so many."""
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        entries = proxy.entries if proxy.ledger_file.exists() else []
        if len(entries) >= count:
            return entries
        time.sleep(0.1)
    raise AssertionError(f"{count} entries did not come: {entries}")


def test_clear_in_claude_code_starts_a_session_unless_under_a_path(
    claude: Path, tmp_path: Path
) -> None:
    with FakeVendor(TALK) as vendor, ProxyProcess(tmp_path / "abg", vendor.url) as proxy:
        for prefix, sessions in (("", 2), ("/s/my-task", 1)):
            folder = tmp_path / f"as{sessions}"
            folder.mkdir()
            before = len(proxy.entries) if prefix else 0
            with claude_terminal(claude, folder, proxy.url + prefix) as screen:
                screen.wait_for("bypass permissions on")
                screen.type("say something")
                screen.wait_for(WORD)
                wait_for_entries(proxy, before + 1)
                screen.type("/clear")
                time.sleep(1)
                middle = len(proxy.entries)
                screen.type("say more")
                screen.wait_for(WORD)
                found = wait_for_entries(proxy, middle + 1)[before:]
            assert len({e["session_id"] for e in found}) == sessions
        assert {e["session_id"] for e in found} == {"my-task"}
        assert sum((e["cost_usd"] for e in proxy.entries), Decimal(0)) == charged(vendor.charges)


def test_claude_code_goes_on_after_a_raise_in_the_same_terminal(
    claude: Path, tmp_path: Path
) -> None:
    with (
        FakeVendor(TALK) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=0.12) as proxy,
        claude_terminal(claude, tmp_path, proxy.url) as screen,
    ):
        screen.wait_for("bypass permissions on")
        screen.type("say something")
        screen.wait_for(WORD)
        spent = wait_for_entries(proxy, 1)
        session = spent[0]["session_id"]
        # Each answer costs a third of the budget or more; the older version asks for a title too.
        for _ in range(3):
            if proxy.status["sessions"][session] >= Decimal("0.12"):
                break
            screen.type("say more")
            time.sleep(1.5)
        asked = len([r for r in vendor.records if r.request.method == "POST"])
        screen.type("say still more")
        screen.wait_for("API Error: 402 [abg] Session budget exhausted: $")
        assert len([r for r in vendor.records if r.request.method == "POST"]) == asked
        done = proxy.command(
            "budget", "raise", "--session", session, "--by", "1", "--url", proxy.url
        )
        assert done.returncode == 0, done
        vendor.script({**TALK, "text": "On we go."})
        screen.type("continue")
        screen.wait_for("On we go.")
        assert {e["session_id"] for e in proxy.entries} == {session}


def test_escape_in_claude_code_settles_what_was_streamed(claude: Path, tmp_path: Path) -> None:
    endless = {"text": "word by word ", "events": 2_000, "pause": 0.02, "usage": SMALL}
    with (
        FakeVendor(endless) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url) as proxy,
        claude_terminal(claude, tmp_path, proxy.url) as screen,
    ):
        screen.wait_for("bypass permissions on")
        screen.type("say something")
        screen.wait_for("word by word")
        screen.press("Escape")
        found = wait_for_entries(proxy, 1)
        left = [e for e in found if e["cost_source"] == "estimated"]
        assert left
        assert all(e["cost_usd"] > 0 for e in left)
        assert "client_gone" in {e["end"] for e in left}
        assert "client_gone" in ended(vendor.records)
        vendor.script({**TALK, "text": "On we go."})
        screen.type("go on")
        screen.wait_for("On we go.")


def test_codex_shows_the_refusal_and_goes_on_after_a_raise(codex: Path, tmp_path: Path) -> None:
    with (
        FakeVendor(TALK) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=0.02) as proxy,
        codex_terminal(codex, tmp_path, f"{proxy.url}/s/my-task") as screen,
    ):
        screen.wait_for("Ask Codex to do anything")
        screen.type("say something")
        screen.wait_for(WORD)
        # The title of the thread is a call too; the path keeps it in the same budget.
        found = wait_for_entries(proxy, 2)
        assert {e["session_id"] for e in found} == {"my-task"}
        assert sum((e["cost_usd"] for e in found), Decimal(0)) == charged(vendor.charges)
        screen.type("say more")
        screen.wait_for("[abg] Session budget exhausted: $")
        done = proxy.command(
            "budget", "raise", "--session", "my-task", "--by", "1", "--url", proxy.url
        )
        assert done.returncode == 0, done
        vendor.script({**TALK, "text": "On we go."})
        screen.type("continue")
        screen.wait_for("On we go.")


def test_a_restart_of_the_proxy_in_a_session_is_waited_for(claude: Path, tmp_path: Path) -> None:
    with FakeVendor(TALK) as vendor:
        first = ProxyProcess(tmp_path / "abg", vendor.url)
        with first, claude_terminal(claude, tmp_path, first.url) as screen:
            screen.wait_for("bypass permissions on")
            screen.type("say something")
            screen.wait_for(WORD)
            before = first.restart_after(1.5, lambda: screen.type("say more"))
            vendor.script({**TALK, "text": "On we go."})
            screen.wait_for("On we go.", 40)
            found = wait_for_entries(first, before + 1)
            assert len({e["session_id"] for e in found}) == 1
            total = sum((e["cost_usd"] for e in found), Decimal(0))
            assert total == charged(vendor.charges)
            assert first.status["sessions"][found[0]["session_id"]] == total
