"""A request as the fake vendor sees it, and what it can be asked about itself."""

from __future__ import annotations

import json
import re
import zlib
from typing import Any

from attrs import field, frozen

__all__ = ["Request"]

_BASE = re.compile(r"^.*?/(?:v\d+|backend-api/codex)(?=/)")


@frozen
class Request:
    """One request, body whole and as it came."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    _read: list[Any] = field(factory=list, repr=False, eq=False)

    def header(self, name: str) -> str:
        """The first value of a header; empty without one."""
        name = name.lower()
        return next((value for key, value in self.headers if key.lower() == name), "")

    @property
    def path(self) -> str:
        """The endpoint: no query, and nothing up to and with ``/v1``."""
        path = self.target.partition("?")[0]
        return _BASE.sub("", path)

    @property
    def plain(self) -> bytes:
        """The body without its content coding; as it came if that cannot be undone."""
        coding = self.header("content-encoding").lower()
        try:
            if coding == "gzip":
                return zlib.decompress(self.body, 47)
            if coding == "zstd":
                import zstandard

                return zstandard.ZstdDecompressor().decompressobj().decompress(self.body)
        except Exception:
            return self.body
        return self.body

    @property
    def json(self) -> dict[str, Any]:
        """The body's JSON object; empty if it is none."""
        if not self._read:
            try:
                found = json.loads(self.plain)
            except (ValueError, RecursionError):
                found = None
            self._read.append(found if isinstance(found, dict) else {})
        read: dict[str, Any] = self._read[0]
        return read

    @property
    def model(self) -> str:
        return str(self.json.get("model") or "")

    @property
    def answers_so_far(self) -> int:
        """Answers of the assistant that the request carries as its history."""
        messages = self.json.get("messages")
        if isinstance(messages, list):
            return sum(1 for m in messages if isinstance(m, dict) and m.get("role") == "assistant")
        items = self.json.get("input")
        if not isinstance(items, list):
            return 0
        # One answer of the Responses API can leave several items (reasoning, words, calls):
        # count the runs of them between what the client says.
        count, inside = 0, False
        for item in items:
            if not isinstance(item, dict):
                continue
            kind, role = str(item.get("type") or "message"), item.get("role")
            own = role == "assistant" or kind == "reasoning" or kind.endswith("_call")
            count += own and not inside
            inside = own
        return count

    @property
    def tools(self) -> dict[str, dict[str, Any]]:
        """The tools that the client declares, by name."""
        found = list(self.json.get("tools") or [])
        for item in self.json.get("input") or []:
            if isinstance(item, dict) and item.get("type") == "additional_tools":
                found += item.get("tools") or []
        named: dict[str, dict[str, Any]] = {}
        for tool in found:
            if not isinstance(tool, dict):
                continue
            # A namespace holds tools of its own; Chat wraps each in ``function``.
            inner = tool.get("function")
            flat = inner if isinstance(inner, dict) else tool
            for one in tool.get("tools") or [flat]:
                spaced = tool.get("type") == "namespace"
                known = dict(one, namespace=tool.get("name")) if spaced else tool
                named[str(one.get("name") or one.get("type"))] = known
        return named
