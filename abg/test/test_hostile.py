"""What a hostile client or vendor says never reaches the user's console, status or terminal."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from abg.test.clients.proxy import ProxyProcess
from abg.test.playbook import CLAUDE, Stage
from abg.testing import FakeVendor

FORGED = "x\n[abg] ALLOW session=forged \x1b[2J \u202e"
LONG = "m" * 100_000
ODD_MODELS = (FORGED, LONG, "\ud800", "claude-sonnet-4-6\x00", "\u200b", " x ", "[abg]\x85")


def post(port: int, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(
            "POST", path, body, {"content-type": "application/json", "x-api-key": "k", **headers}
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def asking(model: str) -> bytes:
    return json.dumps({"model": model, "max_tokens": 9, "messages": []}).encode()


@pytest.mark.parametrize("unknown", ["dearest", "block"])
def test_no_model_name_forges_a_line_or_blinds_the_user(tmp_path: Path, unknown: str) -> None:
    budgets = [{"name": "models", "per": "model", "limit_usd": 1}]
    answer = {"body": json.dumps({"type": "message", "usage": {"input_tokens": 1}})}
    settings: dict[str, Any] = {"unknown_model": unknown, "budgets": budgets}
    with (
        FakeVendor(answer) as vendor,
        ProxyProcess(tmp_path, vendor.url, **settings) as proxy,
    ):
        for model in ODD_MODELS:
            status, body = post(proxy.port, "/v1/messages", asking(model), {})
            assert status == (200 if unknown == "dearest" else 402), (model[:20], body)
            json.loads(body)
        told = proxy.status
        assert told["sessions"].get("default", 0) == proxy.entries[-1]["session_total_usd"]
        assert len(proxy.entries) == len(ODD_MODELS)
    for line in proxy.console:
        assert line.startswith("[abg] ")
        assert line.isprintable()
        assert len(line) < 1500
    assert not any("forged" in line.partition("model")[0] for line in proxy.console)


@pytest.mark.parametrize("model", ODD_MODELS)
def test_a_models_name_is_kept_visible(model: str) -> None:
    stage = Stage()
    stage.ask(b"/v1/messages", {"model": model, "max_tokens": 5, "messages": []})
    stage.vendor().answer(200, {"type": "message", "usage": {"input_tokens": 1}})
    stage.ask(b"/v1/messages", {"model": "claude-opus-4-8", "max_tokens": 5, "messages": []})
    stage.vendor().answer(200, {"type": "message", "model": model, "usage": {"input_tokens": 1}})
    for entry in stage.entries:
        assert entry.model.isprintable()
        assert len(entry.model) <= 128


def test_what_went_wrong_names_the_upstream_but_not_its_password() -> None:
    stage = Stage(upstream_anthropic="https://user:secret@api.example:444/base")
    client = stage.ask(b"/v1/messages", {"model": "m", "max_tokens": 5, "messages": []}, CLAUDE)
    stage.vendor().fail("silence", "no byte came for 900 s")
    assert client.status == 504
    text = client.json["error"]["message"]
    assert text == "[abg] https://api.example:444: no byte came for 900 s"
    assert "secret" not in repr(stage.lines) + repr(stage.entries)


AMOUNTS = ("1e400", '"1e999999999"', '"-1e999999999"', '"0e-999999999"', '"Infinity"', "1e30", "[]")
SECONDS = ("1e308", "1e20", "-1", '"x"', "true", "0", "99999999999")
SHAPES = (
    b"",
    b"[]",
    b"null",
    b'"x"',
    b"{",
    b"\xff",
    b"[" * 60_000,
    b'{"a":' * 10_000,
    b'{"session":5}',
    b'{"session":""}',
    b'{"session":"\\ud800"}',
    b'{"session":"' + b"x" * 600 + b'"}',
    b'{"id":{}}',
    b"9" * 50_000,
)
ACTIONS = ("reset", "budgets/raise", "block", "unblock", "holds/void", "lease", "nothing")


def test_no_request_for_power_breaks_or_stalls_the_proxy(tmp_path: Path) -> None:
    with FakeVendor() as vendor, ProxyProcess(tmp_path, vendor.url) as proxy:
        (token,) = tmp_path.rglob("admin-token")
        power = {"x-abg-admin-token": token.read_text("ascii").strip()}

        def act(action: str, body: bytes) -> int:
            status, answer = post(proxy.port, f"/abg/{action}", body, power)
            assert json.loads(answer)
            return status

        for action in ACTIONS:
            for body in SHAPES:
                if (action, body) != ("nothing", b""):
                    assert act(action, body) in (400, 404)
        for amount in AMOUNTS:
            for key in ("by_usd", "to_usd"):
                body = f'{{"session":"s","{key}":{amount}}}'.encode()
                assert act("budgets/raise", body) == 400
        for seconds in SECONDS:
            body = f'{{"session":"s","by_usd":1,"for_seconds":{seconds}}}'.encode()
            assert act("budgets/raise", body) == 400
        assert not proxy.ledger_file.exists() or proxy.ledger == []
        assert act("block", '{"session":"a\u202eb"}'.encode()) == 200
        status, _ = post(proxy.port, "/s/a%E2%80%AEb/v1/messages", asking("m"), {})
        assert status == 402, "a name that nobody sees means the same everywhere"
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
            host = f"127.0.0.1:{proxy.port}"
            client.sendall(
                f"GET http://{host}/abg/healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            )
            assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
