"""The loop breaker: how often a thread has sent the same last message in a row.

A thread of a session is followed by the digest of its last message (``Call.fingerprint``). A call
counts when it is admitted, and is taken back if the vendor failed it: sending again what failed
is no loop. Threads that are quiet while thousands of others speak are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Loops"]

THREADS = 4096


class Loops:
    """Rows of identical messages, by session and thread."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        """How many in a row pass; None: any number."""
        self._rows: OrderedDict[tuple[str, str], tuple[bytes, int]] = OrderedDict()

    def length(self, session: str, thread: str, fingerprint: bytes | None) -> int:
        """How many in a row were the same as this one."""
        row = self._rows.get((session, thread))
        return row[1] if row is not None and row[0] == fingerprint else 0

    def count(self, session: str, thread: str, fingerprint: bytes | None) -> None:
        """This one passes."""
        if self.most is None or fingerprint is None:
            return
        length = self.length(session, thread, fingerprint)
        self._rows[session, thread] = (fingerprint, length + 1)
        self._rows.move_to_end((session, thread))
        if len(self._rows) > THREADS:
            self._rows.popitem(last=False)

    def take_back(self, session: str, thread: str, fingerprint: bytes | None) -> None:
        """This one had passed, and its vendor failed it."""
        if fingerprint is not None:
            length = self.length(session, thread, fingerprint)
            if length:
                self._rows[session, thread] = (fingerprint, length - 1)

    def forget(self, session: str) -> None:
        """The session starts again."""
        for where in [where for where in self._rows if where[0] == session]:
            del self._rows[where]
