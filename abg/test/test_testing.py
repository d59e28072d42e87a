"""The fake vendor: does what its script says, and remembers what it was asked."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import socket
import time
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from abg.testing import FakeVendor, ScriptError, VendorProcess, parse_script
from abg.testing.ask import Request
from abg.testing.script import read_script

ASK = {"model": "claude-opus-5-5", "max_tokens": 9, "messages": []}


def connect(vendor: Any) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(vendor.url).netloc, timeout=10)


def post(
    vendor: Any, path: str, body: Any, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request on a connection of its own; the answer whole."""
    connection = connect(vendor)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, data, {k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    whole = answer.read()
    connection.close()
    return answer.status, answer.headers, whole


def kinds(stream: bytes) -> list[str]:
    """The types of a stream's events, deltas of one run counted once."""
    found = [
        json.loads(d).get("type", "chunk") for d in re.findall(rb"^data: ({.*})$", stream, re.M)
    ]
    return [kind for i, kind in enumerate(found) if i == 0 or found[i - 1] != kind]


def test_a_messages_stream_has_the_real_order_of_events() -> None:
    with FakeVendor({"text": "hello", "run": "ls"}) as vendor:
        _, headers, stream = post(vendor, "/v1/messages?beta=true", {**ASK, "stream": True})
    assert headers["content-type"].startswith("text/event-stream")
    assert kinds(stream) == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert b'"stop_reason":"tool_use"' in stream


def test_a_responses_stream_ends_with_the_usage() -> None:
    usage = {"input_tokens": 7, "output_tokens": 3}
    with FakeVendor({"text": "hello", "usage": usage}) as vendor:
        _, _, stream = post(vendor, "/v1/responses", {"model": "gpt-5.5", "stream": True})
        booked = vendor.charges
    assert kinds(stream)[0] == "response.created"
    assert kinds(stream)[-1] == "response.completed"
    last = json.loads(stream.strip().rpartition(b"data: ")[2])
    assert last["response"]["usage"]["input_tokens"] == 7
    assert booked[0].usage is not None
    assert booked[0].usage["output_tokens"] == 3
    assert booked[0].told


@pytest.mark.parametrize("asked", [True, False])
def test_a_chat_stream_tells_usage_only_when_asked(asked: bool) -> None:
    body: dict[str, Any] = {"model": "gpt-4o-mini", "stream": True}
    if asked:
        body["stream_options"] = {"include_usage": True}
    with FakeVendor() as vendor:
        _, _, stream = post(vendor, "/v1/chat/completions", body)
    assert stream.endswith(b"data: [DONE]\n\n")
    assert (b'"choices":[],"usage":{' in stream) is asked


def test_turns_follow_the_requests_and_the_last_repeats() -> None:
    with FakeVendor(["one", "two"]) as vendor:
        said = [json.loads(post(vendor, "/v1/messages", ASK)[2]) for _ in range(3)]
    assert [s["content"][0]["text"] for s in said] == ["one", "two", "two"]


def test_turns_by_conversation_do_not_move_on_with_a_retry() -> None:
    rule = {"by": "conversation", "turns": ["one", "two"]}
    later = {**ASK, "messages": [{"role": "user"}, {"role": "assistant"}, {"role": "user"}]}
    with FakeVendor({"rules": [rule]}) as vendor:
        said = [json.loads(post(vendor, "/v1/messages", body)[2]) for body in (ASK, ASK, later)]
    assert [s["content"][0]["text"] for s in said] == ["one", "one", "two"]


def test_items_of_one_answer_are_one_turn() -> None:
    items = [
        {"role": "user"},
        {"type": "reasoning"},
        {"type": "message", "role": "assistant"},
        {"type": "function_call"},
        {"type": "function_call_output"},
        {"type": "custom_tool_call"},
    ]
    request = Request("POST", "/v1/responses", (), json.dumps({"input": items}).encode())
    assert request.answers_so_far == 2


def test_rules_choose_by_path_model_words_and_header() -> None:
    rules = [
        {"model": "gpt-*", "turns": ["by model"]},
        {"contains": "needle", "turns": ["by words"], "times": 1},
        {"header": "x-agent: sub*", "turns": ["by header"]},
        {"path": "/messages", "turns": ["rest"]},
    ]
    with FakeVendor({"rules": rules}) as vendor:
        needle = {**ASK, "system": "needle"}
        said = [
            json.loads(post(vendor, "/v1/messages", body, **headers)[2])["content"][0]["text"]
            for body, headers in [
                ({**ASK, "model": "gpt-5"}, {}),
                (needle, {}),
                (needle, {}),
                (ASK, {"x_agent": "sub-1"}),
            ]
        ]
    assert said == ["by model", "by words", "rest", "by header"]


def test_errors_have_the_vendors_shape() -> None:
    with FakeVendor({"status": 529, "headers": {"retry-after": "3"}}) as vendor:
        status, headers, body = post(vendor, "/v1/messages", ASK)
        assert (status, headers["retry-after"]) == (529, "3")
        assert json.loads(body)["error"]["type"] == "overloaded_error"
        assert json.loads(post(vendor, "/v1/responses", {})[2])["error"]["code"] is None
        assert vendor.charges == []


@pytest.mark.parametrize("then", ["fin", "rst"])
def test_a_stream_breaks_off_as_told(then: str) -> None:
    with FakeVendor({"text": "hello", "after": 3, "then": then}) as vendor:
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            post(vendor, "/v1/messages", {**ASK, "stream": True})
        assert vendor.records[0].ended == "broken"
        assert not vendor.charges[0].told


def test_a_hanging_answer_ends_when_the_client_leaves() -> None:
    with FakeVendor({"after": 2, "then": "hang"}) as vendor:
        connection = connect(vendor)
        connection.request("POST", "/v1/messages", json.dumps({**ASK, "stream": True}))
        answer = connection.getresponse()
        assert answer.readline().startswith(b"event: message_start")
        answer.close()
        connection.close()
        ends = time.monotonic() + 5
        while vendor.records[0].ended == "running" and time.monotonic() < ends:
            time.sleep(0.01)
        assert vendor.records[0].ended == "client_gone"


def test_an_answer_can_be_compressed_unasked() -> None:
    with FakeVendor({"text": "hello", "encoding": "gzip"}) as vendor:
        _, headers, stream = post(vendor, "/v1/messages", {**ASK, "stream": True})
        assert headers["content-encoding"] == "gzip"
        assert b"message_stop" in gzip.decompress(stream)
        vendor.script({"text": "hello", "encoding": "deflate"})
        assert b"hello" in zlib.decompress(post(vendor, "/v1/messages", ASK)[2])


def test_garbage_is_sent_as_written() -> None:
    with FakeVendor({"body": "{nonsense", "content_type": "text/plain"}) as vendor:
        _, headers, body = post(vendor, "/v1/messages", ASK)
    assert (headers["content-type"], body) == ("text/plain", b"{nonsense")


def test_free_calls_cost_nothing_and_need_no_script() -> None:
    with FakeVendor({"status": 500}) as vendor:
        assert "input_tokens" in json.loads(post(vendor, "/v1/messages/count_tokens", ASK)[2])
        connection = connect(vendor)
        connection.request("HEAD", "/api/hello")
        assert connection.getresponse().status == 200
        connection.close()
        assert vendor.charges == []


def test_an_upgrade_is_answered_so_that_codex_falls_back() -> None:
    with FakeVendor() as vendor:
        connection = connect(vendor)
        connection.request("GET", "/v1/responses", headers={"Upgrade": "websocket"})
        assert connection.getresponse().status == 426
        connection.close()


def test_a_background_response_tells_its_usage_later() -> None:
    with FakeVendor() as vendor:
        body = {"model": "gpt-5.5", "background": True}
        queued = json.loads(post(vendor, "/v1/responses", body)[2])
        assert (queued["status"], queued["usage"]) == ("queued", None)
        connection = connect(vendor)
        connection.request("GET", f"/v1/responses/{queued['id']}")
        assert json.loads(connection.getresponse().read())["usage"]["input_tokens"] == 100
        connection.close()


def test_requests_are_remembered_byte_for_byte() -> None:
    with VendorProcess() as vendor:
        body = b'{"model":"x", "messages" :[]}'
        post(vendor, "/v1/messages", body, X_Kept="Yes")
        post(vendor, "/v1/messages", gzip.compress(body), content_encoding="gzip")
        first, second = vendor.requests
        assert first["body"].encode() == body
        assert ["X-Kept", "Yes"] in first["headers"]
        assert (first["method"], first["path"]) == ("POST", "/v1/messages")
        assert (first["ended"], first["status"]) == ("complete", 200)
        assert second["body"].encode() == body, "a compressed body is shown read"
        assert second["length"] != len(body)
        assert len(vendor.charges) == 2
        vendor.reset()
        assert vendor.requests == vendor.charges == []
        assert vendor.open == 0


def test_a_chunked_request_on_a_kept_connection() -> None:
    with FakeVendor() as vendor:
        connection = connect(vendor)
        for _ in range(2):
            pieces = iter([b'{"model":', b'"x"}'])
            connection.request("POST", "/v1/messages", pieces, encode_chunked=True)
            connection.getresponse().read()
        connection.close()
        assert [r.request.body for r in vendor.records] == [b'{"model":"x"}'] * 2


def test_expect_100_continue() -> None:
    with FakeVendor() as vendor:
        place = urlsplit(vendor.url)
        with socket.create_connection((place.hostname, place.port), 10) as client:
            head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            client.sendall(head + b"Expect: 100-continue\r\n\r\n")
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"{}")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ({"txet": "hi"}, "txet"),
        ({"then": "explode"}, "explode"),
        ({"framing": "smoke"}, "smoke"),
        ({"rules": [{"by": "luck", "turns": []}]}, "luck"),
        ({"rules": [{"pth": "/x", "turns": []}]}, "pth"),
        ({"rules": [], "more": 1}, "more"),
        ({"rules": ["x"]}, "'x'"),
        ([7], "7"),
    ],
)
def test_a_wrong_script_names_what_is_wrong(script: Any, named: str) -> None:
    with pytest.raises(ScriptError, match=re.escape(named)):
        parse_script(script)


def test_a_script_file(tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text('["one", {"text": "two"}]')
    assert [step.text for step in read_script(path).rules[0].turns] == ["one", "two"]
    path.write_text("[")
    with pytest.raises(ScriptError, match="not JSON"):
        read_script(path)
