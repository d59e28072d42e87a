"""abg's own answers in the vendors' shapes, each chosen by what the real clients do with it.

Measured on Claude Code 2.1.197 and 2.1.331, Codex 0.98 to 0.169, the vendors' SDKs and litellm:
402 ``billing_error`` is the one answer on which Claude Code stops after one request; 400 with code
``invalid_prompt`` the one on which Codex does, and shows the message exactly.
"""

from __future__ import annotations

import re
from http import HTTPStatus

import msgspec

from abg.dialects_old.base import Refusal

__all__ = ["anthropic_error", "anthropic_refusal", "clean", "openai_error", "openai_refusal"]

_encode = msgspec.json.Encoder().encode
_JSON = (b"content-type", b"application/json")
_NO_RETRY = (b"x-should-retry", b"false")

_REACTED_TO = re.compile(
    "credit balance is too low|prompt is too long|organization has been disabled"
    "|usage credits are required|extra usage is required|exceeded_limit|overloaded_error|timeout",
    re.IGNORECASE,
)
"""Words that make a client replace the message, compact, log out or ask again."""

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    431: "invalid_request_error",
    504: "timeout_error",
}
_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
}


def clean(message: str) -> str:
    """The message without words that a client would react to."""
    return _REACTED_TO.sub(
        lambda m: m[0].replace(" ", "-").replace("_", "-").replace("imeout", "ime-out"), message
    )


def anthropic_refusal(message: str, kind: str, request_id: str) -> Refusal:
    """402 ``billing_error``; without a ledger 503 ``api_error``."""
    status, type_ = (503, "api_error") if kind == "ledger" else (402, "billing_error")
    return _anthropic(status, type_, message, request_id, [_JSON, _NO_RETRY])


def anthropic_error(status: int, message: str) -> Refusal:
    type_ = _ANTHROPIC_TYPES.get(status) or (
        "api_error" if status >= 500 else "invalid_request_error"
    )
    headers = [_JSON] if status >= 500 else [_JSON, _NO_RETRY]
    return _anthropic(status, type_, message, "", headers)


def _anthropic(
    status: int, type_: str, message: str, request_id: str, headers: list[tuple[bytes, bytes]]
) -> Refusal:
    body: dict[str, object] = {
        "type": "error",
        "error": {"type": type_, "message": clean(message)},
    }
    if request_id:
        body["request_id"] = request_id
        headers = [*headers, (b"request-id", request_id.encode("ascii", "replace"))]
    return Refusal(status, _reason(status), list(headers), _encode(body))


def openai_refusal(message: str, code: str) -> Refusal:
    """400: no OpenAI client asks again after it."""
    return _openai(400, "invalid_request_error", code, message, [_JSON, _NO_RETRY])


def openai_error(status: int, message: str) -> Refusal:
    server = status >= 500
    type_ = _OPENAI_TYPES.get(status) or ("server_error" if server else "invalid_request_error")
    headers = [_JSON] if server else [_JSON, _NO_RETRY]
    return _openai(status, type_, None, message, headers)


def _openai(
    status: int, type_: str, code: str | None, message: str, headers: list[tuple[bytes, bytes]]
) -> Refusal:
    body = {"error": {"message": clean(message), "type": type_, "code": code, "param": None}}
    return Refusal(status, _reason(status), list(headers), _encode(body))


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""
