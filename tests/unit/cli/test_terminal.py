"""Raw mode comes and goes, and detach keys are found however they are cut."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.cli import terminal
from sampan.cli.terminal import DetachDetector, RawMode, parse_detach_keys


@pytest.fixture
def tty() -> Iterator[int]:
    master, slave = pty.openpty()
    yield slave
    os.close(slave)
    os.close(master)


def test_raw_and_back(tty: int) -> None:
    before = termios.tcgetattr(tty)
    with RawMode(tty):
        _, oflag, _, lflag, _, _, characters = termios.tcgetattr(tty)
        assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG)
        assert not oflag & termios.OPOST
        assert (characters[termios.VMIN], characters[termios.VTIME]) in ((1, 0), (b"\x01", b"\x00"))
    assert termios.tcgetattr(tty) == before


def test_back_after_a_failure_and_only_once(tty: int) -> None:
    before = termios.tcgetattr(tty)
    with pytest.raises(ZeroDivisionError), RawMode(tty) as mode:
        mode.restore()
        assert termios.tcgetattr(tty) == before
        raise ZeroDivisionError
    assert termios.tcgetattr(tty) == before


def test_what_is_no_terminal_is_left_alone() -> None:
    reader, writer = os.pipe()
    with RawMode(reader):
        pass
    os.close(reader)
    os.close(writer)


def test_size(tty: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack("HHHH", 31, 97, 0, 0))
    monkeypatch.setattr(terminal, "STDOUT", tty)
    assert terminal.size() == (31, 97)
    monkeypatch.setattr(terminal, "STDOUT", os.open(os.devnull, os.O_WRONLY))
    assert terminal.size() == (0, 0)
    os.close(terminal.STDOUT)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a", b"a"),
        ("ctrl-@,ctrl-[,ctrl-_", b"\x00\x1b\x1f"),
        ("ctrl-A,x", b"\x01x"),
        (",", None),
    ],
)
def test_names_of_keys(text: str, keys: bytes | None) -> None:
    if keys is not None:
        assert parse_detach_keys(text) == keys
        return
    with pytest.raises(ValueError, match="Unknown character: ''"):
        parse_detach_keys(text)


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-pp", "alt-x", "ctrl-1"])
def test_not_keys(text: str) -> None:
    with pytest.raises(ValueError, match="Unknown character"):
        parse_detach_keys(text)


@pytest.mark.parametrize(
    ("typed", "passed", "detached"),
    [
        (b"plain", b"plain", False),
        (b"\x10\x11", b"", True),
        (b"ab\x10\x11more", b"ab", True),
        (b"\x10x", b"\x10x", False),
        (b"\x11\x10", b"\x11", False),
        # As in docker, the key that breaks a sequence begins no new one.
        (b"\x10\x10\x11", b"\x10\x10\x11", False),
        (b"\x10\x10\x10\x11", b"\x10\x10", True),
    ],
)
def test_detaching(typed: bytes, passed: bytes, detached: bool) -> None:
    whole = DetachDetector(terminal.DEFAULT_DETACH_KEYS)
    assert whole.feed(typed) == (passed, detached)
    single = DetachDetector(terminal.DEFAULT_DETACH_KEYS)
    out = b""
    for position in range(len(typed)):
        piece, done = single.feed(typed[position : position + 1])
        out += piece
        if done:
            break
    assert (out, done) == (passed, detached)


@given(st.binary(), st.integers(0, 50))
def test_without_keys_nothing_detaches(data: bytes, cut: int) -> None:
    detector = DetachDetector(b"")
    assert detector.feed(data[:cut]) == (data[:cut], False)
    assert detector.feed(data[cut:]) == (data[cut:], False)


@given(st.lists(st.binary(max_size=5)))
def test_nothing_is_lost_but_an_unfinished_sequence(pieces: list[bytes]) -> None:
    detector = DetachDetector(b"\x00\x01\x02")
    out, done = b"", False
    for piece in pieces:
        passed, done = detector.feed(piece)
        out += passed
        if done:
            break
    typed = b"".join(pieces)
    assert typed.startswith(out)
    assert len(typed) - len(out) < 3 or done
