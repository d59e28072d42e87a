"""Whose call it is: all forms of a session's name that real clients send, and names made safe."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abg import attribution
from abg.agents import agent_of
from abg.attribution import Attribution, Said, identify, safe_name
from abg.call import Call, Headers, Session

WORDS = st.sampled_from(["a", "b", "sk-ant-oat01-x", "Bearer sk-ant-oat01-x", "codex/1", ""])
UUID = "ef3629bb-759b-4cb3-88f9-429511788036"
OTHER = "01a20dea-e860-7ac2-ac89-3eeb20cfb203"


def fields(**values: str) -> Headers:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()]


def anthropic(**more: str | None) -> Call:
    return Call("anthropic", "messages", **more)  # type: ignore[arg-type]


def responses(**more: str | None) -> Call:
    return Call("openai_responses", "responses", **more)  # type: ignore[arg-type]


# -- Claude Code ------------------------------------------------------------------------------

CLAUDE = fields(
    User_Agent="claude-cli/2.1.331 (external, sdk-cli)",
    X_Claude_Code_Session_Id=UUID,
    x_api_key="sk-ant-fake",
)


def test_claude_code_by_its_header() -> None:
    assert identify(None, CLAUDE, anthropic()) == Session(
        UUID, "agent", "claude-code", auth="api_key"
    )


def test_claude_code_by_the_metadata_of_its_body() -> None:
    found = identify(None, fields(User_Agent="claude-cli/1.0.5"), anthropic(session_hint=UUID))
    assert (found.id, found.source, found.agent) == (UUID, "agent", "claude-code")


def test_claude_codes_sub_agent_stays_in_its_session() -> None:
    sub = fields(x_claude_code_agent_id="a23", x_claude_code_parent_agent_id="a11")
    found = identify(None, [*CLAUDE, *sub], anthropic())
    assert (found.id, found.subagent, found.thread, found.parent) == (UUID, "a23", "a23", "a11")


def test_claude_codes_hints_name_the_kind_of_sub_agent() -> None:
    hints = fields(
        x_claude_code_agent_id="a23",
        x_claude_code_agent_type="general-purpose",
        x_claude_code_request_class="subagent",
    )
    found = identify(None, [*CLAUDE, *hints], anthropic())
    assert (found.subagent, found.thread) == ("general-purpose", "a23")
    assert found.request_class == "subagent"


# -- Codex ------------------------------------------------------------------------------------

TURN = {
    "installation_id": "af976707",
    "session_id": OTHER,
    "thread_id": "t-1",
    "parent_thread_id": "t-0",
    "request_kind": "turn",
    "thread_source": "user",
}


def turn(**changes: object) -> Headers:
    return [(b"x-codex-turn-metadata", json.dumps({**TURN, **changes}).encode())]


@pytest.mark.parametrize("name", [b"session-id", b"session_id", b"Session-Id"])
def test_codex_by_its_header_new_and_old(name: bytes) -> None:
    headers = [*fields(originator="codex_exec"), (name, OTHER.encode())]
    found = identify(None, headers, responses())
    assert (found.id, found.source, found.agent) == (OTHER, "agent", "codex")


def test_codex_names_thread_parent_and_sub_agent() -> None:
    headers = fields(
        session_id=OTHER,
        thread_id="t-7",
        x_codex_parent_thread_id="t-1",
        x_openai_subagent="collab_spawn",
        user_agent="codex-tui/0.169.0 (Debian)",
    )
    assert identify(None, headers, responses()) == Session(
        OTHER, "agent", "codex", "collab_spawn", "t-7", "t-1"
    )


def test_codexs_search_has_only_the_turns_metadata() -> None:
    found = identify(None, turn(request_kind="compaction"), None)
    assert (found.id, found.thread, found.parent) == (OTHER, "t-1", "t-0")
    assert (found.agent, found.request_class) == ("codex", "compaction")


def test_order_of_codexs_forms() -> None:
    # client_metadata (which names the thread too), the turn's metadata, prompt_cache_key alone.
    metadata = responses(session_hint="from-body", thread_hint="t-9")
    assert identify(None, turn(), metadata).id == "from-body"
    assert identify(None, turn(), responses(session_hint="cache-key")).id == OTHER
    assert identify(None, turn(session_id=None), responses(session_hint="cache-key")).id == (
        "cache-key"
    )
    header = [*turn(), (b"session-id", b"from-header")]
    assert identify(None, header, metadata).id == "from-header"


def test_a_thread_is_named_by_header_metadata_or_body() -> None:
    hinted = responses(thread_hint="from-body")
    assert identify(None, [], hinted).thread == "from-body"
    assert identify(None, turn(), hinted).thread == "t-1"
    assert identify(None, [*turn(), (b"thread-id", b"t-2")], hinted).thread == "t-2"
    assert identify(None, [], responses()).thread is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"session_id": 5, "thread_id": null, "parent_thread_id": {}}',
        b'{"session_id": ""}',
        b'{"session_id": "\\ud83d"',
        b"\xff",
        b"[" * 5000,
    ],
)
def test_unreadable_metadata_says_nothing(value: bytes) -> None:
    found = identify(None, [(b"x-codex-turn-metadata", value)], None)
    assert (found.id, found.source, found.thread) == ("default", "default", None)
    assert found.agent == "codex"


def test_a_title_thread_joins_the_session_of_its_installation() -> None:
    memory = Attribution()
    title = turn(session_id="own", thread_source="thread_title")
    alone = memory.identify(None, Said(title), responses())
    assert (alone.id, alone.request_class) == ("own", "title")
    assert memory.identify(None, Said(turn()), responses()).id == OTHER
    assert memory.identify(None, Said(title), responses()).id == OTHER
    # A session by path or header is the user's own word.
    assert memory.identify("mine", Said(title), responses()).id == "mine"
    elsewhere = turn(session_id="own", thread_source="thread_title", installation_id="x")
    assert memory.identify(None, Said(elsewhere), responses()).id == "own"
    # Others are not remembered.
    assert memory.identify(None, Said(CLAUDE), anthropic()) == identify(None, CLAUDE, anthropic())


def test_the_memory_of_installations_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "_INSTALLATIONS", 3)
    memory = Attribution()
    for number in range(9):
        memory.identify(
            None, Said(turn(installation_id=f"i{number}", session_id=f"s{number}")), None
        )
    memory.identify(None, Said(turn(installation_id="i8", session_id="s8")), None)
    assert len(memory._latest) == 3
    title = turn(installation_id="i7", session_id="own", thread_source="thread_title")
    assert memory.identify(None, Said(title), None).id == "s7"


# -- order of all -----------------------------------------------------------------------------


def test_path_before_header_before_agent_before_default() -> None:
    own = fields(x_abg_session_id="mine")
    hint = anthropic(session_hint="hint")
    assert identify("path", [*own, *CLAUDE], hint).id == "path"
    assert identify("path", [*own, *CLAUDE], hint).source == "path"
    assert identify(None, [*own, *CLAUDE], hint).id == "mine"
    assert identify(None, [*own, *CLAUDE], hint).source == "header"
    assert identify(None, CLAUDE, hint).id == UUID
    assert identify(None, [], hint).id == "hint"
    assert identify(None, [], anthropic()) == Session("default")
    assert identify(None, [], None) == Session("default")


def test_empty_names_are_none() -> None:
    empty = fields(x_abg_session_id="", X_Claude_Code_Session_Id="", session_id="", thread_id="")
    found = identify("", empty, responses(session_hint="", thread_hint=""))
    assert (found.id, found.source, found.thread) == ("default", "default", None)


def test_the_first_of_several_headers_counts() -> None:
    headers = [(b"x-abg-session-id", b"one"), (b"X-ABG-Session-Id", b"two")]
    assert identify(None, headers, None).id == "one"


def test_the_project() -> None:
    assert identify(None, fields(x_abg_project="acme/web"), None).project == "acme/web"
    assert identify(None, [], None).project is None


# -- who pays ---------------------------------------------------------------------------------

OAUTH = fields(authorization="Bearer sk-ant-oat01-x")
LOGIN = fields(authorization="Bearer eyJhbGciOi", chatgpt_account_id="acc")


@pytest.mark.parametrize(
    "headers, call, upstream, auth",
    [
        ([], anthropic(), "anthropic", "none"),
        (fields(x_api_key="sk-ant-x"), anthropic(), "anthropic", "api_key"),
        (OAUTH, anthropic(), "anthropic", "subscription"),
        (fields(authorization="bearer  sk-ant-OAT01-x"), None, "anthropic", "subscription"),
        (OAUTH, anthropic(), None, "subscription"),
        (LOGIN, responses(), "chatgpt", "subscription"),
        (LOGIN, responses(), None, "subscription"),
        (fields(authorization="Bearer sk-proj-x"), responses(), "openai", "api_key"),
        (fields(authorization="Basic abc"), responses(), "openai", "api_key"),
        # Where a key could be charged, it is no subscription, whatever else is said.
        ([*OAUTH, *fields(x_api_key="k")], anthropic(), "anthropic", "api_key"),
        ([*LOGIN, *fields(x_api_key="k")], responses(), "chatgpt", "api_key"),
        (LOGIN, responses(), "anthropic", "api_key"),
        (LOGIN, anthropic(), None, "api_key"),
        (fields(x_api_key="k", chatgpt_account_id="acc"), anthropic(), None, "api_key"),
        (LOGIN, responses(), "openai", "api_key"),
        (OAUTH, responses(), "openai", "api_key"),
        (
            fields(authorization="Bearer sk-x", chatgpt_account_id="a"),
            responses(),
            "chatgpt",
            "api_key",
        ),
        (
            fields(authorization="Bearer abg_x", chatgpt_account_id="a"),
            responses(),
            "chatgpt",
            "api_key",
        ),
        (fields(authorization="Bearer eyJ"), responses(), "chatgpt", "api_key"),
        (fields(authorization="Bearer abg_sk-ant-oat"), anthropic(), "anthropic", "api_key"),
    ],
)
def test_who_pays(headers: Headers, call: Call | None, upstream: str | None, auth: str) -> None:
    assert identify(None, headers, call, upstream).auth == auth


# -- agents -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user_agent, originator, title, agent",
    [
        ("claude-cli/2.1.331 (external, cli)", "", "", "claude-code"),
        ("claude-code/2.1.331", "", "", "claude-code"),
        ("codex_exec/0.169.0 (Debian 12)", "codex_exec", "", "codex"),
        ("codex-tui/0.169.0", "", "", "codex"),
        ("codex_cli_rs/0.98.0", "codex_cli_rs", "", "codex"),
        ("something", "codex_vscode", "", "codex"),
        ("litellm/1.110.2", "", "", "litellm"),
        ("opencode/1.2", "", "", "opencode"),
        ("Cline/3.1", "", "", "cline"),
        ("OpenAI/JS 5.0", "", "Roo Code", "roo-code"),
        ("OpenAI/Python 3.57.0", "", "Aider", "aider"),
        ("OpenAI/Python 3.57.0", "", "", "openai-python"),
        ("AsyncAnthropic/Python 2.13.0", "", "", "anthropic-python"),
        ("Bun/1.4.6", "", "", "bun"),
        ("curl/8.5.0", "", "", "curl"),
        ("python-requests/2.32", "", "", "python-requests"),
        ("My Agent", "", "Something", "my"),
        ("", "", "", "unknown"),
        ("(comment)", "", "", "unknown"),
        ("\x1b[31mred", "", "", "unknown"),
        ("x" * 500, "", "", "x" * 64),
    ],
)
def test_agents_by_what_they_call_themselves(
    user_agent: str, originator: str, title: str, agent: str
) -> None:
    assert agent_of(user_agent.encode(), originator.encode(), title.encode()) == agent
    headers = fields(user_agent=user_agent, originator=originator, x_title=title)
    assert identify(None, headers, None).agent == agent


# -- safe names -------------------------------------------------------------------------------


def hashed(name: str, visible: str) -> str:
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{visible}~{digest[:16]}"


@pytest.mark.parametrize(
    "name",
    ["default", "bugfix-login", "a b", "été", "修复", "a/b:c|d", "x" * 128, "👍", "~"],
)
def test_a_visible_name_stays_as_it_is(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name, visible",
    [
        ("x" * 129, "x" * 111),
        ("a\nb", "ab"),
        ("a\r\n[abg] ALLOW", "a[abg] ALLOW"),
        ("a\x1b[2Jb", "a[2Jb"),
        ("a\x00", "a"),
        ("a\x7fb", "ab"),
        ("a\x9bb", "ab"),
        ("a\u200bb", "ab"),
        ("a\u202eb", "ab"),
        ("a\u2066b\u2069", "ab"),
        ("a\u00a0b", "ab"),
        ("a\u2028b", "ab"),
        ("a\ufeff", "a"),
        ("a\u00adb", "ab"),
        ("a\u034fb", "ab"),
        ("a\u3164b", "ab"),
        ("a\u2800b", "ab"),
        ("a\ufe0fb", "ab"),
        ("a\U000e0041b", "ab"),
        ("a\U000e0100b", "ab"),
        ("a\ud83db", "ab"),
        ("a\ue000b", "ab"),
        (" a", "a"),
        ("a ", "a"),
        ("é ", "é"),
        (" ", ""),
        ("\n", ""),
        ("\u200b" * 200, ""),
        ("é" * 200, "é" * 111),
    ],
)
def test_any_other_name_is_cut_and_told_apart_by_its_digest(name: str, visible: str) -> None:
    assert safe_name(name) == hashed(name, visible)


NAMES = st.text(max_size=20) | st.text("a\u200b\n\u202e ~\ud83dé", max_size=140)


@settings(max_examples=300)
@given(NAMES, NAMES)
def test_no_two_names_merge_and_all_are_safe(one: str, other: str) -> None:
    safe, safe_other = safe_name(one), safe_name(other)
    assert (safe == safe_other) == (one == other)
    assert len(safe) <= 128
    assert safe.isprintable() and safe.strip() == safe
    assert safe_name(safe) == safe
    safe.encode("utf-8")


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_names_in_headers_stay_apart_whatever_their_bytes(one: bytes, other: bytes) -> None:
    def named(value: bytes) -> str:
        return identify(None, [(b"x-abg-session-id", value)], None).id

    if one and other and one != other:
        assert named(one) != named(other)


def test_everything_that_is_recorded_is_safe() -> None:
    names = [name for name in attribution._NAMES if name not in ("user-agent", "originator")]
    headers = [(name.encode(), b"a\x1b[31m\xff") for name in names]
    found = identify("p\n", headers, responses(session_hint="h\n", thread_hint="t\n"))
    for value in (found.id, found.subagent, found.thread, found.parent, found.project):
        assert value is not None and value.isprintable() and "~" in value
    assert found.request_class is not None and found.request_class.isprintable()
    long = [(b"x-abg-session-id", b"x" * 5000)]
    assert len(identify(None, long, None).id) == 128


def test_the_memory_of_header_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "_REMEMBERED", 4)
    for number in range(20):
        identify(None, [(b"x-%d" % number, b""), (b"n" * 100, b"")], None)
    assert len(attribution._INTEREST) <= 4


SAID = st.dictionaries(st.sampled_from(attribution._NAMES), WORDS, max_size=5)
CALLS = st.sampled_from([None, anthropic(), anthropic(session_hint="a")])


@given(st.lists(st.tuples(SAID, CALLS)), st.sampled_from([None, "a"]))
def test_a_remembered_session_is_the_one_that_is_said(
    said: list[tuple[dict[str, str], Call | None]], route: str | None
) -> None:
    asked = [([(n.encode(), v.encode()) for n, v in names.items()], c) for names, c in said]
    # Each twice: read, and remembered.
    found = [identify(route, headers, call) for headers, call in asked + asked]
    fresh = []
    for headers, call in asked + asked:
        attribution._SESSIONS.clear()
        fresh.append(identify(route, headers, call))
    assert found == fresh


def test_the_memory_of_sessions_is_bounded_and_holds_no_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attribution._SESSIONS.clear()
    monkeypatch.setattr(attribution, "_MOST_SESSIONS", 4)
    keys = fields(authorization="Bearer sk-ant-oat-secret", x_api_key="sk-secret")
    for number in range(10):
        for size in (1, attribution._LONGEST_SAID + 1):
            name = f"{number}" * size
            identify(name, keys + fields(x_title=name), anthropic())
    assert 0 < len(attribution._SESSIONS) <= 4
    kept = repr(list(attribution._SESSIONS.items()))
    assert "secret" not in kept and len(kept) < 4 * 2 * attribution._LONGEST_SAID
