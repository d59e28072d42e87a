"""One thread that does what may be slow: fsync, closing files, writing checkpoints.

Jobs run one after the other, in the order they were handed in; so a file that is handed in for
closing is closed only after every sync of it. The outcome of each job is told on the thread that
owns the journal, by ``poll``: ``call_soon`` (a reactor's ``callFromThread``) asks for one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["CallSoon", "Worker"]

CallSoon = Callable[[Callable[[], None]], object]

Job = Callable[[], None]
Done = Callable[[OSError | None], None]


class Worker:
    """Runs jobs on a thread of its own, which starts with the first one.

    Args:
        call_soon: has a function called on the owner's thread soon; None: the owner polls.
    """

    def __init__(self, call_soon: CallSoon | None = None) -> None:
        self._call_soon = call_soon
        self._jobs: SimpleQueue[tuple[Job, Done] | None] = SimpleQueue()
        self._outcomes: deque[tuple[Done, OSError | None]] = deque()
        self._thread: threading.Thread | None = None

    def submit(self, job: Job, done: Done) -> None:
        """Run ``job`` on the thread; ``done`` is told its error, or None, on the owner's."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="abg journal", daemon=True)
            self._thread.start()
        self._jobs.put((job, done))

    def poll(self) -> None:
        """Tell the outcomes that are there."""
        while self._outcomes:
            done, error = self._outcomes.popleft()
            done(error)

    def close(self) -> None:
        """Finish all jobs, tell their outcomes, end the thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        self.poll()

    def _run(self) -> None:
        while True:
            item = self._jobs.get()
            if item is None:
                return
            job, done = item
            error: OSError | None = None
            try:
                job()
            except OSError as failure:
                error = failure
            self._outcomes.append((done, error))
            if self._call_soon is not None:
                try:
                    self._call_soon(self.poll)
                except Exception:
                    pass  # the reactor has stopped: close() will poll
