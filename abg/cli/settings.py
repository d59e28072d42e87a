"""The configuration, loaded as the proxy loads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from abg.cli.client import places

if TYPE_CHECKING:
    from abg.config import Loaded

__all__ = ["load"]


def load(config: str | None = None, flags: Mapping[str, str] | None = None) -> Loaded:
    """Flags over environment over file over defaults.

    Raises:
        ConfigError: something in them is wrong; the text says where and what to do.
    """
    from abg.config import load as load_config

    given = dict(flags or {})
    if config is not None:
        given["config"] = config
    return load_config(given, os.environ, Path.cwd(), places())
