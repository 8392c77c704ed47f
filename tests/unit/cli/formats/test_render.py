"""Rows of plain columns are filled in without the template engine, to the same text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sampan.cli.failure import Failure
from sampan.cli.formats import table
from sampan.cli.formats.table import render_rows
from sampan.spec.template.values import Record


class Row(Record):
    type_name = "*test.row"

    def columns(self) -> dict[str, Callable[..., Any]]:
        return {
            "A": lambda: "a<b",
            "Empty": lambda: "",
            "None": lambda: None,
            "N": lambda: 3,
            "Of": lambda name: name,
        }

    def hidden(self) -> frozenset[str]:
        return frozenset(("Of",))


FORMATS = [
    "{{.A}}", "x{{.A}}y{{.A}}z", "table {{.A}}\\t{{.Empty}}", "{{.Empty}}", "{{.None}}", "{{.N}} {{.A}}", "plain",
    '{{.Of "q"}}{{.A}}', "{{ .A }}", "{{.A}}}}", "{{json .A}}", "{{.A}}{{if .N}}!{{end}}", "",
]  # fmt: skip


@pytest.mark.parametrize("source", FORMATS)
def test_same_text(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = render_rows(source, [Row(), Row()], {"A": "AH"})
    monkeypatch.setattr(table, "_plain_parts", lambda text: [])
    assert render_rows(source, [Row(), Row()], {"A": "AH"}) == quick


@pytest.mark.parametrize("source", ["{{.Nosuch}}", "{{.A", "{{.A.b}}"])
def test_same_failures(source: str) -> None:
    with pytest.raises(Failure):
        render_rows(source, [Row()], {})
