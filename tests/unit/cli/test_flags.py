"""Command lines are read by pflag's rules; what docker says of faults is in the recorded table."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.cli.failure import UsageError
from sampan.cli.flags import Flag, HelpWanted, parse
from sampan.cli.kinds import INT, LIST, STRING, SWITCH

FLAGS = (
    Flag("detach", "d", SWITCH, "", default=False),
    Flag("tty", "t", SWITCH, "", default=False),
    Flag("proxy", "", SWITCH, "", default=True),
    Flag("env", "e", LIST, ""),
    Flag("name", "n", STRING, "", default=""),
    Flag("count", "", INT, "", default=-1),
    Flag("net", "", LIST, "", hidden=True, key="network"),
    Flag("network", "", LIST, ""),
)


@pytest.mark.parametrize(
    ("arguments", "values", "rest"),
    [
        ([], {"detach": False, "proxy": True, "env": [], "count": -1}, []),
        (["-dt"], {"detach": True, "tty": True}, []),
        (["-dtn", "x"], {"detach": True, "tty": True, "name": "x"}, []),
        (["-dtnx"], {"name": "x"}, []),
        (["-n=x"], {"name": "x"}, []),
        (["-n="], {"name": "="}, []),  # too short to be an assignment: Go takes it as it is
        (["-d=false"], {"detach": False}, []),
        (["--proxy=0"], {"proxy": False}, []),
        (["--detach", "false"], {"detach": True}, ["false"]),
        (["--name", "--tty"], {"name": "--tty", "tty": False}, []),
        (["--name=", "x"], {"name": ""}, ["x"]),
        (["-e", "A=1", "-eB=2", "--env=C"], {"env": ["A=1", "B=2", "C"]}, []),
        (["--net", "a", "--network", "b"], {"network": ["a", "b"]}, []),
        (["x", "-d", "y"], {"detach": True}, ["x", "y"]),
        (["x", "--", "-d"], {"detach": False}, ["x", "-d"]),
        (["-"], {}, ["-"]),
        (["--count", "-5"], {"count": -5}, []),
    ],
)
def test_values_and_arguments(
    arguments: list[str], values: dict[str, Any], rest: list[str]
) -> None:
    found, positional = parse(FLAGS, arguments)
    assert {key: found[key] for key in values} == values
    assert positional == rest


def test_a_command_may_stop_at_its_first_argument() -> None:
    found, rest = parse(FLAGS, ["-d", "image", "-t", "--", "-n"], interspersed=False)
    assert (found["detach"], found["tty"], rest) == (True, False, ["image", "-t", "--", "-n"])


def test_a_flag_is_changed_even_by_its_default() -> None:
    found, _ = parse(FLAGS, ["--count=-1"])
    assert found.changed("count")
    assert not found.changed("name")


@pytest.mark.parametrize("arguments", [["--help"], ["-d", "--help", "x"], ["-dh"]])
def test_help_is_wanted(arguments: list[str]) -> None:
    with pytest.raises(HelpWanted) as wanted:
        parse(FLAGS, arguments)
    assert wanted.value.deprecated is (arguments == ["-dh"])


@pytest.mark.parametrize(
    "arguments", [["--nam", "x"], ["--det"], ["-x"], ["--detach=maybe"], ["--count=1.5"]]
)
def test_nothing_is_guessed(arguments: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        parse(FLAGS, arguments)
    assert error.value.exit_code == 125
