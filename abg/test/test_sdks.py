"""The vendors' own Python SDKs: what they get through abg is what they get without it.

Streaming and not, every dialect, answers and errors; and a refusal raises at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from abg.test.clients.exact import charged
from abg.test.clients.proxy import ProxyProcess
from abg.testing import FakeVendor

anthropic = pytest.importorskip("anthropic", reason="the anthropic SDK is not installed")
openai = pytest.importorskip("openai", reason="the openai SDK is not installed")

CLAUDE: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": "Grüße, 🌍"}],
}
CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
ASK: dict[str, Any] = {"model": "gpt-5.5", "input": "hi"}
SCRIPT = {
    "rules": [
        {"path": "/messages", "turns": [{"text": "Ünï 🎈 cödé", "thinking": "hm", "run": "ls"}]},
        {"path": "/responses", "turns": [{"text": "Ünï 🎈 cödé", "thinking": "hm", "run": "ls"}]},
        {"path": "/chat/completions", "turns": [{"text": "Ünï 🎈 cödé", "run": "ls"}]},
    ]
}


def claude(url: str) -> Any:
    return anthropic.Anthropic(base_url=url, api_key="sk-ant-fake", max_retries=2, timeout=20)


def gpt(url: str) -> Any:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="sk-fake", max_retries=2, timeout=20)


# How to ask, by the raw interface of the SDK: (client maker, call).
QUESTIONS: dict[str, Callable[[str], Any]] = {
    "messages": lambda url: claude(url).messages.with_streaming_response.create(**CLAUDE),
    "messages, streamed": lambda url: claude(url).messages.with_streaming_response.create(
        **CLAUDE, stream=True
    ),
    "count_tokens": lambda url: claude(url).messages.with_streaming_response.count_tokens(
        model="claude-opus-5-5", messages=CLAUDE["messages"]
    ),
    "claude models": lambda url: claude(url).models.with_streaming_response.list(),
    "responses": lambda url: gpt(url).responses.with_streaming_response.create(**ASK),
    "responses, streamed": lambda url: gpt(url).responses.with_streaming_response.create(
        **ASK, stream=True
    ),
    "chat": lambda url: gpt(url).chat.completions.with_streaming_response.create(**CHAT),
    "chat, streamed": lambda url: gpt(url).chat.completions.with_streaming_response.create(
        **CHAT, stream=True
    ),
    "chat, streamed with usage": lambda url: gpt(
        url
    ).chat.completions.with_streaming_response.create(
        **CHAT, stream=True, stream_options={"include_usage": True}
    ),
    "completions": lambda url: gpt(url).completions.with_streaming_response.create(
        model="gpt-3.5-turbo-instruct", prompt="hi"
    ),
    "embeddings": lambda url: gpt(url).embeddings.with_streaming_response.create(
        model="text-embedding-3-small", input="hi"
    ),
    "gpt models": lambda url: gpt(url).models.with_streaming_response.list(),
}

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


def told(question: Callable[[str], Any], url: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, end-to-end headers and body of the answer."""
    with question(url) as answer:
        headers = [(k.lower(), v) for k, v in answer.headers.multi_items()]
        kept = [pair for pair in headers if pair[0] not in HOP_BY_HOP]
        return answer.status_code, kept, b"".join(answer.iter_bytes())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeVendor, ProxyProcess]]:
    folder = tmp_path_factory.mktemp("sdks")
    with FakeVendor(SCRIPT) as vendor, ProxyProcess(folder, vendor.url) as proxy:
        yield vendor, proxy


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_answer_is_the_same_with_and_without_abg(
    name: str, both: tuple[FakeVendor, ProxyProcess]
) -> None:
    vendor, proxy = both
    vendor.reset()
    without = told(QUESTIONS[name], vendor.url)
    vendor.reset()
    through = told(QUESTIONS[name], proxy.url)
    assert through == without
    assert without[0] == 200


@pytest.mark.parametrize("name", [n for n in QUESTIONS if "models" not in n and "count" not in n])
def test_a_request_is_the_same_with_and_without_abg(
    name: str, both: tuple[FakeVendor, ProxyProcess]
) -> None:
    vendor, proxy = both
    vendor.reset()
    told(QUESTIONS[name], vendor.url)
    told(QUESTIONS[name], proxy.url)
    direct, through = (record.request for record in vendor.records)
    assert through.method == direct.method
    assert through.target == direct.target
    if name == "chat, streamed":
        # The one thing abg adds: it asks for the usage, and takes the extra chunk out again.
        asked = json.loads(through.body)
        assert asked.pop("stream_options") == {"include_usage": True}
        assert asked == json.loads(direct.body)
    else:
        assert through.body == direct.body
    changed = HOP_BY_HOP | {"host", "accept-encoding"}
    assert sorted((k.lower(), v) for k, v in through.headers if k.lower() not in changed) == sorted(
        (k.lower(), v) for k, v in direct.headers if k.lower() not in changed
    )
    assert through.header("accept-encoding") == "identity"


@pytest.mark.parametrize("name", ["messages", "responses", "chat"])
def test_a_vendors_error_is_the_same_with_and_without_abg(
    name: str, both: tuple[FakeVendor, ProxyProcess]
) -> None:
    vendor, proxy = both
    vendor.reset()
    vendor.script({"status": 422, "error": {"message": "no such thing"}})
    try:
        answers = []
        for url in (vendor.url, proxy.url):
            with pytest.raises((anthropic.APIStatusError, openai.APIStatusError)) as raised:
                told(QUESTIONS[name], url)
            answers.append((raised.value.status_code, type(raised.value), raised.value.body))
        without, through = answers
        for answer in answers:
            if isinstance(answer[2], dict):
                answer[2].pop("request_id", None)
        assert through == without
        assert len(vendor.records) == 2
    finally:
        vendor.script(SCRIPT)


def test_what_was_asked_is_metered_exactly(tmp_path: Path) -> None:
    with FakeVendor(SCRIPT) as vendor, ProxyProcess(tmp_path, vendor.url) as proxy:
        for name, question in QUESTIONS.items():
            if name != "completions":
                told(question, proxy.url)
        entries = proxy.entries
        assert {e["cost_source"] for e in entries} == {"measured"}
        assert sum((e["cost_usd"] for e in entries), Decimal(0)) == charged(vendor.charges)
        assert len(entries) == len(vendor.charges)
        assert {e["session_id"] for e in entries} == {"default"}


REFUSALS = {
    "messages": (402, "billing_error", None),
    "messages, streamed": (402, "billing_error", None),
    "responses": (400, "invalid_request_error", "invalid_prompt"),
    "responses, streamed": (400, "invalid_request_error", "invalid_prompt"),
    "chat": (400, None, "budget_exceeded"),
    "chat, streamed": (400, None, "budget_exceeded"),
    "completions": (400, None, "budget_exceeded"),
    "embeddings": (400, None, "budget_exceeded"),
}


@pytest.fixture(scope="module")
def broke(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeVendor, ProxyProcess]]:
    """A proxy whose sessions may spend nothing."""
    folder = tmp_path_factory.mktemp("broke")
    with FakeVendor() as vendor, ProxyProcess(folder, vendor.url, session_budget_usd=0) as proxy:
        yield vendor, proxy


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_raises_at_once_and_is_not_asked_again(
    name: str, broke: tuple[FakeVendor, ProxyProcess]
) -> None:
    vendor, proxy = broke
    before = len(proxy.entries) if proxy.ledger_file.exists() else 0
    status, kind, code = REFUSALS[name]
    with pytest.raises((anthropic.APIStatusError, openai.APIStatusError)) as raised:
        told(QUESTIONS[name], proxy.url)
    refused = raised.value
    error = refused.response.json()["error"]
    assert refused.status_code == status
    assert error["message"].startswith("[abg] Session budget exhausted: $0.00 >= $0.00")
    assert kind is None or error["type"] == kind
    assert error.get("code") == code
    assert refused.response.headers["x-should-retry"] == "false"
    assert refused.response.headers["x-abg-decision"] == "block"
    assert refused.response.headers["x-abg-session"] == "default"
    assert refused.response.headers["x-abg-budget"]
    assert "retry-after" not in refused.response.headers
    assert len(proxy.entries) == before + 1, "the SDK asked again"
    assert vendor.records == []


def test_free_calls_pass_over_the_cap(broke: tuple[FakeVendor, ProxyProcess]) -> None:
    vendor, proxy = broke
    for name in ("count_tokens", "claude models", "gpt models"):
        assert told(QUESTIONS[name], proxy.url)[0] == 200
    assert len(vendor.records) == 3
    vendor.reset()
