"""The kinds of values a key can have: how each is read, and what is said when it is not.

A kind turns a node of the file (or the text of a variable or flag, as a plain scalar) into a
value, or raises ``Wrong``. What is shown of a wrong value is short, and nothing where it may be a
secret. Named tuples, since every command that reads a configuration makes these classes first.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from abg.config.tree import Items, Node, Scalar, Table
from abg.money import is_meant

__all__ = [
    "Amount",
    "Flag",
    "Kind",
    "OneOf",
    "Seconds",
    "Share",
    "Shares",
    "Text",
    "Texts",
    "Whole",
    "Wrong",
    "nearest",
    "shown",
    "without_keys",
]


class Wrong(Exception):
    """A value that a key cannot have.

    Attributes:
        line: where, if not at the key itself.
        under: further keys on the way to it (``prices`` → ``claude-x``).
    """

    def __init__(self, text: str, line: int = 0, under: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.line = line
        self.under = under


class Kind(Protocol):
    """How values of one kind are read."""

    @property
    def what(self) -> str:
        """For the documentation: ``USD, or null``."""

    @property
    def scalar(self) -> bool:
        """Whether a variable or a flag can say it."""

    def read(self, node: Node) -> Any:
        """Raises:
        Wrong: it is no such value.
        """


_DIGITS = r"[0-9][0-9_]*"
_NUMBER = re.compile(rf"[+-]?(?:{_DIGITS}(?:\.[0-9_]*)?|\.{_DIGITS})(?:[eE][+-]?[0-9]{{1,2}})?")
_WHOLE = re.compile(r"[+-]?(?:0|[1-9][0-9_]*)")
_NOT_FINITE = re.compile(r"[+-]?\.?(?:nan|inf|infinity)", re.IGNORECASE)
_TRUE = frozenset(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"))
_FALSE = frozenset(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"))


def shown(node: Node) -> str:
    """A wrong value, as a message shows it."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Table):
        return "a table"
    if node.is_null:
        return "null" if node.text else "nothing"
    text = node.text if len(node.text) <= 40 else node.text[:37] + "..."
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if node.plain else f'"{text}"'


_KEY = re.compile(r"\bsk-[\w-]{4,}")


def without_keys(text: str) -> str:
    """A message without the vendors' keys: whoever puts one into a wrong place shows it to
    nobody but himself."""
    return _KEY.sub("sk-…", text)


def nearest(word: str, words: list[str]) -> str:
    """``did you mean …?`` for the known word that is most like this one, or nothing."""
    from difflib import get_close_matches  # only needed when something is wrong

    near = get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def decimal_of(node: Node) -> Decimal | None:
    """The exact number that is written there, None if it is no number."""
    if not isinstance(node, Scalar) or not node.plain or not _NUMBER.fullmatch(node.text):
        return None
    return Decimal(node.text.replace("_", ""))


def _number(node: Node, what: str) -> Decimal:
    number = decimal_of(node)
    if number is not None:
        return number
    hint = ""
    if isinstance(node, Scalar):
        text = node.text.strip()
        if _NOT_FINITE.fullmatch(text):
            hint = ": it has to be finite"
        elif not node.plain and _NUMBER.fullmatch(text):
            hint = ": write it without quotes"
        elif _NUMBER.fullmatch(text.strip("$ ").replace(",", ".")):
            hint = ": only digits and a point"
    raise Wrong(f"{what}, not {shown(node)}{hint}")


class Amount(NamedTuple):
    """An amount of USD; null means no limit, 0 that nothing may be spent."""

    what: str = "USD, or null"
    scalar: bool = True

    def read(self, node: Node) -> Decimal | None:
        if isinstance(node, Scalar) and node.is_null:
            return None
        amount = _number(node, "an amount of USD such as 5.00, or null for no limit")
        if amount < 0:
            raise Wrong(f"an amount cannot be negative: {shown(node)}")
        if not is_meant(amount):
            raise Wrong(f"no amount of USD that could be meant: {shown(node)}")
        return amount


class Share(NamedTuple):
    """One share from 0 to 1."""

    what: str = "a number from 0 to 1"
    scalar: bool = True

    def read(self, node: Node) -> Decimal:
        share = _number(node, "a share from 0 to 1, such as 0.8")
        if not 0 <= share <= 1:
            raise Wrong(f"a share lies between 0 and 1, not {shown(node)}")
        return share


def _listed(node: Node) -> tuple[Node, ...]:
    """The members of a list; one alone may stand without a list, and null for the empty one."""
    if isinstance(node, Items):
        return node.values
    if not isinstance(node, Scalar):
        return (node,)
    if node.is_null:
        return ()
    if node.line:
        return (node,)
    # Variables and flags have no lists: 0.5,0.9
    return tuple(Scalar(word.strip()) for word in node.text.split(","))


class Shares(NamedTuple):
    """Shares of a limit: one number from 0 to 1, or a list of them; null is the empty list."""

    what: str = "a number from 0 to 1, or a list of them"
    scalar: bool = True

    def read(self, node: Node) -> tuple[Decimal, ...]:
        return tuple(sorted({Share().read(one) for one in _listed(node)}))


class Flag(NamedTuple):
    """true or false."""

    what: str = "true or false"
    scalar: bool = True

    def read(self, node: Node) -> bool:
        if isinstance(node, Scalar) and node.plain:
            if node.text in _TRUE:
                return True
            if node.text in _FALSE:
                return False
        raise Wrong(f"true or false, not {shown(node)}")


class Whole(NamedTuple):
    """A whole number in a range."""

    least: int
    most: int
    nullable: bool = False
    scalar: bool = True

    @property
    def what(self) -> str:
        text = f"a whole number from {self.least} to {self.most}"
        return f"{text}, or null" if self.nullable else text

    def read(self, node: Node) -> int | None:
        if self.nullable and isinstance(node, Scalar) and node.is_null:
            return None
        good = isinstance(node, Scalar) and node.plain and _WHOLE.fullmatch(node.text)
        if isinstance(node, Scalar) and good:
            number = int(node.text.replace("_", "")[:20])
            if self.least <= number <= self.most:
                return number
        raise Wrong(f"{self.what}, not {shown(node)}")


class Seconds(NamedTuple):
    """A length of time in seconds, fractions too."""

    most: int
    least: int = 0
    scalar: bool = True

    @property
    def what(self) -> str:
        return f"seconds, from {self.least} to {self.most}"

    def read(self, node: Node) -> float:
        number = _number(node, self.what)
        if not self.least <= number <= self.most:
            raise Wrong(f"{self.what}, not {shown(node)}")
        whole = int(number)
        return whole if whole == number else float(number)


class OneOf(NamedTuple):
    """One of a few words."""

    words: tuple[str, ...]
    scalar: bool = True

    @property
    def what(self) -> str:
        return ", ".join(f"`{word}`" for word in self.words)

    def read(self, node: Node) -> str:
        if isinstance(node, Scalar) and node.text in self.words:
            return node.text
        near = nearest(node.text, list(self.words)) if isinstance(node, Scalar) else ""
        hint = f" ({near})" if near else ""
        raise Wrong(f"one of {', '.join(self.words)}; not {shown(node)}{hint}")


Check = Callable[[str], str]
"""Gives the value as it is kept, or raises ``Wrong``."""


class Text(NamedTuple):
    """A text that a function checks."""

    what: str
    check: Check
    nullable: bool = True
    scalar: bool = True

    def read(self, node: Node) -> str | None:
        if isinstance(node, Scalar):
            if node.is_null and self.nullable:
                return None
            if node.text.strip() and not node.is_null:
                return self.check(node.text.strip())
        raise Wrong(f"{self.what}, not {shown(node)}")


class Texts(NamedTuple):
    """A list of texts; one alone may stand without a list."""

    what: str
    check: Check
    scalar: bool = True

    def read(self, node: Node) -> tuple[str, ...]:
        found = []
        for one in _listed(node):
            if not isinstance(one, Scalar) or one.is_null:
                raise Wrong(f"{self.what}, not {shown(one)}", one.line)
            found.append(self.check(one.text.strip()))
        return tuple(found)
