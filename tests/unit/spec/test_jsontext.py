"""JSON is read like the standard library reads it and written like Go writes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.spec import jsontext

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]))
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_reads_what_the_library_writes(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False)):
        assert jsontext.loads(text) == value
        assert jsontext.loads(text.encode()) == value


@given(VALUES)
def test_what_it_writes_is_json(value: Any) -> None:
    for escape in (True, False):
        written = jsontext.dumps(value, escape_html=escape)
        assert json.loads(written) == value
        assert json.loads(jsontext.indent(written)) == value
        assert jsontext.compact(jsontext.indent(written)) == written
        assert jsontext.indent(written) == json.dumps(
            json.loads(written), indent=4, ensure_ascii=False
        ) or _literal(written)


def _literal(text: str) -> bool:
    """Floats and escapes have several spellings; then the layouts cannot be compared."""
    return "e" in text or "." in text or "\\" in text or "-0" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<a&b>", '"\\u003ca\\u0026b\\u003e"'),
        ("\u2028", '"\\u2028"'),
        ("\x01\b\f\n", '"\\u0001\\b\\f\\n"'),
        ("\u00e9\u65e5", '"\u00e9\u65e5"'),
        (1.0, "1"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (1e-7, "1e-7"),
        (0.000001, "0.000001"),
        (-2.5, "-2.5"),
        ([], "[]"),
        ({}, "{}"),
        ([None, True, False, {"b": 1, "a": [2]}], '[null,true,false,{"b":1,"a":[2]}]'),
    ],
)
def test_written_as_go_writes_it(value: Any, text: str) -> None:
    assert jsontext.dumps(value) == text


def test_maps_can_be_sorted_and_html_left_alone() -> None:
    assert (
        jsontext.dumps({"b": {"d": 1, "c": "<"}, "a": 2}, sort=True, escape_html=False)
        == '{"a":2,"b":{"c":"<","d":1}}'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unexpected end of JSON input"),
        ('{"a":', "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("1 2", "invalid character '2' after top-level value"),
        ("{1:2}", "invalid character '1' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ("[NaN]", ""),
        ("[" * 200000, ""),
    ],
)
def test_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(jsontext.InvalidJSON) as error:
        jsontext.loads(text)
    assert message in str(error.value)


def test_scanning_one_value_after_the_other() -> None:
    text = ' {"a":1}\n[2] '
    first, at = jsontext.scan(text)
    second, end = jsontext.scan(text, at)
    assert (first, second, text[end:]) == ({"a": 1}, [2], " ")


def test_literals_stay_as_they_are() -> None:
    assert jsontext.indent('{"a":"\\u003c\\/","b":1.50,"c":{},"d":[ ],"e":"x{[,:\\\\"}') == (
        '{\n    "a": "\\u003c\\/",\n    "b": 1.50,\n    "c": {},\n    "d": [],\n    "e": "x{[,:\\\\"\n}'
    )
