"""Streams of any compression, decided by their first bytes: compressed bytes in, plain bytes out.

gzip, zstd, xz and bzip2, each with several members or frames one after another, in this process: a program
looked up on a PATH would be the attacker's inside a foreign root (CVE-2019-14271, CVE-2026-41567). Pieces
that come out are small however much the input expands, so memory stays flat. What expands more than gzip
ever can is refused. Everything is imported here, before a worker enters the folder it fills.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from sampan.errors import ProtocolError

igzip: Any = None
try:
    from isal import igzip_lib as igzip
except ImportError:  # other machines than x86-64 and aarch64
    pass

try:
    from backports import zstd
except ImportError:  # Python 3.14 has it in the library
    from compression import zstd  # type: ignore[import-not-found,no-redef,unused-ignore]

OUT_PIECE = 1 << 18
_FIRST_IN_PIECE = 1 << 10
_LAST_IN_PIECE = 1 << 18
_ZSTD_WINDOW_LOG = 27  # 128 MiB, what zstd itself takes without being asked
_XZ_MEMORY = 192 << 20
MAGIC_SIZE = 6

# No format may expand more than gzip can (1032 to 1), once a stream is large enough to hurt.
RATIO_LIMIT = 1100
RATIO_FREE = 1 << 30

_MAGICS = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bzip2"),
)


def detect(head: bytes) -> str:
    """`gzip`, `zstd`, `xz`, `bzip2` or `` (plain), by the first MAGIC_SIZE bytes."""
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    # A skippable frame of zstd may come first (RFC 8878, 3.1.2).
    return (
        "zstd" if len(head) >= 4 and head[0] & 0xF0 == 0x50 and head[1:4] == b"\x2a\x4d\x18" else ""
    )


class _Member(Protocol):
    """One member or frame, as the library's decompressors are."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes: ...


class _Zlib:
    """zlib's decompressor in the shape of the others."""

    def __init__(self) -> None:
        self._object = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def needs_input(self) -> bool:
        return not self._object.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        return self._object.decompress(self._object.unconsumed_tail + data, max_length)


def _gzip() -> _Member:
    if igzip is None:
        return _Zlib()
    member: _Member = igzip.IgzipDecompressor(flag=igzip.DECOMP_GZIP)
    return member


def _zstd() -> _Member:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    member: _Member = zstd.ZstdDecompressor(options=options)
    return member


_MAKERS: dict[str, Callable[[], _Member]] = {
    "gzip": _gzip,
    "zstd": _zstd,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY),
    "bzip2": bz2.BZ2Decompressor,
}
_ERRORS: tuple[type[Exception], ...] = (
    *(zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, EOFError, ValueError, MemoryError),
    *([igzip.error] if igzip is not None else []),
)


class Decompressor:
    """`feed` what arrives, `close` at its end. `compression` is known once enough has arrived."""

    def __init__(self) -> None:
        self.compression: str | None = None
        self.consumed = 0
        self.produced = 0
        self._head = b""
        self._member: _Member | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Plain pieces of at most OUT_PIECE bytes (or `data` itself). Raises ProtocolError."""
        if self.compression is None:
            self._head += data
            if len(self._head) < MAGIC_SIZE:
                return
            data, self._head = self._head, b""
            self.compression = detect(data)
        self.consumed += len(data)
        if not self.compression:
            self.produced += len(data)
            yield data
            return
        yield from self._expand(data)

    def close(self) -> Iterator[bytes]:
        """The end of the input: what was too short to judge, plain. Raises ProtocolError when the
        stream is cut."""
        if self.compression is None:
            self.compression = ""
            if self._head:
                yield self._head
        elif self._member is not None:
            raise ProtocolError("unexpected EOF")

    def _expand(self, data: bytes) -> Iterator[bytes]:
        # A member is fed little at first: what it leaves unused is handed back, so that a stream of a
        # million tiny members would otherwise take quadratic time.
        at, size = 0, _FIRST_IN_PIECE
        while at < len(data):
            if self._member is None:
                at = self._skip_padding(data, at)
                if at == len(data):
                    return
                self._member = _MAKERS[self.compression or ""]()
                size = _FIRST_IN_PIECE
            piece = data[at : at + size]
            at += len(piece)
            size = min(size * 4, _LAST_IN_PIECE)
            yield from self._drain(self._member, piece)
            if self._member.eof:
                unused = self._member.unused_data
                self._member = None
                if len(unused) <= at:
                    at -= len(unused)
                else:  # it gave back bytes of an earlier call, too
                    data, at = unused + data[at:], 0

    def _drain(self, member: _Member, piece: bytes) -> Iterator[bytes]:
        while not member.eof:
            try:
                plain = member.decompress(piece, OUT_PIECE)
            except _ERRORS as error:
                raise ProtocolError(f"invalid {self.compression} stream: {error}") from None
            piece = b""
            if plain:
                self.produced += len(plain)
                self._check_ratio()
                yield plain
            if member.needs_input:
                return

    def _skip_padding(self, data: bytes, at: int) -> int:
        """Zeros may follow a member (to a multiple of 4 in xz, to a tape block after gzip)."""
        if data[at] == 0 and self.produced:
            return len(data) - len(data[at:].lstrip(b"\0"))
        return at

    def _check_ratio(self) -> None:
        if self.produced > RATIO_FREE and self.produced > self.consumed * RATIO_LIMIT:
            raise ProtocolError(
                f"the {self.compression} stream expands more than {RATIO_LIMIT} times"
            )
