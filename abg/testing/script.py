"""What a fake vendor shall answer: steps, rules and scripts, as values read from JSON.

A script is JSON: one step, a list of steps (one for each turn), or ``{"rules": [...]}`` where each
rule says which requests it speaks for. A step says what one answer is and what goes wrong with it:

====================  =============================================================================
key                   meaning
====================  =============================================================================
``text``              the assistant's words (default ``ok``)
``run``               a shell command that the client's own tool shall run
``tool``              any tool call: ``{"name": ..., "input": {...}}``, or a list of parallel ones
``thinking``          hidden reasoning before the words
``usage``             the counts, in the vendor's own spelling, over the defaults; null: none at all
``model``, ``tier``   what the answer claims, instead of what was asked
``stop_reason``       Anthropic's and Chat's reason for the end
``fields``            more keys of the final response object (``tool_usage``, ``stop_details``, …)
``final``             name of the Responses API's last event (``response.completed``)
``status``            not 200: an error, with ``error`` (``{"type", "message", "code"}``)
``body``              these words as the whole body, with ``content_type``
``headers``           more response headers
``encoding``          ``gzip``, ``deflate``, ``br`` or ``zstd``, though nobody asked for it
``framing``           ``chunked``, ``length`` or ``close``; default: as the vendors do
``stream``            false/true: JSON or SSE whatever was asked
``events``            number of text deltas (the words are repeated)
``delay``             seconds before the head
``pause``             seconds between two events
``after``             the answer breaks after so many events (bytes for JSON), as ``then`` says
``then``              ``fin``, ``rst``, ``end`` (a clean end all the same) or ``hang``
``split``             write so many bytes at a time, each in its own segment
====================  =============================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from attrs import Factory, field, fields, frozen

__all__ = ["DEFAULT_USAGE", "Rule", "Script", "ScriptError", "Step", "parse_script", "read_script"]


class ScriptError(ValueError):
    """A script says something that no vendor could do; the text names the key."""


class DefaultUsage:
    """The type of ``DEFAULT_USAGE``: the vendor's everyday counts."""


DEFAULT_USAGE = DefaultUsage()


@frozen
class Step:
    """One answer; the module's table says what each key means."""

    text: str = "ok"
    run: str | None = None
    tool: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    thinking: str | None = None
    usage: Mapping[str, Any] | DefaultUsage | None = DEFAULT_USAGE
    model: str | None = None
    tier: str | None = None
    stop_reason: str | None = None
    fields: Mapping[str, Any] = Factory(dict)
    final: str = "response.completed"
    status: int = 200
    error: Mapping[str, Any] = Factory(dict)
    body: str | None = None
    content_type: str | None = None
    headers: Mapping[str, str] = Factory(dict)
    encoding: str | None = None
    framing: str | None = None
    stream: bool | None = None
    events: int = 0
    delay: float = 0.0
    pause: float = 0.0
    after: int | None = None
    then: str = "fin"
    split: int = 0

    @property
    def tools(self) -> Sequence[Mapping[str, Any]]:
        """The tool calls that ``tool`` asks for."""
        if self.tool is None:
            return ()
        return (self.tool,) if isinstance(self.tool, Mapping) else self.tool


@frozen
class Rule:
    """A sequence of answers for the requests that fit; the last one repeats.

    ``by`` says what a turn is: ``request`` (the n-th request that fits, retries included) or
    ``conversation`` (the answers that the request itself carries as history, so that a retry, a
    sub-agent and a resumed session each get the turn they ask for).
    """

    turns: tuple[Step, ...]
    path: str = "*"
    """Glob over the path, the prefix before ``/v1`` and the query removed."""
    model: str = "*"
    contains: str = ""
    """Text that must stand in the body."""
    lacks: str = ""
    """Text that must not stand in the body."""
    header: str = ""
    """``name: glob`` that one of the headers must fit."""
    times: int | None = None
    """Speak only so many times; then the next rule that fits does."""
    by: str = field(default="request")

    @by.validator
    def _known(self, attribute: Any, value: str) -> None:
        if value not in ("request", "conversation"):
            raise ScriptError(f"by: {value!r} is neither 'request' nor 'conversation'")

    def fits(self, path: str, model: str, body: str, headers: Sequence[tuple[str, str]]) -> bool:
        """Whether this rule speaks for a request."""
        if not fnmatchcase(path, self.path) or not fnmatchcase(model, self.model):
            return False
        if self.contains not in body or (self.lacks and self.lacks in body):
            return False
        if not self.header:
            return True
        name, _, pattern = self.header.partition(":")
        wanted, pattern = name.strip().lower(), pattern.strip() or "*"
        return any(n.lower() == wanted and fnmatchcase(v, pattern) for n, v in headers)


@frozen
class Script:
    """Rules in order; the first that fits a request answers it, else an everyday answer."""

    rules: tuple[Rule, ...] = ()


def read_script(path: Path) -> Script:
    """The script in a JSON file.

    Raises:
        ScriptError: it is none; OSError: it cannot be read.
    """
    try:
        return parse_script(json.loads(path.read_text("utf-8")))
    except json.JSONDecodeError as error:
        raise ScriptError(f"{path}: not JSON: {error}") from None


def parse_script(data: Any) -> Script:
    """A script from its JSON.

    Raises:
        ScriptError: an unknown key, or a shape that is none of the three.
    """
    if data is None:
        return Script()
    if isinstance(data, Mapping) and "rules" in data:
        unknown = set(data) - {"rules"}
        if unknown:
            raise ScriptError(f"unknown key beside 'rules': {sorted(unknown)}")
        return Script(tuple(_rule(rule) for rule in data["rules"]))
    return Script((_rule({"turns": data}),))


def _rule(data: Any) -> Rule:
    if not isinstance(data, Mapping):
        raise ScriptError(f"a rule is an object, not {data!r}")
    turns = data.get("turns", [])
    steps = turns if isinstance(turns, Sequence) and not isinstance(turns, str) else [turns]
    rest = {key: value for key, value in data.items() if key != "turns"}
    _check(Rule, rest, "rule")
    return Rule(turns=tuple(_step(step) for step in steps) or (Step(),), **rest)


def _step(data: Any) -> Step:
    if isinstance(data, str):
        return Step(text=data)
    if not isinstance(data, Mapping):
        raise ScriptError(f"a step is an object or a text, not {data!r}")
    _check(Step, data, "step")
    step = Step(**data)
    if step.then not in ("fin", "rst", "end", "hang"):
        raise ScriptError(f"then: {step.then!r} is none of fin, rst, end, hang")
    if step.framing not in (None, "chunked", "length", "close"):
        raise ScriptError(f"framing: {step.framing!r} is none of chunked, length, close")
    return step


def _check(kind: type, data: Mapping[str, Any], what: str) -> None:
    unknown = set(data) - {f.name for f in fields(kind)}
    if unknown:
        raise ScriptError(f"unknown key in a {what}: {', '.join(sorted(unknown))}")
