"""Detach keys: the words for them, and finding them in what is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.wire.detach import DEFAULT, Matcher, parse


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (DEFAULT, b"\x10\x11"),
        ("ctrl-a", b"\x01"),
        ("ctrl-@,ctrl-z", b"\x00\x1a"),
        ("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x1b\x1c\x1d\x1e\x1f"),
        ("a,Z,%", b"aZ%"),
        ("DEL", b"\x7f"),
        ("", b""),
    ],
)
def test_words_become_bytes(text: str, keys: bytes) -> None:
    """As moby/term's ToBytes."""
    assert parse(text) == keys


@pytest.mark.parametrize("text", ["ctrl-A", "ctrl-", "ctrl-ab", "xx", "a,,b", "€", "del"])
def test_other_words_are_refused_in_dockers_words(text: str) -> None:
    """The word that is wrong is named."""
    with pytest.raises(ValueError, match="Unknown character: '"):
        parse(text)


@pytest.mark.parametrize(
    ("typed", "passed", "detached"),
    [
        (b"ls\n", b"ls\n", False),
        (b"\x10\x11", b"", True),
        (b"ab\x10\x11cd", b"ab", True),
        (b"\x10\x10\x11", b"\x10", True),
        (b"\x10a\x11", b"\x10a\x11", False),
        (b"\x11\x10", b"\x11", False),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_sequence_is_found_wherever_it_is_cut(
    typed: bytes, passed: bytes, detached: bool, size: int
) -> None:
    """What is no part of it goes through unchanged and in order; what follows it is dropped."""
    matcher = Matcher(b"\x10\x11")
    found, done = b"", False
    for at in range(0, len(typed), size):
        part, done = matcher.feed(typed[at : at + size])
        found += part
        if done:
            break
    assert (found, done) == (passed, detached)


def test_a_begun_sequence_is_held_back_until_the_end() -> None:
    """And given back then."""
    matcher = Matcher(b"\x10\x11")
    assert matcher.feed(b"a\x10") == (b"a", False)
    assert matcher.finish() == b"\x10"
    assert matcher.finish() == b""


def test_no_keys_never_detach() -> None:
    """Everything goes through at once."""
    assert Matcher(b"").feed(b"\x10\x11") == (b"\x10\x11", False)


@given(st.binary(min_size=1, max_size=4), st.lists(st.binary(max_size=6), max_size=8))
def test_nothing_is_lost_before_the_sequence(keys: bytes, parts: list[bytes]) -> None:
    """For any keys and any cuts the result is what a search in the whole text gives."""
    matcher = Matcher(keys)
    typed = b"".join(parts)
    passed, done = b"", False
    for part in parts:
        if not done:
            more, done = matcher.feed(part)
            passed += more
    at = typed.find(keys)
    assert done == (at >= 0)
    assert passed + (b"" if done else matcher.finish()) == (typed[:at] if done else typed)
