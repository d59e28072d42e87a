"""What a person is told once, and not with every call: what abg cannot price or meter exactly."""

from __future__ import annotations

from collections.abc import Callable

from abg import console
from abg.call import Call
from abg.ledger import Entry
from abg.pricing import Match
from abg.tally import Tally

__all__ = ["Notices"]


class Notices:
    """Says each thing once in the life of the program.

    Args:
        tally: remembers what was said, for status.
        say: takes one console line.
    """

    def __init__(self, tally: Tally, say: Callable[[str], None]) -> None:
        self._tally = tally
        self._say = say

    def assumed(self, match: Match, call: Call) -> None:
        """A call is asked for whose model, if it names one, is unknown."""
        if call.model and self._tally.note_model(call.model):
            self._say(console.unknown_model(call.model, match.priced_as))

    def entry(self, entry: Entry) -> None:
        """A call has ended; did its vendor answer it whole and not say what it used?"""
        if entry.cost_source == "estimated" and entry.end == "complete":
            kind = entry.endpoint or "other"
            if self._tally.note_unmetered(kind):
                self._say(console.unmetered(kind, later=entry.open is not None))
