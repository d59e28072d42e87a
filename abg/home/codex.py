"""Codex: which configuration decides where its calls go. Pure: files come in as text.

Measured on 0.169.0: the environment's base URL is ignored; ``-c openai_base_url=…`` before the
subcommand works for ``exec`` and the screen, beats the user's and a profile's file, and loses
against a later ``-c`` of the same key; a custom ``model_provider`` goes past it; with
``chatgpt_base_url`` set the client rewrites the model's URL and goes past abg.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from abg.home.plan import Plan, Problem, Target, elsewhere, environment

__all__ = ["CodexFile", "config_paths", "parse_config", "plan", "problems"]

BASE, CHATGPT, PROVIDER = "openai_base_url", "chatgpt_base_url", "model_provider"


@frozen
class CodexFile:
    """One ``config.toml``: its top-level strings."""

    path: str
    keys: Mapping[str, str]


def config_paths(home: str, cwd: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The files Codex reads, weakest first."""
    folder = environ.get("CODEX_HOME") or f"{home}/.codex"
    return (f"{folder}/config.toml", f"{cwd}/.codex/config.toml")


def parse_config(path: str, text: str) -> CodexFile:
    """The plain ``key = "value"`` lines before the first table.

    No whole TOML reader: Python 3.10 has none, and only these few keys decide.
    """
    keys = {}
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("["):
            break
        key, equals, value = stripped.partition("=")
        if equals and not stripped.startswith("#"):
            keys[key.strip().strip("\"'")] = _value(value)
    return CodexFile(path, keys)


def problems(argv: Sequence[str], files: Sequence[CodexFile]) -> tuple[Problem, ...]:
    """What would carry Codex's calls past abg, in its arguments and its files."""
    found = []
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
        where = "the command line" if key in said else ""
        value = said.get(key, "")
        if not where:
            named = [f for f in files if f.keys.get(key)]
            if named:
                where, value = named[-1].path, named[-1].keys[key]
        if not value or (key == PROVIDER and value == "openai"):
            continue
        found.append(_problem(key, value, where))
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
        (argv[0], "-c", base, *argv[1:]),
        environment(target, environ),
        problems(argv, files),
        notes,
    )


def _problem(key: str, value: str, where: str) -> Problem:
    if key == CHATGPT:
        return Problem(
            f"{where} sets {CHATGPT}: Codex then sends its calls past abg",
            f"Take it out: {BASE} alone is enough, for ChatGPT logins too",
        )
    return Problem(
        f"{where} sets {PROVIDER} = {value!r}: Codex sends its calls to that provider, past abg",
        f"Run it with: -c {PROVIDER}=openai; or point that provider's base_url at abg",
    )


def _overrides(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The ``-c key=value`` of a command line, in every spelling."""
    words = iter(argv)
    for word in words:
        if word == "--":
            return
        if word in ("-c", "--config"):
            pair = next(words, "")
        elif word.startswith("--config="):
            pair = word.partition("=")[2]
        elif word.startswith("-c") and not word.startswith("--"):
            pair = word[2:].removeprefix("=")
        else:
            continue
        key, _, value = pair.partition("=")
        yield key.strip(), _value(value)


def _value(text: str) -> str:
    """A TOML string without its quotes; other values as they stand, without a comment."""
    text = text.strip()
    for quote in ('"', "'"):
        if text.startswith(quote):
            return text[1:].partition(quote)[0]
    return text.partition("#")[0].strip()
