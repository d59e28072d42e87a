"""What ``abg init`` writes into the agents' files, and how it is taken out again. Pure text.

Everything else in a file stays as it is: keys, their order, comments in TOML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from abg.errors import AbgError
from abg.home.hook import EVENTS
from abg.money import show_exactly

__all__ = [
    "EditError",
    "claude_settings",
    "codex_config",
    "difference",
    "own_config",
    "revert_json",
    "revert_toml",
]

BASE = "openai_base_url"
REFRESH_SECONDS = 5
"""How often Claude Code asks for the status line while idle."""


class EditError(AbgError):
    """A file is not what it should be; it is left alone."""


def claude_settings(
    text: str | None,
    url: str,
    *,
    statusline: str | None = None,
    hook: str | None = None,
) -> str:
    """Claude Code's ``settings.json`` with the proxy as its base URL.

    Args:
        text: the file; None: there is none.
        statusline, hook: commands to install; None leaves that part alone.

    Raises:
        EditError: the file is no JSON object.
    """
    settings = _object(text)
    env = settings.get("env")
    settings["env"] = {**(env if isinstance(env, dict) else {}), "ANTHROPIC_BASE_URL": url}
    if statusline is not None:
        settings["statusLine"] = {
            "type": "command",
            "command": statusline,
            "padding": 0,
            "refreshInterval": REFRESH_SECONDS,
        }
    if hook is not None:
        hooks = settings.get("hooks")
        hooks = dict(hooks) if isinstance(hooks, dict) else {}
        ours = {"hooks": [{"type": "command", "command": hook}]}
        for event in EVENTS:
            there = hooks.get(event)
            there = list(there) if isinstance(there, list) else []
            hooks[event] = there if ours in there else [*there, ours]
        settings["hooks"] = hooks
    return _json(settings)


def codex_config(text: str | None, url: str) -> str:
    """Codex's ``config.toml`` with the proxy as its base URL: one line at the top level."""
    line = f'{BASE} = "{url}"'
    lines = (text or "").splitlines()
    at = _line_of(lines)
    if at is not None:
        lines[at] = line
    else:
        lines.insert(0, line)
    return "\n".join(lines) + "\n"


def own_config(
    session_usd: Decimal, daily_usd: Decimal, upstreams: Mapping[str, str] | None = None
) -> str:
    """A first ``agentbillguard.yaml``: the few keys most people change, explained."""
    text = f"""\
# agent-bill-guard. Every key, with its default: docs/configuration.md

# USD that one coding session may spend; null: no cap.
session_budget_usd: {show_exactly(session_usd)}

# USD for all sessions of a day; null: no cap.
daily_budget_usd: {show_exactly(daily_usd)}

# Warn from this share of a budget on.
warn_at: 0.8

# false: only warn, never stop.
block_on_limit: true
"""
    for key, url in (upstreams or {}).items():
        text += f"\n# Where calls went before abg: another gateway.\n{key}: {json.dumps(url)}\n"
    return text


def difference(path: str, before: str | None, after: str | None) -> str:
    """A unified diff, as a person reads it before saying yes: without the secrets in it."""
    from difflib import unified_diff

    lines = unified_diff(
        (before or "").splitlines(),
        (after or "").splitlines(),
        path if before is not None else "/dev/null",
        path if after is not None else "/dev/null",
        lineterm="",
    )
    return "\n".join(map(_without_secrets, lines))


_SECRET = re.compile(
    r"""(["']?[\w.-]*(?:key|token|secret|passw|credential|auth|headers)[\w.-]*["']?\s*[:=]\s*)"""
    r"""("(?:[^"\\]|\\.)*"|'[^']*')|\b(?:sk|abg)[-_][\w-]{4,}|(?<=://)[^/\s"'@]+(?=@)""",
    re.IGNORECASE,
)
"""A value whose name says that it is one, a vendor's key anywhere, a password in a URL."""


def _without_secrets(line: str) -> str:
    """A line to be shown: in CI it ends in a log. What is written stays whole."""
    return _SECRET.sub(lambda found: f'{found[1]}"…"' if found[1] else "…", line)


def revert_json(current: str, written: str, before: str | None) -> str:
    """The file as it is now, without what was written into it then.

    Only where a value is still the one that was written, it becomes what it was before.

    Raises:
        EditError: the file is no JSON object any more.
    """
    now = _object(current)
    return _json(_reverted(now, _object(written), _object(before)))


def revert_toml(current: str, written: str, before: str | None) -> str:
    """The same for ``config.toml``."""
    lines, then = current.splitlines(), written.splitlines()
    at, ours = _line_of(lines), _line_of(then)
    if at is None or ours is None or lines[at] != then[ours]:
        return current
    old = (before or "").splitlines()
    previous = _line_of(old)
    lines[at : at + 1] = [] if previous is None else [old[previous]]
    return "\n".join(lines) + "\n" if lines else ""


def _reverted(now: Any, written: Any, before: Any) -> Any:
    if now == written:
        return before
    if isinstance(now, dict) and isinstance(written, dict):
        old = before if isinstance(before, dict) else {}
        result = dict(now)
        for key, value in written.items():
            if key not in now or (key in old and old[key] == value):
                continue
            if now[key] == value and key not in old:
                del result[key]
                continue
            result[key] = _reverted(now[key], value, old.get(key))
            if result[key] in ({}, []) and key not in old:
                del result[key]
        return result
    if isinstance(now, list) and isinstance(written, list):
        kept = before if isinstance(before, list) else []
        return [item for item in now if item not in written or item in kept]
    return now


def _line_of(lines: Sequence[str]) -> int | None:
    """Where the base URL stands, before the first table."""
    for number, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith("["):
            return None
        if stripped.partition("=")[0].strip().strip("\"'") == BASE:
            return number
    return None


def _object(text: str | None) -> dict[str, Any]:
    if text is None or not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise EditError(f"it is not JSON ({problem})") from None
    if not isinstance(value, dict):
        raise EditError("it is no JSON object")
    return value


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
