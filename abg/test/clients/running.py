"""Running a client once: clean environment, empty home, bounded in time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from abg.test.clients import programs

__all__ = [
    "Finished",
    "claude_environment",
    "codex_environment",
    "ended",
    "run",
    "run_claude",
    "run_codex",
]

PATIENCE = 60.0
"""Seconds after which a client that has not ended counts as hanging."""


@frozen
class Finished:
    """What a client's run came to."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def json(self) -> Any:
        """The last line of stdout as JSON."""
        return json.loads(self.stdout.strip().splitlines()[-1])


def run(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, patience: float = PATIENCE
) -> Finished:
    """Run a program in a folder, with nothing inherited, to its end.

    Raises:
        AssertionError: it did not end in time; the text holds what it said.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        cwd=folder,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        said = out.decode("utf-8", "replace") + err.decode("utf-8", "replace")
        raise AssertionError(
            f"{command[0]} still ran after {patience} s; it said: {said}"
        ) from None
    seconds = time.monotonic() - began
    return Finished(
        process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), seconds
    )


def _environment(home: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
    }


def claude_environment(home: Path, base_url: str) -> dict[str, str]:
    """What Claude Code needs to speak to ``base_url`` with a fake key, and to nobody else."""
    return {
        **_environment(home),
        "ANTHROPIC_API_KEY": "sk-ant-fake",
        "ANTHROPIC_BASE_URL": base_url,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        # As root it refuses to skip permissions outside a sandbox; the namespace is one.
        "IS_SANDBOX": "1",
    }


def codex_environment(home: Path) -> dict[str, str]:
    """What Codex needs to run with a fake key."""
    codex_home = home / ".codex"
    codex_home.mkdir(parents=True, exist_ok=True)
    return {**_environment(home), "CODEX_HOME": str(codex_home), "CODEX_API_KEY": "sk-fake"}


def run_claude(
    binary: Path, home: Path, base_url: str, prompt: str, *arguments: str, folder: Path
) -> Finished:
    """One run of ``claude -p`` that may use its tools freely."""
    command = [str(binary), "-p", prompt, "--dangerously-skip-permissions", *arguments]
    return run(command, claude_environment(home, base_url), folder)


def run_codex(home: Path, base_url: str, prompt: str, *arguments: str, folder: Path) -> Finished:
    """One run of ``codex exec`` that may use its tools freely; ``base_url`` ends in ``/v1``."""
    binary = programs.codex()
    assert binary is not None
    command = [str(binary), "exec", "-c", f"openai_base_url={base_url}", "--skip-git-repo-check"]
    # With telemetry on, it tries for five seconds at its end to be rid of it.
    command += ["-c", "analytics.enabled=false"]
    command += ["--dangerously-bypass-approvals-and-sandbox", *arguments, prompt]
    return run(command, codex_environment(home), folder)


def ended(asked: list[Any]) -> list[str]:
    """How the vendor's answers ended; it notices a moment later that nobody listens."""
    patience = time.monotonic() + 10
    while any(r.ended == "running" for r in asked) and time.monotonic() < patience:
        time.sleep(0.05)
    return [r.ended for r in asked]
