"""Where the real clients are; ``python -m abg.test.clients.programs`` installs them from npm.

They lie outside the repository, in ``ABG_TEST_NPM`` or the user's cache folder, each version in
a folder of its own. The versions are fixed, so that a release of theirs breaks nobody's build;
``ABG_TEST_CLIENTS=latest`` tries the newest Claude Code and Codex instead.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["CLAUDES", "CODEX", "claude", "codex", "folder", "install"]

CLAUDE_PACKAGE, CODEX_PACKAGE = "@anthropic-ai/claude-code", "@openai/codex"
TRIES = 3

_latest = os.environ.get("ABG_TEST_CLIENTS") == "latest"
# The last Claude Code that npm gives to Node 20, and the newest: it declares a newer Node than
# its native binary needs.
CLAUDES = {"older": "2.1.197", "newest": "latest" if _latest else "2.1.332"}
CODEX = "latest" if _latest else "0.171.0"


def folder() -> Path:
    """The folder that holds the installed clients."""
    named = os.environ.get("ABG_TEST_NPM")
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache) / "abg-test" / "npm"


def claude(which: str) -> Path | None:
    """The native binary of Claude Code (a key of ``CLAUDES``); None if it is not there."""
    modules = _modules(CLAUDE_PACKAGE, CLAUDES[which])
    return _there(modules / f"{CLAUDE_PACKAGE}-{_platform()}" / "claude")


def codex() -> Path | None:
    """Codex's command; None if it is not there, or Node is not."""
    if shutil.which("node") is None:
        return None
    return _there(_modules(CODEX_PACKAGE, CODEX) / ".bin" / "codex")


def install() -> int:
    """Install the clients; a program that is there already is left alone."""
    wanted = [(CLAUDE_PACKAGE, version, claude(which)) for which, version in CLAUDES.items()]
    wanted.append((CODEX_PACKAGE, CODEX, codex()))
    for package, version, there in wanted:
        if there is not None:
            print(f"{package} {version}: {there} is there")
        elif not _npm(_modules(package, version).parent, f"{package}@{version}"):
            print(f"npm could not install {package}@{version}", file=sys.stderr)
            return 1
    return 0


def _modules(package: str, version: str) -> Path:
    return folder() / f"{package.rpartition('/')[2]}-{version}" / "node_modules"


def _npm(at: Path, wanted: str) -> bool:
    at.mkdir(parents=True, exist_ok=True)
    # A package of one's own, or npm installs into the nearest one above.
    (at / "package.json").write_text('{"private": true}\n', "utf-8")
    command = ["npm", "install", "--no-audit", "--no-fund", "--force", wanted]
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
