"""The ledger as values: records, their lines, and how lines are read again.

``docs/ledger.md`` explains every key. Values only: no I/O, no clock; files are the journal's.
"""

from __future__ import annotations

from abg.ledger.lines import LONGEST_LINE, decode, digest, encode, posting
from abg.ledger.records import Damage, Entry, Event, Posting
from abg.ledger.texts import LONGEST_TEXT, sound

__all__ = [
    "LONGEST_LINE",
    "LONGEST_TEXT",
    "Damage",
    "Entry",
    "Event",
    "Posting",
    "decode",
    "digest",
    "encode",
    "posting",
    "sound",
]
