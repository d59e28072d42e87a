"""Price rows: what the table says of one model from a day on, read and checked.

The same schema serves the package's own data and a user's ``prices:`` (``docs/money.md`` shows
it). What is wrong with a row is said with the place, the key and the nearest right one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from attrs import frozen

from abg.errors import ConfigError
from abg.money import as_written, usd
from abg.pricing.rates import KINDS

__all__ = ["TIERS", "VENDORS", "Model", "Row", "parse_model", "parse_row"]

VENDORS = ("anthropic", "openai")
TIERS = ("standard", "batch", "flex", "priority", "ultrafast", "decisions", "scale")
MULTIPLIERS = ("fast", "us")
MOST_USD = Decimal(1_000_000)
"""No rate is larger: a slip of the pen (USD per token for USD per million) shows here."""
PLACES = 12

_BAND = re.compile(r"([a-z]+)(?: ?> ?([1-9][0-9]{0,9}))?")
_KEYS = (
    "vendor",
    "aliases",
    "for",
    "context_window",
    "max_output_tokens",
    "multipliers",
    "web_search_usd",
    "retires",
    "valid_from",
    "rates",
    "source",
    "as_of",
    "note",
)


@frozen(eq=False)
class Row:
    """What one model costs from one day on. Rows are compared by identity."""

    name: str
    vendor: str
    rates: Mapping[tuple[str, int], Mapping[str, Decimal]]
    """USD per million as listed, by tier and by the input tokens that a sampling exceeds."""
    multipliers: Mapping[str, Decimal]
    """On all tokens: ``fast`` for the fast speed, ``us`` for inference in the US alone."""
    web_search_usd: Decimal | None = None
    """USD for each search."""
    context_window: int | None = None
    """Largest input, in tokens."""
    max_output_tokens: int | None = None
    valid_from: date | None = None
    """First day (UTC) of this price; None: ever since."""
    retires: date | None = None
    kind: str = "text"
    """``text``, ``embeddings`` or ``images``."""
    source: str = ""
    as_of: str = ""
    note: str = ""


@frozen(eq=False)
class Model:
    """A model's rows, oldest first, and the names that mean it."""

    name: str
    rows: tuple[Row, ...]
    aliases: tuple[str, ...] = ()
    origin: str = "table"
    """``table`` or ``user``."""

    @property
    def vendor(self) -> str:
        return self.rows[0].vendor

    def at(self, moment: datetime) -> Row:
        """The row of a moment: the last one that was valid by then (days end at UTC midnight)."""
        if len(self.rows) == 1:
            return self.rows[0]
        day = moment.astimezone(timezone.utc).date()
        current = self.rows[0]
        for row in self.rows[1:]:
            if row.valid_from is not None and row.valid_from <= day:
                current = row
        return current


def parse_model(
    name: str, value: Any, where: str, *, origin: str = "table", known: Model | None = None
) -> Model:
    """A model from its block, or from a list of blocks with rising ``valid_from``.

    What a later block does not say stays as before. What a user's block does not say of a model
    that the table knows (vendor, limits, fees, aliases) stays as the table has it, but for its
    rates, which are replaced as a whole: half a vendor's list and half a user's is nobody's price.
    Until the first day of such a block the table's own rows count.

    Raises:
        ConfigError: with the place, what is wrong and the nearest right key.
    """
    _check_name(name, where)
    blocks = list(value) if isinstance(value, (list, tuple)) else [value]
    if not blocks:
        raise ConfigError(f"{where}: no price row")
    row: Row | None = known.rows[-1] if known else None
    inherit_rates = False
    aliases: tuple[str, ...] = known.aliases if known else ()
    rows: list[Row] = []
    for number, block in enumerate(blocks):
        place = where if len(blocks) == 1 else f"{where}[{number}]"
        if not isinstance(block, (dict, Mapping)):
            raise ConfigError(f"{place}: must be a table of keys, not {_kind_of(block)}")
        row = parse_row(name, block, place, before=row, inherit_rates=inherit_rates)
        if rows and (row.valid_from is None or row.valid_from <= (rows[-1].valid_from or date.min)):
            raise ConfigError(f"{place}: valid_from must be later than that of the row before")
        if "aliases" in block:
            aliases = _names(block["aliases"], f"{place}: aliases")
        rows.append(row)
        inherit_rates = True
    begins = rows[0].valid_from
    if known is not None and begins is not None:
        # Until that day everything is as the table has it.
        rows[:0] = [r for r in known.rows if r.valid_from is None or r.valid_from < begins]
    return Model(name, tuple(rows), aliases, origin)


def parse_row(
    name: str,
    block: Mapping[Any, Any],
    where: str,
    *,
    before: Row | None = None,
    inherit_rates: bool = False,
) -> Row:
    """One row; ``before`` lends what the block does not say (its rates only if told so)."""
    for key in block:
        if key not in _KEYS and key not in KINDS:
            raise ConfigError(f"{where}: unknown key {key!r}{_nearest(key, (*_KEYS, *KINDS))}")
    rates = _rates(block, where)
    if before is not None and inherit_rates:
        rates = {**before.rates, **rates}
    if ("standard", 0) not in rates:
        raise ConfigError(f"{where}: needs `input` and `output`, in USD per million tokens")
    for tier, above in rates:
        if above and (tier, 0) not in rates:
            raise ConfigError(f"{where}: rates: {tier} has a band >{above}, but no base rates")
    vendor = block.get("vendor", before.vendor if before else vendor_of(name))
    if vendor not in VENDORS:
        raise ConfigError(
            f"{where}: vendor must be one of {', '.join(VENDORS)}, not {as_written(vendor)}"
        )
    lent = before or Row(name, vendor, {}, {})
    return Row(
        name=name,
        vendor=vendor,
        rates=rates,
        multipliers=_multipliers(block["multipliers"], f"{where}: multipliers")
        if "multipliers" in block
        else lent.multipliers,
        web_search_usd=_amount(block["web_search_usd"], f"{where}: web_search_usd")
        if "web_search_usd" in block
        else lent.web_search_usd,
        context_window=_count(block, "context_window", where, lent.context_window),
        max_output_tokens=_count(block, "max_output_tokens", where, lent.max_output_tokens),
        valid_from=_day(block, "valid_from", where, None),
        retires=_day(block, "retires", where, lent.retires),
        kind=_word(block.get("for", lent.kind), f"{where}: for", ("text", "embeddings", "images")),
        source=str(block.get("source", "")),
        as_of=str(block.get("as_of", "")),
        note=str(block.get("note", "")),
    )


def vendor_of(name: str) -> str:
    """The vendor of a row that names none: whose dialect such a model answers in."""
    return "anthropic" if "claude" in name.lower() else "openai"


def _rates(block: Mapping[Any, Any], where: str) -> dict[tuple[str, int], Mapping[str, Decimal]]:
    table = block.get("rates", {})
    if not isinstance(table, (dict, Mapping)):
        raise ConfigError(f"{where}: rates: must be a table by tier, not {_kind_of(table)}")
    rates: dict[tuple[str, int], Mapping[str, Decimal]] = {}
    for key, listed in table.items():
        place = f"{where}: rates: {key}"
        found = _BAND.fullmatch(key) if isinstance(key, str) else None
        if found is None:
            raise ConfigError(f"{place}: a tier, or a tier and a band such as `standard >272000`")
        tier = _word(found[1], f"{where}: rates", TIERS)
        if (tier, int(found[2] or 0)) in rates:
            raise ConfigError(f"{place}: stands twice")
        if not isinstance(listed, (dict, Mapping)):
            raise ConfigError(f"{place}: must be a table of rates, not {_kind_of(listed)}")
        for kind in listed:
            if kind not in KINDS:
                raise ConfigError(f"{place}: unknown kind {kind!r}{_nearest(kind, KINDS)}")
        rates[tier, int(found[2] or 0)] = _listed(listed, place)
    short = {kind: block[kind] for kind in KINDS if kind in block}
    if short:
        if ("standard", 0) in rates:
            raise ConfigError(f"{where}: has its standard rates twice: in `rates` and beside it")
        rates["standard", 0] = _listed(short, where)
    return rates


def _listed(table: Mapping[str, Any], where: str) -> Mapping[str, Decimal]:
    for kind in ("input", "output"):
        if kind not in table:
            raise ConfigError(f"{where}: lacks `{kind}`, in USD per million tokens")
    return {kind: _amount(table[kind], f"{where}: {kind}") for kind in KINDS if kind in table}


def _amount(value: Any, where: str) -> Decimal:
    try:
        amount = usd(value)
    except ValueError:
        raise ConfigError(
            f'{where}: must be an amount of USD such as "2.50", not {as_written(value)}'
        ) from None
    if not 0 <= amount <= MOST_USD:
        raise ConfigError(f"{where}: must be between 0 and {MOST_USD}, not {value}")
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -PLACES:
        raise ConfigError(f"{where}: has more than {PLACES} decimal places: {value}")
    return amount


def _multipliers(value: Any, where: str) -> Mapping[str, Decimal]:
    if not isinstance(value, (dict, Mapping)):
        raise ConfigError(f"{where}: must be a table, not {_kind_of(value)}")
    found = {}
    for key in value:
        _word(key, where, MULTIPLIERS)
        found[key] = _amount(value[key], f"{where}: {key}")
        if not 1 <= found[key] <= 1000:
            raise ConfigError(f"{where}: {key}: must be between 1 and 1000, not {value[key]}")
    return found


def _count(block: Mapping[Any, Any], key: str, where: str, default: int | None) -> int | None:
    if key not in block:
        return default
    value = block[key]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 10**9:
        raise ConfigError(f"{where}: {key}: must be a number of tokens, not {as_written(value)}")
    return value


def _day(block: Mapping[Any, Any], key: str, where: str, default: date | None) -> date | None:
    if key not in block:
        return default
    value = block[key]
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{where}: {key}: must be a day such as 2027-03-01, not {as_written(value)}"
        ) from None


def _names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where}: must be a list of names, not {_kind_of(value)}")
    for name in value:
        _check_name(name, where)
    return tuple(value)


def _check_name(name: Any, where: str) -> None:
    sound = isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable()
    if not sound or name != name.strip():
        raise ConfigError(f"{where}: not the name of a model: {name!r}")


def _word(value: Any, where: str, words: Sequence[str]) -> str:
    if value not in words:
        raise ConfigError(f"{where}: unknown {as_written(value)}{_nearest(value, words)}")
    return str(value)


def _nearest(key: Any, words: Sequence[str]) -> str:
    near = get_close_matches(str(key), words, n=1)
    return f" (did you mean {near[0]!r}?)" if near else f" (one of {', '.join(words)})"


def _kind_of(value: Any) -> str:
    return {dict: "a table", list: "a list", str: "text", type(None): "nothing"}.get(
        type(value), as_written(value)
    )
