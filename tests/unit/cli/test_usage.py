"""Help is laid out as docker's; the wrapping is pflag's."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.cli.commands.table import COMMANDS, GROUPS
from sampan.cli.flags import Flag
from sampan.cli.kinds import INT, LIST, STRING, SWITCH
from sampan.cli.main import GLOBAL_FLAGS
from sampan.cli.usage import command_help, flag_table, group_help, root_help
from tests import cli_cases

FLAGS = (
    Flag("quiet", "q", SWITCH, "Say less", default=False),
    Flag("name", "", STRING, 'The name, which is "quoted"', default="x"),
    Flag("last", "n", INT, "Show n", default=-1, note="-1"),
    Flag("secret", "", STRING, "Not for all", hidden=True),
    Flag(
        "env",
        "e",
        LIST,
        "A text that is long enough to be wrapped at the edge of eighty columns, more than once in fact",
    ),
    Flag(
        "form",
        "",
        STRING,
        "How:\n'a':   first, with words that go on beyond the edge of the screen\n'b':   second",
        default="",
    ),
)


def test_flags_are_sorted_aligned_and_wrapped() -> None:
    assert flag_table(FLAGS, 80) == (
        "  -e, --env list      A text that is long enough to be wrapped at the\n"
        "                      edge of eighty columns, more than once in fact\n"
        "      --form string   How:\n"
        "                      'a':   first, with words that go on beyond the edge\n"
        "                      of the screen\n"
        "                      'b':   second\n"
        "  -n, --last int      Show n (default -1)\n"
        '      --name string   The name, which is "quoted" (default "x")\n'
        "  -q, --quiet         Say less\n"
    )


def test_on_a_narrow_terminal_texts_begin_on_a_line_of_their_own() -> None:
    assert flag_table(FLAGS[4:5], 42) == (
        "  -e, --env list   \n"
        "                A text that is long\n"
        "                enough to be\n"
        "                wrapped at the edge\n"
        "                of eighty columns,\n"
        "                more than once in fact\n"
    )


def test_a_command() -> None:
    shown = command_help(COMMANDS["kill"], "sampan kill", FLAGS[:1], 80)
    assert shown == (
        "Usage:  sampan kill [OPTIONS] CONTAINER [CONTAINER...]\n\n"
        "Send containers a signal, SIGKILL if none is named\n\n"
        "Aliases:\n  sampan container kill, sampan kill\n\n"
        "Options:\n  -q, --quiet   Say less\n"
    )


def test_a_command_without_flags_has_no_options() -> None:
    assert "Options" not in command_help(COMMANDS["wait"], "sampan wait", (), 80)


def test_the_root_and_the_groups_name_every_command() -> None:
    root = root_help(COMMANDS, GROUPS, GLOBAL_FLAGS, 80)
    for name in [*COMMANDS, *GROUPS]:
        assert f"\n  {name:<11} " in root
    for group in GROUPS.values():
        shown = group_help(group, f"sampan {group.name}")
        assert shown.startswith(f"Usage:  sampan {group.name} COMMAND\n")
        assert all(f"\n  {name:<11} " in shown for name in group.members)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(name: str, tmp_path: Path) -> None:
    outcome = cli_cases.sampan([name, "--help"], tmp_path)
    assert (outcome.code, outcome.err, outcome.requests) == (0, "", [])
    assert outcome.out.startswith(f"Usage:  {COMMANDS[name].use_line(f'sampan {name}')}\n")
    assert all(len(line) <= 84 for line in outcome.out.splitlines())


@pytest.mark.parametrize(
    "words", [["help", "run"], ["container", "run", "--help"], ["run", "--help"]]
)
def test_ways_to_ask_for_help(words: list[str], tmp_path: Path) -> None:
    outcome = cli_cases.sampan(words, tmp_path)
    assert outcome.code == 0
    assert " run [OPTIONS] IMAGE [COMMAND] [ARG...]\n" in outcome.out


@pytest.mark.parametrize("words", [["container"], ["image"], ["system"], ["help", "container"], []])
def test_groups_and_root_show_what_there_is(words: list[str], tmp_path: Path) -> None:
    outcome = cli_cases.sampan(words, tmp_path)
    assert outcome.code == 0
    assert "Commands:\n" in outcome.out + outcome.err


@pytest.mark.parametrize(("words", "where"), [(["ps", "-h"], "out"), (["-h"], "err")])
def test_the_old_shorthand(words: list[str], where: str, tmp_path: Path) -> None:
    outcome = cli_cases.sampan(words, tmp_path)
    assert getattr(outcome, where).startswith("Flag shorthand -h has been deprecated, use --help\n")
