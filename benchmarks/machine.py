"""What the operating system knows of a process: its CPU time, its memory, when it listens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Program", "cpu_seconds", "free_port", "peak_memory", "resident", "wait_for_port"]

TICK = os.sysconf("SC_CLK_TCK")


class Program:
    """A running program and all that it started; the whole group ends with it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        pinned = ["taskset", "-c", str(core), *command] if core is not None else list(command)
        out = subprocess.DEVNULL if log is None else log.open("wb")
        self.command = command
        self.log = log
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            pinned,
            cwd=folder,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """TERM to all of it, KILL to what is left after ten seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                pass
            try:
                self._process.wait(10)
                return
            except subprocess.TimeoutExpired:
                continue


def free_port() -> int:
    """A port of loopback that nobody holds right now."""
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        port: int = any_socket.getsockname()[1]
        return port


def wait_for_port(port: int, program: Program, patience: float = 60.0) -> float:
    """Seconds from the program's start until it takes connections.

    Raises:
        RuntimeError: it ended before, or did not in time; the text holds what it said.
    """
    ends = time.monotonic() + patience
    while time.monotonic() < ends and program.alive:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return time.monotonic() - program.started
        time.sleep(0.002)
    said = program.log.read_text("utf-8", "replace")[-2000:] if program.log else ""
    raise RuntimeError(f"{' '.join(program.command)} does not listen:\n{said}")


def cpu_seconds(pid: int) -> float:
    """CPU time so far of a process and its descendants, those that have ended included."""
    return sum(_ticks(p) for p in _family(pid)) / TICK


def resident(pid: int) -> int:
    """Bytes of resident memory of a process and its descendants."""
    return sum(_status(p, "VmRSS") for p in _family(pid))


def peak_memory(pid: int) -> int:
    """The most bytes that were ever resident, summed over a process and its descendants."""
    return sum(_status(p, "VmHWM") for p in _family(pid))


def _family(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children.get(one, [])
    return found


def _stat(pid: int) -> list[str]:
    """The fields after the command's name: state is the first."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _ticks(pid: int) -> int:
    fields = _stat(pid)
    return sum(int(fields[at]) for at in (11, 12, 13, 14)) if fields else 0


def _status(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)
