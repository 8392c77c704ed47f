"""Records are split as Go's encoding/csv and Python's own csv split them."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.cli.container.csv import split

FIELDS = st.lists(st.text(alphabet='ab,"= x'), min_size=1)


@given(FIELDS)
def test_what_python_writes_is_read_back(fields: list[str]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(fields)
    if buffer.getvalue():
        assert split(buffer.getvalue()) == fields


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("a", ["a"]),
        ("a,", ["a", ""]),
        (",", ["", ""]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a""b"', ['a"b']),
        (" a , b", [" a ", " b"]),
    ],
)
def test_fields(text: str, fields: list[str]) -> None:
    assert split(text) == fields


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "EOF"),
        ('a"b', 'parse error on line 1, column 2: bare " in non-quoted-field'),
        ('x,"a"b', 'parse error on line 1, column 5: extraneous or missing " in quoted-field'),
        ('"abc', 'parse error on line 1, column 5: extraneous or missing " in quoted-field'),
    ],
)
def test_faults(text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        split(text)
    assert str(error.value) == message
