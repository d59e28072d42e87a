"""Codex: which configuration decides where its calls go. Pure: files come in as text.

Measured on 0.171.0: the environment's base URL is ignored; ``-c openai_base_url=…`` before the
subcommand works for ``exec`` and the screen, beats the machine's, the user's and a profile's file,
and loses against a later ``-c`` of the same key and against the administrator's managed file; a
custom ``model_provider`` goes past it; with ``chatgpt_base_url`` set the client rewrites the
model's URL and goes past abg. So the provider is named by ``-c`` as well: no file that nobody
thought of leads past abg.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module

from attrs import frozen

from abg.home.plan import Plan, Problem, Target, elsewhere, environment

__all__ = ["CodexFile", "config_paths", "parse_config", "plan", "problems"]

BASE, CHATGPT, PROVIDER = "openai_base_url", "chatgpt_base_url", "model_provider"


@frozen
class CodexFile:
    """One ``config.toml``: its top-level strings."""

    path: str
    keys: Mapping[str, str]
    managed: bool = False
    """Set by an administrator: nothing overrules it."""


def config_paths(
    home: str,
    cwd: str,
    environ: Mapping[str, str],
    argv: Sequence[str] = (),
    platform: str = "linux",
) -> tuple[tuple[str, bool], ...]:
    """The files Codex reads, weakest first, each with whether it is a managed one.

    Args:
        argv: its arguments, which may name a profile.
    """
    folder = environ.get("CODEX_HOME") or f"{home}/.codex"
    system = folder if platform == "win32" else "/etc/codex"
    profiles = [f"{folder}/{name}.config.toml" for name in _profiles(argv)]
    paths = ("/etc/codex/config.toml", f"{folder}/config.toml", *profiles)
    return (
        *((path, False) for path in (*paths, f"{cwd}/.codex/config.toml")),
        (f"{system}/managed_config.toml", True),
    )


_READER = "tomllib" if sys.version_info >= (3, 11) else "tomli"


def parse_config(path: str, text: str, *, managed: bool = False) -> CodexFile:
    """The texts at its top level."""
    try:
        found = import_module(_READER).loads(text)
    except (ImportError, ValueError, RecursionError):
        # What is no TOML, Codex will say so itself.
        return CodexFile(path, _plain_lines(text), managed)
    return CodexFile(path, {k: v for k, v in found.items() if isinstance(v, str)}, managed)


def _plain_lines(text: str) -> dict[str, str]:
    """The ``key = "value"`` lines before the first table."""
    keys = {}
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            break
        key, equals, value = stripped.partition("=")
        if equals and not stripped.startswith("#"):
            keys[key.strip().strip("\"'")] = _value(value)
    return keys


def problems(
    argv: Sequence[str], files: Sequence[CodexFile], wanted: str = ""
) -> tuple[Problem, ...]:
    """What would carry Codex's calls past abg, in its arguments and its files.

    Args:
        wanted: the base URL that must reach Codex.
    """
    found = [
        _managed(file)
        for file in files
        if file.managed and file.keys.get(BASE) not in (None, wanted)
    ]
    said = dict(_overrides(argv))
    if BASE in said:
        found.append(
            Problem(
                f"-c {BASE}={said[BASE]} would send Codex past abg",
                "Leave it out; where calls go on from abg is upstream_openai in its configuration",
            )
        )
    if "--oss" in argv:
        found.append(
            Problem(
                "--oss sends Codex to a local model, past abg", "It costs nothing: run it plainly"
            )
        )
    for key in (CHATGPT, PROVIDER):
        # An administrator's file beats even the command line.
        named = [f for f in files if f.keys.get(key) and (f.managed or key not in said)]
        where, value = "the command line", said.get(key, "")
        if named:
            where, value = named[-1].path, named[-1].keys[key]
        if not value or (key == PROVIDER and value == "openai"):
            continue
        found.append(_problem(key, value, where, managed=bool(named) and named[-1].managed))
    return tuple(found)


def plan(
    argv: Sequence[str], target: Target, environ: Mapping[str, str], files: Sequence[CodexFile]
) -> Plan:
    """How ``codex …`` is started so that its calls pass abg."""
    base = f"{BASE}={target.openai}"
    named = next((f for f in reversed(files) if f.keys.get(BASE)), CodexFile("", {}))
    notes = elsewhere(named.keys.get(BASE), named.path, "upstream_openai")
    if target.token and not {"exec", "e"} & set(argv):
        # Only `exec` takes a key from the environment (measured).
        notes += (
            "abg holds the keys, and Codex's screen takes none from the environment: "
            "log it in with a token (abg token new, codex login --with-api-key)",
        )
    return Plan(
        (argv[0], "-c", base, "-c", f"{PROVIDER}=openai", *argv[1:]),
        environment(target, environ),
        problems(argv, files, target.openai),
        notes,
    )


def _managed(file: CodexFile) -> Problem:
    named = file.keys[BASE]
    return Problem(
        f"{file.path} (managed by an administrator) sends Codex to {named}, "
        "and nothing overrules it",
        "Ask the administrator to name abg there, and start codex plainly; "
        f"{named} then belongs into upstream_openai of abg's configuration",
    )


def _problem(key: str, value: str, where: str, *, managed: bool) -> Problem:
    if key == CHATGPT:
        return Problem(
            f"{where} sets {CHATGPT}: Codex then sends its calls past abg",
            f"Take it out: {BASE} alone is enough, for ChatGPT logins too",
        )
    return Problem(
        f"{where} sets {PROVIDER} = {value!r}: Codex sends its calls to that provider, past abg",
        "Nothing overrules a managed file: have that provider's base_url point at abg"
        if managed
        else f"Run it with: -c {PROVIDER}=openai; or point that provider's base_url at abg",
    )


def _overrides(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The ``-c key=value`` of a command line."""
    for pair in _given(argv, "-c", "--config"):
        key, _, value = pair.partition("=")
        yield key.strip(), _value(value)


def _profiles(argv: Sequence[str]) -> Iterator[str]:
    """The ``-p NAME`` of a command line; a name is no path."""
    return (name for name in _given(argv, "-p", "--profile") if name and "/" not in name)


def _given(argv: Sequence[str], short: str, long: str) -> Iterator[str]:
    """The values of an option, in every spelling."""
    words = iter(argv)
    for word in words:
        if word == "--":
            return
        if word in (short, long):
            yield next(words, "")
        elif word.startswith(f"{long}="):
            yield word.partition("=")[2]
        elif word.startswith(short) and not word.startswith("--"):
            yield word[2:].removeprefix("=")


def _value(text: str) -> str:
    """A TOML string without its quotes; other values as they stand, without a comment."""
    text = text.strip()
    for quote in ('"""', "'''", '"', "'"):
        if text.startswith(quote):
            return text[len(quote) :].partition(quote)[0]
    return text.partition("#")[0].strip()
