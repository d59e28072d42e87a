"""Pictures in a body count as what they may cost, everything else by its size."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abg.dialects import DIALECTS
from abg.dialects.pictures import PICTURE_BYTES, text_bytes

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff\xe0"
GIF = b"GIF89a"
WEBP = b"RIFF\x10\x20\x30\x40WEBPVP8 "
WAVE = b"RIFF\x10\x20\x30\x40WAVEfmt "
PDF = b"%PDF-1.7"
SLACK = 30
"""Bytes of a data URL's head, which goes with its picture."""


def data(magic: bytes, size: int) -> str:
    return b64encode(magic + os.urandom(size - len(magic))).decode()


def claude(*pictures: str, text: str = "look") -> dict[str, Any]:
    blocks: list[Any] = [
        {"type": "image", "source": {"data": picture, "media_type": "image/x", "type": "base64"}}
        for picture in pictures
    ]
    blocks.append({"type": "text", "text": text})
    return {"model": "m", "messages": [{"role": "user", "content": blocks}]}


def saved(body: dict[str, Any], **spelling: Any) -> int:
    raw = json.dumps(body, **spelling).encode()
    return len(raw) - text_bytes(raw)


@pytest.mark.parametrize("magic", [PNG, JPEG, GIF, WEBP])
def test_a_picture_counts_as_what_it_may_cost(magic: bytes) -> None:
    picture = data(magic, 700_000)
    expected = len(picture) + 1 - PICTURE_BYTES
    assert saved(claude(picture)) == expected
    assert saved(claude(picture), indent=1) == expected
    assert saved(claude(picture, picture, text="x" * 40_000)) == 2 * expected


def test_a_picture_in_a_data_url_too() -> None:
    url = f"data:image/png;base64,{data(PNG, 500_000)}"
    body = {"input": [{"content": [{"type": "input_image", "image_url": url}]}]}
    assert saved(body) == len(url) + 1 - PICTURE_BYTES
    assert saved({"image_url": "data:image/png," + "x" * 100_000}) == 0


@pytest.mark.parametrize("magic", [WAVE, PDF, b"\x00\x01\x02", b"RIFF"])
def test_what_is_no_picture_keeps_its_size(magic: bytes) -> None:
    assert saved(claude(data(magic, 500_000))) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"x" * 100_000,
        b'"' * 100_000,
        b'{"a":"' + b"x" * 100_000,
        b'{"a":"' + b"x" * 100_000 + b'"}',
        json.dumps(claude("", text="two words, a line\n" * 20_000)).encode(),
    ],
)
def test_a_body_without_pictures_keeps_its_size(body: bytes) -> None:
    assert text_bytes(body) == len(body)


def test_a_small_picture_keeps_its_size() -> None:
    assert saved(claude(data(PNG, 10_000))) == 0


def test_a_picture_that_was_cut_off_counts_as_one() -> None:
    raw = json.dumps(claude(data(PNG, 500_000))).encode()[:400_000]
    assert text_bytes(raw) < 25_000


@given(st.lists(st.tuples(st.sampled_from([PNG, JPEG, PDF]), st.integers(8, 90_000))), st.text())
def test_it_is_never_more_than_the_body_and_never_less_than_its_text(
    parts: list[tuple[bytes, int]], words: str
) -> None:
    pictures = [b64encode(magic + bytes(size)).decode() for magic, size in parts]
    raw = json.dumps(claude(*pictures, text=words)).encode()
    least = len(json.dumps(claude(*("" for _ in pictures), text=words)))
    assert least <= text_bytes(raw) <= len(raw)


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_dialect_estimates_by_it(name: str) -> None:
    picture = data(PNG, 500_000)
    for body in (json.dumps(claude(picture)), json.dumps(claude(picture))[:-1]):
        call = DIALECTS[name].read_call("messages", body.encode())
        assert call.body_bytes < 25_000, body[-20:]
