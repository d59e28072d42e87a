"""What a request asks, for whom, and the smallest changes that abg makes to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg.call import Call
from abg.dialects import DIALECTS
from abg.dialects.edits import said, with_member
from abg.test.wire import compact

CLAUDE, CODEX = DIALECTS["anthropic"], DIALECTS["openai_responses"]
CHAT, OLD = DIALECTS["openai_chat"], DIALECTS["openai_completions"]
EMOJI = "\ud83d"


def lone(value: Any) -> bytes:
    """As JavaScript writes half an emoji."""
    return json.dumps(value).encode()


# -- Anthropic -------------------------------------------------------------------------------------


def test_a_request_of_claude_code() -> None:
    user = {"device_id": "0" * 64, "account_uuid": "", "session_id": "ef3629bb-759b"}
    body = compact(
        {
            "model": "claude-opus-5-5",
            "messages": [{"role": "user", "content": "hi"}],
            "metadata": {"user_id": json.dumps(user)},
            "max_tokens": 128_000,
            "stream": True,
            "service_tier": "auto",
            "speed": "fast",
            "inference_geo": "us",
        }
    )
    assert CLAUDE.read_call("messages", body) == Call(
        "anthropic",
        "messages",
        "claude-opus-5-5",
        stream=True,
        max_output_tokens=128_000,
        tier="auto",
        speed="fast",
        geo="us",
        body_bytes=len(body),
        session_hint="ef3629bb-759b",
    )


HINTS: list[tuple[Any, str | None]] = [
    ({"user_id": '{"session_id":"s"}'}, "s"),
    ({"user_id": "user_0a_account__session_5f3a-12"}, "5f3a-12"),
    ({"user_id": "user_session_a_session_b"}, "b"),
    ({"user_id": '{"device_id":"x"}'}, None),
    ({"user_id": '{"session_id":5}'}, None),
    ({"user_id": "{nonsense"}, None),
    ({"user_id": '{"session_id":"' + EMOJI + '"}'}, "?"),
    ({"user_id": "somebody"}, None),
    ({"user_id": "user_session_"}, None),
    ({"user_id": ""}, None),
    ({"user_id": 5}, None),
    ({"user_id": "_session_" + "x" * 5000}, None),
    ({}, None),
    (None, None),
    ("x", None),
]


@pytest.mark.parametrize(("metadata", "hint"), HINTS)
def test_the_session_in_the_metadata(metadata: Any, hint: str | None) -> None:
    assert CLAUDE.read_call("messages", lone({"metadata": metadata})).session_hint == hint


STRANGE = {
    "nothing": b"",
    "no JSON": b"<xml>",
    "a list": b"[]",
    "a text": b'"hi"',
    "cut": b'{"model":"m","stream":true,"metadata":{"user_id":"{\\"session_id\\":',
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_body_that_nobody_can_read_is_marked(dialect: str, name: str) -> None:
    call = DIALECTS[dialect].read_call("messages", STRANGE[name])
    assert call.readable == (name == "nothing" and dialect.endswith("_other"))
    assert call.body_bytes == len(STRANGE[name])
    assert call.model == ("m" if name == "cut" else "")


def test_what_can_be_scanned_of_it() -> None:
    body = b'{"model":"claude-x", "a":,"session_id":"s-1", "prompt_cache_key":"k"'
    assert CLAUDE.read_call("messages", body).session_hint == "s-1"
    assert CODEX.read_call("responses", body).session_hint == "s-1"
    assert CODEX.read_call("responses", body.replace(b"session_id", b"x")).session_hint == "k"
    assert CHAT.read_call("chat.completions", body).session_hint is None


def test_fields_that_are_not_what_they_should_be() -> None:
    body = compact(
        {"model": 5, "stream": "true", "max_tokens": "many", "service_tier": [], "metadata": 1}
    )
    assert CLAUDE.read_call("messages", body) == Call("anthropic", "messages", body_bytes=len(body))
    assert CLAUDE.read_call("messages", b'{"max_tokens":1e3}').max_output_tokens == 1000
    assert CLAUDE.read_call("messages", lone({"model": "m", "x": EMOJI})).model == "m"


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "model",
                "stream",
                "max_tokens",
                "metadata",
                "thinking",
                "stream_options",
                "input",
                "client_metadata",
                "messages",
                "tools",
                "prompt",
                "background",
                "n",
                "fallbacks",
            ]
        ),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=4),
            lambda x: (
                st.lists(x, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["type", "role", "content", "max_uses", "x"]), x, max_size=3
                )
            ),
            max_leaves=8,
        ),
    )
)
def test_nothing_raises(value: dict[str, Any]) -> None:
    body = lone(value)
    for dialect in DIALECTS.values():
        call = dialect.read_call("messages", body)
        assert call.readable
        dialect.fingerprint(body)
        dialect.ask_for_usage(body)
        dialect.lower_output(body, 2000)
        dialect.bound_facts("messages", body)


# -- OpenAI ----------------------------------------------------------------------------------------


def test_a_request_of_codex() -> None:
    body = compact(
        {
            "model": "gpt-6.1-sol",
            "stream": True,
            "input": [],
            "prompt_cache_key": "thread-key",
            "client_metadata": {"session_id": "s-1", "thread_id": "t-1"},
            "service_tier": "priority",
            "max_output_tokens": 500,
            "background": True,
        }
    )
    assert CODEX.read_call("responses", body) == Call(
        "openai_responses",
        "responses",
        "gpt-6.1-sol",
        stream=True,
        max_output_tokens=500,
        tier="priority",
        body_bytes=len(body),
        background=True,
        session_hint="s-1",
        thread_hint="t-1",
    )


TURN = json.dumps({"session_id": "s-2", "thread_id": "t-2"})
CODEX_HINTS: list[tuple[dict[str, Any], tuple[str | None, str | None]]] = [
    ({"prompt_cache_key": "k"}, ("k", None)),
    ({"client_metadata": {"session_id": "s"}, "prompt_cache_key": "k"}, ("s", None)),
    ({"client_metadata": {"x-codex-turn-metadata": TURN}, "prompt_cache_key": "k"}, ("s-2", "t-2")),
    ({"client_metadata": {"x-codex-turn-metadata": "nonsense"}}, (None, None)),
    ({"client_metadata": {"x-codex-turn-metadata": "x" * 5000}}, (None, None)),
    ({"client_metadata": {"x-codex-turn-metadata": 5}}, (None, None)),
    ({"client_metadata": {"session_id": 5, "thread_id": "t"}}, (None, "t")),
    ({"client_metadata": "x", "prompt_cache_key": "k" * 5000}, (None, None)),
    ({}, (None, None)),
]


@pytest.mark.parametrize(("told", "hints"), CODEX_HINTS)
def test_session_and_thread_of_codex(
    told: dict[str, Any], hints: tuple[str | None, str | None]
) -> None:
    call = CODEX.read_call("responses", compact(told))
    assert (call.session_hint, call.thread_hint) == hints


def test_chat_requests() -> None:
    body = compact({"model": "gpt-4o", "max_tokens": 50, "max_completion_tokens": 40})
    call = CHAT.read_call("chat.completions", body)
    assert (call.model, call.max_output_tokens, call.include_usage) == ("gpt-4o", 40, True)
    assert CHAT.read_call("chat.completions", b'{"max_tokens":50}').max_output_tokens == 50
    assert CHAT.read_call("chat.completions", b"{}").max_output_tokens is None
    assert CHAT.read_call("x", b'{"prompt_cache_key":"k"}').session_hint is None
    vectors = DIALECTS["openai_embeddings"].read_call("embeddings", b'{"model":"e","stream":true}')
    assert (vectors.model, vectors.include_usage) == ("e", True)


# -- asking for usage ------------------------------------------------------------------------------

ASKS: dict[str, tuple[bytes, bytes | None]] = {
    "no options": (
        b'{"model":"m","stream":true}',
        b'{"stream_options":{"include_usage":true},"model":"m","stream":true}',
    ),
    "white space and a mark at the beginning": (
        b'\xef\xbb\xbf {\n "stream": true }',
        b'\xef\xbb\xbf {\n "stream_options":{"include_usage":true},"stream": true }',
    ),
    "options without it": (
        b'{"stream":true, "stream_options" : {"include_obfuscation":false}, "n":1}',
        b'{"stream":true, "stream_options" : {"include_obfuscation":false,"include_usage":true}'
        b', "n":1}',
    ),
    "empty options": (
        b'{"stream_options":{},"stream":true}',
        b'{"stream_options":{"include_usage":true},"stream":true}',
    ),
    "null": (
        b'{"stream_options": null,"stream":true}',
        b'{"stream_options": {"include_usage":true},"stream":true}',
    ),
    "refused": (
        b'{"stream":true,"stream_options":{"include_usage":false}}',
        b'{"stream":true,"stream_options":{"include_usage":true}}',
    ),
    "the word in a prompt too": (
        b'{"messages":["\\"stream_options\\":{}",{"stream_options":{"x":"}"}}],"stream":true}',
        b'{"stream_options":{"include_usage":true},'
        b'"messages":["\\"stream_options\\":{}",{"stream_options":{"x":"}"}}],"stream":true}',
    ),
    "the word twice: the last one counts": (
        b'{"stream_options":{"a":1},"x":{"stream_options":null},"stream_options":{"b":2},"stream":true}',
        b'{"stream_options":{"a":1},"x":{"stream_options":null},'
        b'"stream_options":{"b":2,"include_usage":true},"stream":true}',
    ),
    "half an emoji": (
        b'{"x":"\\ud83d","stream":true}',
        b'{"stream_options":{"include_usage":true},"x":"\\ud83d","stream":true}',
    ),
    "asked already": (b'{"stream":true,"stream_options":{"include_usage":true}}', None),
    "no stream": (b'{"model":"m"}', None),
    "no stream, said": (b'{"stream":false}', None),
    "options that are none": (b'{"stream":true,"stream_options":[1]}', None),
    "no JSON": (b'{"stream":true', None),
}


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize("dialect", ["openai_chat", "openai_completions"])
def test_usage_is_asked_for_where_it_would_not_come(dialect: str, name: str) -> None:
    body, expected = ASKS[name]
    spoken = DIALECTS[dialect]
    call = spoken.read_call("chat.completions", body)
    assert call.include_usage == (expected is None)
    assert spoken.ask_for_usage(body) == (body if expected is None else expected)


def test_where_it_cannot_be_said_the_body_stays() -> None:
    hidden = b'{"stream":true,"stream\\u005foptions":{}}'
    assert not CHAT.read_call("chat.completions", hidden).include_usage
    assert CHAT.ask_for_usage(hidden) == hidden


@pytest.mark.parametrize("dialect", ["anthropic", "openai_responses", "openai_embeddings"])
def test_other_dialects_tell_it_unasked(dialect: str) -> None:
    body = b'{"stream":true}'
    assert DIALECTS[dialect].read_call("x", body).include_usage
    assert DIALECTS[dialect].ask_for_usage(body) is body


# -- lowering the output ---------------------------------------------------------------------------

LOWER: list[tuple[str, bytes, bytes | None]] = [
    ("anthropic", b'{"max_tokens":9000,"n":1}', b'{"max_tokens":2000,"n":1}'),
    ("anthropic", b'{"n":1}', b'{"max_tokens":2000,"n":1}'),
    ("anthropic", b"{}", b'{"max_tokens":2000}'),
    (
        "anthropic",
        b'{"tools":[{"max_tokens":5}],"max_tokens" : 9e3 ,"x":"\\"max_tokens\\":1"}',
        b'{"tools":[{"max_tokens":5}],"max_tokens" : 2000 ,"x":"\\"max_tokens\\":1"}',
    ),
    (
        "anthropic",
        b'{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":1500}}',
        b'{"max_tokens":2000,"thinking":{"type":"enabled","budget_tokens":1500}}',
    ),
    (
        "anthropic",
        b'{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":8000}}',
        b'{"max_tokens":2000,"thinking":{"type":"enabled","budget_tokens":1999}}',
    ),
    ("anthropic", b"nonsense", None),
    ("anthropic", b'{"max\\u005ftokens":9000}', None),
    ("anthropic", b'{"max_tokens":9000,"thin\\u006bing":{"budget_tokens":8000}}', None),
    ("openai_responses", b'{"model":"m"}', b'{"max_output_tokens":2000,"model":"m"}'),
    ("openai_responses", b'{"max_output_tokens":null}', b'{"max_output_tokens":2000}'),
    ("openai_responses", b'{"max_output_tokens":9000}', b'{"max_output_tokens":2000}'),
    ("openai_responses", b"[]", None),
    ("openai_chat", b'{"model":"m"}', b'{"max_completion_tokens":2000,"model":"m"}'),
    ("openai_chat", b'{"max_tokens":9000}', b'{"max_tokens":2000}'),
    (
        "openai_chat",
        b'{"max_tokens":9000,"max_completion_tokens":100}',
        b'{"max_tokens":2000,"max_completion_tokens":100}',
    ),
    ("openai_chat", b'{"max\\u005ftokens":9000}', None),
    ("openai_completions", b'{"prompt":"x"}', b'{"max_tokens":2000,"prompt":"x"}'),
    ("openai_embeddings", b'{"input":"x"}', None),
]


@pytest.mark.parametrize(("dialect", "body", "expected"), LOWER)
def test_the_output_allowance_is_lowered(dialect: str, body: bytes, expected: bytes | None) -> None:
    assert DIALECTS[dialect].lower_output(body, 2000) == expected


def test_thinking_needs_its_least() -> None:
    body = b'{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":8000}}'
    assert CLAUDE.lower_output(body, 1024) is None
    assert CLAUDE.lower_output(body, 1025) == (
        b'{"max_tokens":1025,"thinking":{"type":"enabled","budget_tokens":1024}}'
    )


def test_an_edit_is_believed_only_if_it_reads_right() -> None:
    assert with_member(b'{"a":1}', "a", 1, b"2", lambda edited: False) is None
    assert with_member(b"[]", "a", None, b"2", lambda edited: True) is None
    assert with_member(b'{"a":{"b":"}"', "a", 1, b"2", lambda edited: b'"a":2' in edited) == (
        b'{"a":2,"a":{"b":"}"'
    )
    assert (
        with_member(b'{"a":', "a", None, b"2", lambda edited: b'"a":2' in edited) == b'{"a":2,"a":'
    )
    words = b'{"x":["a","a"]}'
    assert with_member(words, "a", None, b"2", lambda edited: True) == b'{"a":2,' + words[1:]
    assert said({"a": [1, "x"]}) == b'{"a":[1,"x"]}'


def test_a_member_among_very_many_of_its_name() -> None:
    many = b'"x":[' + b'{"a":1},' * 5000 + b'{"b":{"a":1,"a":1}}]'
    tries = 0

    def holds(edited: bytes) -> bool:
        nonlocal tries
        tries += 1
        return json.loads(edited).get("a") == 2

    assert with_member(b"{" + many + b',"a":1}', "a", 1, b"2", holds) == (b"{" + many + b',"a":2}')
    assert tries == 1
    filled = many + b',"y":"' + b"y" * 4_000_000 + b'"'
    tries = 0
    assert with_member(b'{"a":1,' + filled + b"}", "a", 1, b"2", holds) is None
    assert tries == 4, "a few of those in its content were tried"
    other = many.replace(b"1", b"3")
    assert with_member(b'{"a":1,' + other + b"}", "a", 1, b"2", holds) == (
        b'{"a":2,' + other + b"}"
    )


def test_a_member_is_looked_for_from_both_ends_and_no_further() -> None:
    def holds(edited: bytes) -> bool:
        return bool(json.loads(edited).get("a") == 2)

    some = b'"x":[' + b'{"a":3},' * 600 + b"4]"
    assert with_member(b'{"b":1,' + some + b"}", "a", 1, b"2", lambda edited: False) is None
    many = b'"x":[' + b'{"a":3},' * 2000 + b"4]"
    assert with_member(b"{" + many + b',"a":1,' + many + b"}", "a", 1, b"2", holds) is None


def test_no_long_value_is_followed_to_its_end() -> None:
    long = b'{"a":{"x":[' + b"[]," * 2000 + b'1]},"b":1}'
    edited = with_member(long, "a", None, b"2", lambda edited: True)
    assert edited == b'{"a":2,' + long[1:]


def test_nobody_counts_prompts_beyond_measure() -> None:
    body = b'{"model":"m","prompt":[' + b'"x",' * 60_000 + b'"y"]}'
    assert len(body) > 65_536
    call = DIALECTS["openai_completions"].read_call("completions", body)
    assert call.choices == 2048


MEMBERS = st.dictionaries(
    st.sampled_from(["max_tokens", "messages", "x", "thinking"]),
    st.recursive(
        st.integers(0, 9000) | st.text(max_size=5) | st.just('"max_tokens":1'),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["max_tokens", "y"]), inner, max_size=2)
        ),
        max_leaves=6,
    ),
)


@given(MEMBERS)
def test_an_edit_changes_nothing_else(value: dict[str, Any]) -> None:
    value.pop("thinking", None)
    lowered = CLAUDE.lower_output(compact(value), 700)
    assert lowered is not None
    assert json.loads(lowered) == {**value, "max_tokens": 700}


# -- the last message ------------------------------------------------------------------------------


def mark_of(messages: Any, key: str = "messages", dialect: str = "anthropic") -> bytes | None:
    return DIALECTS[dialect].fingerprint(lone({key: messages}))


def says(content: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def block(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **more}


def result(content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t", "content": content, **more}


SAME: dict[str, tuple[Any, Any]] = {
    "a text or a block": ([says("hi")], [says([block("hi")])]),
    "a cache mark": ([says("hi")], [says([block("hi", cache_control={"type": "ephemeral"})])]),
    "what came before": ([says("hi")], [says("x"), says("y", "assistant"), says("hi")]),
    "white space around": ([says("hi")], [says(" hi\n")]),
    "empty and null fields": ([says("hi")], [says("hi", name=None, metadata={"a": 1}, x=[])]),
    "a reminder of Claude Code": (
        [says("hi")],
        [says([block("<system-reminder>\n9 left\n</system-reminder>\n"), block("hi")])],
    ),
    "ids of tools": (
        [says([result("done", tool_use_id="a")])],
        [says([result([block("done")], tool_use_id="b", is_error=False)])],
    ),
    "what an agent adds behind": ([says("hi")], [says("hi"), says("now 12:01", "system")]),
    "half an emoji": ([says(EMOJI)], [says([block(EMOJI)])]),
}
OTHER: dict[str, tuple[Any, Any]] = {
    "another text": ([says("hi")], [says("ho")]),
    "another role": ([says("hi")], [says("hi", "assistant")]),
    "another result": ([says([result("a")])], [says([result("b")])]),
    "an error": ([says([result("a")])], [says([result("a", is_error=True)])]),
    "another number": ([says([{"n": 1}])], [says([{"n": 2}])]),
}


@pytest.mark.parametrize("name", SAME)
def test_the_same_message(name: str) -> None:
    one, other = SAME[name]
    assert mark_of(one) is not None
    assert mark_of(one) == mark_of(other)


@pytest.mark.parametrize("name", OTHER)
def test_another_message(name: str) -> None:
    one, other = OTHER[name]
    assert mark_of(one) != mark_of(other)


def output(text: str, call: str = "c") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call, "output": text}


def test_the_same_for_codex() -> None:
    def mark(items: Any) -> bytes | None:
        return mark_of(items, "input", "openai_responses")

    words = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    assert mark("hi") == mark([words]) == mark([says("hi")])
    clock = "Chunk ID: {}\nWall time: {} seconds\nProcess exited with code 0\nOutput:\nx"
    assert mark([output(clock.format("a1", 0.1))]) == mark([output(clock.format("b2", 0.2), "d")])
    wrapped = '{{"output":"x","metadata":{{"exit_code":0,"duration_seconds":{}}}}}'
    assert mark([output(wrapped.format(0.1))]) == mark([output(wrapped.format(0.2))])
    assert mark([output('{"output":5}')]) != mark([output('{"output":6}')])
    # Results of tools that came together are one message.
    assert mark([output("a"), output("b")]) != mark([output("b")])
    assert mark([says("x"), output("a"), output("b")]) == mark([output("a"), output("b")])
    assert mark([5, output("b")]) == mark([output("b")])


def test_the_same_for_chat() -> None:
    tool = {"role": "tool", "tool_call_id": "a", "content": "done"}
    assert mark_of([tool], dialect="openai_chat") == mark_of([{**tool, "tool_call_id": "b"}])
    assert mark_of("hi", "prompt", "openai_completions") == mark_of([says("hi")])
    assert mark_of(["hi"], "prompt", "openai_completions") is not None


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"messages":[]}', b'{"messages":5}', b'{"input":null}', b"nonsense"],
)
def test_no_message_has_no_mark(body: bytes) -> None:
    assert CLAUDE.fingerprint(body) is None


@pytest.mark.parametrize(
    ("endpoint", "told", "choices"),
    [
        ("chat.completions", {}, 1),
        ("chat.completions", {"n": 8}, 8),
        ("chat.completions", {"n": None, "best_of": 4}, 1),
        ("chat.completions", {"n": -3}, 1),
        ("completions", {"n": 2, "best_of": 5, "prompt": ["a", "b"]}, 10),
        ("completions", {"prompt": [1, 2, 3]}, 1),
        ("completions", {"prompt": []}, 1),
        ("responses", {"n": 8}, 1),
    ],
)
def test_answers_that_are_asked_for_at_once(
    endpoint: str, told: dict[str, Any], choices: int
) -> None:
    dialect = {"chat.completions": "chat"}.get(endpoint, endpoint)
    call = DIALECTS[f"openai_{dialect}"].read_call(endpoint, compact(told))
    assert call.choices == choices


def test_reminders_that_nobody_ends_are_text() -> None:
    opened = "<system-reminder>" * 3
    ended = "<system-reminder>gone</system-reminder>  \n"
    digests = {
        CLAUDE.fingerprint(lone({"messages": [{"role": "user", "content": text}]}))
        for text in (f"a {opened}", f"{ended}a {opened}", f"a {ended}{opened}")
    }
    assert len(digests) == 1
    with_end = {"messages": [{"role": "user", "content": "a</system-reminder>"}]}
    assert CLAUDE.fingerprint(lone(with_end)) not in digests


def test_results_that_came_together_keep_their_order() -> None:
    def digest(*results: str) -> bytes | None:
        told = [{"role": "tool", "content": result} for result in results]
        return CLAUDE.fingerprint(lone({"messages": [{"role": "user", "content": "x"}, *told]}))

    assert digest("a", "b", "c") == digest("a", "b", "c")
    assert digest("a", "b", "c") != digest("c", "b", "a")


def test_what_is_too_deep_or_too_large_is_no_loop() -> None:
    deep = b'{"messages":[{"role":"user","content":' + b'{"x":' * 900 + b"1" + b"}" * 900 + b"}]}"
    large = b'{"messages":[' + b"[]," * 1_000_000 + b"1]}"
    assert CLAUDE.fingerprint(deep) is None
    assert CLAUDE.fingerprint(large) is None
