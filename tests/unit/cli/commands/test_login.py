"""`login` at a terminal: questions, silence, and the account that is there already."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import cli_cases
from tests.fakes.engine_server import Answer, EngineServer
from tests.terminal import Terminal
from tests.unit.cli.commands.test_terminal_commands import COMMAND


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    with cli_cases.daemon(tmp_path) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def terminal(server: EngineServer, home: Path, *arguments: str) -> Terminal:
    environment = {**os.environ, "DOCKER_CONFIG": str(home), "PATH": "/usr/bin:/bin"}
    return Terminal([*COMMAND, "-H", server.host, *arguments], environment, rows=24, columns=80)


def bodies(server: EngineServer) -> list[dict[str, str]]:
    return [json.loads(request.body) for request in server.requests if request.path == "/auth"]


def test_questions(server: EngineServer, home: Path) -> None:
    """The name is asked for, then the password, which is not shown."""
    with terminal(server, home, "login", "reg.test") as user:
        user.expect("Username: ")
        user.type("bob\n")
        user.expect("Password: ")
        user.type("se cret\n")
        shown = user.expect(r"(?s)^(.*)Login Succeeded")[1]
        assert "se cret" not in shown
        assert (user.wait(), user.restored) == (0, True)
    assert bodies(server) == [
        {"username": "bob", "password": "se cret", "serveraddress": "reg.test"}
    ]
    auths = json.loads((home / "config.json").read_text())["auths"]
    assert auths == {"reg.test": {"auth": "Ym9iOnNlIGNyZXQ="}}


@pytest.mark.parametrize(
    ("typed", "text"),
    [(["\n"], "Non-null Username Required"), (["b\n", "\n"], "Password Required")],
)
def test_no_answer(server: EngineServer, home: Path, typed: list[str], text: str) -> None:
    """docker's words, and nothing is asked of the daemon."""
    with terminal(server, home, "login", "reg.test") as user:
        for question, line in zip(("Username: ", "Password: "), typed):
            user.expect(question)
            user.type(line)
        user.expect(f"Error: {text}")
        assert user.wait() == 1
    assert bodies(server) == []


def test_ctrl_c_gives_the_terminal_back(server: EngineServer, home: Path) -> None:
    """What is typed is shown again."""
    with terminal(server, home, "login", "-u", "bob", "reg.test") as user:
        user.expect("Password: ")
        user.type("\x03")
        assert (user.wait(), user.restored) == (130, True)


def test_the_account_that_is_known(server: EngineServer, home: Path) -> None:
    """It is tried first; when it is not good any more, the questions come."""
    home.mkdir()
    (home / "config.json").write_text('{"auths": {"reg.test": {"auth": "Ym9iOm9sZA=="}}}')
    refused = Answer(401, b'{"message": "unauthorized"}')
    answers = iter([refused, Answer(body=b'{"Status": "Login Succeeded"}')])
    server.routes["POST /auth"] = lambda _: next(answers)
    with terminal(server, home, "login", "reg.test") as user:
        user.expect(r"Authenticating with existing credentials\.\.\. \[Username: bob\]")
        user.expect("Stored credentials invalid or expired")
        user.expect("Password: ")
        user.type("new\n")
        assert user.wait() == 0
    assert [body["password"] for body in bodies(server)] == ["old", "new"]
