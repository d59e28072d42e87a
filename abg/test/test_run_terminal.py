"""``abg run`` in a terminal: the program has it for itself, and its keys reach it once."""

from __future__ import annotations

import os
import pty
import select
import sys
import time

import pytest

from abg.cli import main
from abg.test.standin import StandIn, own_places


class Terminal:
    """``abg run -- PROGRAM`` in a terminal of its own."""

    def __init__(self, words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            self._child(words)
        self.seen = b""

    def _child(self, words):
        code = 99
        try:
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
            code = main(words)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def until(self, words, seconds=15):
        ends = time.monotonic() + seconds
        # Not select(): other tests of this process may have opened more than 1,024 files.
        readable = select.poll()
        readable.register(self.fd, select.POLLIN)
        while words not in self.seen:
            left = ends - time.monotonic()
            assert left > 0, self.seen
            if readable.poll(left * 1000):
                try:
                    self.seen += os.read(self.fd, 4096)
                except OSError:
                    break
        assert words in self.seen

    def type(self, keys):
        os.write(self.fd, keys)

    def ended(self):
        while True:
            try:
                if not os.read(self.fd, 4096):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def run(tmp_path, monkeypatch):
    own_places(monkeypatch, tmp_path)
    started = []
    with StandIn() as proxy:

        def start(*command):
            words = ["run", "--url", proxy.url, "--session", "x", "--", *command]
            terminal = Terminal(words)
            started.append(terminal)
            return terminal

        yield start
    for terminal in started:
        os.close(terminal.fd)


PROGRAM = """
import os, signal, sys, time
count = 0
def counted(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, counted)
print("a terminal:", all(map(os.isatty, (0, 1, 2))), flush=True)
print("heard:", sys.stdin.readline().strip(), flush=True)
deadline = time.monotonic() + 10
while not count and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.3)
print("interrupts:", count, flush=True)
sys.exit(7)
"""


def test_the_program_has_the_terminal_and_each_key_reaches_it_once(run):
    terminal = run(sys.executable, "-c", PROGRAM)
    terminal.until(b"a terminal: True")
    terminal.type(b"hello\n")
    terminal.until(b"heard: hello")
    terminal.type(b"\x03")
    terminal.until(b"interrupts: 1")
    terminal.until(b"abg: no call came through")
    assert terminal.ended() == 7
