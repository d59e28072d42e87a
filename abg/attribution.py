"""Whose call it is: session, agent, sub-agent, thread, project, and who pays for it.

First match wins for the session: the path's ``/s/<name>/``, the header ``x-abg-session-id``, the
agent's own id, ``default``. All forms were seen on the real clients (Claude Code 2.1.197 and
2.1.332, Codex 0.98 to 0.171; measured 2026-11-30). Names are made safe to stand in a log line, a
ledger and a terminal. Pure.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec
from attrs import evolve

from abg.agents import agent_of
from abg.call import Call, Headers, Session
from abg.projects import Projects

__all__ = [
    "DEFAULT_SESSION",
    "LONGEST_NAME",
    "Attribution",
    "Said",
    "identify",
    "safe_model",
    "safe_name",
]

DEFAULT_SESSION = "default"
LONGEST_NAME = 128
LONGEST_MODEL = 512
"""Characters of a model's name; an ARN may have some 300."""
_KEPT = 111
"""Characters kept of a name that is replaced: with ``~`` and 16 digits they make 128."""

# Characters that Python calls printable and nobody sees (Unicode's Default_Ignorable_Code_Point,
# and blanks that are letters or symbols by category).
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U0001d159\U000e0000-\U000e0fff]"
)


def safe_name(name: str) -> str:
    """A name as abg keeps and shows it: visible, at most 128 characters.

    Any other name becomes its first 111 visible characters, ``~``, and 16 hex digits of the whole
    name's SHA-256, so that no two such names merge. A safe name stays as it is. White space
    around a name is not seen either.
    """
    if len(name) <= LONGEST_NAME and name.isprintable():
        if name.isascii():
            if name[:1] != " " and name[-1:] != " ":
                return name
        elif name.strip() == name and not _UNSEEN.search(name):
            return name
    visible = _UNSEEN.sub("", "".join(c for c in name if c.isprintable())).strip()
    # A lone surrogate, as JavaScript writes for half an emoji, has its own bytes here.
    digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{visible[:_KEPT]}~{digest[:16]}"


def safe_model(name: str) -> str:
    """A model's name as abg keeps it: as asked, unless it is longer than any cloud's names or
    holds what nobody sees; then as ``safe_name`` says."""
    return name if len(name) <= LONGEST_MODEL and name.isprintable() else safe_name(name)


_NAMES = (
    "x-abg-session-id",
    "x-abg-project",
    "authorization",
    "x-api-key",
    "user-agent",
    "originator",
    "chatgpt-account-id",
    "x-claude-code-session-id",
    "x-claude-code-agent-id",
    "x-claude-code-parent-agent-id",
    "x-claude-code-agent-type",
    "x-claude-code-request-class",
    "session-id",
    "session_id",
    "thread-id",
    "x-codex-parent-thread-id",
    "x-openai-subagent",
    "x-codex-turn-metadata",
    "x-title",
)
_KNOWN = {name.encode(): name for name in _NAMES}
_REMEMBERED, _LONGEST_REMEMBERED = 4096, 64


class _Interest(dict[bytes, "str | None"]):
    """Which fields say something here, by their names as spelt."""

    def __missing__(self, name: bytes) -> str | None:
        found = _KNOWN.get(name.lower())
        if len(name) <= _LONGEST_REMEMBERED:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[name] = found
        return found


_INTEREST = _Interest()


def identify(
    route_session: str | None, headers: Headers, call: Call | None, upstream: str | None = None
) -> Session:
    """Who asks.

    Args:
        route_session: the name from the path, decoded.
        call: what the body says; None for a call whose body is not read.
        upstream: where the call goes; it tells who is charged. None: judged by the dialect.
    """
    return _session(route_session, Said(headers), call, upstream)


class Said:
    """What the head of a request says of its session.

    Attributes:
        fields: those that say something here; the first of several counts.
        turn: what Codex says of its turn.
        key: all of it but the client's credential, which is nobody's memory.
    """

    __slots__ = ("fields", "key", "turn")

    def __init__(self, headers: Headers) -> None:
        interest = _INTEREST
        self.fields = fields = dict[str, bytes]()
        for name, value in headers:
            what = interest[name]
            if what is not None and what not in fields:
                fields[what] = value
        turn = fields.get("x-codex-turn-metadata")
        self.turn = _NOTHING if turn is None else _turn_metadata(turn)
        self.key = tuple(
            part for field in fields.items() if field[0] not in _CREDENTIALS for part in field
        )


_CREDENTIALS = frozenset(("authorization", "x-api-key"))


class Attribution:
    """``identify`` with a memory for Codex's title threads, and for projects.

    The TUI asks for a title in a thread and session of its own, some 40 ms after the user's turn,
    and names no parent (measured, 0.169). It belongs to the session in which its installation
    asked last.
    """

    def __init__(self) -> None:
        self._latest: dict[str, str] = {}
        self.projects = Projects()

    def identify(
        self,
        route_session: str | None,
        said: Said,
        call: Call | None,
        upstream: str | None = None,
    ) -> Session:
        """As the function of this name, from what the head says."""
        return self.projects.placed(self._titled(said, route_session, call, upstream))

    def _titled(
        self, said: Said, route_session: str | None, call: Call | None, upstream: str | None
    ) -> Session:
        session = _session(route_session, said, call, upstream)
        turn = said.turn
        where = turn.installation_id
        if where is None or session.source != "agent":
            return session
        if turn.request_class == "title":
            return evolve(session, id=self._latest.get(where, session.id))
        if len(self._latest) >= _INSTALLATIONS and where not in self._latest:
            del self._latest[next(iter(self._latest))]
        self._latest[where] = session.id
        return session


_INSTALLATIONS = 1024
"""Installations of Codex that are remembered; the eldest is forgotten first."""


def _session(
    route_session: str | None, said: Said, call: Call | None, upstream: str | None
) -> Session:
    fields, turn = said.fields, said.turn
    auth = _auth(fields, call, upstream)
    hint = thread_hint = None
    if call is not None:
        hint, thread_hint = call.session_hint, call.thread_hint
    if turn is not _NOTHING:
        # Of Codex, and different in every turn.
        return _read_session(route_session, fields, turn, hint, thread_hint, auth)
    # What a call says of its session is what the call before said.
    key = (auth, route_session, hint, thread_hint, *said.key)
    session = _SESSIONS.get(key)
    if session is None:
        session = _read_session(route_session, fields, turn, hint, thread_hint, auth)
        _SESSIONS.keep(key, session)
    return session


class _Sessions(dict[tuple[Any, ...], Session]):
    """Sessions by all that was said of them."""

    def keep(self, key: tuple[Any, ...], session: Session) -> None:
        if sum(len(part) for part in key if part is not None) <= _LONGEST_SAID:
            if len(self) >= _MOST_SESSIONS:
                self.clear()
            self[key] = session


_MOST_SESSIONS, _LONGEST_SAID = 1024, 1024
_SESSIONS = _Sessions()


def _read_session(
    route_session: str | None,
    said: dict[str, bytes],
    metadata: _Turn,
    hint: str | None,
    thread_hint: str | None,
    auth: str,
) -> Session:
    get = said.get
    claude = get("x-claude-code-session-id")

    thread = _first(get("x-claude-code-agent-id"), get("thread-id"))
    if thread is None:
        thread = metadata.thread_id or (safe_name(thread_hint) if thread_hint else None)

    source = "agent"
    if route_session:
        session, source = safe_name(route_session), "path"
    elif own := get("x-abg-session-id"):
        session, source = _text(own), "header"
    elif own := claude or get("session-id") or get("session_id"):
        session = _text(own)
    elif hint and thread_hint:
        # Codex's client_metadata names both; it comes before the turn's metadata, and a
        # prompt_cache_key alone after it.
        session = safe_name(hint)
    elif metadata.session_id:
        session = metadata.session_id
    elif hint:
        session = safe_name(hint)
    else:
        session, source = DEFAULT_SESSION, "default"

    kind = get("x-claude-code-agent-type") or get("x-openai-subagent")
    agent_id = get("x-claude-code-agent-id")
    klass = get("x-claude-code-request-class")
    return Session(
        id=session,
        source=source,
        agent=_agent(said),
        subagent=_first(kind, agent_id),
        thread=thread,
        parent=_first(get("x-claude-code-parent-agent-id"), get("x-codex-parent-thread-id"))
        or metadata.parent_thread_id,
        project=_first(get("x-abg-project")),
        auth=auth,
        request_class=_text(klass) if klass else metadata.request_class,
    )


def _first(*values: bytes | None) -> str | None:
    for value in values:
        if value:
            return _text(value)
    return None


def _text(value: bytes) -> str:
    # A field may have 64 kB: only usual ones are remembered.
    return _remembered_text(value) if len(value) <= 256 else _plain_text(value)


def _plain_text(value: bytes) -> str:
    # surrogateescape: bytes that are no UTF-8 stay apart from each other, and are never shown.
    return safe_name(value.decode("utf-8", "surrogateescape"))


_remembered_text = lru_cache(4096)(_plain_text)


# -- who pays ---------------------------------------------------------------------------------


def _auth(said: dict[str, bytes], call: Call | None, upstream: str | None) -> str:
    """``subscription`` only where nothing but the plan can be charged: budgets may ignore it."""
    bearer, key = said.get("authorization"), said.get("x-api-key")
    if bearer is None:
        return "none" if key is None else "api_key"
    token = bearer[7:].lstrip().lower() if bearer[:7].lower() == b"bearer " else b""
    if upstream is None:
        anthropic = call is None or call.dialect.startswith("anthropic")
        upstream = "anthropic" if anthropic else "chatgpt"
    if key is not None or token.startswith(b"abg_"):
        return "api_key"
    if upstream == "anthropic":
        return "subscription" if token.startswith(b"sk-ant-oat") else "api_key"
    if upstream == "chatgpt" and "chatgpt-account-id" in said and not token.startswith(b"sk-"):
        return "subscription"
    return "api_key"


# -- which agent ------------------------------------------------------------------------------

_remembered_agent = lru_cache(1024)(agent_of)


def _agent(said: dict[str, bytes]) -> str:
    if "x-claude-code-session-id" in said:
        return "claude-code"
    if "x-codex-turn-metadata" in said:
        return "codex"
    words = ("user-agent", "originator", "x-title")
    return _remembered_agent(*(said.get(word, b"")[:128] for word in words))


# -- Codex's turn metadata --------------------------------------------------------------------


class _Raw(msgspec.Struct):
    """As it stands on the wire: anything may be anything."""

    session_id: Any = None
    thread_id: Any = None
    parent_thread_id: Any = None
    installation_id: Any = None
    request_kind: Any = None
    thread_source: Any = None


class _Turn(msgspec.Struct, frozen=True):
    session_id: str | None = None
    thread_id: str | None = None
    parent_thread_id: str | None = None
    installation_id: str | None = None
    request_class: str | None = None
    """``turn``, ``compaction``, ``prewarm``; ``title`` for a title thread."""


_NOTHING = _Turn()
_decode = msgspec.json.Decoder(_Raw).decode


def _turn_metadata(value: bytes) -> _Turn:
    """What ``x-codex-turn-metadata`` says; anything unreadable says nothing."""
    try:
        raw = _decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _NOTHING
    title = raw.thread_source == "thread_title"
    return _Turn(
        _word(raw.session_id),
        _word(raw.thread_id),
        _word(raw.parent_thread_id),
        _word(raw.installation_id),
        "title" if title else _word(raw.request_kind),
    )


def _word(value: Any) -> str | None:
    return safe_name(value) if isinstance(value, str) and value else None
