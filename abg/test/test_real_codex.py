"""The real Codex, through a real proxy, against the fake vendor. Nothing leaves the machine."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from abg.test.clients import programs
from abg.test.clients.exact import charged, price
from abg.test.clients.proxy import ProxyProcess
from abg.test.clients.running import Finished, ended, run_codex
from abg.testing import FakeVendor

pytestmark = pytest.mark.usefixtures("loopback_network")

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def counts(read: int, cached: int, written: int, reasoning: int) -> dict[str, Any]:
    """OpenAI's spelling: cached tokens are inside the input, reasoning inside the output."""
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": read + written,
    }


TURNS = [
    {"text": "First a file.", "run": "echo one > one.txt", "usage": counts(17_003, 0, 211, 64)},
    {
        "thinking": "Now the other.",
        "text": "",
        "run": "cat one.txt && echo two > two.txt",
        "usage": counts(17_401, 16_896, 97, 0),
    },
    {"text": "Both files are written.", "usage": counts(17_555, 17_280, 1_301, 832)},
]
# With the default model: one turn costs less than this, two cost more.
CAP = 0.039
SESSION = {"rules": [{"path": "/responses", "by": "conversation", "turns": TURNS}]}


@pytest.fixture(autouse=True)
def codex() -> Path:
    binary = programs.codex()
    if binary is None:
        pytest.skip(
            f"Codex is not in {programs.folder()} (or node is missing): "
            "python -m abg.test.clients.programs installs it"
        )
    return binary


def work(folder: Path, proxy: ProxyProcess, *arguments: str) -> Finished:
    place = folder / "work"
    place.mkdir(exist_ok=True)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return run_codex(home, f"{proxy.url}/v1", "write two files", *arguments, folder=place)


def refusal(proxy: ProxyProcess, session: str) -> str:
    """The message that abg gives this session when asked directly."""
    request = urllib.request.Request(
        f"{proxy.url}/v1/responses",
        json.dumps({"model": "gpt-5.5", "input": "hi"}).encode(),
        {
            "content-type": "application/json",
            "authorization": "Bearer sk-fake",
            "session-id": session,
        },
    )
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=10)
    assert raised.value.code == 400
    told: dict[str, Any] = json.loads(raised.value.read())
    assert told["error"]["code"] == "invalid_prompt"
    return str(told["error"]["message"])


@pytest.mark.parametrize("model", ["gpt-6.1-sol", "gpt-5.5"])
def test_a_session_with_tools_is_metered_to_the_exact_cost(model: str, tmp_path: Path) -> None:
    with FakeVendor(SESSION) as vendor, ProxyProcess(tmp_path / "abg", vendor.url) as proxy:
        done = work(tmp_path, proxy, "-m", model)
        assert done.code == 0, done
        assert done.stdout.strip() == "Both files are written."
        assert (tmp_path / "work" / "two.txt").read_text() == "two\n"
        upgrades = [r for r in vendor.records if r.request.method == "GET"]
        assert not upgrades, "abg answers the upgrade itself"

        entries = proxy.entries
        session = entries[0]["session_id"]
        assert UUID.fullmatch(session)
        assert {c.session for c in vendor.charges} == {session}
        assert [e["session_id"] for e in entries] == [session] * 3
        assert [e["agent"] for e in entries] == ["codex"] * 3
        assert [e["model"] for e in entries] == [model] * 3
        assert {e["cost_source"] for e in entries} == {"measured"}
        assert {e["price"] for e in entries} == {"table"}

        expected = [price(c.model, c.usage) for c in vendor.charges]
        assert [e["cost_usd"] for e in entries] == expected
        assert entries[-1]["session_total_usd"] == sum(expected)
        assert [e["input_tokens"] for e in entries] == [17_003, 505, 275]
        assert [e["cache_read_tokens"] for e in entries] == [0, 16_896, 17_280]
        assert [e["reasoning_tokens"] for e in entries] == [64, 0, 832]
        assert proxy.status["sessions"] == {session: sum(expected)}


def test_at_the_cap_it_stops_after_one_refused_request(tmp_path: Path) -> None:
    with (
        FakeVendor(SESSION) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=CAP) as proxy,
    ):
        done = work(tmp_path, proxy)
        assert done.code == 1, done
        paid = [r for r in vendor.records if r.request.method == "POST"]
        assert len(paid) == 2, "a blocked request never reaches the vendor"
        entries = proxy.entries
        assert [e["action"] for e in entries][-1] == "block"
        assert [e["action"] for e in entries].count("block") == 1, "it asked again"
        assert entries[-1]["session_total_usd"] == charged(vendor.charges)

        message = refusal(proxy, entries[-1]["session_id"])
        assert message.startswith("[abg] Session budget exhausted: $")
        assert f"ERROR: {message}" in done.stderr
        assert done.stdout.strip() == ""


def test_at_the_cap_its_json_output_tells_of_the_refusal(tmp_path: Path) -> None:
    with (
        FakeVendor(SESSION) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=CAP) as proxy,
    ):
        done = work(tmp_path, proxy, "--json")
        assert done.code == 1
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        message = refusal(proxy, proxy.entries[-1]["session_id"])
        assert {"type": "error", "message": message} in events
        failed = [e for e in events if e["type"] == "turn.failed"]
        assert [e["error"]["message"] for e in failed] == [message]


def test_after_a_raise_it_goes_on_in_the_same_session(tmp_path: Path) -> None:
    with (
        FakeVendor(SESSION) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=CAP) as proxy,
    ):
        assert work(tmp_path, proxy).code == 1
        session = proxy.entries[-1]["session_id"]
        raised = proxy.command(
            "budget", "raise", "--session", session, "--by", "5", "--url", proxy.url
        )
        assert raised.returncode == 0, raised
        # An exec run that was stopped is gone on with by `exec resume`, which takes no `-c` after.
        done = work(tmp_path, proxy, "resume", session)
        assert done.code == 0, done
        paid = [e for e in proxy.entries if e["action"] != "block"]
        assert {e["session_id"] for e in paid} == {session}
        assert sum((e["cost_usd"] for e in paid), Decimal(0)) == charged(vendor.charges)


def swarm(size: int, usage: dict[str, Any]) -> dict[str, Any]:
    """A session that sends ``size`` sub-agents at once and waits for them."""
    spawn = [
        {"name": "spawn_agent", "input": {"task_name": f"t{n}", "message": f"SUBTASK {n}"}}
        for n in range(size)
    ]
    wait = {"name": "wait_agent", "input": {"timeout_ms": 10_000}}
    turns = [
        {"text": "I send them.", "tool": spawn, "usage": counts(17_003, 0, 211, 64)},
        *[{"text": "", "tool": wait, "usage": counts(17_401, 16_896, 97, 0)}] * size,
        {"text": "All is seen.", "usage": counts(17_555, 17_280, 1_301, 832)},
    ]
    seen = {"text": "seen", "usage": usage, "delay": 0.05}
    return {
        "rules": [
            {"header": "x-openai-subagent: *", "turns": [seen]},
            {"path": "/responses", "by": "conversation", "turns": turns},
        ]
    }


def test_parallel_subagents_count_into_their_parents_session(tmp_path: Path) -> None:
    script = swarm(3, counts(17_100, 16_896, 300, 0))
    with FakeVendor(script) as vendor, ProxyProcess(tmp_path / "abg", vendor.url) as proxy:
        done = work(tmp_path, proxy)
        assert done.code == 0, done
        assert done.stdout.strip() == "All is seen."
        entries = proxy.entries
        assert {e["session_id"] for e in entries} == {c.session for c in vendor.charges}
        assert len({e["session_id"] for e in entries}) == 1
        # Codex ends with its main thread: a sub-agent that is late is left in its answer.
        whole = [e for e in entries if e["cost_source"] == "measured"]
        assert len(whole) >= len(entries) - 2
        sent = [e for e in entries if e.get("subagent")]
        assert {e["subagent"] for e in sent} == {"collab_spawn"}
        assert len({e["thread"] for e in sent}) == 3
        assert sum((e["cost_usd"] for e in whole), Decimal(0)) == charged(vendor.charges)


def test_a_swarm_at_the_cap_stops_with_one_refusal_each(tmp_path: Path) -> None:
    with (
        FakeVendor(swarm(3, counts(17_100, 16_896, 3_000, 0))) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=0.06) as proxy,
    ):
        done = work(tmp_path, proxy)
        assert done.code == 1, done
        entries = proxy.entries
        session = entries[0]["session_id"]
        assert f"ERROR: {refusal(proxy, session)}" in done.stderr
        refused = [e["thread"] for e in entries if e["action"] == "block"]
        assert session in refused, "the main thread was not told"
        assert len(set(refused)) == len(refused), "a thread asked again"
        paid = charged(vendor.charges)
        dearest = max(e["cost_usd"] for e in entries)
        assert paid <= Decimal("0.06") + dearest, "more than the one call that crosses"


def test_a_cut_stream_is_not_asked_for_again(tmp_path: Path) -> None:
    turn = {"text": "word by word " * 40, "events": 600, "pause": 0.005, "usage": {}}
    script = {"rules": [{"path": "/responses", "turns": [turn]}]}
    settings = {"session_budget_usd": 0.10, "cut_streams": True}
    with (
        FakeVendor(script) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, **settings) as proxy,
    ):
        done = work(tmp_path, proxy)
        assert done.code == 1, done
        assert "ERROR: [abg] Session budget exhausted: $" in done.stderr
        asked = [r for r in vendor.records if r.request.method == "POST"]
        assert ended(asked) == ["client_gone"], "the vendor was not stopped"
        entries = proxy.entries
        assert len(entries) == 1, "it asked again"
        assert entries[0]["cost_source"] == "estimated"
        assert entries[0]["cost_usd"] >= Decimal("0.10")
