"""The in-flight side journal: what is reserved now, so that a crash forgets no call.

Each reservation is written down before its request leaves, each end when its ledger line is safe::

    {"reserve":"req_abg_1","ts":"2026-04-19T14:22:01.500000Z","session_id":"x","hold_usd":"0.31"}
    {"progress":"req_abg_1","input_tokens":4821,"cost_usd":"0.02"}
    {"release":"req_abg_1"}

What is still open when abg starts was under way when it died; ``crash_entry`` makes the ledger
line of it. The file is emptied when it has grown and nothing is open, and written anew with only
the open ones when it has grown far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
        self._file = LineFile(files, path, link=False)
        self._open: dict[str, bytes] = {}
        self._ended: dict[str, bytes] = {}
        self._rewrite_at = REWRITE_FROM

    @property
    def fd(self) -> int:
        return self._file.fd

    @property
    def size(self) -> int:
        return self._file.size

    def __contains__(self, id: object) -> bool:
        """It is reserved, and has not ended."""
        return id in self._open

    def __len__(self) -> int:
        return len(self._open)

    @property
    def ended(self) -> tuple[str, ...]:
        """Ids that have ended, while the file does not say so yet."""
        return tuple(self._ended)

    def take_over(self, open: Iterable[str], ended: Iterable[str]) -> None:
        """What a crash left in the file: calls still to be entered, and calls that have a line."""
        self._open = dict.fromkeys(open, b"")
        self._ended = dict.fromkeys(ended, b"")

    def reserve(self, id: str, facts: Mapping[str, Any]) -> None:
        """Raises:
        OSError: it is not written; then the call must not leave.
        """
        line = _line("reserve", id, facts)
        self._file.append(line)
        self._open[id] = line

    def progress(self, id: str, facts: Mapping[str, Any]) -> None:
        """What is known by now of an open one; later facts replace earlier ones.

        Raises:
            OSError: it is not written, and nothing worse.
        """
        if id in self._open:
            line = _line("progress", id, facts)
            self._file.append(line)
            self._open[id] += line

    def end(self, id: str) -> None:
        """The call has ended, and its ledger line is written. Ending twice is ignored.

        Touches no disk: the file may say that a call has ended only when the ledger's line is as
        safe as the mode promises, or a power loss could keep this and lose that.
        """
        lines = self._open.pop(id, None)
        if lines is not None:
            self._ended[id] = lines

    def release(self, count: int) -> None:
        """Write down the first so many ends (of ``ended``): their ledger lines are safe now.

        Raises:
            OSError: they are not written yet.
        """
        if not count:
            return
        ids = list(self._ended)[:count]
        self._file.append(b"".join(b'{"release":' + _encode(id) + b"}\n" for id in ids))
        for id in ids:
            del self._ended[id]
        if self._file.size >= EMPTY_FROM:
            self._shrink()

    def withdraw(self, id: str) -> None:
        """The call has ended without a line in the ledger: nothing was sent.

        Raises:
            OSError: it is not written; a crash would make an entry of it.
        """
        if self._open.pop(id, None) is not None:
            self._file.append(b'{"release":' + _encode(id) + b"}\n")

    def probe(self) -> None:
        """Find out whether the file can be written (again).

        Raises:
            OSError: it cannot.
        """
        self._file.append(b"{}\n")

    def look(self) -> None:
        """Write the file anew if somebody has removed or truncated it.

        Raises:
            OSError: it cannot be written.
        """
        named = self._files.state(self._path)
        own = self._file.state()
        if named is None or not named.same_file(own) or own.size < self._file.size:
            self._rewrite()

    def write_again(self) -> None:
        """Write all that counts once more, after a sync that failed.

        Raises:
            OSError: it cannot be written.
        """
        self._file.append(self._all() or b"{}\n")

    def empty(self) -> None:
        """Forget all of it: the ledger has everything.

        Raises:
            OSError: it cannot be emptied.
        """
        self._file.cut_to(0)
        self._open.clear()
        self._ended.clear()

    def _all(self) -> bytes:
        return b"".join(self._ended.values()) + b"".join(self._open.values())

    def _shrink(self) -> None:
        try:
            if not self._open and not self._ended:
                self._file.cut_to(0)
            elif self._file.size >= self._rewrite_at:
                self._rewrite()
        except OSError:
            self._rewrite_at *= 2  # the old file serves on

    def _rewrite(self) -> None:
        beside = self._path.with_name(self._path.name + ".new")
        self._files.close(self._files.create(beside))
        fresh = LineFile(self._files, beside, link=False)
        try:
            fresh.append(self._all() or b"{}\n")
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
    known = [facts[name] for name in ("cost_usd", "hold_usd") if name in facts]
    for ts in (facts.get("ts", now), now):
        for cost in known or ["0"]:
            text = {
                **facts,
                "ts": ts,
                "cost_usd": cost,
                "request_id": id,
                "action": "allow",
                "end": "crash",
                "cost_source": "estimated",
            }
            entry = decode(_encode(sound(text)))
            if isinstance(entry, Entry):
                return entry
    # Facts that nobody can read: what is left of them still is a call that was paid for.
    return Entry(
        ts=now,
        session_id=str(sound(facts.get("session_id", "default"))),
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
