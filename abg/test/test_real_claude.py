"""The real Claude Code, through a real proxy, against the fake vendor.

An older version and the newest. Nothing leaves the machine.
"""

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
from abg.test.clients.running import Finished, ended, run_claude
from abg.testing import FakeVendor

pytestmark = pytest.mark.usefixtures("loopback_network")

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

# A session as the vendor sees it: a first turn that writes the cache, later ones that read it.
FIRST = {
    "input_tokens": 31,
    "cache_creation_input_tokens": 20_011,
    "cache_creation": {"ephemeral_5m_input_tokens": 12_011, "ephemeral_1h_input_tokens": 8_000},
    "output_tokens": 77,
}
SECOND = {"input_tokens": 13, "cache_read_input_tokens": 20_011, "output_tokens": 4_001}
THIRD = {
    "input_tokens": 7,
    "cache_read_input_tokens": 20_011,
    "cache_creation_input_tokens": 541,
    "output_tokens": 1_203,
}
TURNS = [
    {"text": "First a file.", "run": "echo one > one.txt", "usage": FIRST},
    {"thinking": "Now the other.", "run": "cat one.txt && echo two > two.txt", "usage": SECOND},
    {"text": "Both files are written.", "usage": THIRD},
]
# With the default models of both versions: one turn costs less than this, two cost more.
CAP = 0.20
SESSION = {"rules": [{"path": "/messages", "by": "conversation", "turns": TURNS}]}


def work(binary: Path, folder: Path, proxy: ProxyProcess, *arguments: str) -> Finished:
    place = folder / "work"
    place.mkdir(exist_ok=True)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    told = "write two files"
    return run_claude(binary, home, proxy.url, told, *arguments, folder=place)


def refusal(proxy: ProxyProcess, session: str) -> str:
    """The message that abg gives this session when asked directly."""
    request = urllib.request.Request(
        f"{proxy.url}/v1/messages",
        json.dumps({"model": "claude-opus-5-5", "max_tokens": 9, "messages": []}).encode(),
        {
            "content-type": "application/json",
            "anthropic-version": "2023-06-01",
            "x-api-key": "sk-ant-fake",
            "x-claude-code-session-id": session,
        },
    )
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=10)
    assert raised.value.code == 402
    told: dict[str, Any] = json.loads(raised.value.read())
    return str(told["error"]["message"])


def test_a_session_with_tools_is_metered_to_the_exact_cost(claude: Path, tmp_path: Path) -> None:
    with FakeVendor(SESSION) as vendor, ProxyProcess(tmp_path / "abg", vendor.url) as proxy:
        done = work(claude, tmp_path, proxy, "--output-format", "json")
        assert done.code == 0, done
        assert done.json["result"] == "Both files are written."
        assert (tmp_path / "work" / "two.txt").read_text() == "two\n"

        session = done.json["session_id"]
        assert UUID.fullmatch(session)
        entries = proxy.entries
        assert [e["session_id"] for e in entries] == [session] * 3
        assert [e["agent"] for e in entries] == ["claude-code"] * 3
        assert [e["action"] for e in entries] == ["allow"] * 3
        assert {e["cost_source"] for e in entries} == {"measured"}
        assert {e["price"] for e in entries} == {"table"}

        expected = [price(c.model, c.usage) for c in vendor.charges]
        assert [e["cost_usd"] for e in entries] == expected
        assert [e["session_total_usd"] for e in entries] == [
            expected[0],
            expected[0] + expected[1],
            sum(expected),
        ]
        first = entries[0]
        assert first["input_tokens"] == FIRST["input_tokens"]
        assert first["cache_write_tokens"] == FIRST["cache_creation_input_tokens"]
        assert entries[1]["cache_read_tokens"] == SECOND["cache_read_input_tokens"]
        assert entries[2]["output_tokens"] == THIRD["output_tokens"]
        assert proxy.status["sessions"] == {session: sum(expected)}
        # The client works its cost out in floats.
        assert float(sum(expected)) == pytest.approx(done.json["total_cost_usd"], abs=1e-9)


def test_at_the_cap_it_stops_after_one_refused_request(claude: Path, tmp_path: Path) -> None:
    with (
        FakeVendor(SESSION) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=CAP) as proxy,
    ):
        done = work(claude, tmp_path, proxy)
        assert done.code == 1, done
        paid = [r for r in vendor.records if r.request.method == "POST"]
        assert len(paid) == 2, "a blocked request never reaches the vendor"

        entries = proxy.entries
        assert [e["action"] for e in entries][-1] == "block"
        assert [e["action"] for e in entries].count("block") == 1, "it asked again"
        blocked = entries[-1]
        assert blocked["cost_usd"] == 0
        assert blocked["session_total_usd"] == charged(vendor.charges)

        message = refusal(proxy, blocked["session_id"])
        assert message.startswith("[abg] Session budget exhausted: $")
        assert f"API Error: 402 {message}" in done.stdout
        assert done.stderr.strip() == ""
        said = [line for line in proxy.console if "BLOCKED" in line]
        assert said[0].startswith(
            f"[abg] BLOCKED session={blocked['session_id']} | Session budget exhausted: $"
        )


def test_at_the_cap_its_json_output_tells_of_the_refusal(claude: Path, tmp_path: Path) -> None:
    with (
        FakeVendor(SESSION) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=CAP) as proxy,
    ):
        done = work(claude, tmp_path, proxy, "--output-format", "json")
        assert done.code == 1
        told = done.json
        assert told["is_error"] is True
        assert told["api_error_status"] == 402
        message = refusal(proxy, told["session_id"])
        assert told["result"] == f"API Error: 402 {message}"


def test_after_a_raise_it_goes_on_in_the_same_session(claude: Path, tmp_path: Path) -> None:
    with (
        FakeVendor(SESSION) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=CAP) as proxy,
    ):
        stopped = work(claude, tmp_path, proxy, "--output-format", "json")
        assert stopped.code == 1
        session = stopped.json["session_id"]
        raised = proxy.command(
            "budget", "raise", "--session", session, "--by", "5", "--url", proxy.url
        )
        assert raised.returncode == 0, raised
        done = work(claude, tmp_path, proxy, "--resume", session, "--output-format", "json")
        assert done.code == 0, done
        assert done.json["session_id"] == session
        paid = [e for e in proxy.entries if e["action"] != "block"]
        assert {e["session_id"] for e in paid} == {session}
        assert sum((e["cost_usd"] for e in paid), Decimal(0)) == charged(vendor.charges)


def swarm(size: int, usage: dict[str, Any]) -> dict[str, Any]:
    """A session that sends ``size`` sub-agents at once."""
    tools = [
        {
            "name": "Agent",
            "input": {
                "description": f"look around {number}",
                "prompt": f"SUBTASK {number}: say what you see",
                "subagent_type": "general-purpose",
                "run_in_background": False,
            },
        }
        for number in range(size)
    ]
    agents = [
        {"text": "I send them.", "tool": tools, "usage": FIRST},
        {"text": "All is seen.", "usage": THIRD},
    ]
    seen = {"text": "seen", "usage": usage, "pause": 0.02}
    return {
        "rules": [
            {"header": "x-claude-code-agent-id: *", "turns": [seen]},
            {"path": "/messages", "by": "conversation", "turns": agents},
        ]
    }


def test_parallel_subagents_count_into_their_parents_session(claude: Path, tmp_path: Path) -> None:
    script = swarm(4, SECOND)
    with FakeVendor(script) as vendor, ProxyProcess(tmp_path / "abg", vendor.url) as proxy:
        done = work(claude, tmp_path, proxy, "--output-format", "json")
        assert done.code == 0, done
        entries = proxy.entries
        assert {e["session_id"] for e in entries} == {done.json["session_id"]}
        assert len({e["subagent"] for e in entries if e.get("subagent")}) == 4
        assert sum((e["cost_usd"] for e in entries), Decimal(0)) == charged(vendor.charges)


def test_a_swarm_at_the_cap_stops_with_one_refusal_each(claude: Path, tmp_path: Path) -> None:
    with (
        FakeVendor(swarm(6, SECOND)) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, session_budget_usd=CAP) as proxy,
    ):
        done = work(claude, tmp_path, proxy, "--output-format", "json")
        assert done.code == 1, done
        session = done.json["session_id"]
        assert done.json["result"] == f"API Error: 402 {refusal(proxy, session)}"
        entries = proxy.entries[:-1]
        refused = [e.get("subagent") for e in entries if e["action"] == "block"]
        assert None in refused, "the main thread was not told"
        assert len(set(refused)) == len(refused), "a thread asked again"
        paid = charged(vendor.charges)
        assert entries[-1]["session_total_usd"] == paid
        dearest = max(e["cost_usd"] for e in entries)
        assert paid <= Decimal(str(CAP)) + dearest, "more than the one call that crosses"

        proxy.command("budget", "raise", "--session", session, "--by", "5", "--url", proxy.url)
        on = work(claude, tmp_path, proxy, "--resume", session, "--output-format", "json")
        assert on.code == 0, on
        assert {e["session_id"] for e in proxy.entries} == {session}


RUNAWAY = {
    "rules": [
        {
            "path": "/messages",
            "turns": [
                {"text": "word by word " * 40, "events": 600, "pause": 0.005, "usage": FIRST}
            ],
        }
    ]
}


def test_a_cut_stream_is_followed_by_one_refused_request(claude: Path, tmp_path: Path) -> None:
    settings = {"session_budget_usd": CAP, "cut_streams": True}
    with (
        FakeVendor(RUNAWAY) as vendor,
        ProxyProcess(tmp_path / "abg", vendor.url, **settings) as proxy,
    ):
        done = work(claude, tmp_path, proxy)
        assert done.code == 1, done
        assert "API Error: 402 [abg] Session budget exhausted: $" in done.stdout
        asked = [r for r in vendor.records if r.request.method == "POST"]
        assert ended(asked) == ["client_gone"], "the vendor was not stopped"
        actions = [e["action"] for e in proxy.entries]
        assert len(actions) == 2, actions
        assert actions[1] == "block"
        cut = proxy.entries[0]
        assert cut["cost_source"] == "estimated"
        assert cut["cost_usd"] >= Decimal(str(CAP))


MODELS = (
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-4-5",
    "claude-opus-4-6",
    "claude-fable-5-2",
    "claude-haiku-5-5",
)


@pytest.mark.parametrize("model", MODELS)
def test_the_clients_own_total_is_abgs_session_total(model: str, tmp_path: Path) -> None:
    binary = programs.claude("newest")
    if binary is None:
        pytest.skip("the newest Claude Code is not installed")
    searching = {**SECOND, "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0}}
    turns = [dict(TURNS[0]), {**TURNS[1], "usage": searching}, dict(TURNS[2])]
    script = {"rules": [{"path": "/messages", "by": "conversation", "turns": turns}]}
    with FakeVendor(script) as vendor, ProxyProcess(tmp_path / "abg", vendor.url) as proxy:
        done = work(binary, tmp_path, proxy, "--model", model, "--output-format", "json")
        assert done.code == 0, done
        assert {c.model for c in vendor.charges} == {model}
        total = proxy.status["sessions"][done.json["session_id"]]
        assert total == sum((e["cost_usd"] for e in proxy.entries), Decimal(0))
        assert float(total) == pytest.approx(done.json["total_cost_usd"], abs=1e-9)


ADVICE = {"input_tokens": 1_000, "output_tokens": 100}
COMPACTING = {"input_tokens": 30_000, "output_tokens": 900}


def test_what_the_client_does_not_count_is_just_the_difference(tmp_path: Path) -> None:
    """An advisor's pass both count, each at its own model; a compaction only abg and the vendor."""
    binary = programs.claude("newest")
    if binary is None:
        pytest.skip("the newest Claude Code is not installed")
    model, advisor = "claude-opus-5-5", "claude-sonnet-5-5"
    passes = [
        {"type": "message", "model": model, **SECOND},
        {"type": "advisor_message", "model": advisor, **ADVICE},
        {"type": "compaction", "model": model, **COMPACTING},
    ]
    turns = [dict(TURNS[0]), {**TURNS[1], "usage": {**SECOND, "iterations": passes}}, TURNS[2]]
    script = {"rules": [{"path": "/messages", "by": "conversation", "turns": turns}]}
    with FakeVendor(script) as vendor, ProxyProcess(tmp_path / "abg", vendor.url) as proxy:
        done = work(binary, tmp_path, proxy, "--model", model, "--output-format", "json")
        assert done.code == 0, done
        plain = sum((price(model, usage) for usage in (FIRST, SECOND, THIRD)), Decimal(0))
        counted = plain + price(advisor, ADVICE)
        assert counted == Decimal(str(done.json["total_cost_usd"])).quantize(Decimal("1e-9"))
        total = proxy.status["sessions"][done.json["session_id"]]
        assert total == counted + price(model, COMPACTING)


def test_a_nested_claude_starts_its_own_session_but_not_under_a_path(
    claude: Path, tmp_path: Path
) -> None:
    inner = f"{claude} -p QUAGGA --dangerously-skip-permissions"
    script = {
        "rules": [
            {"path": "/messages", "contains": "QUAGGA", "lacks": "OKAPI", "turns": ["from inside"]},
            {"path": "/messages", "by": "conversation", "turns": [{"run": inner}, "from outside"]},
        ]
    }
    with FakeVendor(script) as vendor, ProxyProcess(tmp_path / "abg", vendor.url) as proxy:
        place = tmp_path / "work"
        place.mkdir()
        home = tmp_path / "home"
        home.mkdir()
        free = run_claude(claude, home, proxy.url, "OKAPI", folder=place)
        assert free.code == 0, free
        assert len({e["session_id"] for e in proxy.entries}) == 2
        before = len(proxy.entries)
        url = f"{proxy.url}/s/my-task"
        fenced = run_claude(claude, home, url, "OKAPI", folder=place)
        assert fenced.code == 0, fenced
        assert {e["session_id"] for e in proxy.entries[before:]} == {"my-task"}
        assert proxy.status["sessions"]["my-task"] == charged(vendor.charges[before:])
