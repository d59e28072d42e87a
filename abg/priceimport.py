"""Prices from elsewhere: LiteLLM's price map and genai-prices, as rows of our own schema.

Both are maintained by many hands and appear daily; neither is taken unseen. ``read_prices`` turns
either into blocks, ``compare`` says what they would change, ``render`` writes the ones that a
user took over. Amounts keep the decimals in which they stand there: no binary fraction comes in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from attrs import frozen

from abg.errors import ConfigError
from abg.pricing import KINDS, TIERS, PriceTable, Row
from abg.pricing.cost import plain
from abg.pricing.rows import parse_model
from abg.pricing.tiers import band_for

__all__ = ["Change", "Imported", "compare", "read_prices", "render"]

_PER_TOKEN = Decimal(1_000_000)
_PER_THOUSAND = Decimal("0.001")
_ONE = Decimal(1)

_LITELLM_KINDS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_creation_input_token_cost_above_12hr": "cache_write_12h",
}
_LITELLM_RATE = re.compile(
    r"(input_cost_per_token|output_cost_per_token|cache_read_input_token_cost"
    r"|cache_creation_input_token_cost(?:_above_1hr|_above_12hr)?"
    r"|(?:input|output)_cost_per_audio_token)"
    r"(?:_above_(\d+)k_tokens)?(?:_(batches|flex|priority|ultrafast|decisions))?"
)
_LITELLM_VENDORS = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "anthropic": "anthropic",
}
_LITELLM_MODES = {
    "chat": "text",
    "responses": "text",
    "completion": "text",
    "embedding": "embeddings",
}
_GENAI_KINDS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
}
_OWN = {"name": 0, "alias": 1, "latest": 2}
"""How a name may mean a row of the table, the surest first, for its price to be that row's."""
_SHORT_WRITE = {"anthropic": "cache_write_5m", "openai": "cache_write_30m"}

_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_Reader = Callable[[str, Any], dict[str, Any]]

Rates = dict[str, dict[str, str]]
"""By tier and band as a block has them: ``{"standard >272000": {"input": "5"}}``."""


@frozen
class Imported:
    """What a file of prices holds of the two vendors' models."""

    source: str
    """``litellm`` or ``genai-prices``."""
    blocks: Mapping[str, Mapping[str, Any]]
    skipped: tuple[str, ...]
    """Models that could not be taken, each with the reason."""


@frozen
class Change:
    """What a block from elsewhere would change in a table."""

    name: str
    """As the table writes it, or the new model's."""
    new: bool
    lines: tuple[str, ...]
    """For people: ``standard input: 5 -> 4``."""
    block: Mapping[str, Any]
    """The whole row after the change: what the block does not say stays as it was."""


def read_prices(data: bytes) -> Imported:
    """The price rows in a file of LiteLLM's or genai-prices', told apart by their shape.

    Raises:
        ConfigError: it is neither.
    """
    try:
        content = _DECODER.decode(data)
    except msgspec.DecodeError as error:
        raise ConfigError(f"not JSON: {error}") from None
    if isinstance(content, dict) and any(_is_litellm(entry) for entry in content.values()):
        return _checked("litellm", content.items(), _litellm_block)
    if isinstance(content, list) and any(isinstance(p, dict) and "models" in p for p in content):
        return _checked("genai-prices", _genai_models(content), _genai_block)
    raise ConfigError(
        "neither LiteLLM's model_prices_and_context_window.json nor the data.json of genai-prices"
    )


def compare(table: PriceTable, imported: Imported, at: datetime) -> tuple[Change, ...]:
    """What the imported rows would change, by name.

    A row is laid over the one that the table has at that moment: rates that only the table knows
    stay, since neither source lists all of them.
    """
    chosen: dict[str, tuple[int, str]] = {}
    for name, block in imported.blocks.items():
        match = table.resolve(str(block["vendor"]), name)
        # A snapshot or a tagged name may have a price of its own: it is a model of its own.
        rank = _OWN.get(match.how)
        if rank is not None and rank <= chosen.get(match.name, (len(_OWN), ""))[0]:
            chosen[match.name] = (rank, name)
        elif rank is None:
            chosen[name] = (len(_OWN), name)
    changes = []
    for own, (rank, name) in chosen.items():
        block = imported.blocks[name]
        if rank == len(_OWN):
            changes.append(Change(name, True, _listing(block["rates"]), block))
            continue
        row = table.models[own].at(at)
        lines, whole = _laid_over(table, row, block)
        if lines:
            changes.append(Change(own, False, lines, whole))
    return tuple(changes)


def render(blocks: Mapping[str, Mapping[str, Any]], as_of: date, source: str) -> str:
    """A price file with these rows, one line for each tier and band."""
    rows = ",\n\n".join(
        f"  {_json(name)}: {_block_text(block)}" for name, block in sorted(blocks.items())
    )
    head = f' "as_of": {_json(str(as_of))},\n "source": {_json(source)},\n'
    return f'{{\n{head} "models": {{\n{rows}\n }}\n}}\n'


# -- LiteLLM ---------------------------------------------------------------------------------------


class _Skip(Exception):
    """An entry that is none of ours, or that says too little; its text says why (or nothing)."""


def _is_litellm(entry: Any) -> bool:
    return isinstance(entry, dict) and "litellm_provider" in entry


def _litellm_block(name: str, entry: Any) -> dict[str, Any]:
    provider = entry.get("litellm_provider") if isinstance(entry, dict) else None
    vendor = _LITELLM_VENDORS.get(str(provider))
    kind = _LITELLM_MODES.get(str(entry.get("mode", "chat"))) if vendor else None
    if vendor is None or kind is None or "/" in name or "input_cost_per_token" not in entry:
        raise _Skip
    rates: Rates = {}
    for key, value in entry.items():
        found = _LITELLM_RATE.fullmatch(key)
        if found is None or not _is_number(value):
            continue
        cost, thousands, tier = found.groups()
        band = f" >{int(thousands) * 1000}" if thousands else ""
        tier = {"batches": "batch", None: "standard"}.get(tier, tier)
        token = _LITELLM_KINDS.get(cost) or _SHORT_WRITE[vendor]
        rates.setdefault(tier + band, {})[token] = _amount(value, _PER_TOKEN)
    block: dict[str, Any] = {"vendor": vendor, "for": kind}
    _limits(block, entry.get("max_input_tokens"), entry.get("max_output_tokens"))
    multipliers = entry.get("provider_specific_entry")
    if isinstance(multipliers, dict):
        block["multipliers"] = {
            key: _amount(multipliers[key], _ONE)
            for key in ("fast", "us")
            if _is_number(multipliers.get(key))
        }
    searches = entry.get("search_context_cost_per_query")
    if isinstance(searches, dict):
        fees = [Decimal(fee) for fee in searches.values() if _is_number(fee)]
        block["web_search_usd"] = _amount(max(fees, default=Decimal(0)), _ONE)
    block["rates"] = _whole_tiers(rates, kind)
    return block


# -- genai-prices ----------------------------------------------------------------------------------


def _genai_models(providers: list[Any]) -> Iterator[tuple[str, Any]]:
    for provider in providers:
        if isinstance(provider, dict) and provider.get("id") in _SHORT_WRITE:
            for model in provider.get("models") or ():
                if isinstance(model, dict) and isinstance(model.get("id"), str):
                    yield model["id"], {**model, "vendor": provider["id"]}


def _genai_block(name: str, model: Any) -> dict[str, Any]:
    vendor = model["vendor"]
    listed = _in_force(model.get("prices"))
    if "input_mtok" not in listed or "input_image_mtok" in listed:
        # Usage does not tell text and images apart: our own rows take the dearer rate.
        raise _Skip
    rates = _genai_rates(listed, "standard", vendor)
    fast: dict[str, Any] = {}
    for variant in model.get("price_variants") or ():
        when = variant.get("when", {})
        tier = when.get("service_tier") or when.get("processing")
        if when.get("speed") == "fast":
            fast = variant.get("prices") or {}
        elif tier in TIERS and tier != "standard":
            rates.update(_genai_rates(variant.get("prices") or {}, tier, vendor))
    block: dict[str, Any] = {"vendor": vendor, "for": "text"}
    _limits(block, model.get("context_window"), None)
    if _is_number(fast.get("input_mtok")) and _is_number(listed["input_mtok"]):
        multiple = Decimal(fast["input_mtok"]) / Decimal(listed["input_mtok"])
        block["multipliers"] = {"fast": _amount(multiple, _ONE)}
    if _is_number(listed.get("web_searches_kcount")):
        block["web_search_usd"] = _amount(listed["web_searches_kcount"], _PER_THOUSAND)
    block["rates"] = _whole_tiers(rates, "text" if "output_mtok" in listed else "embeddings")
    return block


def _in_force(prices: Any) -> Mapping[str, Any]:
    """The prices in force: of dated ones the last, which is the newest."""
    if isinstance(prices, dict):
        return prices
    dated = [
        (str((entry.get("constraint") or {}).get("start_date", "")), entry["prices"])
        for entry in prices or ()
        if "start_time" not in (entry.get("constraint") or {})
    ]
    if not dated:
        raise _Skip
    newest: Mapping[str, Any] = max(dated, key=lambda pair: pair[0])[1]
    return newest


def _genai_rates(prices: Mapping[str, Any], tier: str, vendor: str) -> Rates:
    rates: Rates = {}
    for key, value in prices.items():
        kind = _SHORT_WRITE[vendor] if key == "cache_write_mtok" else _GENAI_KINDS.get(key)
        if kind is None:
            continue
        steps = {"": value}
        if isinstance(value, dict):
            steps = {"": value.get("base")}
            steps.update({f" >{t['start']}": t["price"] for t in value.get("tiers") or ()})
        for band, amount in steps.items():
            if _is_number(amount):
                rates.setdefault(tier + band, {})[kind] = _amount(amount, _ONE)
    return rates


# -- both ------------------------------------------------------------------------------------------


def _checked(source: str, entries: Iterable[tuple[str, Any]], read: _Reader) -> Imported:
    blocks: dict[str, Mapping[str, Any]] = {}
    skipped = []
    for name, entry in entries:
        try:
            block = read(name, entry)
            parse_model(name, block, name)
        except _Skip:
            continue
        except ConfigError as error:
            skipped.append(str(error))
        except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
            skipped.append(f"{name}: an entry of another shape")
        else:
            blocks[name] = block
    return Imported(source, blocks, tuple(skipped))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def _amount(value: Any, factor: Decimal) -> str:
    return str(plain(Decimal(value) * factor))


def _limits(block: dict[str, Any], window: Any, output: Any) -> None:
    for key, value in (("context_window", window), ("max_output_tokens", output)):
        if isinstance(value, int) and value > 0:
            block[key] = value


def _whole_tiers(rates: Rates, kind: str) -> Rates:
    """The tiers in our order, without those that lack what every tier needs."""
    whole: Rates = {}
    for key in sorted(rates, key=_tier_order):
        listed = rates[key]
        if kind == "embeddings":
            listed.setdefault("output", "0")
        if "input" in listed and "output" in listed and (">" not in key or _parts(key)[0] in whole):
            whole[key] = {token: listed[token] for token in KINDS if token in listed}
    return whole


def _parts(key: str) -> tuple[str, int]:
    tier, _, above = key.partition(" >")
    return tier, int(above or 0)


def _tier_order(key: str) -> tuple[int, int]:
    tier, above = _parts(key)
    return TIERS.index(tier), above


def _listing(rates: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    return tuple(
        f"{key}: " + ", ".join(f"{kind} {rate}" for kind, rate in listed.items())
        for key, listed in rates.items()
    )


def _laid_over(
    table: PriceTable, row: Row, block: Mapping[str, Any]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """What changes, and the row as it would be. A rate that already follows by rule is none."""
    lines = []
    rates: Rates = {}
    for (tier, above), listed in row.rates.items():
        key = f"{tier} >{above}" if above else tier
        rates[key] = {kind: str(plain(rate)) for kind, rate in listed.items()}
    for key, listed in block["rates"].items():
        tier, above = _parts(key)
        now = band_for(table.bands(row, tier), above + 1).rates
        mine = rates.setdefault(key, {})
        for kind, rate in listed.items():
            if now.of(kind) != Decimal(rate):
                lines.append(f"{key} {kind}: {plain(now.of(kind))} -> {rate}")
            mine[kind] = rate
    whole: dict[str, Any] = {"vendor": row.vendor, "for": row.kind}
    _limits(whole, row.context_window, row.max_output_tokens)
    factors = dict(row.multipliers)
    for key, value in block.get("multipliers", {}).items():
        if factors.get(key, _ONE) != Decimal(value):
            lines.append(f"{key}: x{plain(factors.get(key, _ONE))} -> x{value}")
            factors[key] = Decimal(value)
    whole["multipliers"] = {key: str(plain(value)) for key, value in factors.items()}
    fee = table.web_search_usd(row)[0]
    told = block.get("web_search_usd")
    if told is not None and Decimal(told) != fee:
        lines.append(f"web search: {plain(fee)} -> {told}")
        whole["web_search_usd"] = told
    elif row.web_search_usd is not None:
        whole["web_search_usd"] = str(plain(fee))
    whole["rates"] = {
        key: {kind: rates[key][kind] for kind in KINDS if kind in rates[key]}
        for key in sorted(rates, key=_tier_order)
    }
    return tuple(lines), whole


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _block_text(block: Mapping[str, Any]) -> str:
    lines = []
    for key, value in block.items():
        if key == "rates":
            rates = ",\n".join(f"    {_json(tier)}: {_json(r)}" for tier, r in value.items())
            lines.append(f'   "rates": {{\n{rates}\n   }}')
        elif value not in ({}, [], ()):
            lines.append(f"   {_json(key)}: {_json(value)}")
    return "{\n" + ",\n".join(lines) + "\n  }"
