"""``abg run``: a program's environment, signals, exit code and closing line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from attrs import evolve

from abg.cli import client, main
from abg.cli import run as running
from abg.cli.child import run_child
from abg.cli.launch import launcher
from abg.errors import ConfigError
from abg.home.summary import as_json, as_markdown, closing_line, summary
from abg.statusline import standing
from abg.test.standin import STATUS, StandIn, own_places

HERE = Path(__file__).parents[2]
SHOW = "import json, os, sys; json.dump([sys.argv, dict(os.environ)], open(os.environ['OUT'], 'w'))"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user of his own: home, state, an empty working folder, a PATH with the agents."""
    own_places(monkeypatch, tmp_path)
    monkeypatch.setenv("OUT", str(tmp_path / "out.json"))
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    bin = tmp_path / "bin"
    bin.mkdir()
    for name in ("claude", "codex"):
        script = bin / name
        script.write_text(f"#!{sys.executable}\n{SHOW}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


@pytest.fixture
def proxy(home):
    with StandIn() as stand_in:
        yield stand_in


def run(proxy, *words):
    return main(["run", "--url", proxy.url, *words])


def started(home):
    argv, environ = json.loads((home / "out.json").read_text())
    return argv, environ


def test_claude_is_sent_through_the_proxy_under_its_session(proxy, home, capfd):
    assert run(proxy, "--session", "my task", "--", "claude", "-p", "hi") == 0
    argv, environ = started(home)
    assert argv[3:] == ["-p", "hi"]
    pinned = {"ANTHROPIC_BASE_URL": f"{proxy.url}/s/my%20task"}
    assert [argv[1], json.loads(argv[2])] == ["--settings", {"env": pinned}]
    assert environ["ANTHROPIC_BASE_URL"] == proxy.url + "/s/my%20task"
    assert environ["ABG_SESSION_ID"] == "my task"
    assert "no call came through; session my task at $0.00" in capfd.readouterr().err


def test_codex_is_sent_through_the_proxy_by_an_argument(proxy, home):
    assert run(proxy, "--session", "x", "--", "codex", "exec", "hi") == 0
    argv, _ = started(home)
    ours = ["-c", f"openai_base_url={proxy.url}/s/x/v1", "-c", "model_provider=openai"]
    assert argv[1:] == [*ours, "exec", "hi"]


def test_settings_that_name_another_url_are_overruled(proxy, home, capfd):
    folder = home / ".claude"
    folder.mkdir()
    (folder / "settings.json").write_text('{"env": {"ANTHROPIC_BASE_URL": "https://gw"}}')
    assert run(proxy, "--session", "x", "--", "claude") == 0
    argv, _ = started(home)
    assert json.loads(argv[2])["env"]["ANTHROPIC_BASE_URL"] == proxy.url + "/s/x"
    assert "note:" in capfd.readouterr().err


def test_what_would_spend_past_abg_is_not_started(proxy, home, monkeypatch, capsys):
    monkeypatch.setenv("CLAUDE_CODE_USE_BEDROCK", "1")
    assert run(proxy, "--", "claude") == 2
    err = capsys.readouterr().err
    assert "not started" in err and "env -u CLAUDE_CODE_USE_BEDROCK" in err
    assert not (home / "out.json").exists() and not proxy.posts


def test_without_a_name_each_run_has_its_own_session(proxy, home):
    names = set()
    for _ in range(2):
        run(proxy, "--", "claude")
        names.add(started(home)[1]["ABG_SESSION_ID"])
    assert len(names) == 2
    assert all(n.startswith("claude-work-") for n in names)


def test_the_environment_names_the_session(proxy, home, monkeypatch):
    monkeypatch.setenv("ABG_SESSION_ID", "from-ci")
    run(proxy, "--", "claude")
    assert started(home)[1]["ANTHROPIC_BASE_URL"].endswith("/s/from-ci")


@pytest.mark.parametrize("name", ["a/b", "x" * 129, "a\nb", "..", "\u200b"])
def test_names_that_cannot_stand_in_a_path_are_refused(name):
    with pytest.raises(ConfigError, match="session's name"):
        running.session_of(name, {}, "claude", Path("/w"))


def test_a_budget_is_set_before_the_program_starts(proxy, home):
    run(proxy, "--session", "x", "--budget", "2.50", "--", "claude")
    sent = [(path, body) for path, body, _ in proxy.posts if path != "/abg/lease"]
    assert sent[0][0] == "/abg/budgets/raise"
    assert sent[0][1]["session"] == "x" and sent[0][1]["to_usd"] == "2.50"


def test_a_lease_is_taken_and_given_back(proxy, home):
    run(proxy, "--", "claude")
    leases = [body for path, body, _ in proxy.posts if path == "/abg/lease"]
    assert [lease["ttl_seconds"] for lease in leases] == [120, 0]
    assert leases[0]["id"] == leases[1]["id"]


def test_another_daily_budget_than_the_running_proxys_is_said(proxy, home, capsys):
    assert run(proxy, "--daily", "3", "--", "claude") == 1
    assert "abg budget raise --budget daily --to 3" in capsys.readouterr().err
    assert run(proxy, "--daily", "20", "--", "claude") == 0


def test_the_project_is_the_git_repository(proxy, home, monkeypatch):
    (home / "work" / ".git").mkdir()
    inner = home / "work" / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    run(proxy, "--", "claude")
    assert started(home)[1]["ANTHROPIC_CUSTOM_HEADERS"] == "x-abg-project: work"


def test_the_exit_code_is_passed_through(proxy, home):
    assert run(proxy, "--", "sh", "-c", "exit 9") == 9


def test_a_program_that_is_not_there(proxy, home, capsys):
    assert run(proxy, "--", "no-such-program") == 127
    assert "no program 'no-such-program'" in capsys.readouterr().err


def test_a_program_that_cannot_be_run(proxy, home, capsys):
    bad = home / "bin" / "bad"
    bad.write_text("#!/no/such/interpreter\n")
    bad.chmod(0o755)
    assert run(proxy, "--", "bad") == 126
    assert "cannot be run" in capsys.readouterr().err


def test_no_program_is_a_usage_error(proxy, capsys):
    assert run(proxy) == 2
    assert "abg run -- claude" in capsys.readouterr().err


def blocking(proxy):
    """The proxy blocks once, as soon as the program has been seen to run."""
    info = proxy.status["session_info"]
    info["x"] = {"requests": 1, "blocked": 0}
    proxy.after_gets = (3, lambda: info.update(x={"requests": 4, "blocked": 1}))


def test_a_block_is_told_by_its_own_exit_code(proxy, home, capfd):
    blocking(proxy)
    words = ("--session", "x", "--summary", str(home / "sum.json"), "--fail-on-block")
    assert run(proxy, *words, "--", "sh", "-c", "exit 1") == 73
    assert "1 request blocked" in capfd.readouterr().err
    data = json.loads((home / "sum.json").read_text())
    assert (data["requests"], data["blocked"], data["exit_code"]) == (3, 1, 1)
    assert "stopped by its budget" in (home / "sum.md").read_text()


def test_without_the_flag_a_block_keeps_the_programs_code(proxy, home):
    blocking(proxy)
    assert run(proxy, "--session", "x", "--", "sh", "-c", "exit 1") == 1


def test_a_markdown_name_gives_both_files_too(proxy, home, capfd):
    run(proxy, "--quiet", "--summary", str(home / "s.md"), "--", "claude")
    assert (home / "s.json").exists() and (home / "s.md").exists()
    assert capfd.readouterr().err == ""


def test_a_summary_that_cannot_be_written_is_said(proxy, home, capfd):
    assert run(proxy, "--summary", str(home / "no" / "s.json"), "--", "claude") == 0
    assert "summary cannot be written" in capfd.readouterr().err


def test_inside_another_run_the_session_is_the_same(proxy, home):
    """An agent that starts another one, by its plain name: the stand-in on the PATH sends it."""
    assert run(proxy, "--session", "outer", "--", "sh", "-c", "codex exec hi") == 0
    argv, environ = started(home)
    assert argv[1:3] == ["-c", f"openai_base_url={proxy.url}/s/outer/v1"]
    assert environ["ABG_SESSION_ID"] == "outer"
    # The inner one takes no lease of its own; the outer one's is renewed if this takes long.
    assert len({p[1]["id"] for p in proxy.posts if p[0] == "/abg/lease"}) == 1


def test_inside_another_run_no_other_session_can_be_chosen(proxy, home):
    inner = f"{sys.executable} -m abg run --session other -- claude"
    assert run(proxy, "--session", "outer", "--", "sh", "-c", inner) == 0
    assert started(home)[1]["ANTHROPIC_BASE_URL"].endswith("/s/outer")


def test_with_key_custody_the_program_has_a_token_and_no_key(proxy, home, monkeypatch):
    proxy.status["custody"] = True
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-real")
    run(proxy, "--session", "x", "--", "claude")
    _, environ = started(home)
    assert "ANTHROPIC_API_KEY" not in environ
    assert environ["ANTHROPIC_AUTH_TOKEN"].startswith("abg_")
    from abg.cli.token import keyring

    assert keyring().find(environ["ANTHROPIC_AUTH_TOKEN"]) is None, "it ended with the run"


def test_without_a_proxy_one_is_started(home, monkeypatch, capfd):
    with StandIn() as stand_in:

        def start(words, **_):
            lock = {"pid": os.getpid(), "host": "127.0.0.1", "port": stand_in.port}
            (home / "state" / "abg" / "ledger.jsonl.lock").write_text(json.dumps(lock))
            calls.append(words)
            return SimpleNamespace(poll=lambda: None)

        calls = []
        real = subprocess.Popen
        monkeypatch.setenv("ABG_PORT", "1")
        monkeypatch.setattr(
            subprocess,
            "Popen",
            lambda words, **k: (start if "proxy" in words else real)(words, **k),
        )
        assert main(["run", "--daily", "3", "--", "claude"]) == 0
    assert calls[0][-4:] == ["proxy", "--ephemeral", "--port", "0"]
    assert started(home)[1]["ANTHROPIC_BASE_URL"].startswith(stand_in.url)


def test_a_proxy_that_does_not_start_is_quoted(home, monkeypatch, capsys):
    monkeypatch.setenv("ABG_PORT", "1")
    broken = ["sh", "-c", "echo '[abg] agentbillguard.yaml: line 3: no such key' >&2; exit 2"]
    monkeypatch.setattr("abg.cli.launch.launcher", lambda: broken)
    assert main(["run", "--", "claude"]) == 1
    err = capsys.readouterr().err
    assert "did not start" in err and "line 3: no such key" in err


@pytest.mark.parametrize(("failures", "code"), [(1, 0), (2, 0), (3, 1)])
def test_a_proxy_found_at_its_very_end_is_looked_for_again(
    proxy, home, monkeypatch, failures, code
):
    real, tried = running.Lease.start, []

    def start(lease):
        tried.append(lease)
        if len(tried) <= failures:
            raise client.NotRunning("it has just ended")
        real(lease)

    monkeypatch.setattr(running.Lease, "start", start)
    assert run(proxy, "--", "claude") == code


def test_with_an_address_given_no_proxy_is_started(home, capsys):
    assert main(["run", "--url", "http://127.0.0.1:1", "--", "claude"]) == 1
    assert "no proxy is running" in capsys.readouterr().err


def test_a_proxy_that_dies_meanwhile_is_no_failure_of_the_program(home, capfd):
    with StandIn() as stand_in:
        stand_in.after_gets = (3, stand_in.stop)
        words = ["--url", stand_in.url, "--", "sh", "-c", "exit 4"]
        assert main(["run", *words]) == 4
    assert "cannot be asked what it cost" in capfd.readouterr().err


def test_signals_reach_the_program():
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print('ready', flush=True); time.sleep(20)"
    )
    outer = (
        "import sys, os\nfrom abg.cli.child import run_child\n"
        f"sys.exit(run_child([sys.executable, '-c', {program!r}], os.environ))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdout=subprocess.PIPE, cwd=HERE, start_new_session=True
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 5


def test_a_program_that_stops_itself_stops_the_whole():
    outer = (
        "import sys, os\nfrom abg.cli.child import run_child\n"
        "sys.exit(run_child(['sh', '-c', 'kill -STOP $$; exit 6'], os.environ))"
    )
    with subprocess.Popen([sys.executable, "-c", outer], cwd=HERE) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.wait(10) == 6


def test_a_program_ended_by_a_signal_is_told_as_shells_tell_it():
    assert run_child(["sh", "-c", "kill -KILL $$"], os.environ) == 128 + signal.SIGKILL


def test_signal_handlers_are_as_before_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    run_child(["true"], os.environ)
    assert signal.getsignal(signal.SIGTERM) is before


def test_how_this_program_is_called_again(monkeypatch, tmp_path):
    assert launcher() == [sys.executable, "-m", "abg"]
    script = tmp_path / "abg"
    script.write_text("")
    monkeypatch.setattr(sys, "argv", [str(script), "run"])
    assert launcher() == [str(script)]


def looked(**info):
    status = json.loads(json.dumps(STATUS))
    status["session_info"]["default"] |= info
    own = next(b for b in status["budgets"] if b["key"] == "default")
    own["spent_usd"] = info.pop("spent", own["spent_usd"])
    return standing(status, "default"), status["session_info"]["default"]


def test_the_closing_line():
    after = looked(requests=32, spent=4.5, cache_read_tokens=1_080_000, input_tokens=20_000)
    done = summary(looked(), after, 0)
    assert closing_line(done) == (
        "abg: $0.38 for 2 requests, 1.0M tokens (99% of the input from cache); "
        "session default at $4.50 of $5.00"
    )


def test_the_closing_line_of_nothing():
    text = closing_line(summary(looked(), looked(), 0))
    assert text == "abg: no call came through; session default at $4.12"


def test_the_closing_line_of_a_run_that_was_stopped_says_how_to_go_on():
    # The proxy has gone with the run, and with it the remedy that the refusal named.
    stopped = summary(looked(), looked(requests=31, blocked=2, spent=5.4), 1)
    assert closing_line(stopped).endswith(
        "at $5.40 of $5.00; 1 request blocked; to go on: abg run --session default --budget 11 -- …"
    )
    locked = evolve(stopped, locked=True)
    assert closing_line(locked).endswith("1 request blocked")


def test_the_summary_for_programs_and_for_people():
    after = looked(requests=31, blocked=3, output_tokens=45_100 + 5_000, spent=5.0)
    done = summary(looked(), after, 1)
    data = as_json(done)
    assert (data["requests"], data["blocked"], data["stopped"]) == (1, 2, "session")
    text = as_markdown(done)
    assert text.startswith("### abg: stopped by its budget\n")
    assert "| Output | 45,100 tokens |" in text
    assert "45.1k tokens" in closing_line(done)


def test_it_adds_little_to_a_programs_start(proxy, home):
    environ = {**os.environ, "PYTHONPATH": str(HERE)}
    times = []
    for words in (["true"], [*launcher(), "run", "--url", proxy.url, "--", "true"]):
        began = time.monotonic()
        subprocess.run(words, env=environ, capture_output=True, timeout=30)
        times.append(time.monotonic() - began)
    assert times[1] - times[0] < 3
