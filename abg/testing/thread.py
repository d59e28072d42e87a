"""The fake vendor in a thread of this process."""

from __future__ import annotations

import asyncio
import ssl
import threading
from types import TracebackType
from typing import Any

from abg.testing.http import serve
from abg.testing.script import Script, parse_script
from abg.testing.scripted import Charge, Record, ScriptedVendor

__all__ = ["FakeVendor"]


class FakeVendor:
    """The fake vendor in a thread of this process.

    >>> with FakeVendor({"text": "hello"}) as vendor:
    ...     ...  # point a client at vendor.url, then look at vendor.records
    """

    def __init__(self, script: Any = None, tls: ssl.SSLContext | None = None) -> None:
        parsed = script if isinstance(script, Script) else parse_script(script)
        self._vendor = ScriptedVendor(parsed)
        self._tls = tls
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake vendor", daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def records(self) -> list[Record]:
        """All requests so far (``abg.testing.scripted.Record``)."""
        return list(self._vendor.records)

    @property
    def charges(self) -> list[Charge]:
        """All that was booked so far (``abg.testing.scripted.Charge``)."""
        return list(self._vendor.charges)

    def script(self, script: Any) -> None:
        """Answer by another script from now on."""
        self._vendor.use(parse_script(script))

    def reset(self) -> None:
        """Forget all that came."""
        self._vendor.reset()

    def __enter__(self) -> FakeVendor:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await serve(self._vendor, tls=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
