"""Whether the ledger can be written, and why not: told to the user once when it changes."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Health", "why"]


class Health:
    """What is wrong now, by place: ``ledger``, ``inflight``, ``sync``, ``look``.

    Args:
        say: takes a console line.
        on_failure: called at each failure; who waits for the disk must not wait any longer.
    """

    def __init__(self, say: Callable[[str], None], on_failure: Callable[[], None]) -> None:
        self._say = say
        self._on_failure = on_failure
        self._problems: dict[str, str] = {}

    def __bool__(self) -> bool:
        return not self._problems

    def __contains__(self, place: object) -> bool:
        return place in self._problems

    @property
    def problem(self) -> str:
        """The first thing that is wrong; empty if nothing is."""
        return next(iter(self._problems.values()), "")

    def fail(self, place: str, error: OSError) -> None:
        """Something cannot be done in that place."""
        fresh = not self._problems
        self._problems[place] = why(error)
        if fresh:
            self._say(f"[abg] ERROR ledger cannot be written: {self.problem}")
        self._on_failure()

    def mend(self, place: str) -> None:
        """It works again in that place."""
        if self._problems.pop(place, None) is not None and not self._problems:
            self._say("[abg] ledger can be written again")

    def warn(self, text: str) -> None:
        """Tell what is no failure but should be known."""
        self._say(f"[abg] WARNING ledger: {text}")


def why(error: OSError) -> str:
    """An error in the system's own words: ``No space left on device``."""
    return error.strerror or str(error)
