"""``abg prices update``: prices from LiteLLM or genai-prices, shown first, taken over if wanted.

They go into a file of their own beside the user's configuration, which the table in use lays over
the package's data; the user's ``prices:`` in turn lie over that.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from abg.errors import AbgError, ConfigError
from abg.wholefile import read_whole

if TYPE_CHECKING:
    from abg.priceimport import Change
    from abg.pricing import PriceTable

__all__ = ["fetch", "update"]

MOST_BYTES = 64 * 1024 * 1024
SECONDS = 60


def update(arguments: argparse.Namespace, table: PriceTable, target: Path) -> int:
    """Read, show what would change, ask, write."""
    from abg.priceimport import compare, read_prices

    source = arguments.source
    if source is None:
        raise ConfigError("from where? abg prices update --from URL|FILE")
    now = arguments.at or datetime.now(timezone.utc)
    imported = read_prices(fetch(source))
    wanted = [word.lower() for word in arguments.words[1:]]
    changes = [
        change
        for change in compare(table, imported, now)
        if all(word in change.name.lower() for word in wanted)
    ]
    for line in imported.skipped:
        print(f"left out: {line}")
    if not changes:
        print(f"nothing to change: {len(imported.blocks)} models of {imported.source} agree")
        return 0
    for change in changes:
        print(f"{change.name}{' (new)' if change.new else ''}")
        for line in change.lines:
            print(f"  {line}")
    if not arguments.yes and not _confirmed(f"write {len(changes)} models to {target}?"):
        print("nothing was written")
        return 1
    origin = {"source": imported.source, "as_of": str(now.date())}
    _write(target, _with(target, changes, origin), f"{imported.source}, {source}")
    print(f"wrote {target}; a running proxy takes it up when it is started again")
    return 0


def fetch(source: str) -> bytes:
    """The bytes of a file or of an ``https://`` URL (``http://`` only on this machine).

    Raises:
        AbgError: it cannot be read; the text says why.
    """
    if "://" not in source:
        try:
            return read_whole(Path(source))
        except OSError as error:
            raise AbgError(f"{source}: {error.strerror}") from None
    from urllib.parse import urlsplit

    parts = urlsplit(source)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not local:
        raise AbgError(f"{source}: prices come only over https, or from a file")
    return _download(source)


def _download(url: str) -> bytes:
    import treq
    from twisted.internet import defer, reactor
    from twisted.python.failure import Failure

    got: list[Any] = []

    async def download() -> bytes:
        parts: list[bytes] = []
        size = 0

        def collect(data: bytes) -> None:
            nonlocal size
            size += len(data)
            if size > MOST_BYTES:
                raise AbgError(f"{url}: larger than {MOST_BYTES} bytes")
            parts.append(data)

        response = await treq.get(url, timeout=SECONDS)
        if response.code != 200:
            raise AbgError(f"{url}: the server answered {response.code}")
        await treq.collect(response, collect)
        return b"".join(parts)

    def end(outcome: bytes | Failure) -> None:
        got.append(outcome.value if isinstance(outcome, Failure) else outcome)
        reactor.stop()

    def start() -> None:
        running = defer.Deferred.fromCoroutine(download())
        running.addTimeout(SECONDS, reactor)
        running.addBoth(end)

    reactor.callWhenRunning(start)
    reactor.run()
    result = got[0] if got else AbgError(f"{url}: interrupted")
    if isinstance(result, bytes):
        return result
    if isinstance(result, AbgError):
        raise result
    raise AbgError(f"{url}: {result or type(result).__name__}")


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise AbgError("nothing was written: give --yes, since there is nobody to ask")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _with(target: Path, changes: list[Change], origin: dict[str, str]) -> dict[str, Any]:
    """The rows that the file has, with the changed ones over them, which tell their origin."""
    import msgspec

    rows: dict[str, Any] = {}
    if target.exists():
        rows.update(msgspec.json.decode(target.read_bytes())["models"])
    for change in changes:
        rows[change.name] = {**change.block, **origin}
    return rows


def _write(target: Path, rows: dict[str, Any], source: str) -> None:
    from abg.priceimport import render
    from abg.pricing import PriceTable

    text = render(rows, datetime.now(timezone.utc).date(), source)
    # What cannot be read back is never written over what can.
    PriceTable.builtin().with_file(text.encode(), str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f"{target.name}.new")
    try:
        beside.write_text(text, "utf-8")
        os.replace(beside, target)
    except OSError as error:
        raise AbgError(f"{target}: {error.strerror}") from None
