"""Streams are known by their first bytes and expanded in small pieces; what is broken or a bomb is refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import time
from collections.abc import Callable

import pytest

from sampan.errors import ProtocolError
from sampan.store import decompress
from sampan.store.decompress import OUT_PIECE, Decompressor, detect, zstd

PLAIN = os.urandom(200_000) + b"abc" * 300_000
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "zstd": zstd.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "bzip2": lambda data: bz2.compress(data, 1),
}
ZSTD_SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0skip"


def expand(data: bytes, step: int = 1 << 20) -> bytes:
    decompressor = Decompressor()
    pieces = []
    for start in range(0, len(data), step):
        pieces += list(decompressor.feed(data[start : start + step]))
    pieces += list(decompressor.close())
    assert all(len(piece) <= max(OUT_PIECE, step) for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("name", PACK)
@pytest.mark.parametrize("step", [3, 1000, 1 << 20])
def test_every_compression_in_one_and_several_members(name: str, step: int) -> None:
    """One member, three with an empty one between, zeros at the end; cut anywhere."""
    packed = PACK[name](PLAIN)
    assert detect(packed) == name
    several = packed + PACK[name](b"") + packed
    if step == 3:
        packed = PACK[name](PLAIN[-3000:])
        assert expand(packed, step) == PLAIN[-3000:]
        return
    assert expand(packed, step) == PLAIN
    assert expand(several, step) == PLAIN * 2
    assert expand(packed + bytes(512), step) == PLAIN


def test_plain_streams_pass() -> None:
    """Anything else is itself, however short."""
    for data in (b"", b"\x1f", b"abc", b"x" * 5000):
        assert expand(data, 1) == data
    assert detect(b"\x1f\x8a") == detect(b"BZ") == detect(b"") == ""


def test_zstd_skippable_frames_are_skipped() -> None:
    """Some tools put metadata in front (RFC 8878, 3.1.2)."""
    assert expand(ZSTD_SKIPPABLE + PACK["zstd"](PLAIN)) == PLAIN


@pytest.mark.parametrize("name", PACK)
def test_broken_streams_are_refused(name: str) -> None:
    """Cut, changed in the middle, changed in the checksum, garbage behind: an error of ours each time."""
    packed = PACK[name](PLAIN[:300_000])
    with pytest.raises(ProtocolError, match="unexpected EOF"):
        expand(packed[:-5])
    changed = bytearray(packed)
    changed[len(packed) // 2] ^= 0xFF
    if name != "zstd":  # its frames carry a checksum only on demand; the DiffID is the check
        with pytest.raises(ProtocolError, match=f"invalid {name} stream"):
            expand(bytes(changed))
    with pytest.raises(ProtocolError):
        expand(packed + b"garbage!")
    if name == "gzip":
        with pytest.raises(ProtocolError):
            expand(packed[:-6] + b"\0" + packed[-5:])


def test_a_huge_zstd_window_is_refused() -> None:
    """A window of 2 GiB is a request for that much memory."""
    window = zstd.CompressionParameter.window_log
    compressor = zstd.ZstdCompressor(options={window: 30})
    packed = compressor.compress(b"x" * 1000) + compressor.flush()
    with pytest.raises(ProtocolError, match="invalid zstd stream"):
        expand(packed)


def test_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what gzip can do, once it is large; gzip's own maximum passes."""
    monkeypatch.setattr(decompress, "RATIO_FREE", 8 << 20)
    with pytest.raises(ProtocolError, match="expands more than 1100 times"):
        expand(PACK["zstd"](bytes(64 << 20)))
    assert len(expand(gzip.compress(bytes(32 << 20), 9))) == 32 << 20
    assert len(expand(PACK["zstd"](bytes(7 << 20)))) == 7 << 20


def test_a_million_members_take_linear_time() -> None:
    """Twice as many take about twice as long."""

    def cost(count: int) -> float:
        data = gzip.compress(b"") * count
        start = time.process_time()
        assert expand(data) == b""
        return time.process_time() - start

    cost(1000)
    small, large = cost(10_000), cost(80_000)
    assert large < small * 8 * 3


def test_zlib_stands_in_for_isal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On machines without isal the library's own decompressor gives the same."""
    monkeypatch.setattr(decompress, "igzip", None)
    packed = PACK["gzip"](PLAIN)
    assert expand(packed + packed, 1000) == PLAIN * 2
    with pytest.raises(ProtocolError):
        expand(packed[:-6] + b"\0" + packed[-5:])
