"""The keys that hold tables: rows of budgets, prices, credentials, header fields.

Shape and places are checked here; what a budget or a price means is known where it is read
(``abg.budget``, ``abg.pricing``). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from abg.budget import Budget, parse_budget
from abg.config.checks import check_credential, check_header_name, check_header_value
from abg.config.kinds import Flag, Whole, Wrong, decimal_of, nearest, shown
from abg.config.tree import Items, Node, Problem, Scalar, Table
from abg.errors import ConfigError

__all__ = [
    "BudgetRows",
    "Credentials",
    "HeaderTables",
    "PriceRows",
    "UnknownModel",
    "budgets_of",
    "plain",
    "prices_of",
]

UPSTREAMS = ("anthropic", "openai", "chatgpt")


def plain(node: Node) -> Any:
    """A node as plain data: null, bool, int, Decimal, str, list, dict. No float, no date."""
    if isinstance(node, Table):
        return {row.key: plain(row.value) for row in node.rows}
    if isinstance(node, Items):
        return [plain(value) for value in node.values]
    if node.is_null:
        return None
    for kind in (Flag(), Whole(-(10**18), 10**18)):
        try:
            return kind.read(node)
        except Wrong:
            continue
    number = decimal_of(node)
    return node.text if number is None else number


def _rows(node: Node, what: str, *, secret: bool = False) -> Table:
    if isinstance(node, Scalar) and node.is_null:
        return Table(())
    if not isinstance(node, Table):
        told = shown(node)
        # What names no place may be the secret itself.
        hide = secret and isinstance(node, Scalar) and not told.startswith(("env:", "file:"))
        raise Wrong(what if hide else f"{what}, not {told}")
    return node


class BudgetRows(NamedTuple):
    """A list of rows; what each means is read once ``warn_at`` is known."""

    what: str = "a list of rows"
    scalar: bool = False

    def read(self, node: Node) -> Node:
        if isinstance(node, Scalar) and node.is_null:
            return Items(())
        if not isinstance(node, Items):
            raise Wrong(f"a list of rows (each line begins with - ), not {shown(node)}")
        return node


class PriceRows(NamedTuple):
    """Prices by model."""

    what: str = "a table by model"
    scalar: bool = False

    def read(self, node: Node) -> Node:
        return _rows(node, "a table by model")


class UnknownModel(NamedTuple):
    """``dearest``, ``block``, or a price row for all unknown models."""

    what: str = "`dearest`, `block`, or a price row"
    scalar: bool = True

    def read(self, node: Node) -> str | Mapping[str, Any]:
        if isinstance(node, Table):
            try:
                return _price(node, "unknown_model", "unknown_model")
            except Wrong as wrong:
                text = str(wrong).removeprefix("unknown_model: ")
                raise Wrong(text, wrong.line) from None
        if isinstance(node, Scalar) and node.text in ("dearest", "block"):
            return node.text
        raise Wrong(f"dearest, block, or a price row; not {shown(node)}")


class Credentials(NamedTuple):
    """Where the vendors' keys are."""

    what: str = "a table by vendor"
    scalar: bool = False

    def read(self, node: Node) -> Mapping[str, str]:
        found = {}
        for key, line, value in _rows(
            node, "a table such as {anthropic: env:NAME}", secret=True
        ).rows:
            if key not in UPSTREAMS[:2]:
                near = nearest(key, list(UPSTREAMS[:2]))
                raise Wrong(f"{near or 'only anthropic and openai'} (unknown vendor)", line, (key,))
            text = value.text if isinstance(value, Scalar) else ""
            try:
                found[key] = check_credential(text)
            except Wrong as wrong:
                raise Wrong(str(wrong), line, (key,)) from None
        return found


class HeaderTables(NamedTuple):
    """Header fields to add, by upstream."""

    what: str = "a table of headers by upstream"
    scalar: bool = False

    def read(self, node: Node) -> Mapping[str, tuple[tuple[str, str], ...]]:
        found = {}
        for upstream, line, table in _rows(
            node, "a table such as {openai: {x-team: a}}", secret=True
        ).rows:
            if upstream not in UPSTREAMS:
                near = nearest(upstream, list(UPSTREAMS))
                text = f"{near or 'only ' + ', '.join(UPSTREAMS)} (unknown upstream)"
                raise Wrong(text, line, (upstream,))
            fields: dict[str, tuple[str, str]] = {}
            for name, at, value in _rows(table, "a table such as {x-team: a}", secret=True).rows:
                try:
                    check_header_name(name)
                    if name.lower() in fields:
                        raise Wrong("this header stands here twice")
                    if not isinstance(value, Scalar):
                        raise Wrong("a header's value is a text")
                    fields[name.lower()] = (name, check_header_value(value.text))
                except Wrong as wrong:
                    raise Wrong(str(wrong), at, (upstream, name)) from None
            found[upstream] = tuple(fields.values())
        return found


def budgets_of(
    node: Items, name: str, warn_at: tuple[Decimal, ...], problems: list[Problem]
) -> tuple[Budget, ...]:
    """The rows of ``budgets``; what is wrong goes to ``problems``, with its line.

    Args:
        name: of the key, for messages.
        warn_at: for rows that say nothing of it.
    """
    found: list[Budget] = []
    lines: dict[str, int] = {}
    for index, row in enumerate(node.values):
        where = f"{name}[{index}]"
        try:
            budget = parse_budget(plain(row), where, warn_at=warn_at)
        except ConfigError as error:
            problems.append(Problem(_line_within(row, str(error).removeprefix(where)), str(error)))
            continue
        if budget.name in lines:
            text = f"{where}: name: line {lines[budget.name]} has a budget called {budget.name}"
            problems.append(Problem(row.line, f"{text} already"))
            continue
        lines[budget.name] = row.line
        found.append(budget)
    return tuple(found)


def prices_of(node: Table, name: str, problems: list[Problem]) -> Mapping[str, Any]:
    """The rows of ``prices``, each read as the price table will read it."""
    found: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for model, line, row in node.rows:
        first = lines.setdefault(model.lower(), line)
        if first != line:
            text = f"{name}: {model}: line {first} has a model of this name, but for its case"
            problems.append(Problem(line, text))
            continue
        try:
            found[model] = _price(row, model, f"{name}: {model}")
        except Wrong as wrong:
            problems.append(Problem(wrong.line or line, str(wrong)))
    return found


def _price(row: Node, model: str, where: str) -> Mapping[str, Any]:
    # It takes some milliseconds to load, and most configurations need it not.
    from abg.pricing.rows import parse_model

    block: Mapping[str, Any] = plain(row)
    try:
        parse_model(model, block, where, origin="user")
    except ConfigError as error:
        line = _line_within(row, str(error).removeprefix(where))
        raise Wrong(str(error), line) from None
    return block


def _line_within(row: Node, text: str) -> int:
    """The line of the key that a message speaks of (``rates: standard: input: …``), else the
    row's own."""
    line = row.line
    nodes = row.values if isinstance(row, Items) else (row,)
    words = re.findall(r"[\w-]+", text)
    for node in nodes:
        for word in words:
            rows = node.rows if isinstance(node, Table) else ()
            inner = next((r for r in rows if r.key == word), None)
            if inner is not None:
                line, node = inner.line, inner.value
    return line
