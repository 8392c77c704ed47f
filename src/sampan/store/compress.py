"""gzip, made on all cores and always the same: plain bytes in, one gzip member out.

The input is cut into pieces of PIECE bytes. Each is compressed by itself, with the 32 KiB before it as dictionary,
and ends on a byte boundary (a sync flush), so that the pieces joined are one deflate stream (as pigz does it).
The bytes depend on the input and on LEVEL only, not on the number of cores, the sizes of the chunks that come in,
or the time. Threads do the work: the compressor releases the interpreter's lock. Memory: a piece a core, and one more.
"""

from __future__ import annotations

import asyncio
import os
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any

from sampan.store.threads import in_thread

backend: Any = zlib
LEVEL = 6
try:
    from isal import isal_zlib

    backend, LEVEL = isal_zlib, 3
except ImportError:  # other machines than x86-64 and aarch64
    pass

PIECE = 1 << 20
_WINDOW = 32 << 10
# No name, no time, unknown system: RFC 1952, 2.3.
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LAST_BLOCK = b"\x03\0"  # an empty final block with fixed codes: RFC 1951, 3.2.6
_MODULUS = 1 << 32


async def gzipped(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The gzip form of a stream; what comes out does not depend on how `chunks` are cut."""
    yield _HEADER
    checksum, size = 0, 0
    window = b""
    running: deque[asyncio.Future[bytes]] = deque()
    try:
        async for piece in _pieces(chunks):
            size += len(piece)
            checksum = backend.crc32(piece, checksum)
            running.append(asyncio.ensure_future(in_thread(_deflate, piece, window)))
            window = piece[-_WINDOW:]
            if len(running) > (os.cpu_count() or 1):
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for future in running:
            future.cancel()
        if running:
            await asyncio.wait(running)
    trailer = checksum.to_bytes(4, "little") + (size % _MODULUS).to_bytes(4, "little")
    yield _LAST_BLOCK + trailer


async def _pieces(chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes in pieces of exactly PIECE, the last one excepted."""
    pending = bytearray()
    async for chunk in chunks:
        pending += chunk
        while len(pending) >= PIECE:
            yield bytes(memoryview(pending)[:PIECE])
            del pending[:PIECE]
    if pending:
        yield bytes(pending)


def _deflate(piece: bytes, window: bytes) -> bytes:
    arguments = (LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY)
    options = (window,) if window else ()
    compressor = backend.compressobj(*arguments, *options)
    data: bytes = compressor.compress(piece)
    return data + bytes(compressor.flush(zlib.Z_SYNC_FLUSH))
