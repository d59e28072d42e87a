"""Claude Code: which settings decide where its calls go. Pure: files come in as text.

Measured on 2.1.332: a base URL in any settings file beats the environment, also one in the old
``.claude.json``, in UTF-16 or with broken bytes; ``--settings`` beats them all, but not managed
ones; of several ``--settings`` only the last counts; project settings are read in the working
folder only, local ones also at the root of its repository. So the base URL always goes by
``--settings``: no file that nobody thought of leads past abg.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from abg.home.plan import (
    HINTS,
    PROXIES,
    Plan,
    Problem,
    Read,
    Target,
    elsewhere,
    environment,
    past_proxies,
)

__all__ = ["ELSEWHERE", "Settings", "parse_settings", "plan", "problems", "setting_paths"]

ELSEWHERE = (
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_MANTLE",
    "CLAUDE_CODE_USE_ANTHROPIC_AWS",
    "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD",
    "ANTHROPIC_UNIX_SOCKET",
)
"""Variables under which Claude Code does not ask its base URL at all (each one run)."""

URL = "ANTHROPIC_BASE_URL"


@frozen
class Settings:
    """One settings file, as far as it matters here."""

    path: str
    env: Mapping[str, str]
    managed: bool = False
    """Set by an administrator: nothing overrules it."""
    problem: str = ""
    """Why the file could not be read as settings; Claude Code then ignores it."""


def setting_paths(
    home: str, cwd: str, environ: Mapping[str, str], platform: str, root: str = ""
) -> tuple[tuple[str, bool], ...]:
    """The settings files, weakest first, each with whether it is a managed one.

    Args:
        root: of the git repository that the working folder lies in; empty: it lies in none.
    """
    named = environ.get("CLAUDE_CONFIG_DIR")
    folder = named or f"{home}/.claude"
    if platform == "darwin":
        managed = "/Library/Application Support/ClaudeCode/managed-settings.json"
    elif platform == "win32":
        managed = "C:/Program Files/ClaudeCode/managed-settings.json"
    else:
        managed = "/etc/claude-code/managed-settings.json"
    local = [f"{at}/.claude/settings.local.json" for at in (root, cwd) if at]
    return (
        # Both from before there were settings files, and still heeded.
        (f"{named or home}/.claude.json", False),
        (f"{folder}/.config.json", False),
        (f"{folder}/settings.json", False),
        (f"{cwd}/.claude/settings.json", False),
        *((path, False) for path in dict.fromkeys(local)),
        (managed, True),
    )


def parse_settings(path: str, text: str, *, managed: bool = False) -> Settings:
    """One file's ``env``; whatever cannot be read is noted, and counts as empty."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Settings(path, {}, managed, "it is not JSON")
    env = value.get("env") if isinstance(value, dict) else None
    if not isinstance(env, dict):
        return Settings(path, {}, managed)
    return Settings(path, {str(k): _text(v) for k, v in env.items()}, managed)


def problems(
    files: Sequence[Settings], environ: Mapping[str, str], wanted: Mapping[str, str | None]
) -> tuple[Problem, ...]:
    """What would carry calls past abg and cannot be overruled from outside.

    Args:
        wanted: the variables that must reach Claude Code as they are.
    """
    found = []
    for name in ELSEWHERE:
        if _on(environ.get(name)):
            found.append(
                Problem(
                    f"{name} is set: Claude Code then does not send its calls to abg",
                    f"Unset it for this run: env -u {name} abg run -- claude",
                )
            )
        for file in files:
            if _on(file.env.get(name)):
                found.append(
                    Problem(
                        f"{file.path} sets {name}: Claude Code then does not send its calls to abg",
                        f"Take {name} out of `env` in that file",
                    )
                )
    for file in files:
        named = file.env.get(URL)
        if file.managed and named and named != wanted.get(URL):
            found.append(
                Problem(
                    f"{file.path} (managed by an administrator) sends Claude Code to {named}, "
                    "and nothing overrules it",
                    "Ask the administrator to name abg there, and start claude plainly; set "
                    f"upstream_anthropic: {named} in abg's configuration",
                )
            )
    return tuple(found)


def plan(
    argv: Sequence[str],
    target: Target,
    environ: Mapping[str, str],
    files: Sequence[Settings],
    read: Read,
) -> Plan:
    """How ``claude …`` is started so that all its calls, and those of its children, pass abg."""
    changes = environment(target, environ)
    if target.token:
        # As bearer: an API key in the environment would first ask the user whether to trust it.
        changes["ANTHROPIC_API_KEY"] = None
        changes["ANTHROPIC_AUTH_TOKEN"] = target.token
    given, rest = _take_settings(argv)
    own = _given_settings(given, read)
    named = {name: value for file in files for name, value in file.env.items()}
    named |= own.env
    if any(named.get(name) for name in PROXIES):
        changes |= past_proxies({**environ, **named})
    overruled = {
        name: value
        for name, value in changes.items()
        if name in named and name != HINTS and named[name] != (value or "")
    }
    found = problems([*files, own], environ, changes)
    if own.problem:
        found += (Problem(f"--settings {given}: {own.problem}", "Correct it, or leave it out"),)
    where = next((f.path for f in reversed([*files, own]) if f.env.get(URL)), "the environment")
    notes = elsewhere(named.get(URL) or environ.get(URL), where, "upstream_anthropic")
    pinned = {URL: target.anthropic} | {k: v or "" for k, v in overruled.items()}
    merged = _merge(given, read, pinned)
    return Plan((rest[0], "--settings", merged, *rest[1:]), changes, found, notes)


def _take_settings(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The last ``--settings`` value, and the arguments without any."""
    given, rest = None, []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--settings":
            given = next(words, None)
        elif word.startswith("--settings="):
            given = word.partition("=")[2]
        else:
            rest.append(word)
    return given, rest


def _given_settings(given: str | None, read: Read) -> Settings:
    if given is None:
        return Settings("--settings", {})
    text = given if given.lstrip().startswith("{") else read(given)
    if text is None:
        return Settings("--settings", {}, problem="the file cannot be read")
    return parse_settings("--settings", text)


def _merge(given: str | None, read: Read, env: Mapping[str, str]) -> str:
    """The user's own ``--settings`` with our variables in its ``env``, as JSON."""
    text = None
    if given is not None:
        text = given if given.lstrip().startswith("{") else read(given)
    try:
        settings: Any = json.loads(text or "{}")
    except (ValueError, RecursionError):
        settings = {}
    if not isinstance(settings, dict):
        settings = {}
    old = settings.get("env")
    settings["env"] = {**(old if isinstance(old, dict) else {}), **env}
    return json.dumps(settings)


def _on(value: str | None) -> bool:
    return (value or "").strip().lower() not in ("", "0", "false", "no", "off")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
