"""A budget: a limit over a scope and a window, as one row of the configuration's table.

Values and pure functions; ``abg.rules`` turns rows into something that decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from attrs import frozen

from abg.errors import ConfigError
from abg.money import as_written, is_meant, usd
from abg.windows import LIFETIME, Window, parse_window

__all__ = ["DEFAULT_WARN_AT", "PER", "Budget", "daily_budget", "parse_budget", "session_budget"]

PER = ("session", "agent", "subagent", "model", "project", "auth", "none")
"""What a budget can be counted by; the first six can be matched as well."""

DEFAULT_WARN_AT = (Decimal("0.8"),)
RESERVED = ("session", "daily")
"""Names of the two rows that have settings of their own."""

LONGEST_NAME = 64
_UNFIT = frozenset(",;'\"`")


@frozen
class Budget:
    """One row. A limit of 0 means that nothing may be spent; None means no limit."""

    name: str
    per: str = "none"
    match: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(what, globs): a call is meant if each *what* fits one of its globs."""
    window: Window = LIFETIME
    limit_usd: Decimal | None = None
    warn_at: tuple[Decimal, ...] = DEFAULT_WARN_AT
    """Shares of the limit from which entries say ``warn``."""
    action: str = "block"
    """``block`` or ``warn``."""
    max_requests: int | None = None
    max_usd_per_request: Decimal | None = None
    but_plans: bool = False
    """Its match on ``auth`` is none of the user's: calls that a plan pays for are ignored."""


def session_budget(limit: Decimal | None, warn_at: tuple[Decimal, ...] = DEFAULT_WARN_AT) -> Budget:
    """The row of ``session_budget_usd``."""
    return Budget("session", "session", limit_usd=limit, warn_at=warn_at)


def daily_budget(limit: Decimal | None, warn_at: tuple[Decimal, ...] = DEFAULT_WARN_AT) -> Budget:
    """The row of ``daily_budget_usd``."""
    return Budget("daily", window=Window("day"), limit_usd=limit, warn_at=warn_at)


def parse_budget(
    row: Mapping[str, Any], where: str, *, warn_at: tuple[Decimal, ...] = DEFAULT_WARN_AT
) -> Budget:
    """One row of ``budgets:``.

    Args:
        row: keys and values as YAML gives them.
        where: begins each message (``agentbillguard.yaml:12: budgets[0]``).
        warn_at: for a row that says nothing of it.

    Raises:
        ConfigError: an unknown key, a missing name, a value of the wrong type or range.
    """
    if not isinstance(row, Mapping):
        raise ConfigError(f"{where}: a budget is a table of keys, not {as_written(row)}")
    for key in row:
        if key not in _KEYS:
            raise ConfigError(f"{where}: {key}: unknown key{_nearest(str(key), _KEYS)}")
    read = _Row(row, where)
    found = Budget(
        name=read.name(),
        per=read.word("per", PER, "none"),
        match=read.match(),
        window=read.window(),
        limit_usd=read.amount("limit_usd"),
        warn_at=read.shares(warn_at),
        action=read.word("action", ("block", "warn"), "block"),
        max_requests=read.count("max_requests"),
        max_usd_per_request=read.amount("max_usd_per_request"),
    )
    if not {"limit_usd", "max_requests", "max_usd_per_request"} & set(row):
        read.fail("limit_usd", "is missing (null means no limit, 0 means nothing may be spent)")
    return found


_KEYS = (
    "name",
    "per",
    "match",
    "window",
    "limit_usd",
    "warn_at",
    "action",
    "max_requests",
    "max_usd_per_request",
)


class _Row:
    """Reads one row's values, each with its own message."""

    def __init__(self, row: Mapping[str, Any], where: str) -> None:
        self._row = row
        self._where = where

    def fail(self, key: str, why: str) -> None:
        raise ConfigError(f"{self._where}: {key}: {why}")

    def name(self) -> str:
        name = self._row.get("name")
        if name is not None and not isinstance(name, str):
            self.fail("name", f"a name is a text: write it in quotes, not {as_written(name)}")
        if not isinstance(name, str) or not name.strip():
            self.fail("name", "each budget needs a name")
        name = str(name).strip()
        if name in RESERVED:
            self.fail("name", f"{name} is the budget of {_OWN[name]}; choose another name")
        if len(name) > LONGEST_NAME or not name.isprintable() or _UNFIT & set(name):
            self.fail("name", f"at most {LONGEST_NAME} visible characters, no quotes, no commas")
        return name

    def word(self, key: str, words: tuple[str, ...], default: str) -> str:
        value = self._row.get(key)
        if value is None:
            return default
        if value not in words:
            self.fail(
                key,
                f"{as_written(value)} is none of {', '.join(words)}{_nearest(str(value), words)}",
            )
        return str(value)

    def match(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        value = self._row.get("match")
        if value is None:
            return ()
        if not isinstance(value, Mapping):
            self.fail("match", "a table such as {model: 'claude-opus-*'}")
        found = []
        for what, globs in value.items():
            if what not in PER[:-1]:
                near = _nearest(str(what), PER[:-1])
                self.fail("match", f"{as_written(what)} is none of {', '.join(PER[:-1])}{near}")
            globs = globs if isinstance(globs, (list, tuple)) else [globs]
            if not globs or not all(isinstance(glob, str) and glob for glob in globs):
                self.fail(f"match.{what}", "a text such as 'claude-opus-*', or a list of them")
            found.append((str(what), tuple(globs)))
        return tuple(sorted(found))

    def window(self) -> Window:
        value = self._row.get("window")
        if value is None:
            return LIFETIME
        try:
            return parse_window(str(value))
        except ValueError as error:
            raise ConfigError(f"{self._where}: window: {as_written(value)}: {error}") from None

    def amount(self, key: str) -> Decimal | None:
        value = self._row.get(key)
        if value is None:
            return None
        number = _number(value)
        if number is None:
            self.fail(key, f"an amount of USD such as 5.00, or null; not {as_written(value)}")
        elif number < 0:
            self.fail(key, f"cannot be negative: {value}")
        elif not is_meant(number):
            self.fail(key, f"no amount of USD that could be meant: {value}")
        return number

    def shares(self, default: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
        value = self._row.get("warn_at")
        if value is None:
            return default
        shares = [_number(v) for v in (value if isinstance(value, (list, tuple)) else [value])]
        found = [s for s in shares if s is not None and 0 <= s <= 1]
        if len(found) < len(shares):
            self.fail("warn_at", f"shares of the limit between 0 and 1, not {as_written(value)}")
        return tuple(sorted(found))

    def count(self, key: str) -> int | None:
        value = self._row.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self.fail(key, f"a whole number from 0 on, or null; not {as_written(value)}")
        return int(value)


_OWN = {"session": "session_budget_usd", "daily": "daily_budget_usd"}


def _number(value: object) -> Decimal | None:
    """The exact decimal that was written; a float is read back by its shortest text."""
    if isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(value))
    try:
        return usd(value)  # type: ignore[arg-type]
    except ValueError:
        return None


def _nearest(word: str, words: tuple[str, ...]) -> str:
    near = get_close_matches(word, words, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
