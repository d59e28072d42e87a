"""What abg says itself: refusals, errors, and the end of a stream that has to stop."""

from __future__ import annotations

import json
import re
from importlib import import_module
from typing import Any

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg.call import Call
from abg.dialects import DIALECTS, Refusal
from abg.dialects.speech import cleaned, reason_of
from abg.test.wire import chat_events, claude_events, data, event, response_events

TEXT = "[abg] Session budget exhausted: $5.14 >= $5.00. Raise it with: abg budget raise"
# The HTTP library that this version of the SDK is made with: ``httpx``, later ``httpx2``.
httpx: Any = import_module(anthropic.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])
KINDS = ["spent", "busy", "ledger"]


def body(refusal: Refusal) -> Any:
    return json.loads(refusal.body)


def headers(refusal: Refusal) -> dict[bytes, bytes]:
    return dict(refusal.headers)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["anthropic", "anthropic_other"])
@pytest.mark.parametrize("kind", ["spent", "busy"])
def test_anthropics_refusal(name: str, kind: str) -> None:
    refusal = DIALECTS[name].refusal(TEXT, kind=kind, request_id="req_abg_1")
    assert (refusal.status, refusal.reason) == (402, b"Payment Required")
    assert body(refusal) == {
        "type": "error",
        "error": {"type": "billing_error", "message": TEXT},
        "request_id": "req_abg_1",
    }
    assert headers(refusal) == {
        b"content-type": b"application/json",
        b"x-should-retry": b"false",
        b"request-id": b"req_abg_1",
    }


@pytest.mark.parametrize("name", ["anthropic", "anthropic_other"])
def test_anthropics_refusal_without_a_ledger(name: str) -> None:
    refusal = DIALECTS[name].refusal("[abg] Ledger cannot be written: full", kind="ledger")
    assert (refusal.status, body(refusal)["error"]["type"]) == (503, "api_error")
    assert headers(refusal)[b"x-should-retry"] == b"false"


CODES = {
    "openai_responses": {"spent": "invalid_prompt", "ledger": "invalid_prompt"},
    "openai_chat": {"spent": "budget_exceeded", "ledger": "ledger_unavailable"},
    "openai_completions": {"spent": "budget_exceeded", "ledger": "ledger_unavailable"},
    "openai_embeddings": {"spent": "budget_exceeded", "ledger": "ledger_unavailable"},
    "openai_other": {"spent": "budget_exceeded", "ledger": "ledger_unavailable"},
}


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("kind", KINDS)
def test_openais_refusal(name: str, kind: str) -> None:
    refusal = DIALECTS[name].refusal(TEXT, kind=kind, request_id="req_abg_1")
    assert (refusal.status, refusal.reason) == (400, b"Bad Request")
    code = CODES[name]["ledger" if kind == "ledger" else "spent"]
    assert body(refusal) == {
        "error": {
            "message": TEXT,
            "type": "invalid_request_error",
            "code": code,
            "param": None,
        }
    }
    assert headers(refusal) == {
        b"content-type": b"application/json",
        b"x-should-retry": b"false",
    }


def test_an_id_is_made_where_none_is_given() -> None:
    def made(text: str) -> str:
        return str(body(DIALECTS["anthropic"].refusal(text, kind="spent"))["request_id"])

    assert re.fullmatch("req_abg_[0-9a-f]{24}", made("a"))
    assert made("a") == made("a") != made("b")
    assert made("\ud83d").startswith("req_abg_")


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 413, 417, 429, 431, 500, 501, 502, 504, 505]
)
def test_errors_have_the_vendors_shape(name: str, status: int) -> None:
    error = DIALECTS[name].error(status, "[abg] no")
    told = body(error)["error"]
    assert (error.status, told["message"]) == (status, "[abg] no")
    assert headers(error)[b"content-type"] == b"application/json"
    # A moment's failure of the way to the vendor may be tried again by the client's own rules.
    assert (b"x-should-retry" in headers(error)) == (status < 500)
    if name.startswith("anthropic"):
        assert body(error)["type"] == "error"
        assert told["type"] in (
            "invalid_request_error",
            "authentication_error",
            "permission_error",
            "not_found_error",
            "request_too_large",
            "rate_limit_error",
            "api_error",
        )
    else:
        assert set(told) == {"message", "type", "code", "param"}
        assert told["type"] == ("invalid_request_error" if status < 500 else "server_error")
        assert told["code"] == (
            "invalid_prompt" if (name, status) == ("openai_responses", 400) else None
        )


def test_a_status_without_a_phrase() -> None:
    assert reason_of(404) == b"Not Found"
    assert reason_of(499) == b"Error"


def test_sdks_read_our_errors() -> None:
    def answer(request: Any) -> Any:
        refusal = DIALECTS["anthropic"].refusal(TEXT, kind="spent")
        return httpx.Response(refusal.status, headers=refusal.headers, content=refusal.body)

    client = anthropic.Anthropic(
        api_key="sk-ant-fake",
        http_client=httpx.Client(transport=httpx.MockTransport(answer)),
    )
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="m", max_tokens=1, messages=[])
    assert TEXT in str(caught.value)
    assert str(caught.value.request_id).startswith("req_abg_")


# -- words -----------------------------------------------------------------------------------------

FORBIDDEN = [
    "credit balance is too low",
    "prompt is too long",
    "organization has been disabled",
    "usage credits are required",
    "extra usage is required",
    "exceeded_limit",
    "overloaded_error",
    "overloaded",
    "context window",
    "context limit",
    "context length",
    "model:",
    "timeout",
    "timed out",
]


@pytest.mark.parametrize("word", FORBIDDEN)
def test_words_that_clients_react_to_are_never_said(word: str) -> None:
    for spelt in (word, word.upper(), word.title()):
        text = f"[abg] session {spelt}: {spelt}"
        for dialect in DIALECTS.values():
            for refusal in (dialect.error(400, text), dialect.refusal(text, kind="spent")):
                assert word not in refusal.body.decode().lower()
                assert body(refusal)["error"]["message"].startswith("[abg] session ")


@given(st.lists(st.sampled_from([*FORBIDDEN, " ", "a", "time", "out", "TIMEout"])).map("".join))
def test_no_words_hide_in_others(text: str) -> None:
    said = cleaned(text).lower()
    assert not [word for word in FORBIDDEN if word in said]


def test_other_words_stay() -> None:
    assert cleaned(TEXT) == TEXT
    assert body(DIALECTS["openai_chat"].error(400, "é \ud83d"))["error"]["message"] == "é ?"


# -- cuts ------------------------------------------------------------------------------------------


def events_of(stream: bytes) -> list[Any]:
    found = []
    for piece in stream.split(b"\n\n"):
        lines = [line[6:] for line in piece.split(b"\n") if line.startswith(b"data: ")]
        if lines:
            found.append(lines[0].decode() if lines[0] == b"[DONE]" else json.loads(lines[0]))
    return found


def cut(name: str, stream: bytes, message: str = TEXT, **how: Any) -> tuple[bytes, bytes]:
    """What the client got until then, and what ends it."""
    dialect = DIALECTS[name]
    meter = dialect.meter(Call(name, "x", model="asked"), **how)
    got = meter.feed(stream)
    return got, dialect.cut(meter, message)


USAGE = {"input_tokens": 100, "output_tokens": 3}
CLAUDE = claude_events(USAGE, {"output_tokens": 20})
IN_BLOCK = CLAUDE.index(b"event: content_block_stop")


def test_claude_is_ended_inside_a_block() -> None:
    _, end = cut("anthropic", CLAUDE[:IN_BLOCK])
    assert events_of(end) == [
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
            "usage": {"output_tokens": 3},
        },
        {"type": "message_stop"},
    ]
    assert end.startswith(b"event: content_block_stop\n")


def test_claude_is_ended_between_blocks_and_at_the_end() -> None:
    between = CLAUDE.index(b"event: message_delta")
    assert [e["type"] for e in events_of(cut("anthropic", CLAUDE[:between])[1])] == [
        "message_delta",
        "message_stop",
    ]
    last = CLAUDE.index(b"event: message_stop")
    assert [e["type"] for e in events_of(cut("anthropic", CLAUDE[:last])[1])] == ["message_stop"]
    assert cut("anthropic", CLAUDE)[1] == b""
    assert cut("anthropic", b'{"id":')[1] == b""
    assert cut("anthropic", b"")[1] == b""
    assert events_of(cut("anthropic", event("ping"), "timeout")[1]) == [
        {"type": "error", "error": {"type": "billing_error", "message": "time limit"}}
    ]


def test_the_counts_so_far_are_told() -> None:
    long = claude_events(USAGE, text=["x" * 3000], stopped=False)
    told = events_of(cut("anthropic", long)[1])[0]
    assert told["usage"] == {"output_tokens": 1000}


@pytest.mark.parametrize("whole_events", [True, False])
def test_the_sdk_takes_the_end_at_every_byte(whole_events: bool) -> None:
    begin = CLAUDE.index(b"event: content_block_start")
    for at in range(begin, IN_BLOCK + 40, 3):
        got, end = cut("anthropic", CLAUDE[:at], whole_events=whole_events)
        client = anthropic.Anthropic(
            api_key="x",
            http_client=httpx.Client(
                transport=httpx.MockTransport(
                    lambda request, told=got + end: httpx.Response(
                        200,
                        headers={"content-type": "text/event-stream"},
                        content=told,
                    )
                )
            ),
        )
        with client.messages.stream(model="m", max_tokens=1, messages=[]) as stream:
            message = stream.get_final_message()
        assert message.stop_reason == "max_tokens"


CODEX = response_events({"usage": USAGE})


def test_codex_is_ended_by_a_failure() -> None:
    at = CODEX.index(b"event: response.completed")
    got, end = cut("openai_responses", CODEX[:at])
    assert got == CODEX[:at]
    assert end.startswith(b"event: response.failed\n")
    assert events_of(end) == [
        {
            "type": "response.failed",
            "sequence_number": 3,
            "response": {
                "id": "resp_1",
                "object": "response",
                "created_at": 1764000000,
                "status": "failed",
                "background": False,
                "error": {"code": "invalid_prompt", "message": TEXT},
                "incomplete_details": None,
                "model": "gpt-6.1-sol",
                "output": [],
                "usage": None,
            },
        }
    ]
    inside, end = cut("openai_responses", CODEX[: at - 20])
    assert inside == CODEX[: at - 20]
    assert end.startswith(b"\n\nevent: response.failed\n")
    whole, end = cut("openai_responses", CODEX[: at - 20], whole_events=True)
    assert whole.endswith(b"\n\n")
    assert end.startswith(b"event: response.failed\n")
    assert cut("openai_responses", CODEX)[1] == b""
    assert cut("openai_responses", b"{")[1] == b""
    [bare] = events_of(cut("openai_responses", event("x"), "timeout")[1])
    assert (bare["sequence_number"], bare["response"]["id"]) == (0, "resp_abg")
    assert bare["response"]["model"] == "asked"
    assert bare["response"]["error"]["message"] == "time limit"


CHUNKS = chat_events({"prompt_tokens": 1, "completion_tokens": 2})


def test_chat_is_ended_by_its_length() -> None:
    at = CHUNKS.index(b"data: [DONE]")
    at = CHUNKS.rindex(b"data: ", 0, at)
    assert events_of(cut("openai_chat", CHUNKS[:at])[1]) == ["[DONE]"], "it has ended by itself"
    at = CHUNKS.rindex(b"data: ", 0, at)
    _, end = cut("openai_chat", CHUNKS[:at])
    assert events_of(end) == [
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1764000000,
            "model": "gpt-4o",
            "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}],
        },
        "[DONE]",
    ]
    assert cut("openai_chat", CHUNKS)[1] == b""
    assert cut("openai_chat", b"{")[1] == b""
    assert cut("openai_chat", CHUNKS[: at - 5])[1].startswith(b"\n\ndata: {")
    [bare, done] = events_of(cut("openai_chat", data({"x": 1}))[1])
    assert (bare["id"], bare["created"], bare["model"], done) == (
        "chatcmpl-abg",
        0,
        "asked",
        "[DONE]",
    )


def of_choice(index: int, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": index, "delta": {"content": "x"}, "finish_reason": finish, **more}
    return data({"id": "chatcmpl-1", "choices": [choice]})


@pytest.mark.parametrize("whole_events", [False, True])
def test_every_choice_that_goes_on_is_ended(whole_events: bool) -> None:
    stream = of_choice(0) + of_choice(2) + of_choice(1) + of_choice(2) + of_choice(1, "stop")
    both = data({"choices": [{"index": 3, "delta": {}}, {"index": 4, "delta": {}}]})
    call = Call("openai_chat", "chat.completions", "asked", stream=True, choices=5)
    meter = DIALECTS["openai_chat"].meter(call, whole_events=whole_events)
    meter.feed(stream + both)
    *told, done = events_of(DIALECTS["openai_chat"].cut(meter, TEXT))
    assert done == "[DONE]"
    assert [chunk["choices"] for chunk in told] == [
        [{"index": index, "delta": {}, "logprobs": None, "finish_reason": "length"}]
        for index in (0, 2, 3, 4)
    ]


def test_old_completions_are_ended_likewise() -> None:
    chunk = {"id": "cmpl-1", "object": "text_completion", "model": "m", "choices": [{"text": "x"}]}
    [last, done] = events_of(cut("openai_completions", data(chunk))[1])
    assert (last["object"], done) == ("text_completion", "[DONE]")
    assert last["choices"] == [
        {"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}
    ]


def test_vectors_cannot_be_cut() -> None:
    assert cut("openai_embeddings", b"{")[1] == b""
