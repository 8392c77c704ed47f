"""Numbers, booleans and quoting are Go's."""

from __future__ import annotations

import pytest

from sampan.cli.kinds import parse_bool, parse_filter, parse_int, parse_uint
from sampan.spec.goquote import go_quote


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-5", -5),
        ("+5", 5),
        ("0x1f", 31),
        ("010", 8),
        ("0b11", 3),
        ("0o17", 15),
        ("1_000", 1000),
    ],
)
def test_integers(text: str, value: int) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize("text", ["", "-", "a", "1.5", "09", " 1", "1 ", "0x", "\u0665"])
def test_not_integers(text: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        parse_int(text)


def test_base_ten_has_no_prefixes() -> None:
    assert parse_int("010", 10) == 10
    for text in ("0x10", "1_0"):
        with pytest.raises(ValueError, match="invalid syntax"):
            parse_int(text, 10)


@pytest.mark.parametrize(
    ("text", "bits", "fits"),
    [
        ("65535", 16, True),
        ("65536", 16, False),
        (str(2**64 - 1), 64, True),
        (str(2**64), 64, False),
    ],
)
def test_ranges(text: str, bits: int, fits: bool) -> None:
    if fits:
        assert parse_uint(text, bits) == int(text)
        return
    with pytest.raises(ValueError, match="value out of range"):
        parse_uint(text, bits)


@pytest.mark.parametrize("text", ["-1", "+1"])
def test_no_signs_on_unsigned(text: str) -> None:
    with pytest.raises(ValueError, match="ParseUint"):
        parse_uint(text)


@pytest.mark.parametrize("value", [str(2**63), str(-(2**63) - 1)])
def test_sixty_four_bits(value: str) -> None:
    with pytest.raises(ValueError, match="value out of range"):
        parse_int(value)


def test_booleans() -> None:
    assert [parse_bool(text) for text in ("1", "t", "TRUE", "true", "0", "f", "False")] == [
        True
    ] * 4 + [False] * 3
    with pytest.raises(ValueError, match=r'strconv.ParseBool: parsing "yes": invalid syntax'):
        parse_bool("yes")


def test_filters() -> None:
    assert parse_filter(" Name = a=b ") == ("name", "a=b")
    with pytest.raises(ValueError, match="bad format of filter"):
        parse_filter("name")


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", '"plain"'),
        ('a"b\\', '"a\\"b\\\\"'),
        ("\n\t\x07\x7f\x01", '"\\n\\t\\a\\x7f\\x01"'),
        ("\u65e5\u200b\U0001f600", '"\u65e5\\u200b\U0001f600"'),
        ("\udcff", '"\\xff"'),
    ],
)
def test_quoting(text: str, quoted: str) -> None:
    assert go_quote(text) == quoted
