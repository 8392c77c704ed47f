"""Docker's stream frames, whole and byte by byte."""

from __future__ import annotations

import pytest

from sampan.errors import ProtocolError
from sampan.wire.stdcopy import STDERR, STDOUT, Decoder, frame, header


def test_header_is_dockers() -> None:
    """Stream, three zeros, length big-endian."""
    assert header(STDERR, 0x01020304) == b"\x02\0\0\0\x01\x02\x03\x04"
    assert frame(STDOUT, b"hi\n") == b"\x01\0\0\0\0\0\0\x03hi\n"


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 1000])
def test_frames_survive_any_cut(size: int) -> None:
    """Payloads come out in order and whole, however the bytes were cut; empty frames vanish."""
    parts = [(STDOUT, b"one\n"), (STDERR, b"x" * 300), (STDOUT, b""), (0, b"\0" * 9)]
    data = b"".join(frame(*part) for part in parts)
    decoder = Decoder()
    found: list[tuple[int, bytes]] = []
    for at in range(0, len(data), size):
        assert decoder.complete == (at in (0, 12, 320, 328))
        found += decoder.feed(data[at : at + size])
    joined: list[tuple[int, bytes]] = []
    for stream, payload in found:
        if joined and joined[-1][0] == stream:
            joined[-1] = (stream, joined[-1][1] + payload)
        else:
            joined.append((stream, payload))
    assert joined == [part for part in parts if part[1]]
    assert decoder.complete


def test_a_payload_is_not_waited_for() -> None:
    """A frame of 4 GB costs no memory: what is there is handed on."""
    decoder = Decoder()
    assert decoder.feed(header(STDOUT, 0xFFFFFFFF) + b"abc") == [(STDOUT, b"abc")]
    assert not decoder.complete


def test_what_is_no_frame_is_refused() -> None:
    """A raw stream read as frames is an error that says so, not silence."""
    with pytest.raises(ProtocolError, match="expected a stream of 0 to 3"):
        Decoder().feed(b"HTTP/1.1 200 OK")
