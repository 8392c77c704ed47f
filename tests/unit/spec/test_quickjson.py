"""Verifies that it reads and writes as json does, errors included."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.spec import quickjson

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_and_read(value: Any) -> None:
    assert quickjson.dumps(value) == json.dumps(value)
    compact = quickjson.dumps(value, separators=(",", ":"))
    assert compact == json.dumps(value, separators=(",", ":"))
    assert quickjson.loads(f" \n{compact}\t ") == value


@pytest.mark.parametrize(
    "text", ["", " ", "{", "[1,]", '{"a" 1}', "nope", '"a', "1 2", '"\t"', "\ufeff1", "[" * 100_000]
)
def test_what_is_wrong(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as ours:
        quickjson.loads(text)
    with pytest.raises((ValueError, RecursionError)) as theirs:
        json.loads(text)
    assert type(ours.value) is type(theirs.value)
    if not isinstance(ours.value, RecursionError):
        assert str(ours.value) == str(theirs.value)


def test_what_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="Object of type object is not JSON serializable"):
        quickjson.dumps({"a": object()})


def test_lone_surrogates_and_great_numbers() -> None:
    for value in ("\udc80", [1 << 80, -1], {"a": "\0"}):
        assert quickjson.loads(quickjson.dumps(value)) == value
