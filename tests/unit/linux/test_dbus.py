"""Verifies the wire format of D-Bus byte by byte, and a whole conversation with a peer of the test's own."""

from __future__ import annotations

import os
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import ProtocolError
from sampan.linux import dbus
from sampan.linux.dbus import Connection, DBusError, Variant


@pytest.mark.parametrize(
    ("signature", "values", "data"),
    [
        ("y", (7,), "07"),
        ("yu", (1, 2), "01000000 02000000"),
        ("s", ("foo",), "03000000 666f6f00"),
        ("g", ("a{sv}",), "05 617b73767d 00"),
        ("b", (True,), "01000000"),
        ("at", ([5],), "08000000 00000000 0500000000000000"),
        ("at", ([],), "00000000 00000000"),
        ("v", (Variant("u", 9),), "01 75 00 00 09000000"),
        ("(yx)", ((1, -1),), "01 00000000000000 ffffffffffffffff"),
        ("a(sv)", ([("a", Variant("y", 1))],), "0a000000 00000000 01000000 6100 017900 01"),
        ("a{us}", ({1: "x"},), "0a000000 00000000 01000000 01000000 7800"),
    ],
)
def test_values_on_the_wire(signature: str, values: tuple[Any, ...], data: str) -> None:
    """Worked out by hand from the specification's "Marshaling"."""
    assert dbus.encode(signature, values) == bytes.fromhex(data)
    assert dbus.decode(signature, bytes.fromhex(data)) == values


def test_big_endian_is_read() -> None:
    assert dbus.decode("us", bytes.fromhex("00000007 00000001 6100"), order=">") == (7, "a")


@pytest.mark.parametrize("data", [b"", b"l", b"x" * 40, b"l" + b"\xff" * 40])
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        dbus.decode_message(data)


def test_a_message_that_is_too_large_is_not_waited_for() -> None:
    head = struct.pack("<BBBBIII", ord("l"), 2, 0, 1, 1 << 30, 1, 0)
    with pytest.raises(ProtocolError, match="bytes"):
        dbus.message_size(head)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_an_error(data: bytes) -> None:
    """No other exception, no hang."""
    good = dbus.encode_message(2, 1, {5: Variant("u", 1), 8: Variant("g", "sa{sv}")}, data)
    for text in (data, good):
        try:
            dbus.decode_message(text)
        except ProtocolError:
            pass


@pytest.mark.parametrize("signature", ["a", "(", "(s", "a{s", "a("])
def test_a_cut_off_signature(signature: str) -> None:
    with pytest.raises(ProtocolError):
        dbus.split(signature)


def test_numbers_and_texts_that_do_not_fit() -> None:
    with pytest.raises(struct.error):
        dbus.encode("u", (1 << 32,))
    with pytest.raises(ValueError, match="null byte"):
        dbus.encode("s", ("a\0b",))


class Peer(threading.Thread):
    """Answers one call each with what it was given, signals first."""

    def __init__(
        self, path: Path, answers: list[bytes], *, greeting: bytes = b"OK 0123\r\n"
    ) -> None:
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.answers, self.greeting = answers, greeting
        self.heard: list[Any] = []
        self.start()

    def run(self) -> None:
        connection, _ = self.listener.accept()
        self.listener.close()
        with connection, connection.makefile("rb") as lines:
            self.heard.append(lines.readline())
            connection.sendall(self.greeting)
            if not self.greeting.startswith(b"OK"):
                return
            self.heard.append(lines.readline())
            for answer in self.answers:
                head = lines.read(16)
                rest = lines.read(dbus.message_size(head) - 16)
                self.heard.append(dbus.decode_message(head + rest))
                connection.sendall(answer)


def answer(kind: int, body: tuple[Any, ...], signature: str, **names: str) -> bytes:
    fields: dict[int, Variant] = {dbus.SIGNATURE: Variant("g", signature)}
    if kind != dbus.SIGNAL:
        fields[dbus.REPLY_SERIAL] = Variant("u", 1)
    if "error" in names:
        fields[dbus.ERROR_NAME] = Variant("s", names["error"])
    return dbus.encode_message(kind, 99, fields, dbus.encode(signature, body))


def test_a_call_and_its_signals(tmp_path: Path) -> None:
    signal = answer(dbus.SIGNAL, ("before",), "s")
    peer = Peer(tmp_path / "s", [signal + answer(dbus.RETURN, ("/job",), "o")])
    with Connection.open(str(tmp_path / "s"), deadline=10) as bus:
        assert bus.call("/x", "a.B", "Do", "su", ("word", 7)) == ("/job",)
        assert next(bus.signals()).body == ("before",)
    peer.join(10)
    hello, begin, call = peer.heard
    assert hello == b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n"
    assert begin == b"BEGIN\r\n"
    assert (call.kind, call.body) == (dbus.CALL, ("word", 7))
    assert call.fields == {1: "/x", 2: "a.B", 3: "Do", 8: "su"}


def test_an_error_has_its_name(tmp_path: Path) -> None:
    Peer(tmp_path / "s", [answer(dbus.ERROR, ("no such thing",), "s", error="a.Gone")])
    with (
        Connection.open(str(tmp_path / "s"), deadline=10) as bus,
        pytest.raises(DBusError, match="no such thing") as caught,
    ):
        bus.call("/x", "a.B", "Do", "", ())
    assert caught.value.name == "a.Gone"


def test_a_peer_that_refuses_goes_or_is_silent(tmp_path: Path) -> None:
    Peer(tmp_path / "a", [], greeting=b"REJECTED EXTERNAL\r\n")
    with pytest.raises(PermissionError):
        Connection.open(str(tmp_path / "a"), deadline=10)
    Peer(tmp_path / "b", [])
    with Connection.open(str(tmp_path / "b"), deadline=10) as bus, pytest.raises(OSError):
        bus.call("/x", "a.B", "Do", "", ())
        bus.call("/x", "a.B", "Do", "", ())
    Peer(tmp_path / "c", [b""])
    with (
        Connection.open(str(tmp_path / "c"), deadline=0.2) as bus,
        pytest.raises((TimeoutError, ConnectionResetError)),
    ):
        bus.call("/x", "a.B", "Do", "", ())
