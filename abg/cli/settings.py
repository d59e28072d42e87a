"""Configurations read from disk: abg's own, as the proxy loads it, and the agents'."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from abg.cli.where import places, working_folder
from abg.wholefile import read_whole

if TYPE_CHECKING:
    from abg.config import Loaded
    from abg.home.claude import Settings
    from abg.home.codex import CodexFile

__all__ = ["claude_files", "codex_files", "load", "read_text", "repository"]


def load(config: str | None = None, flags: Mapping[str, str] | None = None) -> Loaded:
    """Flags over environment over file over defaults.

    Raises:
        ConfigError: something in them is wrong; the text says where and what to do.
    """
    from abg.config import load as load_config

    given = dict(flags or {})
    if config is not None:
        given["config"] = config
    return load_config(given, os.environ, working_folder(), places(), read_whole)


def claude_files() -> tuple[Settings, ...]:
    """Claude Code's settings files that exist here, weakest first."""
    from abg.home.claude import parse_settings, setting_paths

    here = working_folder()
    root = str(repository(here) or "")
    paths = setting_paths(str(Path.home()), str(here), os.environ, sys.platform, root)
    named = [(p, m) for path, managed in paths for p, m in _with_parts(path, managed)]
    read = [(path, managed, read_text(path)) for path, managed in named]
    return tuple(
        parse_settings(path, text, managed=managed)
        for path, managed, text in read
        if text is not None
    )


def _with_parts(path: str, managed: bool) -> list[tuple[str, bool]]:
    """A settings file; after a managed one, those of the folder beside it."""
    folder = Path(path).with_suffix(".d")
    parts = sorted(folder.glob("*.json")) if managed else []
    return [(path, managed), *((str(part), True) for part in parts)]


def codex_files(argv: Sequence[str] = ()) -> tuple[CodexFile, ...]:
    """Codex's configuration files that exist here, weakest first.

    Args:
        argv: its arguments, which may name a profile.
    """
    from abg.home.codex import config_paths, parse_config

    home, here = str(Path.home()), str(working_folder())
    paths = config_paths(home, here, os.environ, argv, sys.platform)
    read = [(path, managed, read_text(path)) for path, managed in paths]
    return tuple(
        parse_config(path, text, managed=managed)
        for path, managed, text in read
        if text is not None
    )


def read_text(path: str) -> str | None:
    """A file's text as the agents read it; None if it cannot be read.

    Claude Code reads UTF-16 as well, and puts up with broken bytes (measured).
    """
    try:
        raw = read_whole(Path(path))
    except (OSError, ValueError):
        return None
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return raw.decode("utf-16" if wide else "utf-8-sig", "replace")


def repository(folder: Path) -> Path | None:
    """The git repository that a folder lies in."""
    return next((at for at in (folder, *folder.parents) if (at / ".git").exists()), None)
