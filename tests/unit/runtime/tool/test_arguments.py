"""Verifies that the command line is read as Go's flags are, and that nonsense is refused."""

from __future__ import annotations

import pytest

from sampan.runtime.tool.arguments import COMMANDS, UsageError, help_text, parse


@pytest.mark.parametrize(
    ("line", "values", "words"),
    [
        ("create --bundle /b x", {"bundle": "/b"}, ["x"]),
        ("create -b=/b x", {"bundle": "/b"}, ["x"]),
        ("create -bundle /b --no-pivot x", {"bundle": "/b", "no-pivot": True}, ["x"]),
        ("create --no-pivot=false x", {"no-pivot": False}, ["x"]),
        ("delete x --force", {"force": True}, ["x"]),
        ("kill -a x 9", {"all": True}, ["x", "9"]),
        ("exec -e A=b --env C=d x ls -l", {"env": ["A=b", "C=d"]}, ["x", "ls", "-l"]),
        ("exec x sh -c --help", {}, ["x", "sh", "-c", "--help"]),
        ("exec -- x -t", {}, ["x", "-t"]),
        ("create --preserve-fds 3 x", {"preserve-fds": 3}, ["x"]),
        ("ps x -o pid", {}, ["x", "-o", "pid"]),
        ("update --cpu-quota -1 x", {"cpu-quota": -1}, ["x"]),
    ],
)
def test_flags_and_words(line: str, values: dict[str, object], words: list[str]) -> None:
    _, _, options = parse(line.split(" "))
    assert (options.values, options.words) == (values, words)


def test_global_flags_come_first() -> None:
    top, name, options = parse(["--root", "/r", "--log-format=json", "state", "x"])
    assert (top.text("root"), top.text("log-format"), name) == ("/r", "json", "state")
    assert options.words == ["x"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("create", "requires exactly 1 argument"),
        ("create a b", "requires exactly 1 argument"),
        ("list a", "requires exactly 0 argument"),
        ("exec", "requires a minimum of 1 argument"),
        ("kill a b c", "requires a maximum of 2 argument"),
        ("create --nope x", "flag provided but not defined: -nope"),
        ("create ---bundle x", "flag provided but not defined"),
        ("create x --bundle", "flag needs an argument: -bundle"),
        ("create --preserve-fds many x", 'invalid value "many" for flag -preserve-fds'),
        ("create --no-pivot=maybe x", 'invalid boolean value "maybe" for -no-pivot'),
    ],
)
def test_nonsense(line: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        parse(line.split(" "))


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_names_every_flag(command: str) -> None:
    text = help_text(command, "1")
    for key in COMMANDS[command].flags if command else ("root", "log"):
        assert f"--{key.partition(',')[0]}" in text
