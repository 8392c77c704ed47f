"""The table of commands: every module is there, every alias is a way to call it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from sampan.cli import commands
from sampan.cli.command import Command
from sampan.cli.commands.table import COMMANDS, GROUPS

ALL = {**COMMANDS, **{f"{g.name} {n}": c for g in GROUPS.values() for n, c in g.members.items()}}


@pytest.mark.parametrize("path", sorted(ALL))
def test_modules(path: str) -> None:
    module = importlib.import_module(f"sampan.cli.commands.{ALL[path].module}")
    assert isinstance(module.FLAGS, tuple)
    assert callable(module.run)


def test_no_module_is_forgotten() -> None:
    files = {path.stem for path in Path(commands.__path__[0]).glob("*.py")} - {"__init__", "table"}
    assert files == {command.module for command in ALL.values()}


def find(words: list[str]) -> Command | None:
    if len(words) == 1:
        return COMMANDS.get(words[0])
    found = GROUPS[words[0]].find(words[1])
    return found[1] if found else None


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_aliases_lead_to_the_command(name: str) -> None:
    for alias in COMMANDS[name].aliases:
        assert find(alias.split()) is COMMANDS[name]


@pytest.mark.parametrize(
    ("least", "most", "wants"),
    [
        (0, 0, "accepts no arguments"),
        (1, 1, "requires 1 argument"),
        (2, 2, "requires 2 arguments"),
        (0, 1, "requires at most 1 argument"),
        (1, 2, "requires at least 1 and at most 2 arguments"),
    ],
)
def test_numbers_of_arguments(least: int, most: int, wants: str) -> None:
    command = Command("x", "ARG", "", "x", least=least, most=most)
    command.check_arguments("sampan x", ["a"] * most)
    with pytest.raises(Exception, match=wants) as error:
        command.check_arguments("sampan x", ["a"] * (most + 1))
    assert "Usage:  sampan x ARG" in str(error.value)
