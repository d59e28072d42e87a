"""``abg prices`` and ``abg price``: what models cost, where that is known from, and why a sum."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abg.cli.settings import load
from abg.cli.where import places
from abg.errors import ConfigError
from abg.money import show_exactly
from abg.wholefile import read_whole

if TYPE_CHECKING:
    from abg.pricing import Match, Model, PriceTable, Row

__all__ = ["add_prices", "price_file", "table_in_use"]

WORDS = ("list", "show", "check", "update")
OLD_DAYS = 60
"""Prices change about monthly; data of this age is worth a look."""


def add_prices(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "abg prices [list] [NAME]      the table; NAME: only models with it in their names\n"
        "abg prices show MODEL         one model: every rate, and how the name was understood\n"
        "abg prices check              how old the data is, and whether your own rows are sound\n"
        "abg prices update --from F [NAME]   take prices from LiteLLM's price map or the data\n"
        "                              of genai-prices, after showing what would change"
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="see below")
    parser.add_argument("--config", metavar="FILE", help="the configuration whose prices count")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument(
        "--at", metavar="DAY", type=moment, help="prices of that day, such as 2026-10-07"
    )
    parser.add_argument("--from", dest="source", metavar="URL|FILE", help="for update")
    parser.add_argument("--yes", action="store_true", help="update without asking")
    parser.set_defaults(run=prices)
    # Options may stand between the words: abg prices update --from FILE gpt-6.
    parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]


def prices(arguments: argparse.Namespace) -> int:
    """List, show, check or update, by the first word."""
    words = list(arguments.words)
    what = words.pop(0) if words and words[0] in WORDS else "list"
    if what == "update":
        from abg.cli.price_update import update

        return update(arguments, table_in_use(arguments.config), price_file())
    if what == "check":
        return check(arguments)
    table = table_in_use(arguments.config)
    if what == "show":
        if len(words) != 1:
            raise ConfigError("which model? abg prices show MODEL")
        return show_model(table, words[0], arguments)
    return list_models(table, words, arguments)


def moment(text: str) -> datetime:
    """The end of a day, or an instant with its zone."""
    try:
        if len(text) == 10:
            return datetime.fromisoformat(f"{text}T23:59:59+00:00")
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"no day or time: {text!r} (2026-10-07)") from None
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)


# -- the table in use ------------------------------------------------------------------------------


def price_file() -> Path:
    """Where ``abg prices update`` keeps what it took over."""
    return places().price_file


def table_in_use(config: str | None) -> PriceTable:
    """The table that the proxy uses too: the package's, the price file's, the configuration's.

    Raises:
        ConfigError: something in the user's rows is wrong.
    """
    from abg.pricing import PriceTable

    settings = load(config).config
    table = PriceTable.builtin()
    try:
        data = read_whole(price_file())
    except FileNotFoundError:
        data = b""
    except OSError as error:
        raise ConfigError(f"{price_file()}: {error.strerror}") from None
    if data:
        table = table.with_file(data, str(price_file()))
    return table.with_overrides(settings.prices, settings.unknown_model)


# -- list ------------------------------------------------------------------------------------------


def list_models(table: PriceTable, words: list[str], arguments: argparse.Namespace) -> int:
    """One line a model: the standard tier's plain rates, and what else there is."""
    at = arguments.at or datetime.now(timezone.utc)
    wanted = [word.lower() for word in words]
    chosen = [
        model
        for model in table.models.values()
        if all(any(w in n.lower() for n in (model.name, *model.aliases)) for w in wanted)
    ]
    if arguments.json:
        print(_json([_as_data(table, model.at(at), model) for model in chosen]))
        return 0
    if not chosen:
        print(f"no model has {' and '.join(words)} in its name (abg prices show NAME: its price)")
        return 1
    from abg.home.present import columns

    print("\n".join(columns(_list_rows(table, chosen, at))))
    print(f"\nUSD per million tokens; {len(chosen)} models, data of {table.as_of}.")
    return 0


def _list_rows(table: PriceTable, models: list[Model], at: datetime) -> Iterator[tuple[str, ...]]:
    yield "model", "input", "cached", "write", "output", "window", "also"
    for model in models:
        row = model.at(at)
        rates = table.bands(row, "standard")[0].rates
        write = rates.cache_write_5m if row.vendor == "anthropic" else rates.cache_write_30m
        amounts = (rates.input, rates.cache_read, write, rates.output)
        window = f"{row.context_window:,}".replace(",", " ") if row.context_window else ""
        yield model.name, *map(show_exactly, amounts), window, ", ".join(_also(model, row))


def _also(model: Model, row: Row) -> Iterator[str]:
    if model.origin == "user":
        yield "yours"
    bands = sorted({above for _, above in row.rates if above})
    yield from (f">{above // 1000}k" for above in bands)
    yield from sorted({tier for tier, _ in row.rates} - {"standard"})
    yield from (f"{kind} x{show_exactly(value)}" for kind, value in row.multipliers.items())
    if row.retires is not None:
        yield f"retires {row.retires}"


# -- show ------------------------------------------------------------------------------------------


def show_model(table: PriceTable, name: str, arguments: argparse.Namespace) -> int:
    """Everything about one model, and how its name was understood."""
    at = arguments.at or datetime.now(timezone.utc)
    from abg.pricing.rows import vendor_of

    match = table.resolve(vendor_of(name), name)
    model = match.models[0]
    row = model.at(at)
    if arguments.json:
        print(_json(_as_data(table, row, model)))
        return 0
    print("\n".join(_shown(table, name, match, model, row)))
    return 0


_HOW = {
    "name": "its own name",
    "alias": "an alias",
    "spelling": "another spelling of it",
    "latest": "its name without -latest",
    "snapshot": "its name without the snapshot's date",
}


def _shown(table: PriceTable, asked: str, match: Match, model: Model, row: Row) -> Iterator[str]:
    from abg.home.present import columns

    if match.how in _HOW:
        yield f"{asked}: {model.name} ({_HOW[match.how]})"
    elif match.how == "unknown_model":
        yield f"{asked}: not in the table; priced by your unknown_model"
    else:
        family = f"models that begin {match.stem}" if match.stem else f"models of {row.vendor}"
        yield f"{asked}: not in the table; the dearest of all {family} counts"
        if match.blocked:
            yield "  and your unknown_model: block refuses it"
        yield f"  here: {', '.join(m.name for m in match.models)}"
    yield f"  vendor            {row.vendor}"
    if row.context_window:
        yield f"  context window    {row.context_window:,} tokens".replace(",", " ")
    if row.max_output_tokens:
        yield f"  output at most    {row.max_output_tokens:,} tokens".replace(",", " ")
    if model.aliases:
        yield f"  aliases           {', '.join(model.aliases)}"
    for other in model.rows:
        if len(model.rows) > 1:
            here = "  <- these" if other is row else ""
            yield f"  price             since {other.valid_from or 'the beginning'}{here}"
    if row.retires is not None:
        yield f"  retires           {row.retires}"
    yield from columns(list(_rate_rows(table, row)))
    yield "  * not listed for this model: by the vendor's rule"
    for kind, value in row.multipliers.items():
        yield f"  {kind:<18}x{show_exactly(value)} on all tokens"
    fee, assumed = table.web_search_usd(row)
    if fee:
        note = " (the dearest known: this model's own fee is not listed)" if assumed else ""
        yield f"  web search        ${show_exactly(fee)} each{note}"
    told = ["your own row"] if model.origin == "user" else []
    told += [row.source] if row.source else []
    told += [f"as of {row.as_of}"] if row.as_of else []
    if told:
        yield f"  source            {', '.join(told)}"
    if row.note:
        yield f"  note              {row.note}"


def _rate_rows(table: PriceTable, row: Row) -> Iterator[tuple[str, ...]]:
    from abg.pricing import KINDS, TIERS

    listed_kinds = {kind for listed in row.rates.values() for kind in listed}
    kinds = [kind for kind in KINDS if kind in listed_kinds or kind == "cache_read"]
    yield "USD per million tokens", *(kind.replace("_", " ") for kind in kinds)
    for tier in TIERS:
        for band in table.bands(row, tier):
            if band.tier != tier or band.mark == "tier_rate_assumed":
                continue
            label = f"  {tier} >{band.above:,} input" if band.above else f"  {tier}"
            listed = row.rates.get((tier, band.above), {})
            cells = (
                show_exactly(band.rates.of(kind)) + ("" if kind in listed else "*")
                for kind in kinds
            )
            yield label.replace(",", " "), *cells


# -- check -----------------------------------------------------------------------------------------


def check(arguments: argparse.Namespace) -> int:
    """How old the data is, and whether the user's own rows are sound (a wrong one raises)."""
    table = table_in_use(arguments.config)
    today = datetime.now(timezone.utc).date()
    days = (today - date.fromisoformat(table.as_of)).days
    own = [model for model in table.models.values() if model.origin == "user"]
    age = f"{days} day{'' if days == 1 else 's'} old"
    print(f"price data of {table.as_of}, {age}; {len(table.models)} models")
    if days > OLD_DAYS:
        print("  worth a look: abg prices update --from URL|FILE, or a newer abg")
    print(f"your own rows: {len(own)}" + (f" ({', '.join(m.name for m in own)})" if own else ""))
    if price_file().exists():
        print(f"  those of {price_file()} included")
    if table.unknown_price is not None:
        print("unknown models: priced by your own row")
    elif table.unknown_model == "block":
        print("unknown models: refused")
    else:
        print("unknown models: priced as the dearest of their family")
    return 0


def _as_data(table: PriceTable, row: Row, model: Model) -> dict[str, Any]:
    return {
        "model": model.name,
        "vendor": row.vendor,
        "aliases": list(model.aliases),
        "price": model.origin,
        "valid_from": str(row.valid_from) if row.valid_from else None,
        "context_window": row.context_window,
        "max_output_tokens": row.max_output_tokens,
        "multipliers": {key: show_exactly(value) for key, value in row.multipliers.items()},
        "web_search_usd": show_exactly(table.web_search_usd(row)[0]),
        "rates": {
            f"{tier} >{above}" if above else tier: {k: show_exactly(v) for k, v in listed.items()}
            for (tier, above), listed in row.rates.items()
        },
        "source": row.source,
        "as_of": row.as_of,
    }


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=1, ensure_ascii=False)
