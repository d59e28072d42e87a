"""Answers of the OpenAI APIs: Responses, Chat Completions, completions, embeddings.

Each as JSON and as its stream; the order of events is the real one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from abg.testing.ask import Request
from abg.testing.script import DefaultUsage, Step

__all__ = [
    "CREATED",
    "chat",
    "chat_events",
    "completion",
    "completion_events",
    "embedding",
    "error_body",
    "response",
    "response_events",
    "usage_of",
]

CREATED = 1_764_000_000
"""The one second in which every answer was made: two runs of a script are the same bytes."""

_CHAT_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
_USAGE: Mapping[str, Mapping[str, Any]] = {
    "/responses": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 120,
    },
    "/chat/completions": _CHAT_USAGE,
    "/completions": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    "/embeddings": {"prompt_tokens": 100, "total_tokens": 100},
}


def usage_of(step: Step, path: str) -> dict[str, Any] | None:
    """The counts that this answer is charged for, in the endpoint's spelling; None: not told."""
    if step.usage is None:
        return None
    usage = dict(_USAGE[path])
    return usage if isinstance(step.usage, DefaultUsage) else {**usage, **step.usage}


# -- Responses ---------------------------------------------------------------------------------


def response(step: Step, request: Request, number: int) -> dict[str, Any]:
    """The whole response object, finished."""
    whole = {
        "id": f"resp_fake_{number:06d}",
        "object": "response",
        "created_at": CREATED,
        "status": step.final.rpartition(".")[2],
        "background": bool(request.json.get("background", False)),
        "error": dict(step.error) or None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": request.json.get("max_output_tokens"),
        "model": step.model or request.model,
        "output": _items(step, request, number),
        "parallel_tool_calls": True,
        "previous_response_id": request.json.get("previous_response_id"),
        "service_tier": step.tier or "default",
        "store": bool(request.json.get("store", True)),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage_of(step, "/responses"),
        "metadata": {},
    }
    return {**whole, **step.fields}


def response_events(step: Step, request: Request, number: int) -> Iterator[bytes]:
    """The response as its stream."""
    whole = response(step, request, number)
    order = iter(range(1 << 62))
    running = dict(whole, status="in_progress", output=[], usage=None, error=None)
    for key in step.fields:
        running.pop(key, None)
    yield _event("response.created", next(order), response=running)
    yield _event("response.in_progress", next(order), response=running)
    for index, item in enumerate(whole["output"]):
        for kind, data in _item_events(index, item, step):
            yield _event(kind, next(order), **data)
    yield _event(step.final, next(order), response=whole)


def _items(step: Step, request: Request, number: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if step.thinking is not None:
        items.append(
            {
                "type": "reasoning",
                "id": f"rs_fake_{number:06d}",
                "summary": [{"type": "summary_text", "text": step.thinking}],
                "encrypted_content": "ZmFrZQ==",
            }
        )
    if step.text:
        part = {"type": "output_text", "annotations": [], "logprobs": []}
        items.append(
            {
                "type": "message",
                "id": f"item_fake_{number:06d}",
                "status": "completed",
                "role": "assistant",
                "content": [dict(part, text=step.text * max(1, step.events))],
            }
        )
    for index, (kind, name, told) in enumerate(_calls(step, request)):
        items.append(
            {
                "type": f"{kind}_call",
                "id": f"fc_fake_{number:06d}_{index}",
                "status": "completed",
                "call_id": f"call_fake_{number:06d}_{index}",
                "name": name,
                "arguments" if kind == "function" else "input": told,
            }
        )
        namespace = request.tools.get(name, {}).get("namespace")
        if namespace is not None:
            items[-1]["namespace"] = namespace
    return items


def _calls(step: Step, request: Request) -> Iterator[tuple[str, str, str]]:
    """Kind, name and argument of each tool call that the step asks for."""
    for tool in step.tools:
        told = tool.get("input", {})
        if isinstance(told, str):
            yield "custom_tool", str(tool["name"]), told
        else:
            yield "function", str(tool["name"]), json.dumps(told)
    if step.run is not None:
        yield _shell_call(step.run, request)


def _shell_call(run: str, request: Request) -> tuple[str, str, str]:
    tools = request.tools
    if "exec_command" not in tools and "exec" in tools:
        # Newer Codex models write JavaScript that calls the tools.
        command = json.dumps(run)
        script = f"const r = await tools.exec_command({{cmd: {command}}});\ntext(r.output);"
        return "custom_tool", "exec", script
    if "exec_command" not in tools and "shell" in tools:
        return "function", "shell", json.dumps({"command": ["bash", "-lc", run]})
    return "function", "exec_command", json.dumps({"cmd": run})


def _item_events(
    index: int, item: Mapping[str, Any], step: Step
) -> Iterator[tuple[str, dict[str, Any]]]:
    at = {"output_index": index}
    inside = {"item_id": item["id"], **at}
    kind = item["type"]
    opened = dict(item)
    if kind == "message":
        opened.update(status="in_progress", content=[])
    elif kind == "reasoning":
        opened.update(summary=[])
    else:
        opened.update({"status": "in_progress", _told(kind): ""})
    yield "response.output_item.added", {**at, "item": opened}
    if kind == "message":
        part = item["content"][0]
        text, spot = part["text"], {**inside, "content_index": 0}
        yield "response.content_part.added", {**spot, "part": dict(part, text="")}
        for piece in _pieces(step):
            yield "response.output_text.delta", {**spot, "delta": piece, "logprobs": []}
        yield "response.output_text.done", {**spot, "text": text, "logprobs": []}
        yield "response.content_part.done", {**spot, "part": part}
    elif kind != "reasoning":
        told = item[_told(kind)]
        name = "function_call_arguments" if kind == "function_call" else "custom_tool_call_input"
        half = len(told) // 2
        for piece in (told[:half], told[half:]):
            yield f"response.{name}.delta", {**inside, "delta": piece}
        yield f"response.{name}.done", {**inside, _told(kind): told}
    yield "response.output_item.done", {**at, "item": item}


def _told(kind: str) -> str:
    return "arguments" if kind == "function_call" else "input"


def _pieces(step: Step) -> Iterator[str]:
    if step.events:
        for _ in range(step.events):
            yield step.text
        return
    half = (len(step.text) + 1) // 2
    yield step.text[:half]
    if step.text[half:]:
        yield step.text[half:]


def _event(kind: str, order: int, **data: Any) -> bytes:
    told = {"type": kind, "sequence_number": order, **data}
    return f"event: {kind}\ndata: {_compact(told)}\n\n".encode()


# -- Chat Completions ----------------------------------------------------------------------------


def chat(step: Step, request: Request, number: int) -> dict[str, Any]:
    """The whole chat completion."""
    said: dict[str, Any] = {
        "role": "assistant",
        "content": (step.text * max(1, step.events)) or None,
        "refusal": None,
        "annotations": [],
    }
    calls = _chat_calls(step, number)
    if calls:
        said["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": said,
        "logprobs": None,
        "finish_reason": _finish(step),
    }
    whole = {
        "id": f"chatcmpl-fake-{number:06d}",
        "object": "chat.completion",
        "created": CREATED,
        "model": step.model or request.model,
        "choices": [choice],
        "usage": usage_of(step, "/chat/completions"),
        "service_tier": step.tier or "default",
        "system_fingerprint": None,
        **step.fields,
    }
    if step.usage is None:
        del whole["usage"]
    return whole


def chat_events(step: Step, request: Request, number: int) -> Iterator[bytes]:
    """The chat completion as its stream; the usage chunk only for those who asked for it."""
    base = {
        "id": f"chatcmpl-fake-{number:06d}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": step.model or request.model,
        "service_tier": step.tier or "default",
        "system_fingerprint": None,
        "choices": [],
    }
    options = request.json.get("stream_options")
    asked = isinstance(options, dict) and bool(options.get("include_usage"))
    usage = usage_of(step, "/chat/completions")
    if asked and usage is not None:
        base["usage"] = None
    yield _chunk(base, _choice({"role": "assistant", "content": "", "refusal": None}))
    if step.text:
        for piece in _pieces(step):
            yield _chunk(base, _choice({"content": piece}))
    for index, call in enumerate(_chat_calls(step, number)):
        told = call["function"]["arguments"]
        opened = dict(call, index=index, function=dict(call["function"], arguments=""))
        yield _chunk(base, _choice({"tool_calls": [opened]}))
        more = {"index": index, "function": {"arguments": told}}
        yield _chunk(base, _choice({"tool_calls": [more]}))
    yield _chunk(base, dict(_choice({}), finish_reason=_finish(step)))
    if asked and usage is not None:
        yield f"data: {_compact({**base, 'choices': [], 'usage': usage})}\n\n".encode()
    yield b"data: [DONE]\n\n"


def _chat_calls(step: Step, number: int) -> list[dict[str, Any]]:
    tools = list(step.tools)
    if step.run is not None:
        tools.append({"name": "bash", "input": {"command": step.run}})
    return [
        {
            "id": f"call_fake_{number:06d}_{index}",
            "type": "function",
            "function": {"name": tool["name"], "arguments": json.dumps(tool.get("input", {}))},
        }
        for index, tool in enumerate(tools)
    ]


def _finish(step: Step) -> str:
    if step.stop_reason is not None:
        return step.stop_reason
    return "stop" if step.run is None and step.tool is None else "tool_calls"


def _choice(delta: Mapping[str, Any]) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}


def _chunk(base: Mapping[str, Any], choice: Mapping[str, Any]) -> bytes:
    return f"data: {_compact({**base, 'choices': [choice]})}\n\n".encode()


# -- completions, embeddings ---------------------------------------------------------------------


def completion(step: Step, request: Request, number: int) -> dict[str, Any]:
    """An answer of the old completions endpoint."""
    whole = _completion(step, request, number, step.text * max(1, step.events), "stop")
    usage = usage_of(step, "/completions")
    return whole if usage is None else {**whole, "usage": usage}


def completion_events(step: Step, request: Request, number: int) -> Iterator[bytes]:
    """The same as its stream."""
    options = request.json.get("stream_options")
    asked = isinstance(options, dict) and bool(options.get("include_usage"))
    for piece in _pieces(step):
        chunk = _completion(step, request, number, piece, None)
        yield f"data: {_compact(chunk)}\n\n".encode()
    last = _completion(step, request, number, "", "stop")
    yield f"data: {_compact(last)}\n\n".encode()
    usage = usage_of(step, "/completions")
    if asked and usage is not None:
        yield f"data: {_compact({**last, 'choices': [], 'usage': usage})}\n\n".encode()
    yield b"data: [DONE]\n\n"


def _completion(
    step: Step, request: Request, number: int, text: str, finish: str | None
) -> dict[str, Any]:
    return {
        "id": f"cmpl-fake-{number:06d}",
        "object": "text_completion",
        "created": CREATED,
        "model": step.model or request.model,
        "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}],
    }


def embedding(step: Step, request: Request, number: int) -> dict[str, Any]:
    """One short vector."""
    # The official SDK asks for base64: four floats, little end first.
    packed = request.json.get("encoding_format") == "base64"
    vector: Any = "AACAPgAAAD8AAEA/AACAPw==" if packed else [0.25, 0.5, 0.75, 1.0]
    whole = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": vector}],
        "model": step.model or request.model,
        "usage": usage_of(step, "/embeddings"),
    }
    return {**whole, **step.fields}


def error_body(status: int, error: Mapping[str, Any]) -> dict[str, Any]:
    """An error in the API's shape."""
    kinds = {401: "authentication_error", 429: "rate_limit_exceeded", 500: "server_error"}
    told = {
        "message": "fake vendor error",
        "type": kinds.get(status, "invalid_request_error" if status < 500 else "server_error"),
        "param": None,
        "code": None,
    }
    return {"error": {**told, **error}}


def _compact(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
