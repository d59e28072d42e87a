"""The command line: what each command sends to the running proxy, and what it says."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from abg.attribution import safe_name
from abg.cli import COMMANDS, http, main, where
from abg.test.standin import StandIn, own_places


@pytest.fixture
def proxy(monkeypatch, tmp_path):
    own_places(monkeypatch, tmp_path)
    with StandIn() as running:
        yield running


def said(capsys):
    return capsys.readouterr().out


def test_no_command_shows_them_all_and_is_a_usage_error(capsys):
    assert main([]) == 2
    assert "abg proxy" not in capsys.readouterr().out


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    out = said(capsys)
    assert all(f"  {name} " in out for name in COMMANDS)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert said(capsys).startswith("abg 0")


def test_an_unknown_command_names_the_nearest(capsys):
    assert main(["staus"]) == 2
    assert "did you mean status?" in capsys.readouterr().err


def test_an_unknown_command_far_from_all_points_to_the_help(capsys):
    assert main(["xyzzy"]) == 2
    assert "abg --help" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name, capsys):
    command = COMMANDS[name]
    assert callable(getattr(import_module(command.module), command.function))
    assert main([name, "--help"]) == 0
    assert f"abg {name}" in said(capsys)


def test_a_wrong_argument_is_a_usage_error(capsys):
    assert main(["reset"]) == 2
    assert "--session" in capsys.readouterr().err


def test_status_for_a_person(proxy, capsys):
    assert main(["status", "--url", proxy.url]) == 0
    out = said(capsys)
    assert "$5.34 of $20.00 (26%)" in out
    assert "up 2h 14m" in out
    row = next(line for line in out.splitlines() if line.startswith("default"))
    assert row.split() == ["default", "$4.12", "$5.00", "82%", "30", "1", "claude-code"]
    assert "$0.20 held by 1 running request" in out


def test_status_for_a_program_is_the_proxys_own_json(proxy, capsys):
    assert main(["status", "--json", "--url", proxy.url]) == 0
    status = json.loads(said(capsys))
    assert status["sessions"] == {"default": 4.12, "bugfix-login": 1.22}
    assert status["today_total_usd"] == 5.34


def test_status_names_what_is_wrong(proxy, capsys):
    proxy.status |= {
        "ledger": {"healthy": False, "problem": "No space left on device", "path": "/l"},
        "blocked": ["*", "bad\x1b[2Jname"],
        "unknown_models": ["gpt-9"],
        "unmetered": ["realtime"],
        "locked": True,
        "waiting": 2,
    }
    main(["status", "--url", proxy.url])
    out = said(capsys)
    trouble = ("CANNOT BE WRITTEN: No space left", "everything", "gpt-9", "realtime", "locked")
    for words in (*trouble, "2 requests"):
        assert words in out
    assert "\x1b" not in out


def test_status_without_sessions(proxy, capsys):
    proxy.status |= {"sessions": {}, "budgets": [], "holds": [], "session_info": {}}
    main(["status", "--url", proxy.url])
    assert "no session has spent anything yet" in said(capsys)


def test_without_a_proxy_the_remedy_is_named(capsys):
    assert main(["status", "--url", "http://127.0.0.1:1"]) == 1
    err = capsys.readouterr().err
    assert "abg proxy" in err and "nothing listens there" in err


def test_something_else_on_the_port_is_not_taken_for_abg(capsys):
    with StandIn(status={"hello": 1}) as other:
        assert main(["status", "--url", other.url]) == 1
    assert "something else answers" in capsys.readouterr().err


def test_a_bad_url_is_refused(capsys):
    assert main(["status", "--url", "ftp://x"]) == 1
    assert "--url is no address" in capsys.readouterr().err


def test_reset_posts_with_the_admin_token(proxy, capsys):
    assert main(["reset", "--session", "default", "--url", proxy.url]) == 0
    path, body, headers = proxy.posts[0]
    assert (path, body["session"]) == ("/abg/reset", "default")
    assert headers["x-abg-admin-token"] == "token-of-the-test"
    assert headers["content-type"] == "application/json"
    assert "had spent $4.12" in said(capsys)


def test_reset_of_an_unknown_session_names_the_nearest(proxy, capsys):
    assert main(["reset", "--session", "bugfix-logn", "--url", proxy.url]) == 1
    assert "did you mean bugfix-login?" in capsys.readouterr().err
    assert proxy.posts == []


def test_a_name_is_meant_as_abg_writes_it(proxy, capsys):
    long = "x" * 200
    proxy.status["sessions"][safe_name(long)] = 1
    assert main(["reset", "--session", long, "--url", proxy.url]) == 0
    assert proxy.posts[0][1]["session"] == safe_name(long)
    assert main(["budget", "raise", "--session", long, "--by", "1", "--url", proxy.url]) == 0
    assert "has spent" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "info", "code"),
    [
        ({"per": "session", "key": "s/t", "window": "6h", "spent_usd": 1}, {}, 0),
        ({"per": "session", "key": "s/t", "spent_usd": 0, "requests": 3}, {}, 0),
        ({"per": "subagent", "key": "s/t/Explore", "spent_usd": 1}, {}, 0),
        ({"per": "subagent", "key": "s/tea/Explore", "spent_usd": 1}, {}, 1),
        ({"per": "session", "key": "s/t", "spent_usd": 0}, {}, 1),
        ({"per": "project", "key": "s/t", "spent_usd": 1}, {}, 1),
        ({}, {"requests": 2}, 0),
        ({}, {"blocked": 1}, 0),
    ],
)
def test_what_counts_in_any_window_of_a_session_can_start_again(row, info, code, proxy, capsys):
    proxy.status |= {"sessions": {"s/t": 0}, "budgets": [row], "session_info": {"s/t": info}}
    assert main(["reset", "--session", "s/t", "--url", proxy.url]) == code
    assert len(proxy.posts) == 1 - code


def test_raise_by(proxy, capsys):
    words = ["budget", "raise", "--session", "default", "--by", "$2.00", "--for", "1h"]
    assert main([*words, "--url", proxy.url]) == 0
    path, body, _ = proxy.posts[0]
    assert path == "/abg/budgets/raise"
    del body["who"]
    assert body == {"session": "default", "by_usd": "2.00", "for_seconds": 3600}
    assert "session default may now spend $2.00 more for 1h" in said(capsys)


def test_status_without_a_proxy_says_where_the_record_is(proxy, capsys):
    assert main(["status", "--url", "http://127.0.0.1:9"]) == 1
    assert "abg report" in capsys.readouterr().err


def test_a_raise_for_a_session_that_nobody_knows_is_noted(proxy, capsys):
    words = ["budget", "raise", "--session", "bugfix-logn", "--by", "2", "--url", proxy.url]
    assert main(words) == 0
    assert "did you mean bugfix-login?" in capsys.readouterr().err


def test_a_raise_without_a_proxy_names_the_way_that_is_left(proxy, capsys):
    words = ["budget", "raise", "--by", "2", "--url", "http://127.0.0.1:9", "--session"]
    assert main([*words, "my task"]) == 1
    assert "abg run --session 'my task' --budget USD -- …" in capsys.readouterr().err


def test_raise_a_named_budget_to(proxy, capsys):
    assert main(["budget", "raise", "--budget", "daily", "--to", "30", "--url", proxy.url]) == 0
    assert proxy.posts[0][1]["to_usd"] == "30"
    assert "budget daily may now spend $30.00" in said(capsys)


def test_a_lowering_is_told_as_one(monkeypatch, tmp_path, capsys):
    own_places(monkeypatch, tmp_path)
    answer = (200, {"limit_usd": 2, "was_usd": 5})
    with StandIn(replies={"/abg/budgets/raise": answer}) as running:
        words = ["budget", "raise", "--session", "s", "--to", "2", "--url", running.url]
        assert main(words) == 0
    assert said(capsys).strip() == "session s may now spend $2.00 (before: $5.00)"


def test_raise_a_budgets_part_for_one_session(proxy, capsys):
    words = ["budget", "raise", "--budget", "runaway", "--session", "s", "--by", "1"]
    assert main([*words, "--url", proxy.url]) == 0
    assert {"budget": "runaway", "session": "s"}.items() <= proxy.posts[0][1].items()
    assert "budget runaway of session s may now spend $1.00 more" in said(capsys)


def test_raise_needs_to_know_whose(capsys):
    assert main(["budget", "raise", "--by", "1"]) == 2
    assert "abg budget list" in capsys.readouterr().err


def test_a_limit_can_be_nothing_at_all(proxy):
    assert main(["budget", "raise", "--session", "s", "--to", "0", "--url", proxy.url]) == 0
    assert proxy.posts[0][1]["to_usd"] == "0"


@pytest.mark.parametrize(
    "words",
    [
        ["--by", "0"],
        ["--by", "nan"],
        ["--by", "1_000"],
        ["--by", "\u0665"],
        ["--by", "1", "--for", "1x"],
        ["--to=-1"],
        ["--to", "x"],
        ["--to", "1e-30"],
    ],
)
def test_wrong_amounts_and_times_are_usage_errors(words, capsys):
    assert main(["budget", "raise", "--session", "s", *words]) == 2
    assert "argument" in capsys.readouterr().err


def test_locked_budgets_are_said_as_the_proxy_says_it(monkeypatch, tmp_path, capsys):
    own_places(monkeypatch, tmp_path)
    refusal = (403, {"error": {"message": "budgets are locked"}})
    with StandIn(replies={"/abg/budgets/raise": refusal}) as running:
        words = ["budget", "raise", "--session", "s", "--by", "1", "--url", running.url]
        assert main(words) == 1
    assert "abg: budgets are locked" in capsys.readouterr().err


def test_budget_list(proxy, capsys):
    assert main(["budget", "list", "--url", proxy.url]) == 0
    lines = said(capsys).splitlines()
    assert lines[0].split()[:3] == ["BUDGET", "FOR", "WINDOW"]
    assert any(line.startswith("daily") and "everything" in line for line in lines)


def test_holds(proxy, capsys):
    assert main(["holds", "--url", proxy.url]) == 0
    assert "req_abg_1" in said(capsys)


def test_void_a_hold(proxy, capsys):
    assert main(["holds", "void", "req_abg_1", "--url", proxy.url]) == 0
    assert proxy.posts[0][:2][0] == "/abg/holds/void"
    assert proxy.posts[0][1]["id"] == "req_abg_1"


def test_void_needs_an_id(proxy, capsys):
    assert main(["holds", "void", "--url", proxy.url]) == 2


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (["block", "bad"], "/abg/block", {"session": "bad"}),
        (["block", "--all"], "/abg/block", {"all": True}),
        (["unblock", "bad"], "/abg/unblock", {"session": "bad"}),
        (["unblock", "--all"], "/abg/unblock", {"all": True}),
        (["block", "*"], "/abg/block", {"all": True}),
        (["unblock", "*"], "/abg/unblock", {"all": True}),
    ],
)
def test_the_kill_switch(words, path, body, proxy, capsys):
    assert main([*words, "--url", proxy.url]) == 0
    assert ("all sessions: " in said(capsys)) == ("all" in body)
    sent = dict(proxy.posts[0][1])
    del sent["who"]
    assert (proxy.posts[0][0], sent) == (path, body)


def test_the_way_back_can_be_typed_as_it_stands(proxy, capsys):
    assert main(["block", "my task", "--url", proxy.url]) == 0
    assert said(capsys).strip().endswith("abg unblock 'my task'")
    assert main(["block", "--url", proxy.url, "--", "--all"]) == 0
    assert said(capsys).strip().endswith("abg unblock -- --all")


def test_where_budgets_are_locked_there_is_no_way_back(proxy, capsys):
    proxy.status["locked"] = True
    assert main(["block", "bad", "--url", proxy.url]) == 0
    out = said(capsys)
    assert "lock_budgets" in out and "abg unblock" not in out


def test_who_unblocks_one_is_told_that_all_are_blocked(proxy, capsys):
    proxy.replies["/abg/unblock"] = (200, {"unblocked": "bad", "blocked": ["*"]})
    assert main(["unblock", "bad", "--url", proxy.url]) == 1
    assert "Let them go on: abg unblock --all" in said(capsys)
    proxy.replies["/abg/unblock"] = (200, {"unblocked": "bad", "blocked": ["other"]})
    assert main(["unblock", "bad", "--url", proxy.url]) == 0
    assert "session bad: calls pass again" in said(capsys)


def test_the_kill_switch_needs_a_target(capsys):
    assert main(["block"]) == 2


@pytest.mark.parametrize("body", [b"", b"abcdefgh", b"x" * 70_000])
def test_answers_of_every_framing_are_read(body):
    head = b"HTTP/1.1 200 OK\r\n"
    sized = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    pieces = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    closed = head + b"\r\n" + body
    for whole, ended in ((sized, False), (chunked, False), (closed, True)):
        assert http._answer(whole, ended=ended) == (200, body)
        if not ended and body:
            assert http._answer(whole[: len(whole) - 6], ended=False) is None
            with pytest.raises(ValueError, match="cut"):
                http._answer(whole[: len(whole) - 6], ended=True)


class Pieces:
    """A socket that gives so many bytes at a time."""

    def __init__(self, whole: bytes, size: int) -> None:
        self.pieces = [whole[at : at + size] for at in range(0, len(whole), size)]

    def settimeout(self, seconds: float) -> None: ...

    def recv(self, size: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


@pytest.mark.parametrize(
    ("framing", "end"),
    [
        (b"Content-Length: 3000\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"\r\n0\r\n\r\n"),
        (b"", b""),
    ],
)
def test_a_long_answer_is_put_together_once(monkeypatch, framing, end):
    looks = []
    real = http._answer
    monkeypatch.setattr(http, "_answer", lambda *a, **k: looks.append(len(a[0])) or real(*a, **k))
    begin = b"bb8\r\n" if end else b""
    whole = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + begin + b"x" * 3000 + end
    connection = Pieces(whole, 1)
    assert http._read_answer(connection, time.monotonic() + 60) == (200, b"x" * 3000)
    assert looks[-1] == len(whole) and len(looks) <= 2
    looks.clear()
    with pytest.raises(ValueError, match="HTTP"):
        http._read_answer(Pieces(b"SSH-2.0-x\r\n\r\n" + bytes(100), 1), time.monotonic() + 60)
    assert len(looks) == 1


@pytest.mark.parametrize("junk", [b"SSH-2.0-x\r\n\r\n", b"", b"HTTP/1.1 ok\r\n\r\n"])
def test_what_is_no_http_is_an_error(junk):
    with pytest.raises(ValueError, match="HTTP"):
        http._answer(junk, ended=True)


def test_a_server_that_says_nothing_costs_no_more_than_the_deadline():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = http.Address("127.0.0.1", silent.getsockname()[1], "test")
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            http.request(address, "GET", "/", timeout=0.2)
        assert time.monotonic() - began < 2


# What they cost is measured by the benchmark's "commands"; this is what keeps it so.
@pytest.mark.parametrize(
    "words", [["--help"], ["status", "--url", "URL"], ["statusline", "--url", "URL"]]
)
def test_short_commands_import_little(words, proxy):
    words = [proxy.url if w == "URL" else w for w in words]
    program = (
        "import sys; from abg.cli import main; code = main(sys.argv[1:])\n"
        "heavy = {'twisted', 'http.client', 'yaml', 'treq', 'attr', 'msgspec'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy)); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        input="{}",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stdout


def test_a_reader_that_has_gone_is_no_traceback(proxy):
    done = subprocess.run(
        f"{sys.executable} -m abg status --json --url {proxy.url} | true",
        shell=True,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    assert "Traceback" not in done.stderr


def test_the_lock_file_names_the_address(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    assert where.read_lock(ledger) is None
    lock = tmp_path / "ledger.jsonl.lock"
    for text in ("", "[]", '{"host": "127.0.0.1", "port": null}', '{"host": 1, "port": 2}'):
        lock.write_text(text)
        assert where.read_lock(ledger) is None
    lock.write_text('{"pid": 1, "host": "0.0.0.0", "port": 4711}')
    assert where.read_lock(ledger)[:2] == ("127.0.0.1", 4711)


def test_abg_url_comes_before_the_configuration(monkeypatch):
    found = next(iter(where.addresses(None, None, {"ABG_URL": "http://127.0.0.1:4711/s/x"})))
    assert found[:2] == ("127.0.0.1", 4711)


def test_ipv6_addresses_are_bracketed():
    assert where.parse_url("http://[::1]:8788", "--url").url == "http://[::1]:8788"


def test_output_to_a_closed_stream_is_quiet(proxy, monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return self.spare

    import os
    import tempfile

    with tempfile.TemporaryFile() as spare:
        gone = Gone()
        gone.spare = os.dup(spare.fileno())
        monkeypatch.setattr(sys, "stdout", gone)
        assert main(["status", "--url", proxy.url]) == 1
        os.close(gone.spare)
