"""Where the real clients are; ``python -m abg.test.clients.programs`` installs them from npm.

They lie outside the repository, in ``ABG_TEST_NPM`` or the user's cache folder: ``current`` holds
what npm gives on this Node, ``newest`` the newest Claude Code, which declares a newer Node than
its native binary needs.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["claude", "codex", "folder", "install"]

CLAUDE, CODEX = "@anthropic-ai/claude-code", "@openai/codex"
TRIES = 3


def folder() -> Path:
    """The folder that holds the installed clients."""
    named = os.environ.get("ABG_TEST_NPM")
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache) / "abg-test" / "npm"


def claude(which: str) -> Path | None:
    """The native binary of Claude Code (``current`` or ``newest``); None if it is not there."""
    modules = folder() / which / "node_modules"
    return _there(modules / f"{CLAUDE}-{_platform()}" / "claude")


def codex() -> Path | None:
    """Codex's command; None if it is not there, or Node is not."""
    if shutil.which("node") is None:
        return None
    return _there(folder() / "current" / "node_modules" / ".bin" / "codex")


def install() -> int:
    """Install both clients; a program that is there already is left alone."""
    wanted = [("current", claude("current"), [CLAUDE]), ("current", codex(), [CODEX])]
    # Without --force npm takes the last version that admits an older Node.
    wanted.append(("newest", claude("newest"), ["--force", f"{CLAUDE}@latest"]))
    for place, there, packages in wanted:
        if there is not None:
            print(f"{place}: {there} is there")
            continue
        at = folder() / place
        at.mkdir(parents=True, exist_ok=True)
        (at / "package.json").write_text('{"private": true}\n', "utf-8")
        if not _npm(at, packages):
            print(f"npm could not install {packages[-1]}", file=sys.stderr)
            return 1
    return 0


def _npm(at: Path, packages: list[str]) -> bool:
    command = ["npm", "install", "--no-audit", "--no-fund", *packages]
    for attempt in range(TRIES):
        if subprocess.run(command, cwd=at, stdin=subprocess.DEVNULL, check=False).returncode == 0:
            return True
        time.sleep(5 * (attempt + 1))
    return False


def _there(path: Path) -> Path | None:
    return path if path.exists() else None


def _platform() -> str:
    machine = {"x86_64": "x64", "aarch64": "arm64", "AMD64": "x64"}.get(platform.machine(), "x64")
    return f"{sys.platform}-{machine}"


if __name__ == "__main__":
    sys.exit(install())
