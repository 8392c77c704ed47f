"""How a command begins and ends: global flags, exit codes, signals, a reader that goes away."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import cli_cases
from tests.fakes.engine_server import Answer

SOURCE = Path(__file__).parents[3] / "src"
COMMAND = [
    sys.executable,
    "-c",
    f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from sampan.cli.main import main; main()",
]


@pytest.mark.parametrize("flag", ["-v", "--version", "-v=true"])
def test_version(flag: str, tmp_path: Path) -> None:
    outcome = cli_cases.sampan([flag], tmp_path)
    assert (outcome.code, outcome.out) == (0, "sampan version 0.1.0, build release\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--nope"], 125),
        (["nope"], 1),
        (["container", "nope"], 1),
        (["--log-level", "loud", "ps"], 1),
        (["-D", "ps"], 0),
    ],
)
def test_exit_codes(arguments: list[str], code: int, tmp_path: Path) -> None:
    assert cli_cases.sampan(arguments, tmp_path).code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('exec: "x": executable file not found in $PATH: unknown', 127),
        ("stat /x: no such file or directory", 127),
        ('exec: "/etc": permission denied: unknown', 126),
        ('exec: "/etc": is a directory: unknown', 126),
        ("driver failed programming external connectivity", 125),
    ],
)
@pytest.mark.parametrize("flags", [[], ["-d"], ["--rm"]])
def test_a_start_that_fails(text: str, code: int, flags: list[str], tmp_path: Path) -> None:
    from sampan.cli.main import run

    with cli_cases.daemon(tmp_path) as server, cli_cases.surroundings(tmp_path) as (out, err):
        server.routes["POST /start"] = Answer(
            400, b'{"message":"%b"}' % text.replace('"', '\\"').encode()
        )
        assert run(["-H", server.host, "run", *flags, "busybox"]) == code
    shown = err.read_text().replace("WARNING: mind this\n", "")
    assert (
        shown
        == f"sampan: Error response from daemon: {text}\n\nRun 'sampan run --help' for more information\n"
    )
    assert out.read_text() == (f"{cli_cases.ID}\n" if flags == ["-d"] else "")


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (Answer(200, b'{"StatusCode":42}'), 42, ""),
        (
            Answer(200, b'{"StatusCode":1,"Error":{"Message":"lost it"}}'),
            125,
            "Error waiting for container: lost it",
        ),
        (
            Answer(500, b'{"message":"oops"}'),
            125,
            "error waiting for container: Error response from daemon: oops",
        ),
        (Answer(200, b"[]"), 125, "error waiting for container: invalid answer"),
    ],
)
def test_the_containers_exit_code(answer: Answer, code: int, said: str, tmp_path: Path) -> None:
    from sampan.cli.main import run

    with cli_cases.daemon(tmp_path) as server, cli_cases.surroundings(tmp_path) as (_, err):
        server.routes["POST /wait"] = answer
        assert run(["-H", server.host, "run", "busybox"]) == code
    assert said in err.read_text()


def test_the_order_of_calls(tmp_path: Path) -> None:
    """Attached and waited for before it starts, so that neither output nor exit is missed."""
    with cli_cases.daemon(tmp_path) as server, cli_cases.surroundings(tmp_path):
        from sampan.cli.main import run

        run(["-H", server.host, "run", "--rm", "busybox"])
    calls = [request.path.rpartition("/")[2] for request in server.requests]
    assert calls == ["_ping", "create", "attach", "wait", "start"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_what_only_reads(number: int, tmp_path: Path) -> None:
    with cli_cases.daemon(tmp_path) as server:
        server.routes["GET /events"] = Answer(200, hijack=_hold)
        process = subprocess.Popen([*COMMAND, "-H", server.host, "events"], stdout=-1, stderr=-1)
        server.wait_for("GET", "/events")
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (128 + number, b"", b"")


def _hold(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_is_passed_to_the_container(number: int, tmp_path: Path) -> None:
    """The command lives on until the container ends, and ends with its exit code."""
    with cli_cases.daemon(tmp_path) as server:
        server.routes["POST /attach"] = Answer(101, hijack=lambda c: _until(server, c))
        process = subprocess.Popen(
            [*COMMAND, "-H", server.host, "run", "busybox"], stdin=-3, stdout=-1, stderr=-1
        )
        server.wait_for("POST", "/start")
        process.send_signal(number)
        process.communicate(timeout=20)
        sent = server.wait_for("POST", "/kill")
    assert sent.query == f"signal={signal.Signals(number).name[3:]}"
    assert process.returncode == 3


def _until(server: object, connection: socket.socket) -> None:
    """Keep the stream until a signal has come."""
    server.wait_for("POST", "/kill")  # type: ignore[attr-defined]


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    """As every program in a pipe: killed by SIGPIPE, without a word."""
    with cli_cases.daemon(tmp_path) as server:
        process = subprocess.Popen([*COMMAND, "-H", server.host, "ps"], stdout=-1, stderr=-1)
        assert process.stdout is not None
        process.stdout.close()
        process.wait(20)
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.stderr.close()
    assert process.returncode == -signal.SIGPIPE


@pytest.mark.parametrize("words", ["ps", "save busybox", "images -q", "--version", "pull --help"])
def test_an_output_that_is_full(tmp_path: Path, words: str) -> None:
    """docker's words for it, and a failure; docker's lists would end with 0 as if they had been written."""
    with cli_cases.daemon(tmp_path) as server, open("/dev/full", "wb") as full:
        server.routes["GET /images/get"] = Answer(200, body=b"x" * 1000)
        command = [*COMMAND, "-H", server.host, *words.split()]
        done = subprocess.run(command, stdout=full, stderr=-1, timeout=20)
    assert done.stderr == b"write /dev/stdout: no space left on device\n"
    assert done.returncode == 1


def test_run_says_so_instead(tmp_path: Path) -> None:
    with cli_cases.daemon(tmp_path) as server:
        process = subprocess.Popen(
            [*COMMAND, "-H", server.host, "run", "busybox"], stdin=-3, stdout=-1, stderr=-1
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        process.wait(20)
        process.stderr.close()
    assert err.endswith(b"write /dev/stdout: broken pipe\n")
    assert process.returncode == 1


def test_no_daemon(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "ps"],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/x"},
    )
    assert done.returncode == 1
    assert (
        done.stderr
        == f"Cannot connect to the sampan daemon at unix://{tmp_path}/x. Is the sampan daemon running?\n"
    )
