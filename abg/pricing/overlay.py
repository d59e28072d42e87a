"""A user's rows laid over a table's: they win, and no name means two of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from abg.errors import ConfigError
from abg.pricing.rows import Model, parse_model

__all__ = ["laid_over"]


def laid_over(
    models: Mapping[str, Model], known: Mapping[str, str], rows: Mapping[str, Any], at: str
) -> Mapping[str, Model]:
    """All models of a table with a user's rows over them, these last and in their order.

    Args:
        known: the table's names and aliases in lower case, each with the name of its model.
        at: where the rows stand, for messages.

    Raises:
        ConfigError: with the row, the key, what is wrong and the nearest right one.
    """
    all_models = dict(models)
    owner: dict[str, str] = {}
    laid: dict[str, Model] = {}
    for name, block in rows.items():
        where = f"{at}: {name}"
        before = all_models.get(name) or all_models.get(known.get(str(name).lower(), ""))
        model = parse_model(name, block, where, origin="user", known=before)
        own = model.aliases if before is None or model.aliases != before.aliases else ()
        for word in (name, *own):
            other = owner.setdefault(word.lower(), name)
            if other != name:
                raise ConfigError(f"{where}: the name {word} is taken by {other}")
        if before is not None and before.name.lower() == name.lower():
            model = Model(before.name, model.rows, model.aliases, "user")
        elif before is not None:
            # A row for what was an alias: it takes that one name, and those it says itself.
            model = Model(name, model.rows, own, "user")
        all_models.pop(model.name, None)
        all_models[model.name] = model
        laid[name] = model
    for name, model in laid.items():
        # An alias that it only keeps from the row before may be another's by the user's word.
        kept = tuple(a for a in model.aliases if owner.get(a.lower(), name) == name)
        all_models[model.name] = evolve(model, aliases=kept)
    return all_models
