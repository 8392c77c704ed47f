"""Columns are laid out as by Go's tabwriter with docker's settings."""

from __future__ import annotations

import pytest

from sampan.cli.tabwriter import align, columns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("one\n", "one\n"),
        ("A\tB\tC\n", "A         B         C\n"),
        ("A\tB\nlonger than ten\tx\n", "A                 B\nlonger than ten   x\n"),
        ("a\t\tc\n", "a                   c\n"),
        # A line without a cell in a column ends that column; the next one is laid out anew.
        ("aaaaaaaaaaaaaaaa\tb\nx\ny\tz\n", "aaaaaaaaaaaaaaaa   b\nx\ny         z\n"),
        ("a\tb\nlonger than ten\tc\td\n", "a                 b\nlonger than ten   c         d\n"),
        (
            "\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e\tx\na\tb\n",
            "\u65e5\u672c\u8a9e\u65e5\u672c\u8a9e   x\na              b\n",
        ),
    ],
)
def test_alignment(text: str, expected: str) -> None:
    assert align(text) == expected


def test_other_settings() -> None:
    assert (
        align("Client:\n Version:\t1\n", minimum=20, padding=1)
        == "Client:\n Version:           1\n"
    )


def test_width() -> None:
    assert [columns(text) for text in ("abc", "\u65e5", "e\u0301", "")] == [3, 2, 1, 0]
