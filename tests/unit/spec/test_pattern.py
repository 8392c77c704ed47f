"""The linear regular expressions: the same answers as Python's, and no pattern that takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.spec.pattern import Pattern, PatternError

PATTERNS = [
    *("web", "^web$", "^/web", "web.*", "w.b", "a+b", "(ab|cd)+e", "[a-c]x", "[^a-c]x", "a{2}"),
    *("a{2,}", "a{1,2}b", "^$", "", "x?", r"\d+", r"\w-\d", r"\.", r"a\|b", "[]x]", "[a-]"),
    *(
        "(?:ab)*c",
        "^a",
        "b$",
        "^(a|b)*$",
        "one|two",
        "^one|two$",
        "a|",
        "x{0}",
        "{",
        "a{x",
        r"\D\S",
    ),
]
TEXTS = [
    "",
    "web",
    "/web",
    "web1",
    "my-web",
    "ab",
    "aab",
    "abcde",
    "cx",
    "dx",
    "a-1",
    "a.b",
    "one",
    "xtwo",
    "]",
    "x",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_as_python(pattern: str) -> None:
    """The two engines agree."""
    ours, theirs = Pattern(pattern), re.compile(pattern)
    for text in TEXTS:
        assert ours.found_in(text) == bool(theirs.search(text)), text


@given(st.text("ab|()*+?.^$[]{}1,-\\", max_size=12), st.text("ab1-.", max_size=8))
def test_anything(pattern: str, text: str) -> None:
    """Whatever is sent, the answer is one, or that it is no pattern; where both take it, they agree."""
    try:
        ours = Pattern(pattern)
    except PatternError:
        return
    try:
        theirs = re.compile(pattern)
    except re.error:
        ours.found_in(text)
        return
    if "{," in pattern:
        return  # a literal in Go, no lower bound in Python
    if "*+" in pattern or "++" in pattern or "?+" in pattern or "}+" in pattern:
        return  # possessive in Python, repetition of a repetition in Go
    assert ours.found_in(text) == bool(theirs.search(text))


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(a?){30}a{30}", "(.*)(.*)(.*)(.*)x$"])
def test_no_pattern_takes_long(pattern: str) -> None:
    """Those that keep a backtracking engine busy for ever."""
    begin = time.process_time()
    Pattern(pattern).found_in("a" * 255)
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "[",
        "[a",
        "*",
        "a{1001}",
        "(?P<n>a)",
        "\\q",
        "\\",
        "[b-a]",
        "(a{1000}){1000}",
        "(" * 60,
    ],
)
def test_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        Pattern(pattern)
