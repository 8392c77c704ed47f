"""Query parameters: Go's booleans, numbers and both forms of filters."""

from __future__ import annotations

import pytest
from multidict import MultiDict

from sampan.api.query import Query, parse_filters
from sampan.errors import InvalidParameter


def query(**values: str) -> Query:
    return Query(MultiDict(values))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", False), ("0", False), ("no", False), ("false", False), ("none", False), (" FALSE ", False),
        ("1", True), ("true", True), ("True", True), ("yes", True), ("2", True), ("off", True),
    ],
)  # fmt: skip
def test_flags(text: str, value: bool) -> None:
    """Everything but five words is true; an absent one is the default."""
    assert query(a=text).flag("a") is value
    assert query().flag("a") is False
    assert query().flag("a", default=True) is True


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("5", 5), ("-1", -1), ("+7", 7), ("9223372036854775807", (1 << 63) - 1), ("007", 7),
        ("abc", 'strconv.Atoi: parsing "abc": invalid syntax'),
        ("1.5", 'strconv.Atoi: parsing "1.5": invalid syntax'),
        ("1_000", 'strconv.Atoi: parsing "1_000": invalid syntax'),
        ("٣", 'strconv.Atoi: parsing "٣": invalid syntax'),
        ("9223372036854775808", 'strconv.Atoi: parsing "9223372036854775808": value out of range'),
        ("9" * 5000, f'strconv.Atoi: parsing "{"9" * 64}": value out of range'),
    ],
)  # fmt: skip
def test_integers(text: str, value: int | str | None) -> None:
    """64 bits, and the texts of Go's strconv."""
    if not isinstance(value, str):
        assert query(a=text).integer("a") == value
        return
    with pytest.raises(InvalidParameter) as error:
        query(a=text).integer("a")
    assert str(error.value) == value


@pytest.mark.parametrize("text", ["", "-1", "x", "4294967296", "9" * 5000, "1.0"])
def test_terminal_sizes_are_unsigned(text: str) -> None:
    """0 to 2^32-1, nothing else."""
    assert query(h="4294967295").unsigned("h") == (1 << 32) - 1
    with pytest.raises(InvalidParameter):
        query(h=text).unsigned("h")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            '{"label":["a=b","c"],"status":["running"]}',
            {"label": ["a=b", "c"], "status": ["running"]},
        ),
        ('{"label":{"a=b":true,"c":true}}', {"label": ["a=b", "c"]}),
        ('{"label":[]}', {"label": []}),
        ('{"label":null}', {"label": []}),
        ("{}", {}),
        ("null", {}),
    ],
)
def test_filters(text: str, value: dict[str, list[str]]) -> None:
    """A map of lists, and the map of maps that clients have written since 1.22."""
    assert parse_filters(text) == value


@pytest.mark.parametrize(
    "text",
    ["abc", "[]", "5", '{"a":"b"}', '{"a":[1]}', '{"a":{"b":1}}', '{"a":5}', "{", "{}{}", "[" * 9999,
     '{"a":["\\ud800"]}', '{"a":[],"a":[]}'],
)  # fmt: skip
def test_bad_filters(text: str) -> None:
    """Each is InvalidParameter and says that filters are at fault."""
    with pytest.raises(InvalidParameter, match="invalid filters"):
        parse_filters(text)
