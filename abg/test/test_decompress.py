"""Compressed bodies: every coding in any split, stacked, damaged, cut, and as a bomb."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from itertools import pairwise

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from abg import decompress
from abg.decompress import Decoder, answer_decoder, decoder_for
from abg.errors import UnreadableBody

Pack = Callable[[bytes], bytes]


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


CODINGS: dict[str, tuple[bytes, Pack]] = {
    "gzip": (b"gzip", gzip.compress),
    "x-gzip": (b"X-GZip", gzip.compress),
    "deflate": (b"deflate", zlib.compress),
    "deflate without a header": (b"deflate", bare_deflate),
    "br": (b"br", brotli.compress),
    "zstd": (b"zstd", zstandard.compress),
    "gzip in br": (b"gzip, br", lambda data: brotli.compress(gzip.compress(data))),
    "three": (
        b"deflate ,identity, gzip,zstd",
        lambda data: zstandard.compress(gzip.compress(zlib.compress(data))),
    ),
}
TEXT = b"a body of some length, " * 40
by_coding = pytest.mark.parametrize("name", CODINGS)


def decoder(encoding: bytes) -> Decoder:
    found = decoder_for(encoding)
    assert found is not None
    return found


def unpacked(encoding: bytes, *pieces: bytes) -> bytes:
    reader = decoder(encoding)
    return b"".join(map(reader.feed, pieces)) + reader.end()


@pytest.mark.parametrize("encoding", [None, b"", b"identity", b"Identity, identity", b" , "])
def test_no_coding(encoding: bytes | None) -> None:
    assert decoder_for(encoding) is None


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_how_much_could_be_read_is_known(name: str) -> None:
    encoding, pack = CODINGS[name]
    packed = pack(TEXT)
    for pieces, times in (
        ((packed + b"junk",), 1),
        ((packed, b"junk"), 1),
        ((packed, packed, b"junk"), 2),
    ):
        with pytest.raises(UnreadableBody) as caught:
            unpacked(encoding, *pieces)
        assert caught.value.unpacked == len(TEXT) * times
    with pytest.raises(UnreadableBody) as caught:
        unpacked(encoding, packed, packed[:-1])
    assert caught.value.unpacked >= len(TEXT)


@pytest.mark.parametrize("encoding", [b"compress", b"gzip, rot13", b"*", b"gzip;q=1"])
def test_an_unknown_coding(encoding: bytes) -> None:
    with pytest.raises(UnreadableBody):
        decoder_for(encoding)


def test_too_many_codings() -> None:
    with pytest.raises(UnreadableBody):
        decoder_for(b"gzip," * 3 + b"gzip")


@by_coding
def test_whole(name: str) -> None:
    encoding, pack = CODINGS[name]
    assert unpacked(encoding, pack(TEXT)) == TEXT
    assert unpacked(encoding, pack(b"")) == b""


@by_coding
def test_byte_by_byte(name: str) -> None:
    encoding, pack = CODINGS[name]
    packed = pack(TEXT)
    assert unpacked(encoding, *(bytes([byte]) for byte in packed)) == TEXT


@given(st.sampled_from(list(CODINGS)), st.binary(max_size=2000), st.lists(st.integers(0, 3000)))
def test_any_split(name: str, data: bytes, cuts: list[int]) -> None:
    encoding, pack = CODINGS[name]
    packed = pack(data)
    edges = [0, *sorted(cut % (len(packed) + 1) for cut in cuts), len(packed)]
    assert unpacked(encoding, *(packed[a:b] for a, b in pairwise(edges))) == data


@by_coding
def test_no_body_at_all(name: str) -> None:
    encoding, _ = CODINGS[name]
    assert unpacked(encoding) == b""
    assert unpacked(encoding, b"") == b""


@by_coding
def test_a_cut_body(name: str) -> None:
    encoding, pack = CODINGS[name]
    packed = pack(TEXT)
    for size in (1, len(packed) // 2, len(packed) - 1):
        with pytest.raises(UnreadableBody):
            unpacked(encoding, packed[:size])


@by_coding
def test_what_came_before_the_cut_is_read(name: str) -> None:
    encoding, pack = CODINGS[name]
    noise = bytes(i * i * 7 % 251 for i in range(300_000))
    packed = pack(noise)
    read = decoder(encoding).feed(packed[: len(packed) - 20])
    assert read
    assert noise.startswith(read)


@by_coding
def test_a_damaged_body(name: str) -> None:
    encoding, pack = CODINGS[name]
    packed = bytearray(pack(TEXT))
    packed[len(packed) // 2 :] = b"\xff" * 40
    with pytest.raises(UnreadableBody):
        unpacked(encoding, bytes(packed))
    with pytest.raises(UnreadableBody):
        unpacked(encoding, b"\x01this is nothing of the kind")


@given(st.sampled_from(list(CODINGS)), st.lists(st.binary(max_size=100), max_size=5))
def test_no_other_exception(name: str, pieces: list[bytes]) -> None:
    try:
        unpacked(CODINGS[name][0], *pieces)
    except UnreadableBody as error:
        assert str(error)


@pytest.mark.parametrize(
    ("encoding", "pack"), [(b"gzip", gzip.compress), (b"zstd", zstandard.compress)]
)
def test_several_members(encoding: bytes, pack: Pack) -> None:
    packed = pack(b"one, ") + pack(b"two")
    for at in range(len(packed) + 1):
        assert unpacked(encoding, packed[:at], packed[at:]) == b"one, two"


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_a_body_of_nothing_but_empty_members_is_given_up(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding, pack = CODINGS[name]
    monkeypatch.setattr(decompress, "_MOST_MEMBERS", 5)
    assert unpacked(encoding, pack(b"") * 5) == b""
    reader = decoder(encoding)
    assert reader.feed(pack(b"x") * 4) == b"xxxx"
    with pytest.raises(UnreadableBody, match="too much"):
        reader.feed(pack(b"") * 2)


def test_the_work_for_many_members_grows_with_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each was handed all that stood behind it, and zlib copied that: 64 MB took two hours.
    handed = []
    real = zlib.decompressobj

    class Counting:
        def __init__(self, bits: int) -> None:
            self._real = real(bits)

        def decompress(self, data: bytes, most: int) -> bytes:
            handed.append(len(data))
            return self._real.decompress(data, most)

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

    monkeypatch.setattr(decompress.zlib, "decompressobj", Counting)

    def work(members: int) -> int:
        handed.clear()
        unpacked(b"gzip", gzip.compress(b"") * members)
        return sum(handed)

    assert work(40_000) < 11 * work(4_000)


@pytest.mark.parametrize("split", [1, 7, 100])
def test_padding_and_members_in_any_split(split: int) -> None:
    data = gzip.compress(b"a") + bytes(20) + gzip.compress(b"b") + bytes(3)
    pieces = [data[at : at + split] for at in range(0, len(data), split)]
    assert unpacked(b"gzip", *pieces) == b"ab"


def test_padding_behind_the_last_member() -> None:
    packed = gzip.compress(TEXT)
    assert unpacked(b"gzip", packed + b"\0" * 10) == TEXT
    assert unpacked(b"gzip", packed, b"\0" * 10) == TEXT
    with pytest.raises(UnreadableBody):
        unpacked(b"gzip", packed, b"more")


@pytest.mark.parametrize("pack", [zlib.compress, bare_deflate])
def test_what_stands_behind_a_deflate_stream_means_nothing(pack: Pack) -> None:
    packed = pack(TEXT)
    assert unpacked(b"deflate", packed + b"more", b"and more") == TEXT


# -- bombs -----------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decompress, "AT_ONCE", 100_000)
    monkeypatch.setattr(decompress, "LONGEST", 250_000)


@by_coding
def test_a_piece_that_unpacks_to_too_much(small: None, name: str) -> None:
    encoding, pack = CODINGS[name]
    assert unpacked(encoding, pack(b"x" * 100_000)) == b"x" * 100_000
    with pytest.raises(UnreadableBody, match="too much"):
        unpacked(encoding, pack(b"x" * 100_001))


@by_coding
def test_a_body_that_unpacks_to_too_much(small: None, name: str) -> None:
    encoding, pack = CODINGS[name]
    noise = bytes(i * i * 7 % 251 for i in range(250_001))
    packed = pack(noise)
    pieces = [packed[i : i + 97] for i in range(0, len(packed), 97)]
    try:
        unpacked(encoding, *pieces)
    except UnreadableBody as error:
        assert "too much" in str(error)
    else:
        pytest.fail("it was read to its end")


def test_a_bomb_inside_a_bomb_is_given_up_at_the_first(small: None) -> None:
    inner = gzip.compress(b"x" * 100_000_000)
    with pytest.raises(UnreadableBody, match="too much"):
        unpacked(b"gzip, gzip", gzip.compress(inner))


@by_coding
def test_who_asks_may_say_how_much_is_too_much(name: str) -> None:
    encoding, pack = CODINGS[name]
    for longest, fits in ((len(TEXT), True), (len(TEXT) - 1, False)):
        reader = decoder_for(encoding, longest)
        assert reader is not None
        if fits:
            assert reader.feed(pack(TEXT)) + reader.end() == TEXT
        else:
            with pytest.raises(UnreadableBody, match="too much"):
                reader.feed(pack(TEXT))


def test_a_real_bomb_is_not_read_to_its_end() -> None:
    packer = zstandard.ZstdCompressor().compressobj()
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(160)) + packer.flush()
    assert len(bomb) < 20_000
    with pytest.raises(UnreadableBody, match="too much"):
        unpacked(b"zstd", bomb)


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"zstd"])
def test_an_answer_is_unpacked_to_what_is_worth_metering(
    encoding: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decompress, "ANSWER", 400_000)
    monkeypatch.setattr(decompress, "ANSWER_AT_ONCE", 300_000)
    (pack,) = (pack for name, pack in CODINGS.values() if name == encoding)

    def read(packed: bytes, step: int) -> int:
        reader = answer_decoder(encoding)
        assert reader is not None
        return sum(len(reader.feed(packed[at : at + step])) for at in range(0, len(packed), step))

    assert read(pack(bytes(290_000)), 1 << 20) == 290_000
    for size, step in ((310_000, 1 << 20), (2_000_000, 7)):
        with pytest.raises(UnreadableBody):
            read(pack(bytes(size)), step)
    # What is not packed tightly may be long.
    noise = random.Random(5).randbytes(100_000)
    assert read(pack(noise * 3 + noise[::-1] * 3), 1 << 10) == 600_000


def test_an_answer_without_a_coding_has_no_decoder() -> None:
    assert answer_decoder(b"identity") is None
