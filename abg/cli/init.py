"""``abg init``: a first configuration, and the agents pointed at the proxy; ``--undo``."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from abg.cli import changes, client, where
from abg.cli.budget import amount
from abg.cli.changes import Change
from abg.cli.launch import launcher
from abg.errors import AbgError, ConfigError
from abg.home.edits import EditError, claude_settings, codex_config, difference, own_config
from abg.places import CONFIG_NAME

__all__ = ["add_init"]

PARTS = {
    "claude": "Point Claude Code at the proxy",
    "statusline": "Show what is left under Claude Code's prompt",
    "hook": "Tell you in Claude Code when a budget is nearly spent",
    "codex": "Point Codex at the proxy",
}


def add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--session-budget", type=amount, default=Decimal(5), metavar="USD")
    parser.add_argument("--daily-budget", type=amount, default=Decimal(20), metavar="USD")
    parser.add_argument(
        "--here", action="store_true", help="write the configuration into this folder"
    )
    parser.add_argument("--url", metavar="URL", help="the proxy's address, if not the default one")
    for name, what in PARTS.items():
        parser.add_argument(
            f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=what.lower()
        )
    parser.add_argument("--yes", action="store_true", help="ask nothing, and do what is offered")
    parser.add_argument("--dry-run", action="store_true", help="only show what would change")
    parser.add_argument("--undo", action="store_true", help="take back what abg init changed")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show each change, ask, and write it; 1 if something is left undone."""
    folder = client.places().state / "init"
    if arguments.undo:
        return _undo(arguments, folder)
    if not _decided(arguments) and not sys.stdin.isatty() and not arguments.dry_run:
        raise ConfigError(
            "nobody is here to ask: say --yes, or name what you want "
            "(--claude --statusline --hook --codex); --dry-run shows the changes"
        )
    planned, failed = [], 0
    for make in (_claude, _codex):
        try:
            planned += [c for c in make(arguments) if c.after != c.before]
        except EditError as problem:
            print(f"abg: left alone: {problem}", file=sys.stderr)
            failed = 1
    planned = [*_config(arguments, planned), *planned]
    if not planned:
        print("everything is set up already")
        return failed
    if not _agreed(planned, arguments):
        return 1
    changes.apply(planned, folder)
    _say_next(planned)
    return failed


def _undo(arguments: argparse.Namespace, folder: Path) -> int:
    planned = changes.undone(folder)
    if not planned:
        print("there is nothing to undo")
        return 0
    if not _agreed(planned, arguments):
        return 1
    for change in planned:
        changes.write(change.path, change.after)
    changes.forget(folder)
    print("all of it is as it was before abg init")
    return 0


def _agreed(planned: list[Change], arguments: argparse.Namespace) -> bool:
    for change in planned:
        print(difference(str(change.path), change.before, change.after) + "\n")
    if arguments.dry_run:
        print("nothing was written (--dry-run)")
        return False
    return arguments.yes or not sys.stdin.isatty() or _asked("Write this?")


def _config(arguments: argparse.Namespace, planned: list[Change]) -> Iterator[Change]:
    """Our own configuration, unless there is one."""
    path = where.working_folder() / CONFIG_NAME if arguments.here else client.places().config_file
    before = changes.read(path)
    upstreams = dict(_gateways(planned))
    if before is not None:
        for key, url in upstreams.items():
            print(f"abg: calls went to {url} before; say so in {path}: {key}: {url}")
        return
    if arguments.here and upstreams:
        for key, url in upstreams.items():
            print(
                f"abg: calls went to {url} before; a file in a working folder may not say so, "
                f"put into {client.places().config_file}: {key}: {url}"
            )
        upstreams = {}
    yield Change(
        path, None, own_config(arguments.session_budget, arguments.daily_budget, upstreams)
    )


def _gateways(planned: list[Change]) -> Iterator[tuple[str, str]]:
    """Where the agents sent their calls before, if that was another gateway."""
    from abg.home.claude import parse_settings
    from abg.home.codex import parse_config
    from abg.home.plan import elsewhere

    for change in planned:
        text = change.before or ""
        if change.path.suffix == ".json":
            key, url = "upstream_anthropic", parse_settings("", text).env.get("ANTHROPIC_BASE_URL")
        else:
            key, url = "upstream_openai", parse_config("", text).keys.get("openai_base_url")
        if url and elsewhere(url, "", key):
            yield key, url


def _claude(arguments: argparse.Namespace) -> Iterator[Change]:
    folder = Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")
    path = folder / "settings.json"
    there = folder.is_dir() or shutil.which("claude") is not None
    if not _wanted("claude", arguments, offer=there):
        return
    before = changes.read(path)
    statusline = _statusline(arguments, before)
    hook = _command("hook") if _wanted("hook", arguments, offer=False) else None
    try:
        after = claude_settings(before, _url(arguments), statusline=statusline, hook=hook)
    except EditError as problem:
        raise EditError(f"{path}: {problem}") from None
    yield Change(path, before, after)


def _statusline(arguments: argparse.Namespace, before: str | None) -> str | None:
    """Our status line, unless the user has one of his own and did not ask for ours."""
    ours = _command("statusline")
    own = _status_command(before)
    if own not in (None, ours) and arguments.statusline is None:
        print(f"abg: you have a status line of your own; --statusline replaces it: {own}")
        return None
    return ours if _wanted("statusline", arguments, offer=True) else None


def _status_command(settings: str | None) -> Any:
    try:
        value = json.loads(settings or "{}")
        return value["statusLine"]["command"]
    except (ValueError, KeyError, TypeError):
        return None


def _codex(arguments: argparse.Namespace) -> Iterator[Change]:
    from abg.home.codex import parse_config, problems

    folder = Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex")
    path = folder / "config.toml"
    there = folder.is_dir() or shutil.which("codex") is not None
    if not _wanted("codex", arguments, offer=there):
        return
    before = changes.read(path)
    found = problems((), (parse_config(str(path), before or ""),))
    if found:
        raise EditError("; ".join(f"{p.what}. {p.remedy}" for p in found))
    yield Change(path, before, codex_config(before, _url(arguments) + "/v1"))


def _wanted(part: str, arguments: argparse.Namespace, *, offer: bool) -> bool:
    """By flag; else by ``--yes`` or by asking, where it is offered."""
    said: bool | None = getattr(arguments, part)
    if said is not None:
        return said
    if not offer and not sys.stdin.isatty():
        return False
    if arguments.yes or arguments.dry_run:
        return offer
    if not sys.stdin.isatty():
        return False
    return _asked(PARTS[part] + "?", default=offer)


def _decided(arguments: argparse.Namespace) -> bool:
    return arguments.yes or any(getattr(arguments, part) is not None for part in PARTS)


def _asked(question: str, *, default: bool = True) -> bool:
    try:
        said = input(f"{question} [{'Y/n' if default else 'y/N'}] ").strip().lower()
    except EOFError:
        return False
    return default if not said else said in ("y", "yes")


def _url(arguments: argparse.Namespace) -> str:
    if arguments.url is not None:
        return where.parse_url(arguments.url, "--url").url
    try:
        from abg.cli.settings import load

        config = load().config
    except AbgError:
        return f"http://{where.DEFAULT_HOST}:{where.DEFAULT_PORT}"
    return f"http://{where.DEFAULT_HOST}:{config.port}"


def _command(name: str) -> str:
    return shlex.join([*launcher(), name])


def _say_next(planned: list[Change]) -> None:
    for change in planned:
        print(f"written: {change.path}")
    agents = [c for c in planned if c.path.suffix in (".json", ".toml")]
    if agents:
        print("These agents now need the proxy to run. Start it with: abg proxy")
    print("Check all of it with: abg doctor. Take it back with: abg init --undo")
