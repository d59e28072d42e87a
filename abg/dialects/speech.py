"""What abg says itself: refusals and errors in the shapes that each vendor's clients understand.

The refusals were measured on the real clients (``docs/agents.md``): on these, and on few others,
they stop after one request and show the message whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from abg.call import Headers
from abg.dialects.protocol import Refusal

__all__ = [
    "anthropic_error",
    "anthropic_refusal",
    "cleaned",
    "openai_error",
    "openai_refusal",
    "reason_of",
]

# Words on which Claude Code does something else than show the message: it hides it, logs out,
# compacts the conversation or asks again. What each is replaced by reads the same.
_WORDS: dict[str, str] = {
    "timeout": "time limit",
    "timed out": "took too long",
    "credit balance is too low": "credit is too low",
    "prompt is too long": "the input is too large",
    "organization has been disabled": "organization was disabled",
    "usage credits are required": "credits are needed",
    "extra usage is required": "more usage is needed",
    "exceeded_limit": "over the limit",
    "overloaded_error": "overload",
    "overloaded": "overload",
    "context window": "window of input",
    "context limit": "limit of input",
    "context length": "length of input",
    "maximum context": "most input",
    "model:": "model -",
}
_REACTED_TO = re.compile("|".join(map(re.escape, _WORDS)), re.IGNORECASE)

_REASONS = {
    400: b"Bad Request",
    401: b"Unauthorized",
    402: b"Payment Required",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Time-out",
    411: b"Length Required",
    413: b"Content Too Large",
    414: b"URI Too Long",
    417: b"Expectation Failed",
    421: b"Misdirected Request",
    426: b"Upgrade Required",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Time-out",
    505: b"HTTP Version Not Supported",
}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


def cleaned(message: str) -> str:
    """The message without the words that clients react to, whoever put them there."""
    while _REACTED_TO.search(message):
        # Again, since what stood around a word may now make another one.
        message = _REACTED_TO.sub(lambda found: _WORDS[found.group().lower()], message)
    return message


def reason_of(status: int) -> bytes:
    """The phrase beside a status code."""
    return _REASONS.get(status, b"Error")


def anthropic_refusal(message: str, kind: str, request_id: str) -> Refusal:
    """402 ``billing_error``: the one status on which Claude Code stops after one request and
    keeps the message, the login and the model."""
    if kind == "ledger":
        return _anthropic(503, "api_error", message, request_id, final=True)
    return _anthropic(402, "billing_error", message, request_id, final=True)


def anthropic_error(status: int, message: str) -> Refusal:
    """An error in the shape of the Messages API."""
    kind = "invalid_request_error" if status < 500 else "api_error"
    return _anthropic(status, _ANTHROPIC_TYPES.get(status, kind), message, "", final=status < 500)


def openai_refusal(message: str, code: str) -> Refusal:
    """400: the one status that neither Codex nor the SDKs send again."""
    return _openai(400, "invalid_request_error", code, message, final=True)


def openai_error(status: int, message: str, code: str | None = None) -> Refusal:
    """An error in the shape of the OpenAI API."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return _openai(status, kind, code, message, final=status < 500)


def _anthropic(status: int, kind: str, message: str, request_id: str, *, final: bool) -> Refusal:
    text = cleaned(message)
    if not request_id:
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        request_id = f"req_abg_{digest}"
    body = {"type": "error", "error": {"type": kind, "message": text}, "request_id": request_id}
    more = [(b"request-id", request_id.encode("ascii", "replace"))]
    return _refusal(status, body, more, final=final)


def _openai(status: int, kind: str, code: str | None, message: str, *, final: bool) -> Refusal:
    error = {"message": cleaned(message), "type": kind, "code": code, "param": None}
    return _refusal(status, {"error": error}, [], final=final)


def _refusal(status: int, body: Mapping[str, Any], more: Headers, *, final: bool) -> Refusal:
    headers: Headers = [(b"content-type", b"application/json")]
    if final:
        headers.append((b"x-should-retry", b"false"))
    headers += more
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    # Half an emoji in a session's name has no UTF-8 of its own.
    return Refusal(status, reason_of(status), headers, text.encode("utf-8", "replace"))
