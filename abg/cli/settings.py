"""Configurations read from disk: abg's own, as the proxy loads it, and the agents'."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from abg.cli.where import places

if TYPE_CHECKING:
    from abg.config import Loaded
    from abg.home.claude import Settings
    from abg.home.codex import CodexFile

__all__ = ["claude_files", "codex_files", "load", "read_text"]


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


def claude_files() -> tuple[Settings, ...]:
    """Claude Code's settings files that exist here, weakest first."""
    from abg.home.claude import parse_settings, setting_paths

    paths = setting_paths(str(Path.home()), str(Path.cwd()), os.environ, sys.platform)
    read = [(path, managed, read_text(path)) for path, managed in paths]
    return tuple(
        parse_settings(path, text, managed=managed)
        for path, managed, text in read
        if text is not None
    )


def codex_files() -> tuple[CodexFile, ...]:
    """Codex's configuration files that exist here, weakest first."""
    from abg.home.codex import config_paths, parse_config

    paths = config_paths(str(Path.home()), str(Path.cwd()), os.environ)
    read = [(path, read_text(path)) for path in paths]
    return tuple(parse_config(path, text) for path, text in read if text is not None)


def read_text(path: str) -> str | None:
    """A file's text; None if it cannot be read."""
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
