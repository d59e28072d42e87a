"""The calls abg knows, by their path: what each costs, and in which dialect it speaks.

Paths stand here without ``/v1``: clients may leave it out (contract 4). A star is one id. As of
2026-11, from the vendors' API references and the clients' traffic (``docs/agents.md``).
"""

from __future__ import annotations

import re
from enum import Enum

from attrs import frozen

__all__ = ["Endpoint", "Kind", "family_of", "known_post"]


class Kind(Enum):
    """What becomes of a request."""

    MODEL = "model"
    """A metered, paid call."""
    FREE = "free"
    """It costs nothing and is never blocked; its answer may carry the usage of an open call."""
    UNMETERED = "unmetered"
    """A paid call, or one that may be paid, without usage to read: an estimate."""
    PASS = "pass"
    """A method that no vendor serves a paid call by."""
    OWN = "own"
    """A path of abg itself."""
    UPGRADE = "upgrade"
    """A WebSocket: answered 426, on which Codex falls back to SSE at once."""
    REJECT = "reject"
    """Refused: ``status`` and ``message`` say why."""
    NOT_FOUND = "not_found"


@frozen
class Endpoint:
    """One known call."""

    kind: Kind
    dialect: str
    name: str
    only: str = ""
    """For an unmetered dialect: the vendor that has this call; to the other it is unknown."""


def _model(dialect: str, name: str) -> Endpoint:
    return Endpoint(Kind.MODEL, dialect, name)


def _free(dialect: str, name: str, only: str = "") -> Endpoint:
    return Endpoint(Kind.FREE, dialect, name, only)


def _paid(dialect: str, name: str, only: str) -> Endpoint:
    return Endpoint(Kind.UNMETERED, dialect, name, only)


_A, _O = "anthropic", "openai"
_POSTS: dict[str, Endpoint] = {
    "messages": _model("anthropic", "messages"),
    "messages/count_tokens": _free("anthropic", "count_tokens"),
    "messages/batches": _paid("anthropic_other", "messages.batches", _A),
    "messages/batches/*/cancel": _free("anthropic_other", "messages.batches", _A),
    "complete": _paid("anthropic_other", "complete", _A),
    "responses": _model("openai_responses", "responses"),
    "responses/compact": _model("openai_responses", "responses.compact"),
    "responses/input_tokens": _free("openai_responses", "input_tokens"),
    "responses/*/cancel": _free("openai_responses", "responses"),
    "chat/completions": _model("openai_chat", "chat.completions"),
    "completions": _model("openai_completions", "completions"),
    "embeddings": _model("openai_embeddings", "embeddings"),
    # Both vendors have files.
    "files": _free("", "files"),
    "batches": _paid("openai_other", "batches", _O),
    "batches/*/cancel": _free("openai_other", "batches", _O),
    "uploads": _free("openai_other", "uploads", _O),
    "uploads/*/parts": _free("openai_other", "uploads", _O),
    "uploads/*/complete": _free("openai_other", "uploads", _O),
    "uploads/*/cancel": _free("openai_other", "uploads", _O),
    "moderations": _free("openai_other", "moderations", _O),
    "conversations": _free("openai_other", "conversations", _O),
    "conversations/*": _free("openai_other", "conversations", _O),
    "conversations/*/items": _free("openai_other", "conversations", _O),
    # Codex's web search answers without usage: one search.
    "alpha/search": _paid("openai_other", "alpha.search", _O),
    "images/generations": _paid("openai_other", "images.generations", _O),
    "images/edits": _paid("openai_other", "images.edits", _O),
    "images/variations": _paid("openai_other", "images.variations", _O),
    "audio/speech": _paid("openai_other", "audio.speech", _O),
    "audio/transcriptions": _paid("openai_other", "audio.transcriptions", _O),
    "audio/translations": _paid("openai_other", "audio.translations", _O),
    "videos": _paid("openai_other", "videos", _O),
    "memories/trace_summarize": _paid("openai_other", "memories", _O),
    # A secret with which a client may talk to the vendor past abg.
    "realtime/client_secrets": _paid("openai_other", "realtime", _O),
    "realtime/sessions": _paid("openai_other", "realtime", _O),
    "realtime/transcription_sessions": _paid("openai_other", "realtime", _O),
    "realtime/calls": _paid("openai_other", "realtime", _O),
}

_EXACT = {f"{v1}/{path}": e for path, e in _POSTS.items() if "*" not in path for v1 in ("", "/v1")}
# An id holds nothing that a server could take for another path.
_WITH_ID = [
    (re.compile("(?:/v1)?/" + path.replace("*", "[A-Za-z0-9_-]{1,256}")), endpoint)
    for path, endpoint in _POSTS.items()
    if "*" in path
]

# By the first segment: (vendor, the dialect that a later look at the call speaks).
_FAMILIES = {
    "messages": ("anthropic", "anthropic"),
    "complete": ("anthropic", "anthropic_other"),
    "responses": ("openai", "openai_responses"),
    "chat": ("openai", "openai_chat"),
    "completions": ("openai", "openai_completions"),
    "embeddings": ("openai", "openai_embeddings"),
}


def known_post(path: str) -> Endpoint | None:
    """The call that a POST to this path is; None if the path is none of the known."""
    found = _EXACT.get(path)
    if found is None:
        for pattern, endpoint in _WITH_ID:
            if pattern.fullmatch(path):
                return endpoint
    return found


def family_of(path: str) -> tuple[str, str]:
    """Vendor and dialect by the beginning of a path; empty where it decides nothing."""
    words = path.split("/")[1:]
    if words[:1] == ["v1"]:
        words = words[1:]
    vendor, dialect = _FAMILIES.get(words[0] if words else "", ("", ""))
    if words[:2] == ["messages", "batches"]:
        dialect = "anthropic_other"
    return vendor, dialect
