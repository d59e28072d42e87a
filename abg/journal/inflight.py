"""The in-flight side journal: what is reserved now, so that a crash forgets no call.

Each reservation is written down before its request leaves, each end after its ledger line::

    {"reserve":"req_abg_1","ts":"2026-04-19T14:22:01.500000Z","session_id":"x","hold_usd":"0.31"}
    {"progress":"req_abg_1","input_tokens":4821,"cost_usd":"0.02"}
    {"release":"req_abg_1"}

What is still open when abg starts was under way when it died; ``crash_entry`` makes the ledger
line of it. The file is emptied when it has grown and nothing is open, and written anew with only
the open ones when it has grown far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from abg.journal.files import Files
from abg.journal.lines import LineFile
from abg.ledger import LONGEST_LINE, LONGEST_TEXT, Entry, decode, sound
from abg.money import ZERO

__all__ = ["InFlight", "crash_entry", "read_open"]

EMPTY_FROM = 256 * 1024
"""Bytes from which the file is emptied as soon as nothing is open."""

REWRITE_FROM = 4 * 1024 * 1024
"""Bytes from which it is written anew with what is open, in a swarm that never pauses."""

_encode = msgspec.json.Encoder(enc_hook=str).encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class InFlight:
    """The open file; whoever owns it asks ``read_open`` first what a crash left.

    Args:
        retire: takes a descriptor that is to be closed once no other thread syncs it.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, files: Files, path: Path, retire: Callable[[int], None]) -> None:
        self._files = files
        self._retire = retire
        self._path = path
        self._file = LineFile(files, path)
        self._open: dict[str, bytes] = {}
        self._owed: list[bytes] = []
        self._rewrite_at = REWRITE_FROM

    @property
    def open(self) -> tuple[str, ...]:
        """Ids that are reserved and not released."""
        return tuple(self._open)

    def __contains__(self, id: object) -> bool:
        return id in self._open

    @property
    def fd(self) -> int:
        return self._file.fd

    @property
    def clean(self) -> bool:
        """Every end that is known is in the file."""
        return not self._owed

    @property
    def size(self) -> int:
        return self._file.size

    def reserve(self, id: str, facts: Mapping[str, Any]) -> None:
        """Raises:
        OSError: it is not written; then the call must not leave.
        """
        line = _line("reserve", id, facts)
        if self._owed:
            self.settle_debts()
        self._file.append(line)
        self._open[id] = line

    def progress(self, id: str, facts: Mapping[str, Any]) -> None:
        """What is known by now of an open one; later facts replace earlier ones.

        Raises:
            OSError: it is not written, and nothing worse.
        """
        if id in self._open:
            line = _line("progress", id, facts)
            if self._owed:
                self.settle_debts()
            self._file.append(line)
            self._open[id] += line

    def release(self, id: str) -> None:
        """The call has ended and its ledger line is written. Releasing twice is ignored.

        Raises:
            OSError: it is not written yet; ``settle_debts`` tries again.
        """
        if self._open.pop(id, None) is None:
            return
        line = b'{"release":' + _encode(id) + b"}\n"
        if self._owed:
            self._owed.append(line)
            self.settle_debts()
        else:
            try:
                self._file.append(line)
            except OSError:
                self._owed.append(line)
                raise
        if self._file.size >= EMPTY_FROM:
            self._shrink()

    def settle_debts(self) -> None:
        """Write what could not be written before.

        Raises:
            OSError: it still cannot.
        """
        if self._owed:
            self._file.append(b"".join(self._owed))
            self._owed.clear()

    def probe(self) -> None:
        """Find out whether the file can be written again.

        Raises:
            OSError: it cannot.
        """
        self.settle_debts()
        self._file.append(b"{}\n")

    def write_again(self) -> None:
        """Write all that is open once more, after a sync that failed.

        Raises:
            OSError: it cannot be written.
        """
        self.settle_debts()
        self._file.append(b"".join(self._open.values()) or b"{}\n")

    def empty(self) -> None:
        """Forget all of it: the crash entries are in the ledger.

        Raises:
            OSError: it cannot be emptied.
        """
        self._file.cut_to(0)
        self._open.clear()
        self._owed.clear()

    def _shrink(self) -> None:
        try:
            if not self._open:
                self._file.cut_to(0)
            elif self._file.size >= self._rewrite_at:
                self._rewrite()
        except OSError:
            self._rewrite_at *= 2  # the old file serves on

    def _rewrite(self) -> None:
        beside = self._path.with_name(self._path.name + ".new")
        self._files.close(self._files.create(beside))
        fresh = LineFile(self._files, beside)
        try:
            fresh.append(b"".join(self._open.values()))
            self._files.sync(fresh.fd)
            self._files.replace(beside, self._path)
        except OSError:
            self._files.close(fresh.fd)
            raise
        self._retire(self._file.fd)
        self._file = fresh
        self._rewrite_at = max(REWRITE_FROM, 2 * fresh.size)


def _line(kind: str, id: str, facts: Mapping[str, Any]) -> bytes:
    try:
        line = _encode({kind: id, **facts})
        if len(line) > LONGEST_LINE:
            line = _encode({kind: id, **sound(facts, LONGEST_TEXT)})
    except UnicodeEncodeError:
        line = _encode({kind: id, **sound(facts, LONGEST_TEXT)})
    return line + b"\n"


def read_open(data: bytes) -> dict[str, dict[str, Any]]:
    """What was open when the file was last written: facts by id, in order of reservation.

    Lines that cannot be read (torn, NUL bytes of a power loss) say nothing.
    """
    open: dict[str, dict[str, Any]] = {}
    for line in data.split(b"\n"):
        try:
            facts = _decode(line.strip(b"\0"))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        if "reserve" in facts:
            open[str(facts.pop("reserve"))] = facts
        elif "progress" in facts:
            known = open.get(str(facts.pop("progress")))
            if known is not None:
                known.update(facts)
        elif "release" in facts:
            open.pop(str(facts["release"]), None)
    return open


def crash_entry(id: str, facts: Mapping[str, Any], now: datetime) -> Entry:
    """The ledger line of a call that was under way when abg died.

    Its cost is what the last progress said it had come to (``cost_usd``), else all that was held
    for it: dear, never free.
    """
    text = {
        "ts": now,
        **facts,
        "cost_usd": facts.get("cost_usd", facts.get("hold_usd", "0")),
        "request_id": id,
        "action": "allow",
        "end": "crash",
        "cost_source": "estimated",
    }
    entry = decode(_encode(text))
    if isinstance(entry, Entry):
        return entry
    # Facts that nobody can read: what is left of them still is a call that was paid for.
    return Entry(
        ts=now,
        session_id="default",
        model="",
        input_tokens=0,
        output_tokens=0,
        cost_usd=ZERO,
        session_total_usd=ZERO,
        action="allow",
        request_id=id,
        end="crash",
        cost_source="estimated",
        reason=f"its reservation cannot be read: {entry}",
    )
