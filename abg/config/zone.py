"""The machine's own time zone, daylight saving included, as a ``tzinfo``.

``datetime.astimezone()`` gives today's offset only, which is wrong on the other side of the next
clock change; the C library knows them all.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo

__all__ = ["MACHINE_ZONE", "MachineZone"]

_ZERO = timedelta(0)


class MachineZone(tzinfo):
    """Local time as ``time.localtime`` has it (``TZ``, else the system's setting)."""

    def utcoffset(self, when: datetime | None) -> timedelta:
        """East of Greenwich; for a time that comes twice or never, ``fold`` decides (PEP 495)."""
        if when is None:
            return _ZERO
        local = when.replace(tzinfo=None)
        # A naive datetime means local time: that is what is asked for here.
        utc = datetime.fromtimestamp(local.timestamp(), timezone.utc).replace(tzinfo=None)
        return local - utc

    def fromutc(self, when: datetime) -> datetime:
        """The local time at an instant; ``fold`` says which of two equal ones it is."""
        at = when.replace(tzinfo=timezone.utc).timestamp()
        return datetime.fromtimestamp(at).replace(tzinfo=self)  # noqa: DTZ006

    def dst(self, when: datetime | None) -> None:
        """Not known apart from the offset."""

    def tzname(self, when: datetime | None) -> str:
        """``local``."""
        return "local"

    def __repr__(self) -> str:
        return "MachineZone()"


MACHINE_ZONE = MachineZone()
