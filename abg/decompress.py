"""Compressed bodies, read beside the stream: gzip, deflate, br, zstd, and stacks of them.

The stream itself is forwarded as it came; what is read here only feeds readers and meters. A body
that unpacks to too much (a bomb) is given up before it fills the memory, whatever its coding.
Sources: RFC 9110, 8.4 (codings, ``x-gzip``, stacks in order of application), RFC 1952 (members),
RFC 8878 (zstd frames and blocks).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Protocol

from abg.errors import UnreadableBody

__all__ = ["AT_ONCE", "LONGEST", "Decoder", "answer_decoder", "decoder_for"]

LONGEST = 512 << 20
"""Bytes that one body may unpack to."""
AT_ONCE = 128 << 20
"""Bytes that one piece of it may unpack to: what stands in memory at a time."""
ANSWER, ANSWER_TIMES, ANSWER_AT_ONCE = 64 << 20, 50, 32 << 20
"""An answer may unpack to so many bytes, or to so many times its own; and a piece of it to no
more than what is metered in half a second. 600 kB for 600 MB stopped everything for 14 seconds."""
_MOST_CODINGS = 3
_WINDOW = 128 << 20
"""The largest zstd window that is served."""
_SLICE = 512
"""Bytes given to zstd at a time: it has no limit of output, and four bytes can mean 128 kB."""
_PIECE = 16_384
"""Bytes given to zlib at a time: it copies all that stand behind a member."""
_MOST_MEMBERS = 100_000
"""Members or frames of one body: an empty one has 20 bytes or 9, and is not for nothing."""


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


class _Stage(Protocol):
    """One coding."""

    def feed(self, data: bytes, most: int) -> bytes:
        """What these bytes unpack to; more than ``most`` is given up.

        Raises:
            UnreadableBody: damaged, or too much.
        """

    def check_end(self) -> None:
        """The body is over.

        Raises:
            UnreadableBody: it is cut.
        """


def decoder_for(encoding: bytes | None, longest: int | None = None) -> Decoder | None:
    """The decoder for a ``Content-Encoding``; None for none (``identity``).

    Args:
        longest: bytes that the body may unpack to (None: ``LONGEST``).

    Raises:
        UnreadableBody: a coding that abg does not know, or too many of them.
    """
    names = [name.strip().lower() for name in (encoding or b"").split(b",")]
    names = [name for name in names if name not in (b"", b"identity")]
    if len(names) > _MOST_CODINGS:
        raise UnreadableBody("too many content codings")
    stages = [_stage(name) for name in reversed(names)]
    return _Stages(stages, LONGEST if longest is None else longest) if stages else None


def answer_decoder(encoding: bytes) -> Decoder | None:
    """The decoder for a vendor's answer, which is metered as it comes and whose length nobody
    knows; see ``decoder_for``."""
    decoder = decoder_for(encoding)
    if isinstance(decoder, _Stages):
        decoder.grow(ANSWER, ANSWER_TIMES, ANSWER_AT_ONCE)
    return decoder


def _stage(name: bytes) -> _Stage:
    if name in (b"gzip", b"x-gzip"):
        return _Zlib(zlib.MAX_WBITS | 16)
    if name == b"deflate":
        return _Deflate()
    if name == b"br":
        return _Brotli()
    if name == b"zstd":
        return _Zstd()
    raise UnreadableBody("unknown content coding")


class _Stages:
    """The codings in order of decoding, and a bound on what each of them gives."""

    def __init__(self, stages: list[_Stage], longest: int) -> None:
        self._stages = stages
        self._longest = longest
        self._at_once = min(AT_ONCE, longest)
        self._size = 0
        self._fed = 0
        self._least, self._times = longest, 0

    def grow(self, least: int, times: int, at_once: int) -> None:
        """So much at least, then so many times what was fed, and so much at once."""
        self._least, self._times = min(least, self._longest), times
        self._at_once = min(at_once, self._at_once)

    def feed(self, data: bytes) -> bytes:
        self._fed += len(data)
        most = min(self._longest, max(self._least, self._times * self._fed))
        try:
            for stage in self._stages:
                if not data:
                    return b""
                data = stage.feed(data, self._at_once)
            self._size += len(data)
            if self._size > most:
                raise _too_much()
        except UnreadableBody as error:
            error.unpacked += self._size
            raise
        return data

    def end(self) -> bytes:
        for stage in self._stages:
            try:
                stage.check_end()
            except UnreadableBody as error:
                error.unpacked += self._size
                raise
        return b""


class _Zlib:
    """gzip of one or several members, or zlib's format, or deflate's own."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._gzip = bits > zlib.MAX_WBITS
        self._begun = 0
        """Members so far."""
        self._object: Any = None

    def feed(self, data: bytes, most: int) -> bytes:
        out: list[bytes] = []
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            while piece:
                if self._object is None:
                    piece = self._begin(piece)
                    if not piece:
                        break
                try:
                    out.append(self._object.decompress(piece, most + 1))
                except zlib.error:
                    raise _unreadable("damaged", out) from None
                most -= len(out[-1])
                if most < 0:
                    raise _too_much(out)
                piece = self._object.unused_data
                if self._object.eof:
                    self._object = None
        return b"".join(out)

    def _begin(self, piece: bytes) -> bytes:
        """What of the piece belongs to the next member; empty: none begins here."""
        if self._gzip:
            # Padding may stand behind each.
            piece = piece.lstrip(b"\0")
        elif self._begun:
            return b""
        if piece:
            self._begun = _one_more(self._begun)
            self._object = zlib.decompressobj(self._bits)
        return piece

    def check_end(self) -> None:
        if self._object is not None:
            raise UnreadableBody("cut")


class _Deflate:
    """RFC 9110 means zlib's format; some servers send deflate's own without a header."""

    def __init__(self) -> None:
        self._inner: _Zlib | None = None
        self._head = b""

    def feed(self, data: bytes, most: int) -> bytes:
        if self._inner is None:
            data = self._head + data
            if len(data) < 2:
                self._head = data
                return b""
            # The header's two bytes are a multiple of 31, and name deflate.
            wrapped = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._inner = _Zlib(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        return self._inner.feed(data, most)

    def check_end(self) -> None:
        if self._inner is not None:
            self._inner.check_end()
        elif self._head:
            raise UnreadableBody("cut")


class _Brotli:
    def __init__(self) -> None:
        import brotli  # type: ignore[import-untyped]

        self._error: type[Exception] = brotli.error
        self._object: Any = brotli.Decompressor()
        self._begun = False

    def feed(self, data: bytes, most: int) -> bytes:
        self._begun = True
        try:
            piece: bytes = self._object.process(data, output_buffer_limit=most + 1)
        except self._error:
            raise UnreadableBody("damaged") from None
        if len(piece) > most or not self._object.can_accept_more_data():
            raise _too_much([piece])
        return piece

    def check_end(self) -> None:
        if self._begun and not self._object.is_finished():
            raise UnreadableBody("cut")


class _Zstd:
    """One or several frames."""

    def __init__(self) -> None:
        import zstandard

        self._error: type[Exception] = zstandard.ZstdError
        self._new: Any = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj
        self._begun = 0
        """Frames so far."""
        self._object: Any = None

    def feed(self, data: bytes, most: int) -> bytes:
        out: list[bytes] = []
        for at in range(0, len(data), _SLICE):
            piece = data[at : at + _SLICE]
            while piece:
                if self._object is None:
                    self._begun = _one_more(self._begun)
                    self._object = self._new()
                try:
                    out.append(self._object.decompress(piece))
                except self._error:
                    raise _unreadable("damaged", out) from None
                most -= len(out[-1])
                if most < 0:
                    raise _too_much(out)
                piece = b""
                if self._object.eof:
                    piece = self._object.unused_data
                    self._object = None
        return b"".join(out)

    def check_end(self) -> None:
        if self._object is not None:
            raise UnreadableBody("cut")


def _one_more(begun: int) -> int:
    if begun >= _MOST_MEMBERS:
        raise _too_much()
    return begun + 1


def _too_much(out: Sequence[bytes] = ()) -> UnreadableBody:
    return _unreadable("it unpacks to too much", out)


def _unreadable(why: str, out: Sequence[bytes]) -> UnreadableBody:
    error = UnreadableBody(why)
    error.unpacked = sum(map(len, out))
    return error
