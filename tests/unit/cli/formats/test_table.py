"""Formats of lists, and cutting to width."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.cli.failure import Failure
from sampan.cli.formats.table import ellipsis, print_rows, short_id
from sampan.spec.template.values import Record


class Row(Record):
    type_name = "*t.Row"

    def __init__(self, name: str) -> None:
        self._name = name

    def columns(self) -> Any:
        return {"ID": lambda: self._name, "Name": lambda: self._name}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "table {{.ID}}\t{{.Name}}",
            "ID#       NAME\na         a\nbcdefghijklmno   bcdefghijklmno\n".replace(
                "ID#       NAME\na         a", "ID#              NAME\na                a"
            ),
        ),
        ("table{{.ID}}", "ID#\na\nbcdefghijklmno\n"),
        ("table {{.ID}} {{.Nope}}", None),
        ("{{.ID}}\\t{{.Name}}", "a\ta\nbcdefghijklmno\tbcdefghijklmno\n"),
        ("json", '{"ID":"a","Name":"a"}\n{"ID":"bcdefghijklmno","Name":"bcdefghijklmno"}\n'),
        ("", "\n\n"),
        ("{{", None),
    ],
)
def test_formats(source: str, expected: str | None, capfd: pytest.CaptureFixture[str]) -> None:
    rows: list[Record] = [Row("a"), Row("bcdefghijklmno")]
    if expected is None:
        with pytest.raises(Failure, match="template parsing error: template: "):
            print_rows(source, rows, {"ID": "ID#", "Name": "NAME"})
        return
    print_rows(source, rows, {"ID": "ID#", "Name": "NAME"})
    assert capfd.readouterr().out == expected


def test_no_rows_still_have_headings(capfd: pytest.CaptureFixture[str]) -> None:
    print_rows("table {{.ID}} {{.Nope}}", [], {"ID": "ID#"})
    assert capfd.readouterr().out == "ID# <no value>\n"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 20, "short"),
        ("a" * 20, 20, "a" * 20),
        ("a" * 21, 20, "a" * 19 + "\u2026"),
        ("\u65e5" * 10, 20, "\u65e5" * 10),
        ("\u65e5" * 11, 20, "\u65e5" * 9 + "\u2026"),
    ],
)
def test_ellipsis(text: str, width: int, shown: str) -> None:
    assert ellipsis(text, width) == shown


def test_short_ids() -> None:
    assert [short_id(text) for text in ("sha256:" + "a" * 64, "b" * 64, "c")] == [
        "a" * 12,
        "b" * 12,
        "c",
    ]
