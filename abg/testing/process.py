"""The fake vendor as a process of its own, driven over its control endpoint."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any

__all__ = ["VendorProcess"]


class VendorProcess:
    """Runs ``python -m abg.testing.vendor``; it ends with this object, or with this process.

    Args:
        script: as JSON (see ``abg.testing.script``); None: everyday answers.
        prefix: words before the command, such as ``nsenter …`` or ``taskset -c 1``.
    """

    def __init__(self, script: Any = None, prefix: tuple[str, ...] = ()) -> None:
        self._script = script
        self._prefix = prefix
        self.url = ""

    def script(self, script: Any) -> None:
        """Answer by another script from now on."""
        self._ask("PUT", "/_script", json.dumps(script).encode())

    def reset(self) -> None:
        """Forget all that came."""
        self._ask("POST", "/_reset", b"")

    @property
    def requests(self) -> list[dict[str, Any]]:
        """All requests so far, as ``GET /_requests`` tells them."""
        return list(self._ask("GET", "/_requests"))

    @property
    def charges(self) -> list[dict[str, Any]]:
        """All that was booked so far."""
        return list(self._ask("GET", "/_charges"))

    @property
    def open(self) -> int:
        """Answers under way."""
        return int(self._ask("GET", "/_open"))

    def __enter__(self) -> VendorProcess:
        command = [*self._prefix, sys.executable, "-m", "abg.testing.vendor"]
        self._process = subprocess.Popen(
            [*command, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line.startswith("listening on "):
            raise RuntimeError(f"the fake vendor did not start: {line!r}")
        self.url = line.removeprefix("listening on ").strip()
        if self._script is not None:
            self.script(self._script)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.communicate(timeout=10)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self.url + path, data=body, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.loads(answer.read())
