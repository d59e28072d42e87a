"""The journal: the ledger file and what keeps it safe. ``docs/ledger.md`` is its manual.

Rooms: ``files`` (every touch of the disk), ``lines`` (whole lines only), ``lock`` (one writer),
``inflight`` (what is reserved now), ``tail`` (repair after a crash), ``history`` (the rotated
files), ``replay`` and ``checkpoint`` (totals at start), ``rotation`` (when and under which name),
``syncing`` (the thread), ``journal`` (all of it together).
"""

from __future__ import annotations

from abg.journal.files import Files
from abg.journal.history import read_ledger
from abg.journal.journal import Journal
from abg.journal.lock import Holder, holder
from abg.journal.replay import Totals
from abg.journal.rotation import parse_rotation

__all__ = ["Files", "Holder", "Journal", "Totals", "holder", "parse_rotation", "read_ledger"]
