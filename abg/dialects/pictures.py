"""How large a body is as text: what a picture in it costs has nothing to do with its bytes.

A screenshot is a megabyte of base64 and some two thousand tokens. Taken for text it would hold
dollars while its call runs, and other calls would wait for money that nobody spends.
"""

from __future__ import annotations

__all__ = ["PICTURE_BYTES", "text_bytes"]

PICTURE_BYTES = 20_000
"""As text this is above 5,000 tokens, and the largest picture that Claude takes is some 4,800
(platform.claude.com, vision; 2026); pictures below it count by their size."""

_STEP = 32_768
"""Bytes without a quotation mark that no conversation has in a row; data has them."""
_DATA_URL = b"data:image/"
_BASE64 = b";base64,"
_HEADS = (b"iVBORw0KGg", b"/9j/", b"R0lGOD")
"""How PNG, JPEG and GIF begin in base64."""
_RIFF, _WEBP = b"UklGR", b"RUJQ"
"""WebP's beginning, shared with sound, and the letters by which it differs, at the twelfth."""


def text_bytes(body: bytes) -> int:
    """The size of a JSON body in bytes, each large inline picture as ``PICTURE_BYTES``.

    Documents and sound keep their size. It looks at one place in thirty thousand, so that a body
    without pictures costs next to nothing.
    """
    size = len(body)
    at, after = _STEP, 0
    while at < len(body):
        if body.find(b'"', at, at + _STEP) >= 0:
            at += _STEP
            continue
        begin = body.rfind(b'"', after, at) + 1
        after = body.find(b'"', at + _STEP) + 1 or len(body)
        if begin and _is_picture(body[begin : begin + 100]):
            size -= max(0, after - begin - PICTURE_BYTES)
        at = after + _STEP
    return size


def _is_picture(head: bytes) -> bool:
    if head.startswith(_DATA_URL):
        return _BASE64 in head
    return head.startswith(_HEADS) or (head.startswith(_RIFF) and head.startswith(_WEBP, 12))
