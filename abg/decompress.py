"""Compressed bodies, read beside the stream: gzip, deflate, br, zstd, and stacks of them.

The stream itself is forwarded as it came; what is read here only feeds meters, so that a wrong or
endless one can at most leave a call unmetered.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import Any, Protocol

from abg.errors import UnreadableBody

__all__ = ["LONGEST", "Decoder", "decoder_for"]

LONGEST = 512 * 1024 * 1024
"""Bytes that one body may unpack to: a bomb is not read to its end."""
_MOST_CODINGS = 3


class Decoder(Protocol):
    """Feed it a body in any split."""

    def feed(self, data: bytes) -> bytes:
        """What these bytes unpack to.

        Raises:
            UnreadableBody: they are not what they claim to be, or too much.
        """

    def end(self) -> bytes:
        """The body is over: what was still held back.

        Raises:
            UnreadableBody: it is cut.
        """


def decoder_for(encoding: bytes | None) -> Decoder | None:
    """The decoder for a ``Content-Encoding``; None for none (``identity``).

    Raises:
        UnreadableBody: a coding that abg does not know, or too many of them.
    """
    names = [name.strip().lower() for name in (encoding or b"").split(b",")]
    names = [name for name in names if name not in (b"", b"identity")]
    if len(names) > _MOST_CODINGS:
        raise UnreadableBody("too many content codings")
    stages = [_stage(name) for name in reversed(names)]
    return _Bounded(stages) if stages else None


class _Bounded:
    """Stages in order of decoding, and a bound on what they give."""

    def __init__(self, stages: list[Decoder]) -> None:
        self._stages = stages
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        for stage in self._stages:
            if not data:
                return b""
            data = stage.feed(data)
        return self._counted(data)

    def end(self) -> bytes:
        data = b""
        for stage in self._stages:
            fed = stage.feed(data) if data else b""
            data = fed + stage.end()
        return self._counted(data)

    def _counted(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size > LONGEST:
            raise UnreadableBody("it unpacks to too much")
        return data


def _stage(name: bytes) -> Decoder:
    if name in (b"gzip", b"x-gzip"):
        return _Zlib(zlib.MAX_WBITS | 16)
    if name == b"deflate":
        return _Zlib(0)
    if name == b"br":
        return _Brotli()
    if name == b"zstd":
        return _Zstd()
    raise UnreadableBody("unknown content coding")


class _Zlib:
    """gzip, also of several members; deflate with or without zlib's header."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._object: Any = zlib.decompressobj(bits) if bits else None
        self._began = False

    def feed(self, data: bytes) -> bytes:
        if self._object is None:
            # RFC 9110 says zlib's format; some servers send the bare one.
            wrapped = data[0] & 0x0F == 8 and data[0] >> 4 <= 7
            self._bits = zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
            self._object = zlib.decompressobj(self._bits)
        self._began = True
        found = []
        size = 0
        try:
            while data:
                found.append(self._object.decompress(data, LONGEST))
                size += len(found[-1])
                if self._object.unconsumed_tail or size > LONGEST:
                    raise UnreadableBody("it unpacks to too much")
                data = self._object.unused_data
                if data:
                    if not data.strip(b"\0"):
                        break
                    self._object = zlib.decompressobj(self._bits)
        except zlib.error:
            raise UnreadableBody("damaged") from None
        return b"".join(found)

    def end(self) -> bytes:
        if self._began and not self._object.eof:
            raise UnreadableBody("cut")
        return b""


class _Brotli:
    def __init__(self) -> None:
        brotli: Any = import_module("brotli")
        self._error: type[Exception] = brotli.error
        self._object: Any = brotli.Decompressor()
        self._began = False

    def feed(self, data: bytes) -> bytes:
        self._began = True
        try:
            found: bytes = self._object.process(data)
        except self._error:
            raise UnreadableBody("damaged") from None
        return found

    def end(self) -> bytes:
        if self._began and not self._object.is_finished():
            raise UnreadableBody("cut")
        return b""


class _Zstd:
    """One or several frames."""

    def __init__(self) -> None:
        import zstandard

        self._error: type[Exception] = zstandard.ZstdError
        self._new: Any = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj
        self._object: Any = self._new()
        self._open = False

    def feed(self, data: bytes) -> bytes:
        found = []
        try:
            while data:
                self._open = True
                found.append(self._object.decompress(data))
                data = self._object.unused_data
                if self._object.eof:
                    self._open = False
                    self._object = self._new()
        except self._error:
            raise UnreadableBody("damaged") from None
        return b"".join(found)

    def end(self) -> bytes:
        if self._open:
            raise UnreadableBody("cut")
        return b""
