"""Verifies that docs/SECURITY.md names real tests, and that every row has a test and a control."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "docs/SECURITY.md").read_text()
SHORT = dict(re.findall(r"\b([A-Z]{4,}) (?:is )?`([\w/]+\.py)`", TEXT.replace("\n", " ")))
NAMED = re.compile(r"`([\w/.]+)::(\w+)`")


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_what_it_names_is_there() -> None:
    missing = []
    for place, name in NAMED.findall(TEXT):
        path = TESTS / SHORT.get(place, place).removeprefix("tests/")
        if not path.exists() or name not in names_in(path):
            missing.append(f"{place}::{name}")
    assert not missing, missing


def test_no_row_is_missing() -> None:
    rows = {}
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"[RPEGNCA]\d+|P-[a-z]+", cells[0]):
            rows[cells[0]] = cells[-2:]
    expected = {"R": 20, "P": 9, "E": 9, "G": 7, "N": 2, "C": 5, "A": 12}
    promises = "live exit content layer meta clean flow log conc events time pid boot"
    assert set(rows) == {
        *(f"{kind}{n + 1}" for kind, count in expected.items() for n in range(count)),
        *(f"P-{name}" for name in promises.split()),
    }
    assert [
        row for row, (test, control) in rows.items() if not NAMED.search(test) or not control
    ] == []
