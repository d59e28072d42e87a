"""``max_identical_requests`` over the corridor: an agent that runs in a circle is stopped."""

from __future__ import annotations

from typing import Any

import pytest

from abg.test.playbook import CLAUDE, CODEX, Client, Stage

MODEL = "claude-opus-4-8"
USAGE = {"input_tokens": 10, "output_tokens": 10}


def body(*texts: str, tag: int = 0) -> dict[str, Any]:
    messages = [{"role": "user", "content": text} for text in texts]
    return {
        "model": MODEL,
        "max_tokens": 100 + tag,
        "metadata": {"user_id": f"u{tag}"},
        "messages": messages,
    }


def ask(on: Stage, told: dict[str, Any], agent: str = "") -> Client:
    headers = [*CLAUDE, (b"x-claude-code-session-id", b"0b4a1d9e-0000-4000-8000-000000000001")]
    if agent:
        headers.append((b"x-claude-code-agent-id", agent.encode()))
    return on.ask(b"/v1/messages", told, headers)


def answer(on: Stage, status: int = 200) -> None:
    on.vendor().answer(status, {"type": "message", "model": MODEL, "usage": USAGE})


def go(on: Stage, told: dict[str, Any], agent: str = "") -> Client:
    client = ask(on, told, agent)
    if not client.status:
        answer(on)
    return client


def test_the_same_message_passes_so_often_and_no_more():
    on = Stage(max_identical_requests=3)
    assert [go(on, body("again", tag=n)).status for n in range(5)] == [200, 200, 200, 402, 402]
    refused = go(on, body("again"))
    message = refused.json["error"]["message"]
    assert message.startswith(
        "[abg] The same message was sent 3 times in a row (max_identical_requests: 3)"
    )
    assert "abg reset --session" in message
    assert refused.header(b"x-abg-budget") == b"max_identical_requests"
    assert refused.header(b"x-abg-decision") == b"block"
    assert len(on.sent) == 3
    assert on.entries[-1].action == "block"
    assert go(on, body("again", "something else")).status == 200
    assert go(on, body("something else", "again")).status == 200, "the row began anew"


def test_a_message_is_the_same_by_its_content():
    on = Stage(max_identical_requests=2)
    block = {"type": "text", "text": "again", "cache_control": {"type": "ephemeral"}}
    spelt = {**body("x"), "messages": [{"content": [block], "role": "user"}]}
    assert go(on, body("again")).status == 200
    assert go(on, spelt).status == 200
    assert go(on, body("again")).status == 402


def test_by_default_anything_may_be_repeated():
    on = Stage()
    assert {go(on, body("again")).status for _ in range(20)} == {200}


def test_each_thread_has_a_row_of_its_own():
    on = Stage(max_identical_requests=2)
    for _ in range(2):
        for agent in ("", "a1", "a2"):
            assert go(on, body("look around"), agent).status == 200
    assert go(on, body("look around"), "a1").status == 402
    assert go(on, body("look elsewhere"), "a1").status == 200
    assert go(on, body("look around"), "a2").status == 402


@pytest.mark.parametrize("way", ["overloaded", "refused", "cut", "silence", "broken stream"])
def test_sending_again_what_the_vendor_failed_is_no_repetition(way: str) -> None:
    on = Stage(max_identical_requests=2)
    for _ in range(6):
        client = ask(on, body("again"))
        assert not client.status
        if way == "overloaded":
            answer(on, 529)
        elif way == "broken stream":
            on.vendor().head(200, [(b"content-type", b"text/event-stream")])
            on.vendor().data(
                b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n'
            )
            on.vendor().finish()
        else:
            if way == "cut":
                on.vendor().head(200)
            on.vendor().fail(way)
    assert go(on, body("again")).status == 200
    assert go(on, body("again")).status == 200
    assert go(on, body("again")).status == 402


def test_codex_is_stopped_too_and_a_reset_lets_it_go_on():
    on = Stage(max_identical_requests=2)
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    told = {"model": "gpt-5.5", "input": [item]}
    usage = {"input_tokens": 10, "output_tokens": 10, "total_tokens": 20}
    done = {"id": "r", "object": "response", "status": "completed", "usage": usage}
    for _ in range(2):
        on.ask(b"/v1/responses", told, CODEX)
        on.vendor().answer(200, done)
    client = on.ask(b"/v1/responses", told, CODEX)
    assert client.status == 400
    assert client.json["error"]["code"] == "invalid_prompt"
    on.guard.event("reset", session_id=on.entries[-1].session_id, who="me")
    assert not on.ask(b"/v1/responses", told, CODEX).status
