"""Sums over rolling windows: each amount counts exactly as long as the window is.

All rolling windows over the same calls share one ``Timeline``: the amounts of each key in the
order of their instants. For each window a mark stands between those that have left it and those
inside, beside the sum of the latter. Marks move with the clock, forth and (after a step of the
clock) back, so that ``spent`` stays a pure function. What left the longest window more than
``SLACK`` ago is forgotten, and keys that are quiet while others are busy are kept packed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from itertools import chain
from typing import Any

from abg.money import EXACT, ZERO, usd
from abg.sums import Fits

__all__ = ["SLACK", "Rolling", "Timeline"]

SLACK = timedelta(hours=1)
"""How far the clock may step back without an amount missing that would count again then."""

FEW = 32
"""Amounts of a key up to which nobody looks for old ones."""
UNPACKED = 4096
"""Keys that are kept ready."""
SWEEP = 1024
"""Amounts added after which old keys are looked for, if there are no more keys than that."""

_add, _subtract = EXACT.add, EXACT.subtract
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)

Packed = tuple[Any, ...]
"""Instant, amount, instant, amount, …"""


class _Track:
    """The amounts of one key, ready."""

    __slots__ = ("amounts", "inside", "look", "times", "totals")

    def __init__(self, packed: Packed, windows: int) -> None:
        self.times: list[datetime] = list(packed[::2])
        self.amounts: list[Decimal] = list(packed[1::2])
        total = ZERO
        for amount in self.amounts:
            total = _add(total, amount)
        self.inside = [0] * windows
        """For each window the index of the first amount inside it, as of the last look."""
        self.totals = [total] * windows
        """And the sum of those inside."""
        self.look = max(FEW, 2 * len(self.times))
        """Length at which old amounts are looked for."""

    def move(self, window: int, cutoff: datetime) -> Decimal:
        """Put a window's mark so that what came after ``cutoff`` is inside."""
        times, inside = self.times, self.inside[window]
        end = len(times)
        if inside < end and times[inside] <= cutoff:
            total, amounts = self.totals[window], self.amounts
            while inside < end and times[inside] <= cutoff:
                total = _subtract(total, amounts[inside])
                inside += 1
        elif inside and times[inside - 1] > cutoff:
            total, amounts = self.totals[window], self.amounts
            while inside and times[inside - 1] > cutoff:
                inside -= 1
                total = _add(total, amounts[inside])
        else:
            return self.totals[window]
        self.inside[window] = inside
        self.totals[window] = total
        return total

    def insert(self, at: datetime, amount: Decimal) -> None:
        times, inside, totals = self.times, self.inside, self.totals
        if times and at < times[-1]:
            place = bisect_right(times, at)
            times.insert(place, at)
            self.amounts.insert(place, amount)
        else:
            place = len(times)
            times.append(at)
            self.amounts.append(amount)
        for window, first in enumerate(inside):
            if place < first:
                inside[window] = first + 1
            else:
                totals[window] = _add(totals[window], amount)

    def forget(self, cutoff: datetime) -> None:
        """Let go of what came up to ``cutoff``, which no window reaches."""
        gone = bisect_right(self.times, cutoff)
        for window, first in enumerate(self.inside):
            if first < gone:
                self.move(window, cutoff)
            self.inside[window] -= gone
        del self.times[:gone]
        del self.amounts[:gone]
        self.look = max(FEW, 2 * len(self.times))

    def pack(self) -> Packed:
        flat: list[Any] = [None] * (2 * len(self.times))
        flat[::2], flat[1::2] = self.times, self.amounts
        return tuple(flat)


class Timeline:
    """The amounts of every key, for all rolling windows over them; see ``abg.sums.Counted``."""

    def __init__(self) -> None:
        self._lengths: list[timedelta] = []
        self._longest = timedelta(0)
        self._tracks: OrderedDict[str, _Track] = OrderedDict()
        """Ready, in the order of last use."""
        self._packed: dict[str, Packed] = {}
        self._since_sweep = 0

    def window(self, length: timedelta) -> Rolling:
        """A window over the timeline; all of them are asked for before anything is added."""
        self._lengths.append(length)
        self._longest = max(self._longest, length)
        return Rolling(self, len(self._lengths) - 1, length)

    def add(self, key: str, at: datetime, amount: Decimal) -> None:
        track = self.track(key)
        if track is None:
            track = self._ready(key, ())
        track.insert(at, amount)
        if len(track.times) >= track.look:
            track.forget(at - self._longest - SLACK)
        self._since_sweep += 1
        if self._since_sweep >= SWEEP and self._since_sweep >= len(self._packed):
            self._sweep(at - self._longest - SLACK)

    def clear(self, key: str) -> None:
        self._tracks.pop(key, None)
        self._packed.pop(key, None)

    def track(self, key: str, after: datetime | None = None) -> _Track | None:
        """The amounts of a key; None: it has none (or none after ``after``)."""
        track = self._tracks.get(key)
        if track is not None:
            return track
        packed = self._packed.get(key)
        if packed is None or (after is not None and packed[-2] <= after):
            return None
        del self._packed[key]
        return self._ready(key, packed)

    def everything(self) -> Iterable[str]:
        return chain(self._tracks, self._packed)

    def keys(self, after: datetime) -> Iterable[str]:
        """Keys with an amount after an instant, those used last first."""
        for key, track in reversed(self._tracks.items()):
            if track.times and track.times[-1] > after:
                yield key
        for key, packed in reversed(self._packed.items()):
            if packed[-2] > after:
                yield key

    def dump(self) -> Any:
        everything = {**self._packed, **{key: t.pack() for key, t in self._tracks.items()}}
        return {
            key: [
                text
                for at, amount in zip(packed[::2], packed[1::2], strict=True)
                for text in ((at - _EPOCH) // _MILLISECOND, str(amount))
            ]
            for key, packed in everything.items()
            if packed
        }

    def load(self, data: Any) -> None:
        packed = {
            str(key): tuple(
                usd(value) if place % 2 else _EPOCH + value * _MILLISECOND
                for place, value in enumerate(flat)
            )
            for key, flat in data.items()
        }
        self._tracks.clear()
        self._packed = packed

    def _ready(self, key: str, packed: Packed) -> _Track:
        track = self._tracks[key] = _Track(packed, len(self._lengths))
        if len(self._tracks) > UNPACKED:
            quiet, oldest = self._tracks.popitem(last=False)
            if oldest.times:
                self._packed[quiet] = oldest.pack()
        return track

    def _sweep(self, cutoff: datetime) -> None:
        self._since_sweep = 0
        for key in [key for key, packed in self._packed.items() if packed[-2] <= cutoff]:
            del self._packed[key]


class Rolling:
    """One window over a timeline; see ``abg.sums.Sums``."""

    def __init__(self, timeline: Timeline, window: int, length: timedelta) -> None:
        self._timeline = timeline
        self._window = window
        self._length = length

    def spent(self, key: str, now: datetime) -> Decimal:
        after = now - self._length
        track = self._timeline.track(key, after)
        return ZERO if track is None else track.move(self._window, after)

    def keys(self, now: datetime) -> Iterable[str]:
        return self._timeline.keys(now - self._length)

    def changes_at(self, key: str, now: datetime) -> datetime | None:
        track, inside = self._inside(key, now)
        return None if track is None else track.times[inside] + self._length

    def resets_at(self, key: str, now: datetime) -> datetime | None:
        return None

    def frees_at(self, key: str, now: datetime, fits: Fits) -> datetime | None:
        track, inside = self._inside(key, now)
        if track is not None:
            left = track.totals[self._window]
            for place in range(inside, len(track.times)):
                left = _subtract(left, track.amounts[place])
                if fits(left):
                    return track.times[place] + self._length
        return None

    def _inside(self, key: str, now: datetime) -> tuple[_Track | None, int]:
        """The track and its first amount inside the window; None: there is none inside."""
        after = now - self._length
        track = self._timeline.track(key, after)
        if track is None:
            return None, 0
        track.move(self._window, after)
        inside = track.inside[self._window]
        return (track, inside) if inside < len(track.times) else (None, 0)
