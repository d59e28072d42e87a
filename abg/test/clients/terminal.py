"""A terminal that a test types into and reads from: tmux, with a server of its own."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["Terminal", "why_not"]


def why_not() -> str:
    """The reason for which there is no terminal; empty if there is."""
    return "" if shutil.which("tmux") else "tmux is not installed"


class Terminal:
    """One program on one screen of 120 by 50; it ends with this object.

    Args:
        folder: working folder of the program; the server's socket lies beside it.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self._socket = folder.parent / "tmux"
        self._environment = dict(environment)
        self._folder = folder
        self._command = list(command)

    def __enter__(self) -> Terminal:
        self._tmux(
            *("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "50"),
            *("-c", str(self._folder), *self._command),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tmux("kill-server", check=False)

    @property
    def screen(self) -> str:
        """What is to be seen, trailing space removed."""
        lines = self._tmux("capture-pane", "-p", "-t", "0", check=False).splitlines()
        return "\n".join(line.rstrip() for line in lines).rstrip()

    def type(self, text: str) -> None:
        """Type a line and send it."""
        self._tmux("send-keys", "-t", "0", "-l", text)
        # Both clients take a fast Enter for part of a paste.
        time.sleep(0.3)
        self.press("Enter")

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: ``Enter``, ``Escape``, ``C-c``."""
        self._tmux("send-keys", "-t", "0", *keys)

    def wait_for(self, text: str, patience: float = 20.0) -> str:
        """The screen as soon as it shows a text (line ends do not count).

        Raises:
            AssertionError: it does not in time; the screen is in the message.
        """
        ends = time.monotonic() + patience
        while time.monotonic() < ends:
            screen = self.screen
            if text in screen or text in " ".join(screen.split()):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"{text!r} was not shown within {patience} s:\n{self.screen}")

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout
