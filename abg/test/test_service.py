"""The program as users start it: its first lines, its exit codes, its ports, its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.selectreactor import SelectReactor

import abg
from abg.service import steady
from abg.test.certificates import Authority
from abg.test.clients.proxy import ProxyProcess
from abg.testing import FakeVendor

ASK = {
    "model": "claude-opus-4-8",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hi"}],
}
USAGE = {"input_tokens": 200_000, "output_tokens": 0}
"""One USD on claude-opus-4-8."""


def post(url: str, body: Any, **headers: str) -> tuple[int, bytes]:
    """Status and body of a POST; names of headers with ``_`` for ``-``."""
    fields = {"content-type": "application/json", "x-api-key": "sk-ant-fake"}
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    request = urllib.request.Request(url, json.dumps(body).encode(), fields)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def talk_to(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def send(client: socket.socket, body: Any) -> None:
    """One POST, and the answer is left to the caller."""
    raw = json.dumps(body).encode()
    client.sendall(
        b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: k\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(raw), raw)
    )


def start(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        env={
            "HOME": str(folder),
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(Path(abg.__file__).parent.parent),
            **environ,
        },
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def config(folder: Path, **settings: Any) -> str:
    path = folder / "abg.yaml"
    path.write_text(json.dumps(settings))
    return str(path)


def test_first_lines_and_a_clean_end(tmp_path):
    with FakeVendor() as vendor, ProxyProcess(tmp_path, vendor.url) as proxy:
        assert proxy.console[0] == f"[abg] listening on {proxy.url}"
        assert post(f"{proxy.url}/v1/messages", ASK)[0] == 200
        time.sleep(0.2)
        text = "\n".join(proxy.console)
        assert "[abg] session budget: $5.00 daily budget: $20.00" in text
        assert str(tmp_path / "ledger.jsonl") in text
        assert str(proxy.config_file) in text
        assert "[abg] ALLOW session=default model=claude-opus-4-8 cost=" in text
    assert os.stat(tmp_path / "ledger.jsonl").st_mode & 0o777 == 0o600


LATER = (
    "OpenSSL",
    "abg.report",
    "abg.simulate",
    "abg.testing",
    "abg.web",
    "abg.wire.site",
    "brotli",
    "cryptography",
    "importlib.resources",
    "service_identity",
    "twisted.application",
    "twisted.internet.endpoints",
    "twisted.plugin",
    "twisted.web",
    "zipfile",
    "zstandard",
)
"""What an idle proxy has no use for; TLS alone is 13 MB, ``twisted.web`` 4."""

TELLING = (
    "import sys; from abg.cli import main; code = main(sys.argv[1:]); "
    "print('modules', *(name for name, found in sys.modules.items() if found)); sys.exit(code)"
)


def test_what_is_needed_later_is_imported_later(tmp_path):
    # Nobody listens there, and nobody is asked; https, as the real vendors are.
    with ProxyProcess(tmp_path, "https://127.0.0.1:9", program=("-c", TELLING)) as proxy:
        pass
    _, *there = proxy.console[-1].split(" ")
    assert "abg.service" in there
    early = [m for m in there if m in LATER or m.startswith(tuple(f"{name}." for name in LATER))]
    assert early == []
    commands = {m for m in there if m.startswith("abg.cli.")}
    assert commands == {f"abg.cli.{name}" for name in ("http", "proxy", "settings", "where")}


def test_tls_comes_with_the_first_vendor_that_speaks_it(tmp_path):
    authority = Authority(tmp_path)
    encrypted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    encrypted.load_cert_chain(authority.issue("127.0.0.1"))
    trusting = f"import os; os.environ['SSL_CERT_FILE'] = {str(authority.file)!r}; {TELLING}"
    program = ("-c", trusting)
    codex = {"model": "gpt-5.5", "input": "hi", "stream": True}
    with FakeVendor() as api, FakeVendor(tls=encrypted) as plan:
        place = f"{plan.url}/backend-api/codex"
        with ProxyProcess(tmp_path, api.url, program, upstream_chatgpt=place) as proxy:
            url = f"{proxy.url}/v1/responses"
            assert post(f"{proxy.url}/v1/messages", ASK)[0] == 200
            for _ in range(2):
                status, body = post(url, codex, chatgpt_account_id="a", authorization="Bearer k")
                assert (status, b"response.completed" in body) == (200, True)
            assert post(f"{proxy.url}/v1/messages", ASK)[0] == 200
        assert (len(api.records), len(plan.records)) == (2, 2)
    _, *there = proxy.console[-1].split(" ")
    assert "OpenSSL" in there
    assert [entry["status"] for entry in proxy.entries] == [200] * 4


def test_a_session_that_hits_its_cap_is_stopped_and_a_restart_remembers(tmp_path):
    with FakeVendor({"usage": USAGE}) as vendor:
        for round in range(2):
            with ProxyProcess(tmp_path, vendor.url, session_budget_usd=2) as proxy:
                asked = [post(f"{proxy.url}/s/job/v1/messages", ASK)[0] for _ in range(3)]
                assert asked == ([200, 200, 402] if round == 0 else [402, 402, 402])
                assert proxy.status["sessions"]["job"] == Decimal(2)
                assert proxy.status["today_total_usd"] == Decimal(2)
        assert len(vendor.records) == 2, "blocked calls never reach the vendor"


def test_a_kill_forgets_nothing_that_was_in_flight(tmp_path):
    with FakeVendor({"delay": 60}) as vendor:
        proxy = ProxyProcess(tmp_path, vendor.url)
        with pytest.raises(AssertionError), proxy, talk_to(proxy.port) as client:
            send(client, ASK)
            deadline = time.monotonic() + 10
            while not vendor.records and time.monotonic() < deadline:
                time.sleep(0.02)
            proxy._process.send_signal(signal.SIGKILL)
            proxy._process.wait(10)
        with ProxyProcess(tmp_path, vendor.url) as again:
            entry = again.entries[0]
            assert entry["end"] == "crash"
            assert entry["cost_source"] == "estimated"
            assert entry["cost_usd"] > 0
            assert again.status["sessions"]["default"] == entry["cost_usd"]


def test_term_lets_a_running_stream_finish(tmp_path):
    script = {"text": "a long answer", "pause": 0.2}
    with FakeVendor(script) as vendor, ProxyProcess(tmp_path, vendor.url) as proxy:
        with talk_to(proxy.port) as client:
            send(client, {**ASK, "stream": True})
            client.settimeout(20)
            got = client.recv(65536)
            proxy._process.send_signal(signal.SIGTERM)
            while True:
                more = client.recv(65536)
                if not more:
                    break
                got += more
        assert b"message_stop" in got
        assert got.endswith(b"0\r\n\r\n")
    assert proxy.entries[0]["end"] == "complete"


@pytest.mark.parametrize("runner", ["abg", "twist"])
def test_a_busy_port_never_leaves_a_program_running(tmp_path, runner):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("abg", "proxy") if runner == "abg" else ("twisted", "abg")
        ended = start(tmp_path, *words, "--config", config(tmp_path, port=port))
        assert ended.returncode == (2 if runner == "abg" else ended.returncode) != 0
        assert f"127.0.0.1:{port}" in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sesion_budget_usd": 5}, "did you mean session_budget_usd?"),
        ({"session_budget_usd": -1}, "session_budget_usd"),
        ({"warn_at": 2}, "warn_at"),
        ({"port": "high"}, "port"),
        ({"ledger_file": "/proc/none/ledger.jsonl"}, "/proc/none"),
        ({"credentials": {"anthropic": "env:ABG_TEST_NOT_SET"}}, "credentials"),
    ],
)
def test_a_bad_configuration_stops_the_start_with_one_message(tmp_path, settings, words):
    ended = start(tmp_path, "abg", "proxy", "--config", config(tmp_path, **settings), "--port", "0")
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_one_writer_a_ledger(tmp_path):
    with FakeVendor() as vendor, ProxyProcess(tmp_path, vendor.url) as proxy:
        ended = start(tmp_path, "abg", "proxy", "--config", str(proxy.config_file), "--port", "0")
        assert ended.returncode == 2
        assert str(proxy._process.pid) in ended.stderr


def test_twist_knows_the_plugin(tmp_path):
    ended = start(tmp_path, "twisted", "--help")
    assert "abg" in ended.stdout
    assert "budget limits" in ended.stdout


def token(folder: Path) -> str:
    return (folder / "state" / "abg" / "admin-token").read_text().strip()


def test_changing_state_needs_post_json_and_the_token(tmp_path):
    with (
        FakeVendor({"usage": USAGE}) as vendor,
        ProxyProcess(tmp_path, vendor.url, session_budget_usd=1) as proxy,
    ):
        admin = token(tmp_path)
        reset = f"{proxy.url}/abg/reset"
        assert post(f"{proxy.url}/v1/messages", ASK)[0] == 200
        assert post(f"{proxy.url}/v1/messages", ASK)[0] == 402
        assert post(reset, {"session": "default"})[0] == 401
        assert post(reset, {"session": "default"}, x_abg_admin_token="wrong")[0] == 401
        plain = {"x_abg_admin_token": admin, "content_type": "text/plain"}
        assert post(reset, {"session": "default"}, **plain)[0] == 415
        foreign = {"x_abg_admin_token": admin, "origin": "https://evil.example"}
        assert post(reset, {"session": "default"}, **foreign)[0] == 403
        assert post(f"{proxy.url}/v1/messages", ASK)[0] == 402
        done = proxy.command("reset", "--session", "default")
        assert done.returncode == 0, done.stderr
        assert post(f"{proxy.url}/v1/messages", ASK)[0] == 200
        raised = proxy.command("budget", "raise", "--session", "default", "--by", "1.00")
        assert raised.returncode == 0, raised.stderr
        assert post(f"{proxy.url}/v1/messages", ASK)[0] == 200
        assert post(f"{proxy.url}/v1/messages", ASK)[0] == 402
        assert [e["event"] for e in proxy.ledger if "event" in e] == ["reset", "raise"]
        blocked = proxy.command("block", "--all")
        assert blocked.returncode == 0, blocked.stderr
        assert post(f"{proxy.url}/s/other/v1/messages", ASK)[0] == 402
    assert admin not in (tmp_path / "ledger.jsonl").read_text()


def test_locked_budgets_free_no_money(tmp_path):
    with FakeVendor() as vendor, ProxyProcess(tmp_path, vendor.url, lock_budgets=True) as proxy:
        assert post(f"{proxy.url}/v1/messages", ASK)[0] == 200
        for words in (
            ("reset", "--session", "default"),
            ("budget", "raise", "--session", "default", "--by", "1"),
            ("unblock", "--all"),
        ):
            done = proxy.command(*words)
            assert done.returncode != 0
            assert "lock" in done.stderr


def test_a_run_may_have_less_where_budgets_are_locked_but_not_more(tmp_path):
    with (
        FakeVendor({"usage": USAGE}) as vendor,
        ProxyProcess(tmp_path, vendor.url, lock_budgets=True) as proxy,
    ):

        def run(usd: str) -> subprocess.CompletedProcess[str]:
            return proxy.command("run", "--session", "job", "--budget", usd, "--", "true")

        assert run("2").returncode == 0
        assert [post(f"{proxy.url}/s/job/v1/messages", ASK)[0] for _ in range(3)] == [200, 200, 402]
        done = run("3")
        assert done.returncode != 0
        assert "locked by the configuration" in done.stderr
        assert run("2").returncode == 0
        listed = proxy.command("budget", "list").stdout
        assert "configured: $5.00" in listed


def test_key_custody_end_to_end(tmp_path):
    (tmp_path / "key").write_text("sk-ant-the-real-one\n")
    credentials = {"anthropic": f"file:{tmp_path / 'key'}"}
    with (
        FakeVendor({"usage": USAGE}) as vendor,
        ProxyProcess(tmp_path, vendor.url, credentials=credentials) as proxy,
    ):
        assert post(f"{proxy.url}/v1/messages", ASK)[0] == 402
        made = proxy.command("token", "new", "--session", "job", "--budget", "1")
        assert made.returncode == 0, made.stderr
        secret = next(w for w in made.stdout.split() if w.startswith("abg_"))
        url = f"{proxy.url}/s/elsewhere/v1/messages"
        assert post(url, ASK, x_api_key=secret)[0] == 200
        assert post(url, ASK, x_api_key=secret, x_abg_session_id="mine")[0] == 402
        assert [e["session_id"] for e in proxy.entries] == ["job", "job"]
        assert dict(vendor.records[0].request.headers)["x-api-key"] == "sk-ant-the-real-one"
        console = "\n".join(proxy.console)
    ledger = (tmp_path / "ledger.jsonl").read_text()
    assert secret not in ledger + console
    assert "the-real-one" not in ledger + console


def until(true: Callable[[], object]) -> None:
    """Wait for something that is due at once."""
    ends = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


SET_BACK = """
import os, sys, time
now, precise = time.time, time.time_ns
def back():
    return 7200 if os.path.exists("sign") else 0
time.time = lambda: now() - back()
time.time_ns = lambda: precise() - back() * 10**9
from abg.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""abg on a machine whose clock is set back by two hours once a file is there."""


@contextmanager
def one_runs_and_one_waits(folder, delay, patience, step):
    """A proxy, the connection of whoever waits there, and what sets its clock back by a step."""
    sign = folder / "sign"
    program = SET_BACK.replace('"sign"', repr(str(sign))).replace("7200", str(step))
    script = {"usage": {"input_tokens": 1, "output_tokens": 100}, "delay": delay}
    limits = {"session_budget_usd": 0.002, "busy_wait_seconds": patience}
    with (
        FakeVendor(script) as vendor,
        ProxyProcess(folder, vendor.url, ("-c", program), **limits) as proxy,
        talk_to(proxy.port) as first,
        talk_to(proxy.port) as second,
    ):
        send(first, ASK)
        until(lambda: len(vendor.records) == 1)
        send(second, ASK)
        until(lambda: proxy.status["waiting"] == 1)
        yield proxy, second, sign.touch


def test_nobody_waits_longer_because_the_clock_was_set_back(tmp_path):
    with one_runs_and_one_waits(tmp_path, 8, 2, 7200) as (proxy, waiting, set_clock):
        set_clock()
        assert b"x-abg-decision: busy" in waiting.recv(4096).lower()
        assert proxy.status["holds"], "the other one runs still"


def test_nobody_is_refused_early_because_the_clock_was_set_forward(tmp_path):
    with one_runs_and_one_waits(tmp_path, 4, 30, -7200) as (proxy, waiting, set_clock):
        set_clock()
        until(lambda: proxy.status["uptime_seconds"] > 7000)
        waiting.settimeout(20)
        # Decided by what the other one cost, and not by how long it took.
        assert b"x-abg-decision: block" in waiting.recv(4096).lower()


def test_a_clock_of_its_own_is_left_to_a_reactor():
    class Steady(SelectReactor):
        def seconds(self) -> float:
            return 5.0

    for reactor, planned, found in (
        (SelectReactor(), False, time.monotonic),
        (SelectReactor(), True, time.time),
        (Steady(), False, None),
    ):
        if planned:
            reactor.callLater(1, print)
        steady(reactor)
        if found is None:
            assert reactor.seconds() == 5.0
        else:
            assert reactor.seconds is found
        reactor.removeAll()


def test_the_page_is_there(tmp_path):
    with FakeVendor() as vendor, ProxyProcess(tmp_path, vendor.url) as proxy:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{proxy.url}/abg/", timeout=10) as answer:
            assert "text/html" in answer.headers["content-type"]
            assert b"agent-bill-guard" in answer.read()
            page = answer.headers
        with opener.open(f"{proxy.url}/abg/status", timeout=10) as answer:
            status = answer.headers
    for headers in (page, status):
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in page["content-security-policy"]
    assert "frame-ancestors 'none'" in page["content-security-policy"]
