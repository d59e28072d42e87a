"""Running a program in this terminal as if nothing stood between: signals, stops, exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

__all__ = ["run_child"]

FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Sent to us alone; those of the keyboard reach the child through the terminal itself."""

KEYBOARD = ("SIGINT", "SIGQUIT")


def run_child(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run to the end; its exit code, or 128 and the number of the signal that ended it.

    Raises:
        OSError: it cannot be started.
    """
    if sys.platform == "win32":
        return subprocess.call(list(argv), env=dict(environ))
    child = subprocess.Popen(list(argv), env=dict(environ))
    before = _pass_on(child)
    try:
        return _wait(child)
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _wait(child: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            _, status = os.waitpid(child.pid, os.WUNTRACED)
        except InterruptedError:  # pragma: no cover - Python retries by itself since 3.5
            continue
        if os.WIFSTOPPED(status):
            # The shell must see a stop (Ctrl-Z), though the child may have stopped alone.
            os.kill(os.getpid(), signal.SIGSTOP)
            child.send_signal(signal.SIGCONT)
            continue
        code = os.waitstatus_to_exitcode(status)
        child.returncode = code
        return code if code >= 0 else 128 - code


def _pass_on(child: subprocess.Popen[bytes]) -> dict[int, Any]:
    def forward(number: int, frame: FrameType | None) -> None:
        child.send_signal(number)

    def from_keyboard(number: int, frame: FrameType | None) -> None:
        # At a terminal the child got it as well; a second one would end Claude Code.
        if not _at_terminal():
            child.send_signal(number)

    actions = dict.fromkeys(FORWARDED, forward) | dict.fromkeys(KEYBOARD, from_keyboard)
    return {
        int(number): signal.signal(number, action)
        for name, action in actions.items()
        if (number := getattr(signal, name, None)) is not None
    }


def _at_terminal() -> bool:
    """Whether a terminal sends its signals to us and the child together."""
    for stream in (0, 1, 2):
        try:
            return os.tcgetpgrp(stream) == os.getpgrp()
        except OSError:
            continue
    return False
