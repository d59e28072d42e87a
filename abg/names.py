"""Model names: which row of the price table a name means, and which family an unknown one is of.

Clients, clouds and gateways spell one model in many ways. A name is unwrapped step by step, from
what is written towards the bare model, and the first form that the table knows wins: so the
longest sound match decides, and never a part of a name that merely fits (``gpt-4o`` is not
``gpt-4o-mini``, ``claude-opus-4-1`` not ``claude-opus-4-10``).

What is unwrapped: other case; Claude Code's ``[1m]``; a path (``anthropic/…``, ``openai/…``,
``azure/…``, ``publishers/anthropic/models/…``, ARNs); Bedrock's region and vendor
(``us.anthropic.…``) and version (``…-v1:0``); Vertex's ``…@20251001``; OpenRouter's tags
(``…:thinking``) and dots (``claude-opus-4.5``); ``-latest``; a snapshot's date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from attrs import frozen

__all__ = ["Family", "Found", "bare", "family_of", "find", "words_of"]

_BRACKETS = re.compile(r"\s*\[[^\]]*\]$")
_BEDROCK = re.compile(r"^(?:[a-z]{2,6}(?:-[a-z]{2,6})*\.)?(?:anthropic|openai)\.")
_BEDROCK_VERSION = re.compile(r"-v\d+(?::\d+)?(?::\d+k)?$|-\d+:\d+$")
_VERTEX = re.compile(r"@([a-z0-9-]+)$")
_TAG = re.compile(r":[a-z0-9_-]+$")
_DAY = re.compile(r"20\d{6}")
_DOT = re.compile(r"(?<=\d)\.(?=\d)")
_DATE = re.compile(r"-(?:20\d{6}|20\d\d-\d\d-\d\d)$")
_MONTH_AND_DAY = re.compile(r"^((?:gpt|o\d).*)-(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$")
_VERSION_FIRST = re.compile(r"^claude-(\d{1,2}(?:-\d{1,2})?)-([a-z]+)(-.+)?$")
_FAMILY_FIRST = re.compile(r"^claude-([a-z]+)-(\d{1,2}(?:-\d{1,2})?)(-.+)?$")

SPECIAL_WORDS = ("pro", "audio", "realtime", "image", "embedding", "search", "ft")
"""Words of models with prices of their own: no family stands for them, nor they for a family."""


@frozen
class Found:
    """A name that the table knows."""

    name: str
    """As the table writes it."""
    how: str
    """``name``, ``alias``, ``spelling`` (same name, written otherwise), ``latest`` or
    ``snapshot`` (known without its date)."""


@frozen
class Family:
    """The known models that an unknown name is nearest to."""

    stem: str
    """What their names share with it; empty: nothing but the vendor."""
    names: tuple[str, ...]


def find(model: str, known: Mapping[str, str]) -> Found | None:
    """The known model that a name means, or None.

    Args:
        model: as requested or answered.
        known: names and aliases in lower case, each with the name of its model.
    """
    name = known.get(model)
    if name is not None:
        return Found(name, "name" if name == model else "alias")
    for form, how in _forms(model):
        name = known.get(form)
        if name is not None:
            return Found(name, how)
    return None


def bare(model: str) -> str:
    """The name without what a cloud or gateway wrapped around it; ``-latest`` and dates stay."""
    name = model
    for form, how in _unwrapped(model):
        if how != "spelling":
            break
        name = form
    return _dashed(name)


def family_of(model: str, names: Mapping[str, frozenset[str]]) -> Family | None:
    """The known names with the longest stem of an unknown one; None if no stem fits.

    Stems end where a part of the name ends: ``claude-opus-``, ``gpt-6.1-``, ``gpt-6``, ``gpt-``.
    Rows with a word of their own (``-pro``, audio, …) count only if the name has that word too.

    Args:
        model: in its barest form.
        names: the known names in lower case, each with its special words.
    """
    own = words_of(model)
    for stem in _stems(model):
        inside = tuple(n for n, words in names.items() if words <= own and _has_stem(n, stem))
        if inside:
            return Family(stem, inside)
    return None


def words_of(name: str) -> frozenset[str]:
    """The special words in a name."""
    parts = re.split(r"[-.:]", name)
    return frozenset(word for word in SPECIAL_WORDS if word in parts)


def _forms(model: str) -> Iterator[tuple[str, str]]:
    """Every form that a name may have in the table, and what it is to the name as written."""
    for form, how in _unwrapped(model):
        for written in _written(form):
            yield written, how


def _unwrapped(model: str) -> Iterator[tuple[str, str]]:
    """Ever barer forms of a name, each with what it is to the name as written."""
    form = model.strip().lower()
    for unwrap in (_same, _without_brackets, _without_path, _without_bedrock):
        form = unwrap(form)
        yield form, "spelling"
    if form.startswith("ft:"):
        # A fine-tuned model: ft:<base>:<organisation>:<name>:<id>. It never costs as its base.
        yield ":".join(form.split(":")[:2]), "spelling"
        return
    how = "spelling"
    while True:
        shorter, what = _shorter(form)
        if shorter == form:
            return
        how = what or how
        form = shorter
        yield form, how


def _same(form: str) -> str:
    return form


def _without_brackets(form: str) -> str:
    return _BRACKETS.sub("", form)


def _without_path(form: str) -> str:
    return form.rpartition("/")[2] or form


def _without_bedrock(form: str) -> str:
    return _BEDROCK.sub("", form) or form


def _shorter(form: str) -> tuple[str, str | None]:
    """One suffix less, and what that makes of the name; the same form if it has none."""
    vertex = _VERTEX.search(form)
    if vertex:
        # A date may be part of a name that the table knows, so it stays for one more turn.
        dated = f"-{vertex[1]}" if _DAY.fullmatch(vertex[1]) else ""
        return form[: vertex.start()] + dated, None
    for pattern in (_BEDROCK_VERSION, _TAG, _BRACKETS):
        shorter = pattern.sub("", form)
        if shorter != form:
            return shorter, None
    if form.endswith("-latest"):
        return form.removesuffix("-latest"), "latest"
    shorter = _DATE.sub("", form)
    if shorter == form:
        month = _MONTH_AND_DAY.match(form)
        shorter = month[1] if month else form
    return shorter, "snapshot"


def _written(form: str) -> Iterator[str]:
    """The form, and for Claude its other spellings: dots for dashes, version before family."""
    yield form
    if not form.startswith("claude-"):
        return
    dashed = _dashed(form)
    if dashed != form:
        yield dashed
    version_first = _VERSION_FIRST.match(dashed)
    if version_first:
        version, family, rest = version_first.groups("")
        yield f"claude-{family}-{version}{rest}"
    family_first = _FAMILY_FIRST.match(dashed)
    if family_first:
        family, version, rest = family_first.groups("")
        yield f"claude-{version}-{family}{rest}"


def _dashed(form: str) -> str:
    return _DOT.sub("-", form) if form.startswith("claude-") else form


def _stems(model: str) -> Iterator[str]:
    """Stems of a name, longest first: whole, then cut before each ``-``, ``.`` and ``:``."""
    yield model
    for at in range(len(model) - 1, 0, -1):
        if model[at] in "-.:":
            yield model[:at]


def _has_stem(name: str, stem: str) -> bool:
    return name.startswith(stem) and name[len(stem) : len(stem) + 1] in ("", "-", ".", ":")
