"""The journal: the ledger file and what keeps it safe. ``docs/ledger.md`` is its manual.

Rooms: ``files`` (every touch of the disk), ``lines`` (whole lines only), ``lock`` (one writer),
``inflight`` (what is reserved now), ``tail`` and ``aftermath`` (what a crash has left),
``history`` (the files), ``replay`` and ``checkpoint`` (totals at start), ``rotation`` (when),
``durability`` and ``syncing`` (fsync, on a thread), ``succession`` (one file after another),
``reading``, ``verify`` and ``repair`` (for those who only read), ``journal`` (all of it together).
"""

from __future__ import annotations

from abg.journal.files import Files
from abg.journal.journal import Journal
from abg.journal.lock import Holder, holder
from abg.journal.reading import read_ledger
from abg.journal.replay import Totals
from abg.journal.rotation import parse_rotation

__all__ = ["Files", "Holder", "Journal", "Totals", "holder", "parse_rotation", "read_ledger"]
