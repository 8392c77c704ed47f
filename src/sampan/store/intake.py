"""An archive on its way into a folder, in a worker role: read, decompressed, parsed, applied."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from sampan.linux.channel import Channel
from sampan.store.apply import Applier
from sampan.store.decompress import Decompressor
from sampan.store.role import PeerGone
from sampan.wire.tar import END, Header, TarReader

READ_SIZE = 1 << 18


def take_archive(
    channel: Channel, source: int, applier: Applier, update: Callable[[bytes], None] | None = None
) -> None:
    """All of it, to its end; `update` gets the plain bytes. Raises ProtocolError, OSError, and PeerGone when
    nobody is at the other end of `channel` any more."""
    reader, decompressor = TarReader(), Decompressor()
    poll = select.poll()
    poll.register(channel.fileno(), 0)  # only whether the other end is closed

    def consume(plain: bytes) -> None:
        if update is not None:
            update(plain)
        feed(reader, applier, plain)

    while data := os.read(source, READ_SIZE):
        if poll.poll(0):
            raise PeerGone
        for plain in decompressor.feed(data):
            consume(plain)
    for plain in decompressor.close():
        consume(plain)
    reader.close()
    applier.finish()


def feed(reader: TarReader, applier: Applier, plain: bytes) -> None:
    """A piece of the plain archive: what is whole in it is applied."""
    for event in reader.feed(plain):
        if event is END:
            applier.end()
        elif isinstance(event, Header):
            applier.entry(event)
        elif isinstance(event, memoryview):
            applier.data(event)
