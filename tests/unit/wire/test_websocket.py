"""WebSocket frames: whatever way they are cut, and what a client must not send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import ProtocolError
from sampan.wire import websocket
from sampan.wire.websocket import BINARY, CLOSE, CONTINUATION, PING, TEXT, Decoder


def masked(
    opcode: int, payload: bytes, *, final: bool = True, mask: bytes = b"\x01\x82\x03\xf4"
) -> bytes:
    """A client's frame."""
    head = websocket.frame(opcode, payload)
    size = len(head) - len(payload)
    first = head[0] if final else head[0] & 0x7F
    hidden = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes((first, head[1] | 0x80)) + head[2:size] + mask + hidden


def test_handshake() -> None:
    """The example of RFC 6455, section 1.3; keys that are none."""
    assert websocket.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    for key in ("", "abc", "x" * 24, "dGhlIHNhbXBsZSBub25jZQ"):
        with pytest.raises(ProtocolError):
            websocket.accept(key)


@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_cut(payload: bytes, step: int) -> None:
    """A message in two frames with a ping between, fed in pieces of any size."""
    half = len(payload) // 2
    stream = (
        masked(BINARY, payload[:half], final=False)
        + masked(PING, b"p")
        + masked(CONTINUATION, payload[half:])
        + masked(TEXT, b"t")
        + masked(CLOSE, b"\x03\xe8")
    )
    decoder = Decoder()
    events = [
        event
        for at in range(0, len(stream), step)
        for event in decoder.feed(stream[at : at + step])
    ]
    assert b"".join(data for opcode, data in events if opcode == BINARY) == payload
    assert [event for event in events if event[0] != BINARY] == [
        (PING, b"p"),
        (TEXT, b"t"),
        (CLOSE, b"\x03\xe8"),
    ]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_lengths(size: int) -> None:
    """All three forms of a length."""
    events = list(Decoder().feed(masked(BINARY, b"x" * size)))
    assert b"".join(data for _, data in events) == b"x" * size


@pytest.mark.parametrize(
    "data",
    [
        websocket.frame(BINARY, b"not masked") + b"....",
        masked(PING, b"x" * 126),
        masked(PING, b"x", final=False),
        masked(CONTINUATION, b"x"),
        masked(BINARY, b"x", final=False) + masked(BINARY, b"y"),
        masked(3, b"x"),
        bytes((0xC2, 0x81)) + b"mask" + b"x",
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Decoder().feed(data))
