"""What heads of requests and of answers have in common: where they end, and their fields.

Grammar of RFC 9112, 5 and 9110, 5.6; a head with anything else in it has no fields.
"""

from __future__ import annotations

import re

from abg.call import Headers

__all__ = ["BARE_LF", "FIELD", "LENGTH", "TOKEN", "fields_of", "head_end", "members_of"]

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# One whole line: as there is one match a line, as many matches as line ends mean that nothing
# was skipped (no folded line, no bare CR or LF, no space before the colon, no NUL). The second
# takes values that end in white space as well: rare, and looking for them in all heads costs more
# than reading those twice.
_LINE = rb"^(" + TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)"
FIELD = re.compile(_LINE + rb"(?<![ \t])\r\n", re.MULTILINE)
_BEFORE_SPACE = re.compile(_LINE + rb"\r\n", re.MULTILINE)
LENGTH = re.compile(rb"[0-9]{1,15}")
BARE_LF = re.compile(rb"(?<!\r)\n")


def head_end(data: bytes, seen: int = 0) -> int:
    """Where the head in ``data`` ends, its blank line included; 0: it has not ended yet.

    Args:
        seen: how many bytes of it have been searched before.
    """
    end = data.find(b"\r\n\r\n", seen - 3 if seen > 3 else 0)
    return end + 4 if end >= 0 else 0


def fields_of(head: bytes, start: int) -> Headers | None:
    """The fields of a whole head, its blank line included, from ``start`` on; None: a line of it
    is no field."""
    lines = head.count(b"\n") - 2
    headers: Headers = FIELD.findall(head, start)
    if len(headers) != lines:
        found = _BEFORE_SPACE.findall(head, start)
        if len(found) != lines:
            return None
        headers = [(name, value.rstrip(b" \t")) for name, value in found]
    return headers


def members_of(headers: Headers, wanted: bytes) -> list[bytes]:
    """The comma-separated members of all fields named ``wanted``, in lower case."""
    return [
        token
        for name, value in headers
        if name.lower() == wanted
        for token in (part.strip(b" \t") for part in value.lower().split(b","))
        if token
    ]
