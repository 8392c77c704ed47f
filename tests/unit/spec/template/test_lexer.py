"""Tokens, trim markers and comments."""

from __future__ import annotations

import pytest

from sampan.spec.template.lexer import parse_number, tokens
from sampan.spec.template.strings import unquote


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", "eof"),
        ("a}} b", "text eof"),
        ("a{{.B}}c", "text {{ field }} text eof"),
        (
            "{{ $x := .A.B | f 1 }}",
            "{{ space variable space := space field field space | space identifier space number space }} eof",
        ),
        ("{{if true}}{{else}}{{end}}", "{{ if space bool }} {{ else }} {{ end }} eof"),
        ("{{/* a }} */}}b", "text eof"),
        ("a {{- .B -}} c", "text {{ space field }} text eof".replace("{{ space", "{{")),
        ("{{-3}}", "{{ number }} eof"),
        ("{{\"a}}\" `b}}` 'c'}}", "{{ string space string space char }} eof"),
        ("{{.}}", "{{ dot }} eof"),
        ("{{(1)}}", "{{ ( number ) }} eof"),
        ("{{#}}", "{{ character }} eof"),
    ],
)
def test_kinds(text: str, kinds: str) -> None:
    assert " ".join(token.kind for token in tokens(text)) == kinds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{", "unclosed action"),
        ("{{.A\n", "unclosed action"),
        ("{{/* a", "unclosed comment"),
        ("{{/* a */ x}}", "comment ends before closing delimiter"),
        ("{{(}}", "unclosed left paren"),
        ("{{)}}", "unexpected right paren"),
        ('{{"a\n"}}', "unterminated quoted string"),
        ("{{`a", "unterminated raw quoted string"),
        ("{{'a", "unterminated character constant"),
        ("{{:}}", "expected :="),
        ("{{3x}}", 'bad number syntax: "3x"'),
        ("{{a#}}", "bad character U+0023 '#'"),
        ("{{\u2603}}", "unrecognized character in action: U+2603 '\u2603'"),
    ],
)
def test_errors(text: str, message: str) -> None:
    last = tokens(text)[-1]
    assert (last.kind, last.text) == ("error", message)


def test_trimming() -> None:
    texts = [
        t.text for t in tokens("a \n {{- 1 -}} \t b {{2}} c {{- /* x */ -}} d") if t.kind == "text"
    ]
    assert texts == ["a", "b ", " c", "d"]


def test_lines_are_counted() -> None:
    assert [
        t.line for t in tokens("\n{{1}}\n\n{{`a\nb`}}{{2}}") if t.kind in ("number", "string")
    ] == [2, 4, 5]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("0x10", 16),
        ("010", 8),
        ("-5", -5),
        ("1_0", 10),
        ("1e2", 100.0),
        (".5", 0.5),
        ("0b1", 1),
        ("x", None),
        ("1x", None),
        ("-", None),
    ],
)
def test_numbers(source: str, value: float | None) -> None:
    assert parse_number(source) == value


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('"a\\n\\t\\"\\\\"', 'a\n\t"\\'),
        ("`a\\n\r`", "a\\n"),
        ("'\\''", "'"),
        ('"\\x41\\u00e9\\101\\U0001f600"', "A\u00e9A\U0001f600"),
    ],
)
def test_strings(source: str, text: str) -> None:
    assert unquote(source) == text


@pytest.mark.parametrize("source", ["'ab'", '"\\q"', '"\\x4"', '"\\\'"', "''", '"\\9"'])
def test_not_strings(source: str) -> None:
    with pytest.raises(ValueError):
        unquote(source)
