"""Files changed with a backup and a record, so that every change can be undone."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from abg.errors import AbgError
from abg.home.edits import EditError, revert_json, revert_toml

__all__ = ["Change", "apply", "forget", "read", "undone", "write"]


class Change(NamedTuple):
    """One file: as it is, and as it shall be (None: no such file)."""

    path: Path
    before: str | None
    after: str | None


def read(path: Path) -> str | None:
    """A file's text; None: there is none.

    Raises:
        EditError: it cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as problem:
        raise EditError(f"{path} cannot be read: {problem}") from None


def apply(changes: Sequence[Change], folder: Path) -> None:
    """Write the files; what they were goes into ``folder``, for ``undone``.

    Raises:
        AbgError: one cannot be written; those before it are.
    """
    records = _records(folder)
    for change in changes:
        key = str(change.path)
        old = next((r for r in records if r["path"] == key), None)
        if old is None:
            records.append({"path": key, "before": change.before, "after": change.after})
        else:
            # Changed by us before: what it was before the first time is what undo restores.
            old["after"] = change.after
        _save(folder, records)
        write(change.path, change.after)


def undone(folder: Path) -> list[Change]:
    """The changes that take back all that ``apply`` did; what others changed since stays.

    Raises:
        EditError: a file cannot be read any more; it is named.
    """
    changes = []
    for record in reversed(_records(folder)):
        path = Path(record["path"])
        current = read(path)
        after = _back(path, current, record["after"], record["before"])
        if after != current:
            changes.append(Change(path, current, after))
    return changes


def forget(folder: Path) -> None:
    """Nothing is left to undo."""
    (folder / "changes.json").unlink(missing_ok=True)


def _back(path: Path, current: str | None, written: str | None, before: str | None) -> str | None:
    if current is None or written is None or current == written:
        return before
    if path.suffix == ".json":
        try:
            return revert_json(current, written, before)
        except EditError as problem:
            raise EditError(f"{path}: {problem}") from None
    if path.suffix == ".toml":
        return revert_toml(current, written, before)
    # A file of our own that the user went on with is his now.
    return current


def _records(folder: Path) -> list[dict[str, Any]]:
    try:
        value = json.loads((folder / "changes.json").read_text("utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as problem:
        raise AbgError(f"the record of changes cannot be read: {problem}: {folder}") from None
    return list(value)


def _save(folder: Path, records: list[dict[str, Any]]) -> None:
    """Only for its owner: an agent's settings may hold keys."""
    path = folder / "changes.json"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_suffix(".new")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(records, file, indent=1)
        os.replace(beside, path)
    except OSError as problem:
        raise AbgError(f"the backup cannot be written: {problem}") from None


def write(path: Path, text: str | None) -> None:
    """Replace the file as a whole, through a link, with the mode it had; None removes it.

    Raises:
        AbgError: it cannot be written.
    """
    try:
        if text is None:
            path.unlink(missing_ok=True)
            return
        real = Path(os.path.realpath(path))
        real.parent.mkdir(parents=True, exist_ok=True)
        beside = real.with_name(f"{real.name}.abg-new")
        mode = real.stat().st_mode & 0o7777 if real.exists() else 0o644
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(beside, mode)
        os.replace(beside, real)
    except OSError as problem:
        raise AbgError(f"{path} cannot be written: {problem.strerror}") from None
