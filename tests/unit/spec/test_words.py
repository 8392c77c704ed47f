"""Words of Dockerfile lines: quotes, backslashes, variables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.errors import InvalidParameter
from sampan.spec.words import expand, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  a  b\tc ", ["a", "b", "c"]),
        ("a='b c' d", ["a='b c'", "d"]),
        ('a="b \\" c" d', ['a="b \\" c"', "d"]),
        ("a\\ b c", ["a\\ b", "c"]),
        ("'a\\' b", ["'a\\'", "b"]),
        ('"open a b', ['"open a b']),
    ],
)
def test_words_are_split_outside_quotes(text: str, words: list[str]) -> None:
    """What quotes and backslashes hold together stays together, and they stay in."""
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a", "a"),
        ("$A", "1"),
        ("${A}b", "1b"),
        ("$Ab", ""),
        ("$", "$"),
        ("a$", "a$"),
        ("$/x", "$/x"),
        ("${A:-$B}", "1"),
        ("${C:-$B}", "2"),
        ("${C:-${A:+x}}", "x"),
        ("${C:+x}", ""),
        ("'$A'", "$A"),
        ('"$A \\$A \\" \\a"', '1 $A " \\a'),
        ("\\$A\\", "$A"),
        ("$10", "0"),
    ],
)
def test_variables(word: str, expected: str) -> None:
    """Values, defaults, alternatives; quoted or escaped ones stay."""
    assert expand(word, {"A": "1", "B": "2", "10": "0"}) == expected


@pytest.mark.parametrize("word", ["'a", '"a', "${", "${A", "${A:-b", "${A:*b}", "${}", "${C:?}"])
def test_unfinished_words_are_refused(word: str) -> None:
    """One kind of error, whatever is missing."""
    with pytest.raises(InvalidParameter, match="failed to process"):
        expand(word, {"A": "1"})


@given(st.text(alphabet="a$\"'\\{}:-+? ", max_size=30))
def test_no_word_crashes(word: str) -> None:
    """Nothing but the one error comes out."""
    try:
        expand(word, {"a": "$a"})
    except InvalidParameter:
        pass
    split_words(word)
