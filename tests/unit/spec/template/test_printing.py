"""Printf and its family; what is said of wrong directives is Go's."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.spec.template.printing import show, sprint, sprintf, sprintln
from sampan.spec.template.values import Moment


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("%d|%5d|%-5d|%05d|%+d|% d", [1, 2, 3, 4, 5, 6], "1|    2|3    |00004|+5| 6"),
        (
            "%05d|%x|%X|%#x|%o|%b|%c|%q|%U",
            [-42, 255, 255, 255, 8, 5, 65, 65, 0x1F600],
            "-0042|ff|FF|0xff|10|101|A|'A'|U+1F600",
        ),
        (
            "%s|%10s|%-10s|%.2s|%q|%x|%X|% x",
            ["ab", "ab", "ab", "abc", 'a"b', "hi", "hi", "hi"],
            'ab|        ab|ab        |ab|"a\\"b"|6869|6869|68 69',
        ),
        ("%v|%t|%5t|%v", [True, False, True, 1.5], "true|false| true|1.5"),
        (
            "%f|%.2f|%8.3f|%e|%E|%g|%G",
            [1.5, 1.005, 3.14159, 1234.5, 0.5, 1e-7, 1e21],
            "1.500000|1.00|   3.142|1.234500e+03|5.000000E-01|1e-07|1E+21",
        ),
        ("%v %v %v %v", [1e20, 1e21, 0.0001, 0.00001], "100000000000000000000 1e+21 0.0001 1e-05"),
        ("%T %T %T %T %T", [1, "a", 1.5, True, None], "int string float64 bool <nil>"),
        ("%*d|%-*d|%.*f", [5, 1, 4, 2, 1, 2.55], "    1|2   |2.5"),
        (
            "%#v %#v %#v",
            ["a", 1, {"a": [1]}],
            '"a" 1 map[string]interface {}{"a":[]interface {}{1}}',
        ),
        ("%d %s", ["a", 1], "%!d(string=a) %!s(int=1)"),
        ("%d", [], "%!d(MISSING)"),
        ("%d", [1, "x", None], "1%!(EXTRA string=x, <nil>)"),
        ("100%% %", [], "100% %!(NOVERB)"),
        ("%z", [1], "%!z(int=1)"),
        ("%x %d", [[1, "a"], [1, 2]], "[1 61] [1 2]"),
        ("%+v %+d", [5, 5], "5 +5"),
        ("%5v|%-5v|", [None, [1]], "<nil>|[1]  |"),
    ],
)
def test_printf(text: str, values: list[Any], expected: str) -> None:
    assert sprintf(text, values) == expected


def test_print_puts_blanks_between_what_are_no_strings() -> None:
    assert sprint([1, 2, "a", "b", 3, 4, None, True]) == "1 2a b3 4 <nil> true".replace("a b", "ab")
    assert sprintln(["a", 1, None]) == "a 1 <nil>\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-24T06:08:52.347768421Z", "2026-11-24 06:08:52.347768421 +0000 UTC"),
        ("0001-01-01T00:00:00Z", "0001-01-01 00:00:00 +0000 UTC"),
        ("2026-11-24T06:08:52+02:00", "2026-11-24 06:08:52 +0200 +0200"),
    ],
)
def test_moments(text: str, shown: str) -> None:
    assert show(Moment(text)) == shown
