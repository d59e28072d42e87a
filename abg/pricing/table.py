"""The price table: from a model's name, a reading and a moment to an exact cost.

A table is immutable; the package's own is data in ``abg/prices.json``, and a user's ``prices:``
make another one of it. Costing a call is a few dictionary look-ups and one product for each kind
of token, in exact decimals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pkgutil import get_data
from typing import Any

import msgspec
from attrs import field, frozen

from abg.call import Call
from abg.errors import ConfigError
from abg.money import ZERO
from abg.names import bare, family_of, find, words_of
from abg.pricing.billing import cost_of, lines_of
from abg.pricing.ceiling import OPEN, Ceiling, Openness, ceiling_of
from abg.pricing.cost import Cost, CostLine
from abg.pricing.overlay import laid_over
from abg.pricing.rates import KINDS, ONE, PRECISE, Unlisted
from abg.pricing.rows import VENDORS, Model, Row, parse_model
from abg.pricing.tiers import Band, band_for, bands_of
from abg.usage import Reading

__all__ = ["Match", "PriceTable", "Typical"]

MOST_NAMES = 4096
"""Resolved names that are kept; requests can bring any number of them."""


@frozen
class Match:
    """Which prices a model's name means."""

    name: str
    """Canonical: as the table writes it; an unknown name in its barest form."""
    how: str
    """``name``, ``alias``, ``spelling``, ``snapshot``, or for an unknown one ``family``,
    ``vendor`` or ``unknown_model`` (the user's own price for such)."""
    price: str
    """``table``, ``user`` or ``assumed``."""
    models: tuple[Model, ...]
    """The model; for an unknown one all candidates, the generally dearest first: each usage is
    charged at the dearest of them."""
    stem: str = ""
    """What an unknown name shares with its family."""
    blocked: bool = False
    """The user lets no unknown model pass (``unknown_model: block``)."""

    @property
    def priced_as(self) -> str:
        """The name of the row whose prices count in general."""
        return self.models[0].name

    @property
    def rows(self) -> tuple[Row, ...]:
        """The price rows of that model, oldest first."""
        return self.models[0].rows


@frozen
class Typical:
    """The plain rates of a model, for estimates: standard tier, lowest band; USD per million."""

    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    """At the lifetime that the vendor takes by default."""
    output: Decimal
    context_window: int | None
    max_output_tokens: int | None
    web_search_usd: Decimal


@frozen(eq=False)
class PriceTable:
    """Prices by model; see ``parse``, ``builtin`` and ``with_overrides`` for how to get one."""

    models: Mapping[str, Model]
    as_of: str = ""
    unknown_model: str = "dearest"
    """``dearest`` or ``block``."""
    unknown_price: Model | None = None
    """The user's own price for every unknown model."""
    _known: Mapping[str, str] = field(init=False, repr=False)
    _unlisted: Mapping[str, Unlisted] = field(init=False, repr=False)
    _words: Mapping[str, Mapping[str, frozenset[str]]] = field(init=False, repr=False)
    """By vendor: the names in lower case, each with its special words."""
    _fronts: dict[tuple[str, ...], tuple[Model, ...]] = field(init=False, repr=False, factory=dict)
    _matches: dict[tuple[str, str], Match] = field(init=False, repr=False, factory=dict)
    _images: dict[str, Match] = field(init=False, repr=False, factory=dict)
    _bands: dict[tuple[Row, str], tuple[Band, ...]] = field(init=False, repr=False, factory=dict)
    _typical: dict[Row, Typical] = field(init=False, repr=False, factory=dict)

    @_known.default
    def _index(self) -> Mapping[str, str]:
        known: dict[str, str] = {}
        for model in self.models.values():
            if model.origin == "table":
                known.update((alias.lower(), model.name) for alias in model.aliases)
        known.update((m.name.lower(), m.name) for m in self.models.values() if m.origin == "table")
        # A user's words win, also where they name what the table knows; his file's last of all.
        for model in self.models.values():
            if model.origin == "user":
                words = (*model.aliases, model.name)
                known.update((word.lower(), model.name) for word in words)
        return known

    @_unlisted.default
    def _dearest_listed(self) -> Mapping[str, Unlisted]:
        return {vendor: _unlisted_of(self.models.values(), vendor) for vendor in VENDORS}

    @_words.default
    def _special_words(self) -> Mapping[str, Mapping[str, frozenset[str]]]:
        words: dict[str, dict[str, frozenset[str]]] = {vendor: {} for vendor in VENDORS}
        for name, model in self.models.items():
            words[model.vendor][name.lower()] = words_of(name)
        return words

    # -- where tables come from ----------------------------------------------------------------

    @classmethod
    def parse(cls, data: bytes) -> PriceTable:
        """A table from the bytes of a price file.

        Raises:
            ConfigError: not such a file, or a wrong row; the text says which and why.
        """
        content = _content(data, "price file")
        models = content["models"]
        parsed = {
            name: parse_model(name, block, f"models: {name}") for name, block in models.items()
        }
        _check_aliases(parsed)
        return cls(parsed, as_of=str(content.get("as_of", "")))

    @classmethod
    def builtin(cls) -> PriceTable:
        """The table that comes with the package; read once."""
        return _builtin()

    def with_overrides(
        self,
        rows: Mapping[str, Any] | None = None,
        unknown_model: str | Mapping[str, Any] = "dearest",
    ) -> PriceTable:
        """This table with a user's own rows, which win over those of the same name.

        Args:
            rows: by model name; see ``docs/money.md`` for the keys.
            unknown_model: ``dearest``, ``block`` or a price row.

        Raises:
            ConfigError: with the row, the key, what is wrong and the nearest right one.
        """
        models = laid_over(self.models, self._known, rows or {}, "prices")
        if isinstance(unknown_model, Mapping):
            price = parse_model("unknown_model", unknown_model, "unknown_model", origin="user")
            return PriceTable(models, self.as_of, "dearest", price)
        if unknown_model not in ("dearest", "block"):
            raise ConfigError(
                f"unknown_model: must be dearest, block or a price row, not {unknown_model!r}"
            )
        return PriceTable(models, self.as_of, unknown_model)

    def with_file(self, data: bytes, where: str) -> PriceTable:
        """This table with the rows of a price file over it, such as ``abg prices update`` writes.

        Args:
            where: the file's name, for messages.

        Raises:
            ConfigError: not such a file, or a wrong row; the text says which and why.
        """
        rows = _content(data, where)["models"]
        models = laid_over(self.models, self._known, rows, where)
        return PriceTable(models, self.as_of, self.unknown_model, self.unknown_price)

    # -- names ---------------------------------------------------------------------------------

    def resolve(self, vendor: str, model: str) -> Match:
        """The prices that a name means; an unknown name gets the dearest it could be."""
        key = (vendor, model)
        try:
            match = self._matches.get(key)
        except TypeError:
            return self.resolve(str(vendor), "")
        if match is None:
            if len(self._matches) >= MOST_NAMES:
                self._matches.clear()
            match = self._matches[key] = self._resolve(vendor, model)
        return match

    def _resolve(self, vendor: str, model: str) -> Match:
        if not isinstance(model, str):
            model = ""
        model = model[:500]
        found = find(model, self._known)
        if found is not None:
            known = self.models[found.name]
            return Match(known.name, found.how, known.origin, (known,))
        name = bare(model)
        blocked = self.unknown_model == "block"
        if self.unknown_price is not None:
            return Match(name, "unknown_model", "assumed", (self.unknown_price,))
        own, words = words_of(name), self._words.get(vendor, {})
        family = family_of(name, words)
        if family is not None:
            models = self._dearest_first(family.names)
            return Match(name, "family", "assumed", models, family.stem, blocked)
        models = self._dearest_first(tuple(n for n, w in words.items() if w <= own))
        return Match(name, "vendor", "assumed", models, "", blocked)

    def _dearest_first(self, names: tuple[str, ...]) -> tuple[Model, ...]:
        """The models that can be the dearest of these for some usage, by general dearness.

        Args:
            names: in lower case; without any, all models stand for them.
        """
        front = self._fronts.get(names)
        if front is None:
            members = [self.models[self._known[name]] for name in names or self._known]
            dearest: list[Model] = []
            for model in sorted(members, key=self._dearness, reverse=True):
                if not any(self._never_dearer(model, other) for other in dearest):
                    dearest.append(model)
            front = self._fronts[names] = tuple(dearest)
        return front

    def _dearness(self, model: Model) -> tuple[Decimal, Decimal]:
        rates = [self.bands(row, "standard")[0].rates for row in model.rows]
        return max((PRECISE.add(r.input, r.output), r.output) for r in rates)

    def _never_dearer(self, model: Model, other: Model) -> bool:
        """Whether ``other`` costs at least as much for every usage, tier, band and day."""
        if len(model.rows) > 1 or len(other.rows) > 1:
            return False
        mine, its = model.rows[0], other.rows[0]
        if self.multiplier(mine, "fast")[0] > self.multiplier(its, "fast")[0]:
            return False
        if self.web_search_usd(mine)[0] > self.web_search_usd(its)[0]:
            return False
        us = PRECISE.divide(self.multiplier(mine, "us")[0], self.multiplier(its, "us")[0])
        for tier in {tier for tier, _ in (*mine.rates, *its.rates)}:
            ours, theirs = self.bands(mine, tier), self.bands(its, tier)
            for above in {band.above for band in (*ours, *theirs)}:
                low, high = band_for(ours, above + 1).rates, band_for(theirs, above + 1).rates
                if any(low.of(k) * max(us, ONE) > high.of(k) for k in KINDS):
                    return False
        return True

    # -- amounts -------------------------------------------------------------------------------

    def cost(
        self, vendor: str, reading: Reading, call: Call, at: datetime, *, subscription: bool = False
    ) -> Cost:
        """What the vendor charges for a response. Never raises, whatever the reading holds.

        Args:
            at: the moment of admission, timezone-aware: it decides the price's day.
            subscription: a plan pays, and the vendor's word for the tier means nothing (OpenAI).
        """
        return cost_of(self, vendor, reading, call, at, subscription=subscription)

    def explain(
        self, vendor: str, reading: Reading, call: Call, at: datetime, *, subscription: bool = False
    ) -> tuple[CostLine, ...]:
        """The same, product by product; the sum of the lines is the cost."""
        return lines_of(self, vendor, reading, call, at, subscription=subscription)

    def typical(self, vendor: str, model: str, at: datetime) -> Typical:
        """The plain rates of a model, for estimates."""
        row = self.resolve(vendor, model).models[0].at(at)
        found = self._typical.get(row)
        if found is not None:
            return found
        rates = self.bands(row, "standard")[0].rates
        write = rates.cache_write_5m if row.vendor == "anthropic" else rates.cache_write_30m
        found = self._typical[row] = Typical(
            input=rates.input,
            cache_read=rates.cache_read,
            cache_write=write,
            output=rates.output,
            context_window=row.context_window,
            max_output_tokens=row.max_output_tokens,
            web_search_usd=self.web_search_usd(row)[0],
        )
        return found

    def dearest(self, vendor: str, model: str, at: datetime, left: Openness = OPEN) -> Ceiling:
        """The most that a call can cost per token, and the limits of the model.

        Args:
            left: what the request fixes and leaves open; by default all is open.
        """
        return ceiling_of(self, vendor, model, at, left)

    def bands(self, row: Row, tier: str) -> tuple[Band, ...]:
        """The bands of a row in a tier, lowest first."""
        bands = self._bands.get((row, tier))
        if bands is None:
            bands = self._bands[row, tier] = bands_of(row, tier, self._unlisted[row.vendor])
        return bands

    def web_search_usd(self, row: Row) -> tuple[Decimal, bool]:
        """USD for one search, and whether it is the dearest known one for want of the row's own."""
        if row.web_search_usd is not None:
            return row.web_search_usd, False
        return self._unlisted[row.vendor].web_search_usd, row.vendor != "anthropic"

    def multiplier(self, row: Row, kind: str) -> tuple[Decimal, bool]:
        """``fast`` or ``us`` of a row, and whether it is the dearest known for want of its own."""
        own = row.multipliers.get(kind)
        if own is not None:
            return own, False
        if kind == "fast":
            return self._unlisted[row.vendor].fast, True
        # A model that lists no region is served at one price wherever it runs.
        return (max(row.multipliers.get("us", ONE), ONE), False)

    def image_match(self, vendor: str) -> Match:
        """The prices for image tokens whose model nobody named: all image models."""
        match = self._images.get(vendor)
        if match is None:
            images = (n.lower() for n, m in self.models.items() if m.rows[0].kind == "images")
            models = self._dearest_first(tuple(images))
            match = self._images[vendor] = Match("image", "vendor", "assumed", models)
        return match


def _unlisted_of(models: Iterable[Model], vendor: str) -> Unlisted:
    rows = [row for model in models if model.vendor == vendor for row in model.rows]
    listed = [rates for row in rows for rates in row.rates.values()]
    multiples = [
        PRECISE.divide(rates[kind], row.rates["standard", above][kind])
        for row in rows
        for (tier, above), rates in row.rates.items()
        if tier == "ultrafast" and ("standard", above) in row.rates
        for kind in ("input", "output")
        if row.rates["standard", above][kind]
    ]
    return Unlisted(
        audio_input=max((r.get("audio_input", ZERO) for r in listed), default=ZERO),
        audio_output=max((r.get("audio_output", ZERO) for r in listed), default=ZERO),
        image_output=max((r.get("image_output", ZERO) for r in listed), default=ZERO),
        web_search_usd=max((row.web_search_usd or ZERO for row in rows), default=ZERO),
        fast=max((row.multipliers.get("fast", ONE) for row in rows), default=ONE),
        geo=max((row.multipliers.get("us", ONE) for row in rows), default=ONE),
        ultrafast=max(multiples, default=ONE),
    )


def _content(data: bytes, where: str) -> dict[str, Any]:
    try:
        content = msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{where}: {error}") from None
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, dict) or not models:
        raise ConfigError(f"{where}: has no table `models`")
    return dict(content)


def _check_aliases(models: Mapping[str, Model]) -> None:
    owner = {name.lower(): name for name in models}
    if len(owner) != len(models):
        raise ConfigError("price file: two models differ in nothing but case")
    for model in models.values():
        for alias in model.aliases:
            other = owner.setdefault(alias.lower(), model.name)
            if other != model.name:
                raise ConfigError(f"models: {model.name}: the alias {alias} is taken by {other}")


@lru_cache(maxsize=1)
def _builtin() -> PriceTable:
    # importlib.resources would bring zipfile and its own readers: 0.4 MB for one file.
    data = get_data("abg", "prices.json")
    assert data is not None
    return PriceTable.parse(data)
