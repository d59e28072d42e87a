"""YAML as text with places: what stands in the file, at which line, before anything is understood.

PyYAML's parser gives the events; YAML's own guesses about numbers and dates are not used (``010``
is eight to it, ``6:30`` three hundred and ninety, and ``0.1`` a float), so that an amount is read
from the very digits that were written. Anchors, tags and several documents are refused: nothing
here needs them, and an alias can blow a small file up to gigabytes. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Union

from attrs import frozen

__all__ = ["Items", "Node", "Problem", "Row", "Scalar", "Table", "parse_tree"]

LARGEST_FILE = 1_000_000
"""Bytes; a configuration beyond that is another file."""

LARGE_FILE = 10_000
"""Characters from which on the parser in C is worth its start."""

DEEPEST = 16

_GLUED = re.compile(r"[\s-]*([A-Za-z_][\w-]{0,60})[:=](?=[^\s:=/])")
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))


@frozen
class Scalar:
    """One word, number or text."""

    text: str
    line: int = 0
    """From 1; 0: it does not come from a file."""
    plain: bool = True
    """Written without quotes: only then it can be a number, a truth value or null."""

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in _NULLS


@frozen
class Items:
    """A list."""

    values: tuple[Node, ...]
    line: int = 0


class Row(NamedTuple):
    """One key of a table."""

    key: str
    line: int
    value: Node


@frozen
class Table:
    """Keys and values, in the order of the file; no key comes twice."""

    rows: tuple[Row, ...]
    line: int = 0


Node = Union[Scalar, Items, Table]  # noqa: UP007 - a forward reference, on Python 3.10 too


class Problem(NamedTuple):
    """Something that is wrong, and where."""

    line: int
    """From 1; 0: nowhere in particular."""
    text: str


class _NotYaml(Exception):
    def __init__(self, line: int, text: str) -> None:
        self.problem = Problem(line, text)


def parse_tree(raw: bytes) -> tuple[Table, list[Problem]]:
    """The table that a file holds; an empty file holds an empty one.

    What is wrong comes back beside it: one problem where the file cannot be read at all, all of
    them where keys are written twice.
    """
    problems: list[Problem] = []
    try:
        root = _read(_text(raw), problems)
    except _NotYaml as error:
        return Table(()), [*problems, error.problem]
    if root is None or (isinstance(root, Scalar) and root.is_null):
        # An empty file, or nothing but comments.
        return Table(()), problems
    if not isinstance(root, Table):
        kind = "a list" if isinstance(root, Items) else "a single text"
        why = f"the file holds {kind}, not keys and values"
        problems.append(Problem(root.line, why + _glued(raw.decode("utf-8-sig"), root.line, 1)))
        return Table(()), problems
    return root, problems


def _text(raw: bytes) -> str:
    if len(raw) > LARGEST_FILE:
        raise _NotYaml(0, f"the file is larger than {LARGEST_FILE // 1_000_000} MB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _NotYaml(line, "the file is not UTF-8 text") from None


def _read(text: str, problems: list[Problem]) -> Node | None:
    import yaml  # a fifth of abg's start, and most starts have no file

    # libyaml is twenty times faster (a long list of prices), but its errors are not as clear.
    quick = getattr(yaml, "CSafeLoader", None)
    try:
        if quick is not None and len(text) > LARGE_FILE:
            try:
                list(yaml.parse(text, Loader=quick))
            except yaml.YAMLError:
                pass
            else:
                return _Reader(yaml.parse(text, Loader=quick), problems).document()
        return _Reader(yaml.parse(text, Loader=yaml.SafeLoader), problems).document()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _NotYaml(line, f"the file holds the character U+{error.character:04X}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = error.problem or error.context or "no reason given"
        if "'\\t'" in why:
            why += " (indent by spaces, not by tabs)"
        line = 0 if mark is None else mark.line + 1
        hint = _glued(text, line - 2, 3)
        raise _NotYaml(line, f"this is not YAML: {why}{hint}") from None


def _glued(text: str, first: int, lines: int) -> str:
    """The usual reason why lines are no keys and values: ``port:5``, which is one word to YAML."""
    for line in text.splitlines()[max(0, first - 1) : max(0, first - 1 + lines)]:
        found = _GLUED.match(line)
        if found:
            return f' (write "{found[1]}: " with a space after the colon)'
    return ""


class _Reader:
    """Builds nodes from PyYAML's events; those of a pure parser, so ``Any``."""

    def __init__(self, events: Iterator[Any], problems: list[Problem]) -> None:
        self._events = events
        self._problems = problems

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            name = type(event).__name__
            if name == "DocumentStartEvent":
                if root is not None:
                    raise _NotYaml(_line(event), "a second document begins here; there may be one")
                root = self._node(next(self._events), 0)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        line, name = _line(event), type(event).__name__
        if name == "AliasEvent" or event.anchor is not None:
            raise _NotYaml(line, "anchors and aliases (& and *) are not read here; write it out")
        if event.tag is not None:
            raise _NotYaml(line, f"tags are not read here: {event.tag[:60]}")
        if depth > DEEPEST:
            raise _NotYaml(line, "the file is nested too deeply")
        if name == "ScalarEvent":
            return Scalar(event.value, line, bool(event.implicit[0]))
        if name == "SequenceStartEvent":
            return Items(tuple(self._items(depth)), line)
        return Table(tuple(self._rows(depth)), line)

    def _items(self, depth: int) -> Iterator[Node]:
        event = next(self._events)
        while type(event).__name__ != "SequenceEndEvent":
            yield self._node(event, depth + 1)
            event = next(self._events)

    def _rows(self, depth: int) -> Iterator[Row]:
        seen: dict[str, int] = {}
        event = next(self._events)
        while type(event).__name__ != "MappingEndEvent":
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key, Scalar):
                self._problems.append(Problem(key.line, "a key is a word, not a list or a table"))
            elif key.text in seen:
                first = f"it stands in line {seen[key.text]} already"
                self._problems.append(Problem(key.line, f"{key.text}: duplicate key, {first}"))
            else:
                seen[key.text] = key.line
                yield Row(key.text, key.line, value)
            event = next(self._events)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
