"""``abg run`` with the real clients: one session for all they start, and no way round it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import abg
from abg.test.clients import programs, terminal
from abg.test.clients.running import Finished, claude_environment, codex_environment, run
from abg.testing import FakeVendor

pytestmark = pytest.mark.usefixtures("loopback_network")

USAGE = {"input_tokens": 1000, "output_tokens": 100}


class Home:
    """A user with both agents on the PATH and a configuration of his own."""

    def __init__(self, folder: Path, vendor: FakeVendor) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.work.mkdir()
        self.config = folder / "config" / "abg" / "agentbillguard.yaml"
        self.config.parent.mkdir(parents=True)
        self.settings: dict[str, Any] = {
            "upstream_anthropic": vendor.url,
            "upstream_openai": vendor.url,
        }
        self.configure()
        bin = folder / "bin"
        bin.mkdir()
        newest, codex = programs.claude("newest"), programs.codex()
        if newest is None or codex is None:
            pytest.skip("the real clients are not there: python -m abg.test.clients.programs")
        (bin / "claude").symlink_to(newest)
        (bin / "codex").symlink_to(codex)
        self.environ = {
            **claude_environment(folder, ""),
            **codex_environment(folder),
            "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(Path(abg.__file__).parents[1]),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }
        del self.environ["ANTHROPIC_BASE_URL"]

    def configure(self, **settings: Any) -> None:
        self.settings |= settings
        self.config.write_text(json.dumps(self.settings), "utf-8")

    def claude_settings(self, **settings: Any) -> None:
        path = self.folder / ".claude" / "settings.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(settings), "utf-8")

    def abg(self, *words: str, environ: Mapping[str, str] | None = None) -> Finished:
        command = [sys.executable, "-m", "abg", *words]
        return run(command, {**self.environ, **(environ or {})}, self.work, 120)

    @property
    def entries(self) -> list[dict[str, Any]]:
        path = self.folder / "state" / "abg" / "ledger.jsonl"
        lines = map(json.loads, path.read_text("utf-8").splitlines())
        return [line for line in lines if "action" in line]

    @property
    def proxy_runs(self) -> bool:
        return self.abg("status").code == 0


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    with FakeVendor({"text": "done", "usage": USAGE}) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, vendor: FakeVendor) -> Home:
    return Home(tmp_path, vendor)


def script(command: str, more: Mapping[str, Any] | None = None) -> Any:
    """Conversations that name their task run a command first; others answer at once."""
    first = {"text": "I run it.", "run": command, "usage": USAGE}
    last = {"text": "done", "usage": USAGE}
    return {
        "rules": [
            {"path": "/messages", "contains": "the outer task", "turns": [first, last]},
            {"turns": [last]},
        ]
    }


def until(there: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something; a failure if it has not come by then."""
    ends = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.1)


def ended(home: Home, seconds: float = 10) -> bool:
    """Whether the proxy has gone by then."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if not home.proxy_runs:
            return True
        time.sleep(0.2)
    return False


CLAUDE = ("claude", "--dangerously-skip-permissions", "-p")
CODEX = ("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")


def test_all_that_an_agent_starts_spends_in_its_session(home: Home, vendor: FakeVendor) -> None:
    # Both agents' own files name a place where nobody is: whoever obeyed them would fail.
    home.claude_settings(env={"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"})
    (home.folder / ".codex" / "config.toml").write_text('openai_base_url = "http://127.0.0.1:9"')
    inner = "claude -p inner </dev/null && codex exec --skip-git-repo-check "
    inner += "--dangerously-bypass-approvals-and-sandbox inner </dev/null"
    vendor.script(script(f"sh -c '{inner}'"))
    done = home.abg("run", "--session", "mine", "--", *CLAUDE, "the outer task")
    assert done.code == 0, done
    assert {e["session_id"] for e in home.entries} == {"mine"}
    assert {e["agent"] for e in home.entries} == {"claude-code", "codex"}
    assert len(home.entries) == 4
    spent = sum(Decimal(str(e["cost_usd"])) for e in home.entries)
    assert "for 4 requests, 4.4k tokens" in done.stderr
    assert f"session mine at ${spent:.4f}"[:20] in done.stderr
    assert ended(home)


def test_codex_is_guarded_too(home: Home, vendor: FakeVendor) -> None:
    done = home.abg("run", "--session", "mine", "--", *CODEX, "hello")
    assert done.code == 0, done
    assert [e["session_id"] for e in home.entries] == ["mine"]


def test_a_spent_budget_is_told_by_exit_code_and_summary(home: Home) -> None:
    words = ("run", "--session", "mine", "--budget", "0.001", "--fail-on-block")
    summary = home.folder / "cost.json"
    words += ("--summary", str(summary), "--")
    assert home.abg(*words, *CLAUDE, "first").code == 0
    done = home.abg(*words, *CLAUDE, "second")
    assert done.code == 73, done
    assert "Session budget exhausted" in done.stdout
    told = json.loads(summary.read_text())
    assert (told["blocked"], told["exit_code"], told["stopped"]) == (1, 1, "session")
    assert "stopped by its budget" in summary.with_suffix(".md").read_text()
    # With more to spend it goes on.
    assert home.abg("run", "--session", "mine", "--budget", "1", "--", *CLAUDE, "third").code == 0


def test_runs_at_once_share_one_proxy_that_ends_with_the_last(home: Home) -> None:
    def start(name: str, seconds: int) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "abg", "run", "--session", name, "--"]
        inner = f"claude --dangerously-skip-permissions -p hi </dev/null; sleep {seconds}"
        return subprocess.Popen([*words, "sh", "-c", inner], env=home.environ, cwd=home.work)

    processes = [start("a", 0), start("b", 3)]
    assert processes[0].wait(60) == 0
    assert home.proxy_runs
    assert processes[1].wait(60) == 0
    assert {e["session_id"] for e in home.entries} == {"a", "b"}
    assert ended(home)


def test_bedrock_and_the_like_are_refused_before_anything_starts(home: Home) -> None:
    done = home.abg("run", "--", *CLAUDE, "hi", environ={"CLAUDE_CODE_USE_BEDROCK": "1"})
    assert done.code == 2
    assert "env -u CLAUDE_CODE_USE_BEDROCK" in done.stderr
    assert not (home.folder / "state").exists()


HOSTILE = """
import json, os, sys, urllib.error, urllib.request
base, vendor = os.environ["ABG_URL"], sys.argv[1]
token = os.environ["ANTHROPIC_API_KEY"]
body = {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": []}
def post(url, **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    headers |= {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
print(json.dumps({
    "own": post(base + "/v1/messages", x_api_key=token),
    "other path": post(base + "/s/other/v1/messages", x_api_key=token),
    "other header": post(base + "/v1/messages", x_api_key=token, x_abg_session_id="other"),
    "no token": post(base + "/v1/messages"),
    "a key": post(base + "/v1/messages", x_api_key="sk-ant-guessed"),
    "forged": post(base + "/v1/messages", x_api_key=token[:-1] + "_"),
    "admin": post(base + "/abg/budgets/raise", x_abg_admin_token="guessed"),
    "keys": sorted(k for k, v in os.environ.items() if "real" in v),
}))
"""


@pytest.fixture
def custody(home: Home) -> Iterator[Home]:
    """A proxy that runs and holds the keys, which are in nobody else's environment."""
    keys = {"anthropic": "env:REAL_ONE", "openai": "env:REAL_TWO"}
    home.configure(credentials=keys, lock_budgets=True)
    words = [sys.executable, "-m", "abg", "proxy", "--port", "0"]
    environ = {**home.environ, "REAL_ONE": "sk-ant-real", "REAL_TWO": "sk-real"}
    proxy = subprocess.Popen(words, env=environ, cwd=home.work, stdout=subprocess.PIPE, text=True)
    try:
        assert proxy.stdout is not None
        assert proxy.stdout.readline().startswith("[abg] listening")
        yield home
    finally:
        proxy.terminate()
        proxy.communicate(timeout=20)


def test_a_hostile_agent_without_a_key_spends_nothing_that_is_not_counted(
    custody: Home, vendor: FakeVendor
) -> None:
    program = custody.work / "hostile.py"
    program.write_text(HOSTILE)
    words = ("run", "--session", "mine", "--", sys.executable, str(program), vendor.url)
    done = custody.abg(*words, environ={"ANTHROPIC_API_KEY": "sk-ant-real"})
    assert done.code == 0, done
    found = json.loads(done.stdout)
    assert [found[k] for k in ("own", "other path", "other header")] == [200, 200, 200]
    assert all(found[k] >= 400 for k in ("no token", "a key", "forged", "admin"))
    assert found["keys"] == []
    passed = [e for e in custody.entries if e["action"] != "block"]
    assert [e["session_id"] for e in passed] == ["mine"] * 3
    assert len(vendor.records) == 3
    assert [h["x-api-key"] for h in sent(vendor)] == ["sk-ant-real"] * 3


def test_the_real_clients_spend_with_a_token_alone(custody: Home, vendor: FakeVendor) -> None:
    assert custody.abg("run", "--session", "mine", "--", *CLAUDE, "hi").code == 0
    assert custody.abg("run", "--session", "mine", "--", *CODEX, "hi").code == 0
    assert {e["session_id"] for e in custody.entries} == {"mine"}
    claude, *codex = sent(vendor)
    assert claude["x-api-key"] == "sk-ant-real"
    assert {h["authorization"] for h in codex} == {"Bearer sk-real"}


def sent(vendor: FakeVendor) -> list[dict[str, str]]:
    """The headers of all that reached the vendor; no token of abg's is in any of them."""
    found = [dict(map(_lower, record.request.headers)) for record in vendor.records]
    assert not any("abg_" in value for headers in found for value in headers.values())
    return found


def _lower(field: tuple[Any, Any]) -> tuple[str, str]:
    name, value = (v.decode() if isinstance(v, bytes) else str(v) for v in field)
    return name.lower(), value


def test_the_status_line_and_the_hook_are_seen_in_the_terminal(home: Home) -> None:
    reason = terminal.why_not()
    if reason:
        pytest.skip(reason)
    word = [sys.executable, "-m", "abg"]
    hook = {"hooks": [{"type": "command", "command": " ".join([*word, "hook"])}]}
    home.claude_settings(
        statusLine={"type": "command", "command": " ".join([*word, "statusline"])},
        hooks={"SessionStart": [hook], "UserPromptSubmit": [hook]},
    )
    (home.folder / ".claude.json").write_text(
        json.dumps(
            {
                "hasCompletedOnboarding": True,
                "bypassPermissionsModeAccepted": True,
                "customApiKeyResponses": {"approved": ["sk-ant-fake"], "rejected": []},
                "projects": {str(home.work): {"hasTrustDialogAccepted": True}},
            }
        )
    )
    command = [*word, "run", "--session", "mine", "--budget", "0.0145", "--", *CLAUDE[:2]]
    with terminal.Terminal(command, home.environ, home.work) as screen:
        screen.wait_for("abg $0.00", 40)
        # Each call costs $0.006: two are 83 % of the budget, three are past it.
        for count, told in enumerate(("first", "second"), 1):
            screen.type(told)
            until(lambda count=count: len(home.entries) == count)
            screen.wait_for(f"abg ${Decimal('0.006') * count}", 20)
        screen.type("third")
        screen.wait_for("left, about 0 requests at this pace", 30)
        screen.wait_for("STOPPED: abg budget raise --session mine", 30)
        screen.type("fourth")
        screen.wait_for("API Error: 402 [abg] Session budget exhausted", 30)


def test_it_adds_little_to_a_start(home: Home) -> None:
    """Against a proxy that runs already, the difference that ``abg run`` makes to ``true``."""
    words = [sys.executable, "-m", "abg", "proxy", "--port", "0"]
    proxy = subprocess.Popen(
        words, env=home.environ, cwd=home.work, stdout=subprocess.PIPE, text=True
    )
    try:
        assert proxy.stdout is not None
        assert proxy.stdout.readline().startswith("[abg] listening")
        times = []
        for _ in range(3):
            began = time.monotonic()
            assert home.abg("run", "--", str(shutil.which("true"))).code == 0
            times.append(time.monotonic() - began)
    finally:
        proxy.terminate()
        proxy.communicate(timeout=20)
    # On a machine at leisure it is under 0.3 s; a busy one gets more.
    assert min(times) < 2
