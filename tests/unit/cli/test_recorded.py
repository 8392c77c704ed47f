"""Every command line of the table does what docker did when it was recorded: requests, output, errors, exit code."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests import cli_cases
from tests.cli_cases import as_ours, comparable

RECORDED = cli_cases.recorded()


@pytest.mark.parametrize("line", cli_cases.all_lines())
def test_does_what_docker_did(line: str, tmp_path: Path) -> None:
    theirs = comparable(line, as_ours(RECORDED[line]))
    ours = comparable(line, cli_cases.sampan(shlex.split(line), tmp_path))
    assert ours == theirs


def test_the_table_can_fail(tmp_path: Path) -> None:
    theirs = comparable("ps", as_ours(RECORDED["ps"]))
    for flag, agrees in (("--all=false", True), ("-a", False), ("-q", False)):
        folder = tmp_path / flag
        folder.mkdir()
        assert (comparable("ps", cli_cases.sampan(["ps", flag], folder)) == theirs) is agrees
