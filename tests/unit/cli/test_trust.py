"""Content trust is refused, in every way to ask for it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests import cli_cases


@pytest.mark.parametrize("line", ["pull {} x", "push {} x/y:1", "create {} x", "run {} x"])
@pytest.mark.parametrize(
    ("flag", "variable", "refused"),
    [
        ("", "", False),
        ("--disable-content-trust", "1", False),
        ("--disable-content-trust=false", "", True),
        ("", "1", True),
        ("", "0", False),
    ],
)
def test_trust(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    flag: str,
    variable: str,
    refused: bool,
) -> None:
    monkeypatch.setitem(cli_cases.ENVIRONMENT, "DOCKER_CONTENT_TRUST", variable)
    outcome = cli_cases.sampan(shlex.split(line.format(flag)), tmp_path)
    assert ("content trust is not supported" in outcome.err) is refused
    assert bool(outcome.requests) is not refused
