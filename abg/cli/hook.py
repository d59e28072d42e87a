"""``abg hook``: answers Claude Code's hooks; never breaks a session, whatever goes wrong."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from abg.cli import client
from abg.cli.statusline import ask, read_json
from abg.errors import AbgError

__all__ = ["add_hook"]


def add_hook(parser: argparse.ArgumentParser) -> None:
    client.add_where(parser)
    parser.add_argument(
        "--tell-model",
        action="store_true",
        help="tell the model what is left, too (also: hook_tells_model in the configuration)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the hook's answer, or nothing; the exit code is always 0."""
    try:
        said = _answer(arguments, read_json())
    except Exception:
        # A hook that fails shows its error in the middle of the user's work: stay quiet.
        return 0
    if said:
        print(json.dumps(said))
    return 0


def _answer(arguments: argparse.Namespace, claude: dict[str, Any]) -> dict[str, Any]:
    from abg.home.hook import Told, answer, down, thresholds_of
    from abg.statusline import session_name, standing

    event = str(claude.get("hook_event_name") or "")
    name = session_name(claude, os.environ)
    try:
        status = ask(arguments, name)
    except AbgError:
        return down(event, os.environ.get("ANTHROPIC_BASE_URL", ""))
    found = standing(status, name)
    to_model = arguments.tell_model or status.get("hook_tells_model") is True
    kept = _kept(name)
    before = Told.parse(_load(kept))
    said, now = answer(event, found, thresholds_of(status, name), before, to_model=to_model)
    if now != before:
        _save(kept, now.as_dict())
    return said


def _kept(name: str) -> Path:
    """Where is noted what this session has been told."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return client.places().state / "told" / f"{digest}.json"


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _save(path: Path, value: dict[str, str]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        beside.write_text(json.dumps(value), "ascii")
        os.replace(beside, path)
    except OSError:
        # It will be said once more: better than an error in the user's screen.
        pass
