"""run, exec, attach and start at a real terminal, against a daemon that is none."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import cli_cases
from tests.fakes.engine_server import Answer, EngineServer
from tests.terminal import Terminal

SOURCE = Path(__file__).parents[4] / "src"
COMMAND = [
    sys.executable,
    "-c",
    f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from sampan.cli.main import main; main()",
]


def echo(connection: socket.socket) -> None:
    """A shell that repeats what is typed, and ends at the word "bye"."""
    connection.sendall(b"ready> ")
    seen = b""
    while data := connection.recv(1024):
        seen += data
        connection.sendall(data.upper())
        if b"bye" in seen:
            return


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EngineServer]:
    with cli_cases.daemon(tmp_path) as running:
        container = cli_cases.container()
        container["Config"] |= {"Tty": True, "OpenStdin": True}
        running.routes["GET /json"] = Answer(body=json.dumps(container).encode())
        for path in ("/attach", "/exec/e1/start"):
            running.routes[f"POST {path}"] = Answer(101, hijack=echo)
        yield running


def at_terminal(server: EngineServer, *arguments: str) -> Terminal:
    return Terminal(
        [*COMMAND, "-H", server.host, *arguments], dict(os.environ), rows=31, columns=97
    )


WAYS = [
    (["run", "-it", "busybox"], "/containers/", 3, 0, ""),
    (["start", "-ai", "x"], "/containers/", 3, 0, ""),
    (["attach", "x"], "/containers/", 3, 1, "read escape sequence"),
    (["exec", "-it", "x", "sh"], "/exec/e1", 4, 1, "read escape sequence"),
]


@pytest.mark.parametrize(("arguments", "resized", "code", "_detached", "_said"), WAYS)
def test_typing_resizing_and_the_end(
    server: EngineServer, arguments: list[str], resized: str, code: int, _detached: int, _said: str
) -> None:
    with at_terminal(server, *arguments) as terminal:
        terminal.expect("ready> ")
        terminal.type("a\x03b")  # Ctrl-C is the container's
        terminal.expect("A\x03B")
        first = server.wait_for("POST", "/resize")
        assert (first.query, first.path.startswith(resized)) == ("h=31&w=97", True)
        with server.changed:
            server.requests.remove(first)
        terminal.resize(20, 60)
        assert server.wait_for("POST", "/resize").query == "h=20&w=60"
        terminal.type("bye")
        assert terminal.wait() == code
        assert terminal.restored


@pytest.mark.parametrize(("arguments", "_resized", "_code", "detached", "said"), WAYS)
def test_detaching(
    server: EngineServer, arguments: list[str], _resized: str, _code: int, detached: int, said: str
) -> None:
    with at_terminal(server, *arguments) as terminal:
        terminal.expect("ready> ")
        terminal.type("x\x10\x11")
        assert terminal.wait() == detached
        assert terminal.restored
        terminal.expect(said)


def test_the_terminal_is_told_in_the_create(server: EngineServer) -> None:
    with at_terminal(server, "run", "-it", "busybox") as terminal:
        terminal.expect("ready> ")
        body = json.loads(server.wait_for("POST", "/containers/create").body)
        assert body["HostConfig"]["ConsoleSize"] == [31, 97]
        terminal.type("bye")
        terminal.wait()


def test_a_start_that_fails_leaves_the_terminal_as_it_was(server: EngineServer) -> None:
    server.routes["POST /start"] = Answer(500, b'{"message":"no"}')
    with at_terminal(server, "run", "-it", "busybox") as terminal:
        assert terminal.wait() == 125
        terminal.expect("sampan: Error response from daemon: no\r\n")
        assert terminal.restored


@pytest.mark.parametrize(
    "arguments", [["run", "-it", "busybox"], ["exec", "-it", "x", "sh"], ["attach", "x"]]
)
def test_without_a_terminal_there_is_none_to_give(
    server: EngineServer, arguments: list[str]
) -> None:
    from sampan.cli.main import run

    with cli_cases.surroundings(server.path.parent) as (_, err):
        assert run(["-H", server.host, *arguments]) == 1
    assert err.read_text() == "the input device is not a TTY\n"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"Running": False}, "You cannot attach to a stopped container, start it first"),
        ({"Paused": True}, "You cannot attach to a paused container, unpause it first"),
        (
            {"Restarting": True},
            "You cannot attach to a restarting container, wait until it is running",
        ),
    ],
)
def test_what_cannot_be_attached_to(
    server: EngineServer, state: dict[str, bool], text: str
) -> None:
    from sampan.cli.main import run

    container = cli_cases.container()
    container["State"] |= state
    server.routes["GET /json"] = Answer(body=json.dumps(container).encode())
    with cli_cases.surroundings(server.path.parent) as (_, err):
        assert run(["-H", server.host, "attach", "x"]) == 1
    assert err.read_text() == f"{text}\n"
