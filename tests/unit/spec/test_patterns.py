"""Patterns match as Go's `path.Match` does; expectations are from its documentation and tests."""

from __future__ import annotations

import time

import pytest

from sampan.errors import InvalidParameter
from sampan.spec.patterns import path_match


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*", "a", True),
        ("a*", "ab/c", False),
        ("a*/b", "abc/b", True),
        ("a*/b", "a/c/b", False),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "ab", False),
        ("a?b", "a☺b", True),
        ("a[^a]b", "a☺b", True),
        ("a???b", "a☺b", False),
        ("[a-ζ]*", "α", True),
        ("*[a-ζ]", "A", False),
        ("a?b", "a/b", False),
        ("a*b", "a/b", False),
        ("[\\]a]", "]", True),
        ("[\\-]", "-", True),
        ("[x\\-]", "z", False),
        ("[z-a]", "m", False),
        ("[^z-a]", "m", True),
        ("a.b", "axb", False),
        ("", "", True),
        ("x", "", False),
    ],
)
def test_matches(pattern: str, text: str, matches: bool) -> None:
    """Stars and question marks stop at a slash; everything else is itself."""
    assert path_match(pattern, text) is matches


@pytest.mark.parametrize(
    "pattern", ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "a[", "\\", "[a-\\"]
)
def test_bad_patterns(pattern: str) -> None:
    """Go's text."""
    with pytest.raises(InvalidParameter, match="syntax error in pattern"):
        path_match(pattern, "a")


def test_many_stars_are_cheap() -> None:
    """No pattern costs more than it is long."""
    begin = time.monotonic()
    assert not path_match("*" * 10_000 + "x", "a" * 1000)
    assert time.monotonic() - begin < 5
