"""``abg doctor``: what would fail, or pass by uncounted, is found, each with its remedy."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509

from abg.cli import doctor, main, reach
from abg.errors import ConfigError
from abg.home.checks import (
    FAIL,
    NOTE,
    OK,
    Finding,
    claude_goes,
    codex_goes,
    lines,
    past_proxy,
    price_age,
)
from abg.home.claude import parse_settings
from abg.home.codex import parse_config
from abg.test.certificates import Authority
from abg.test.standin import StandIn, own_places
from abg.testing import FakeVendor


def settings(path="/u/settings.json", **env):
    return parse_settings(path, json.dumps({"env": env}))


HERE = "http://127.0.0.1:8788"


@pytest.mark.parametrize(
    ("files", "environ", "level", "words"),
    [
        ((), {}, NOTE, "goes to the vendor, past abg"),
        ((), {"ANTHROPIC_BASE_URL": HERE}, OK, "goes through abg (the environment"),
        ((settings(ANTHROPIC_BASE_URL=HERE + "/s/x"),), {}, OK, "goes through abg (/u/settings"),
        (
            (settings(ANTHROPIC_BASE_URL="https://gw"),),
            {"ANTHROPIC_BASE_URL": HERE},
            NOTE,
            "it goes to https://gw (/u/settings.json), past abg",
        ),
        ((settings(ANTHROPIC_BASE_URL="http://127.0.0.1:1"),), {}, NOTE, "past abg"),
        ((), {"ANTHROPIC_BASE_URL": "http://[bad"}, NOTE, "past abg"),
        ((settings(CLAUDE_CODE_USE_VERTEX="1"),), {}, FAIL, "CLAUDE_CODE_USE_VERTEX"),
    ],
)
def test_where_claude_goes(files, environ, level, words):
    found = list(claude_goes(files, environ, 8788))[-1]
    assert (found.level, found.subject) == (level, "Claude Code")
    assert words in found.text
    assert level == OK or found.remedy


def test_a_settings_file_that_claude_ignores_is_named():
    broken = parse_settings("/u/settings.json", "{")
    assert "is ignored: it is not JSON" in next(claude_goes([broken], {}, 1)).text


def toml(text):
    return parse_config("/u/config.toml", text)


@pytest.mark.parametrize(
    ("files", "level", "words"),
    [
        ((), NOTE, "goes to the vendor, past abg"),
        ((toml(f'openai_base_url = "{HERE}/v1"'),), OK, "goes through abg"),
        ((toml('openai_base_url = "https://gw/v1"'),), NOTE, "goes to https://gw/v1"),
        ((toml(f'chatgpt_base_url = "{HERE}"'),), FAIL, "sends its calls past abg"),
    ],
)
def test_where_codex_goes(files, level, words):
    found = next(codex_goes(files, {}, 8788))
    assert found.level == level
    assert words in found.text
    assert level == OK or found.remedy


def test_a_variable_that_codex_ignores_is_named():
    assert "ignores it" in list(codex_goes((), {"OPENAI_BASE_URL": HERE}, 8788))[-1].text


@pytest.mark.parametrize(
    ("environ", "levels"),
    [
        ({}, []),
        ({"HTTPS_PROXY": "http://p"}, [FAIL]),
        ({"http_proxy": "http://p", "no_proxy": "a, 127.0.0.1"}, [OK]),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "*"}, [OK]),
    ],
)
def test_a_corporate_proxy_must_not_be_asked_for_this_machine(environ, levels):
    assert [f.level for f in past_proxy(environ)] == levels


@pytest.mark.parametrize(
    ("as_of", "level"),
    [("2026-11-24", OK), ("2026-10", OK), ("2026-09", NOTE), ("2025-01-01", NOTE), ("", NOTE)],
)
def test_old_prices_are_worth_a_note(as_of, level):
    assert price_age(as_of, date(2026, 11, 25)).level == level


def test_a_finding_reads_with_its_remedy_below():
    text = list(lines([Finding(FAIL, "port", "is taken", "Take another"), Finding(OK, "x", "y")]))
    assert text == ["FAIL  port: is taken", "      Take another", "ok    x: y"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    places = own_places(monkeypatch, tmp_path)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    bin = tmp_path / "bin"
    bin.mkdir()
    for name in ("claude", "codex"):
        (bin / name).write_text("#!/bin/sh\necho 9.9 $0\n")
        (bin / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}:/bin:/usr/bin")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = SimpleNamespace(
        host="127.0.0.1",
        port=port,
        ledger_file=None,
        ca_file=None,
        upstream_anthropic="https://127.0.0.1:1",
        upstream_openai="http://127.0.0.1:1",
    )
    loaded = SimpleNamespace(config=config, path=None, notes=("ABG_X is unknown",))
    monkeypatch.setattr("abg.cli.settings.load", lambda _=None, __=None: loaded)
    monkeypatch.setenv("ABG_PORT", str(port))
    return SimpleNamespace(path=tmp_path, config=config, places=places, loaded=loaded)


def findings(capsys, *words):
    code = main(["doctor", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def about(found, subject, level=None):
    return [f for f in found if f["subject"] == subject and level in (None, f["level"])]


def test_a_fresh_machine_has_notes_but_no_failure(home, capsys):
    code, found = findings(capsys, "--offline")
    assert code == 0
    assert about(found, "configuration", OK)[0]["text"] == "the defaults (no file)"
    assert about(found, "configuration", NOTE)[0]["text"] == "ABG_X is unknown"
    assert "is free" in about(found, "proxy", NOTE)[0]["text"]
    assert "not begun yet" in about(found, "ledger", OK)[0]["text"]
    assert "9.9" in about(found, "Claude Code", OK)[0]["text"]
    assert "9.9" in about(found, "Codex", OK)[0]["text"]


def test_it_reads_well_for_a_person(home, capsys):
    assert main(["doctor", "--offline"]) == 0
    out = capsys.readouterr().out
    assert "note  proxy: none runs" in out and "      Start it with: abg proxy" in out


def test_a_bad_configuration_is_the_first_thing_to_mend(home, capsys, monkeypatch):
    def load(_):
        raise ConfigError("agentbillguard.yaml: line 3: sesion_budget_usd")

    monkeypatch.setattr("abg.cli.settings.load", load)
    code, found = findings(capsys)
    assert code == 1
    assert [f["text"] for f in found] == ["agentbillguard.yaml: line 3: sesion_budget_usd"]


def test_a_taken_port_is_a_failure(home, capsys):
    with socket.create_server(("127.0.0.1", home.config.port)):
        code, found = findings(capsys, "--offline", "--url", "http://127.0.0.1:1")
    assert code == 1
    assert "cannot be had" in about(found, "proxy", FAIL)[0]["text"]


def test_the_running_proxy_is_asked_how_it_is(home, capsys):
    with StandIn() as proxy:
        code, found = findings(capsys, "--offline", "--url", proxy.url)
        assert (code, about(found, "proxy")[0]["level"]) == (0, OK)
        proxy.status |= {
            "version": "0.0.1",
            "unknown_models": ["gpt-9"],
            "ledger": {"healthy": False, "problem": "disk full", "path": "/l"},
        }
        code, found = findings(capsys, "--offline", "--url", proxy.url)
    assert code == 1
    assert [f["level"] for f in about(found, "proxy")] == [NOTE, FAIL, NOTE]


def test_agents_that_are_not_installed_are_no_failure(home, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    code, found = findings(capsys, "--offline")
    assert code == 0
    assert about(found, "Codex")[0] == {
        "level": "note",
        "subject": "Codex",
        "text": "is not installed",
        "remedy": "",
    }


def test_agents_that_do_not_answer(home, capsys):
    (home.path / "bin" / "claude").write_text("#!/no/such\n")
    (home.path / "bin" / "codex").write_text("#!/bin/sh\n")
    _, found = findings(capsys, "--offline")
    assert "does not answer" in about(found, "Claude Code")[0]["text"]
    assert "unknown version" in about(found, "Codex")[0]["text"]


def test_an_admin_token_that_others_can_read(home, capsys):
    home.places.admin_token.chmod(0o644)
    code, found = findings(capsys, "--offline")
    assert (code, about(found, "admin token")[0]["level"]) == (1, FAIL)
    home.places.admin_token.chmod(0o600)
    assert about(findings(capsys, "--offline")[1], "admin token") == []


def test_a_full_disk_is_a_failure(home, capsys, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    code, found = findings(capsys, "--offline")
    assert code == 1
    assert "0 MB are free" in about(found, "ledger", FAIL)[0]["text"]


def test_a_ledger_that_cannot_be_written(home, capsys, monkeypatch):
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    _, found = findings(capsys, "--offline")
    assert "cannot be written" in about(found, "ledger", FAIL)[0]["text"]


def daemon(folder, number, *words):
    process = folder / str(number)
    process.mkdir(parents=True)
    (process / "cmdline").write_bytes("\0".join(words).encode())
    return process


def test_a_codex_daemon_older_than_the_configuration_is_named(home):
    (home.path / ".codex").mkdir()
    config = home.path / ".codex" / "config.toml"
    proc = home.path / "proc"
    old = daemon(proc, 12, "codex", "app-server", "--managed-daemon")
    daemon(proc, 13, "codex", "exec")
    (proc / "self").mkdir()
    (proc / "14").mkdir()
    assert list(doctor._stale_daemon(proc)) == []
    config.write_text("")
    os.utime(old, (1, 1))
    found = list(doctor._stale_daemon(proc))
    assert [f.remedy.rpartition(" ")[2] for f in found] == ["12"]
    os.utime(config, (0, 0))
    assert list(doctor._stale_daemon(proc)) == []
    assert list(doctor._stale_daemon(Path("/no/such"))) == []


class Port:
    """A server that answers everything with the same bytes, in a thread."""

    def __init__(self, answer, context=None):
        self.answer, self.context, self.heads = answer, context, []

    def __enter__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                try:
                    self.heads.append(connection.recv(4096))
                    connection.sendall(self.answer)
                except OSError:
                    pass


def test_an_upstream_that_answers_anything_is_reached(home):
    with Port(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as vendor:
        url = f"http://127.0.0.1:{vendor.port}"
        config = SimpleNamespace(upstream_anthropic=url, upstream_openai=url, ca_file=None)
        assert [(f.level, f.text) for f in reach.vendors(config)] == [
            (OK, f"{url} answers (404)")
        ] * 2
        assert vendor.heads[0].startswith(b"HEAD / HTTP/1.1\r\n")


def test_an_upstream_that_is_not_there_or_no_http_is_a_failure(home):
    with Port(b"SSH-2.0\r\n") as odd:
        config = SimpleNamespace(
            upstream_anthropic="http://127.0.0.1:1",
            upstream_openai=f"https://127.0.0.1:{odd.port}",
            ca_file=None,
        )
        found = list(reach.vendors(config))
    assert [f.level for f in found] == [FAIL, FAIL]
    assert "Connection refused" in found[0].text


def test_a_certificate_that_is_not_trusted_names_the_remedy(home, monkeypatch):
    def ask(url, ca_file):
        problem = ssl.SSLCertVerificationError(1, "no")
        problem.verify_message = "self-signed certificate in certificate chain"
        raise problem

    monkeypatch.setattr(reach, "_ask", ask)
    found = next(reach.vendors(home.config))
    assert "self-signed" in found.text and "ca_file" in found.remedy


class Formless(Authority):
    """Issues certificates without key identifiers, as many a corporate proxy does."""

    def _builder(self, subject, key):
        full = super()._builder(subject, key)
        return x509.CertificateBuilder(
            full._issuer_name,
            full._subject_name,
            full._public_key,
            full._serial_number,
            full._not_valid_before,
            full._not_valid_after,
        )


def test_what_the_proxy_trusts_is_trusted_under_every_python(home):
    authority = Formless(home.path)
    encrypted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    encrypted.load_cert_chain(authority.issue("127.0.0.1"))
    with FakeVendor(tls=encrypted) as vendor:
        config = SimpleNamespace(
            upstream_anthropic=vendor.url, upstream_openai=vendor.url, ca_file=authority.file
        )
        assert [(f.level, f.text.split(" ", 1)[1][:7]) for f in reach.vendors(config)] == [
            (OK, "answers")
        ] * 2


def test_a_corporate_proxy_is_asked_with_its_credentials(home, monkeypatch):
    refused = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with Port(refused) as corporate:
        proxy = f"http://me:s%40t@127.0.0.1:{corporate.port}"
        monkeypatch.setenv("https_proxy", proxy)
        monkeypatch.setenv("http_proxy", proxy)
        config = SimpleNamespace(
            upstream_anthropic="https://vendor.test",
            upstream_openai="http://plain.test",
            ca_file=None,
        )
        found = list(reach.vendors(config))
    assert [f.level for f in found] == [FAIL, OK]
    assert "407" in found[0].text
    assert corporate.heads[0].startswith(b"CONNECT vendor.test:443 HTTP/1.")
    assert b"Proxy-Authorization: Basic bWU6c0B0" in corporate.heads[0]
    assert corporate.heads[1].startswith(b"HEAD http://plain.test HTTP/1.1")


def test_a_host_that_is_excepted_is_asked_directly(home, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Port(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as vendor:
        assert reach._ask(f"http://127.0.0.1:{vendor.port}", None) == 200


def test_a_root_certificate_that_is_no_certificate_is_a_failure(home):
    bad = home.path / "ca.pem"
    bad.write_text("nonsense")
    config = SimpleNamespace(
        upstream_anthropic="https://127.0.0.1:1",
        upstream_openai="https://127.0.0.1:1",
        ca_file=bad,
    )
    assert {f.level for f in reach.vendors(config)} == {FAIL}
