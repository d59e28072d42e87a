"""How a program is made to send its model calls through abg: arguments and environment.

What the clients really obey was measured on the programs themselves (2026-11; docs/agents.md):
Claude Code takes a base URL from the environment unless a settings file names one, Codex only
from its own configuration. Pure: files come in as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath

from attrs import field, frozen

__all__ = [
    "HINTS",
    "LOCAL_NAMES",
    "Plan",
    "Problem",
    "Target",
    "agent_of",
    "elsewhere",
    "environment",
    "past_proxies",
]

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")
"""Hosts that no corporate proxy may be asked for: both clients send even calls to 127.0.0.1
to ``HTTP_PROXY`` unless ``NO_PROXY`` names it (measured)."""

HINTS = "CLAUDE_CODE_GATEWAY_HINT_HEADERS"
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
REAL_KEYS = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "OPENAI_API_KEY",
    "CODEX_API_KEY",
)


@frozen
class Problem:
    """Why a client would spend past abg, and what helps."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}\n  {self.remedy}"


@frozen
class Target:
    """Where a client's calls shall go."""

    origin: str
    """``http://127.0.0.1:8788``, without a slash at the end."""
    session: str
    prefix: str
    """The session as it stands in a path: ``/s/my-task``."""
    project: str = ""
    token: str = ""
    """An abg token that stands for the vendors' keys; empty: the client has its own keys."""

    @property
    def anthropic(self) -> str:
        return self.origin + self.prefix

    @property
    def openai(self) -> str:
        return self.origin + self.prefix + "/v1"


@frozen
class Plan:
    """What is started: arguments, and what changes in the environment (None: taken out)."""

    argv: tuple[str, ...]
    environ: Mapping[str, str | None] = field(factory=dict)
    problems: tuple[Problem, ...] = ()
    """What forbids to start it."""
    notes: tuple[str, ...] = ()
    """What the user should know, once."""


Read = Callable[[str], str | None]


def agent_of(argv: Sequence[str]) -> str:
    """``claude``, ``codex``, or empty for any other program."""
    name = PurePath(argv[0]).name.lower() if argv else ""
    stem = name.removesuffix(".exe").removesuffix(".cmd").removesuffix(".js")
    return stem if stem in ("claude", "codex") else ""


def environment(target: Target, environ: Mapping[str, str]) -> dict[str, str | None]:
    """The variables every program gets, in the form each client expects.

    Codex ignores all of them; see ``abg.home.codex``.
    """
    changes: dict[str, str | None] = {
        "ANTHROPIC_BASE_URL": target.anthropic,
        "OPENAI_BASE_URL": target.openai,
        "OPENAI_API_BASE": target.openai,
        HINTS: "1",
        "ABG_URL": target.origin,
        "ABG_SESSION_ID": target.session,
    }
    if environ.get("ANTHROPIC_API_BASE"):
        # litellm looks there first.
        changes["ANTHROPIC_API_BASE"] = target.anthropic
    if target.project:
        changes["ANTHROPIC_CUSTOM_HEADERS"] = _with_header(
            environ.get("ANTHROPIC_CUSTOM_HEADERS", ""), "x-abg-project", target.project
        )
    changes.update(past_proxies(environ))
    if target.token:
        changes.update(dict.fromkeys(REAL_KEYS))
        changes["ANTHROPIC_API_KEY"] = target.token
        changes["OPENAI_API_KEY"] = target.token
        changes["CODEX_API_KEY"] = target.token
    return changes


def elsewhere(url: str | None, where: str, key: str) -> tuple[str, ...]:
    """A note where the user had another gateway named: abg goes to its own upstream."""
    if not url or any(f"//{name}" in url for name in ("127.0.0.1", "localhost", "[::1]")):
        return ()
    return (f"{where} names {url}; abg goes on to {key} of its own configuration: set it there",)


def past_proxies(environ: Mapping[str, str]) -> dict[str, str | None]:
    """``NO_PROXY`` with this machine in it, where a proxy is set."""
    if not any(environ.get(name) for name in PROXIES):
        return {}
    named = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    names = [n.strip() for n in named.split(",") if n.strip()]
    value = ",".join(names + [n for n in LOCAL_NAMES if n not in names])
    return {"NO_PROXY": value, "no_proxy": value}


def _with_header(lines: str, name: str, value: str) -> str:
    """Claude Code's custom headers, one a line; non-ASCII would stop it before it sends."""
    kept = [
        line
        for line in lines.splitlines()
        if line.strip() and line.partition(":")[0].strip().lower() != name
    ]
    ascii_value = "".join(c if " " <= c <= "~" else "?" for c in value)
    return "\n".join([*kept, f"{name}: {ascii_value}"])
