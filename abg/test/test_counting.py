"""The question to a vendor's counter, and its answer."""

from __future__ import annotations

import json

import pytest

from abg.counting import count_question, counted


def test_only_what_decides_the_input_is_asked():
    body = {"model": "m", "messages": [], "max_tokens": 9, "stream": True, "metadata": {}}
    question = count_question("messages", b"/v1/messages?beta=true", json.dumps(body).encode())
    assert question is not None
    assert question[0] == b"/v1/messages/count_tokens?beta=true"
    assert json.loads(question[1]) == {"model": "m", "messages": []}


def test_responses_have_a_counter_and_chat_has_none():
    question = count_question("responses", b"/v1/responses", b'{"input":"x","store":false}')
    assert question == (b"/v1/responses/input_tokens", b'{"input":"x"}')
    assert count_question("chat.completions", b"/v1/chat/completions", b"{}") is None


def test_what_is_asked_is_asked_as_it_was_said():
    body = b'{"max_tokens":5,"messages":[1.0,  "\\u0041", {"a":1,"a":2}],"x":[]}'
    question = count_question("messages", b"/v1/messages", body)
    assert question is not None
    assert question[1] == b'{"messages":[1.0,  "\\u0041", {"a":1,"a":2}]}'


def test_half_an_emoji_is_asked_too():
    body = b'{"messages":"\\ud83d","x":NaN}'
    question = count_question("messages", b"/v1/messages", body)
    assert question is not None
    assert json.loads(question[1]) == {"messages": "\ud83d"}


def test_half_an_emoji_in_a_list_is_no_question():
    assert count_question("messages", b"/v1/messages", b'["\\ud83d"]') is None


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"input":' + b"[" * 99999])
def test_what_is_no_request_is_no_question(body):
    assert count_question("messages", b"/v1/messages", body) is None


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        (b'{"input_tokens": 12}', 12),
        (b'{"input_tokens": 0}', 0),
        (b'{"input_tokens": -1}', None),
        (b'{"input_tokens": true}', None),
        (b'{"input_tokens": "12"}', None),
        (b'{"input_tokens": 1e99}', None),
        (b"{}", None),
        (b"[]", None),
        (b"", None),
        (b"[" * 100_000, None),
    ],
)
def test_the_answer(answer, count):
    assert counted(answer) == count
