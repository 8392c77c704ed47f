"""The daemon is started by root only, when wanted, once, and with a clear word when it does not come up."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from sampan.cli import autostart
from sampan.cli.failure import Failure
from tests.fakes.engine_server import EngineServer

LISTEN = """
import os, socket, sys, signal
print("starting up", flush=True)
sock = socket.socket(socket.AF_UNIX)
sock.bind(sys.argv[1]); sock.listen()
with open(sys.argv[2], "w") as file:
    file.write(f"{os.getpid()} {os.getsid(0)} {os.getppid()} {os.getcwd()} {sorted(map(int, os.listdir('/proc/self/fd')))[:4]}")
os.rename(sys.argv[2], sys.argv[2] + ".done")
connection, _ = sock.accept()
connection.recv(1000)
connection.send(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
signal.pause()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(autostart, "DEFAULT_SOCKET", str(tmp_path / "socket"))
    monkeypatch.setattr(autostart, "SETTINGS", str(tmp_path / "cli.json"))
    monkeypatch.setattr(autostart, "LOG_DIRECTORY", str(tmp_path / "log"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("SAMPAN_AUTOSTART", raising=False)
    return tmp_path


def runs(monkeypatch: pytest.MonkeyPatch, code: str, *arguments: Path) -> None:
    command = [sys.executable, "-I", "-c", code, *map(str, arguments)]
    monkeypatch.setattr(autostart, "_command", lambda: command)


def test_it_is_started_as_a_daemon_of_its_own(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, LISTEN, place / "socket", place / "facts")
    assert autostart.start() is True
    done = place / "facts.done"
    while not done.exists():
        pass
    pid, session, parent, folder, descriptors = done.read_text().split(" ", 4)
    try:
        assert session != str(os.getsid(0))
        assert pid != session  # no session leader: it never gets a terminal
        assert parent != str(os.getpid())
        assert folder == "/"
        assert descriptors.startswith("[0, 1, 2, ")
        assert (place / "log" / "sampand.log").read_text() == "starting up\n"
    finally:
        os.kill(int(pid), signal.SIGKILL)


@pytest.mark.parametrize("value", ["0", "false", "no", "OFF"])
def test_switched_off_by_the_environment(
    place: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SAMPAN_AUTOSTART", value)
    assert autostart.start() is False


def test_switched_off_by_a_file(place: Path) -> None:
    (place / "cli.json").write_text('{"autostart": false}')
    assert autostart.start() is False


def test_others_than_root_start_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert autostart.start() is False


def test_a_broken_file_is_named(place: Path) -> None:
    (place / "cli.json").write_text("{")
    with pytest.raises(Failure, match=r"cannot read .*cli\.json"):
        autostart.start()


def test_what_it_said_last_is_shown_when_it_ends(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autostart, "_GRACE", 0.0)
    runs(monkeypatch, "print('one'); print('no such bridge'); raise SystemExit(3)")
    with pytest.raises(Failure, match=r"ended before it answered on unix://.*: no such bridge$"):
        autostart.start()


def test_a_deadline(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autostart, "_DEADLINE", 0.05)
    runs(monkeypatch, "import os, signal; print(os.getpid(), flush=True); signal.pause()")
    with pytest.raises(Failure, match="does not answer after"):
        autostart.start()
    log = place / "log" / "sampand.log"
    while not log.read_text():
        pass
    os.kill(int(log.read_text()), signal.SIGKILL)


def test_a_command_that_is_not_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autostart, "_command", lambda: [str(place / "nothing")])
    with pytest.raises(Failure, match=r"cannot start .*nothing: No such file or directory"):
        autostart.start()


def test_it_is_waited_for_until_it_answers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listening is not enough: it may find out later that it cannot go on."""
    monkeypatch.setattr(autostart, "_GRACE", 0.0)
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); s.accept(); print('cannot')"
    runs(monkeypatch, code, place / "socket")
    with pytest.raises(Failure, match=r"ended before it answered on unix://.*: cannot$"):
        autostart.start()


def test_somebody_elses_daemon_will_do(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands at once: the second daemon ends at once, the first answers a moment later."""
    with EngineServer(place, name="elsewhere") as server:
        original = autostart._answers
        looks: list[bool] = []

        def late(process: int, end: float) -> bool:
            looks.append(True)
            if len(looks) == 3:
                os.rename(server.path, place / "socket")
            return original(process, end)

        monkeypatch.setattr(autostart, "_answers", late)
        runs(monkeypatch, "raise SystemExit(1)")
        assert autostart.start() is True


def test_which_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "sampan")])
    assert autostart._command()[0] == sys.executable
    beside = tmp_path / "sampand"
    beside.write_text("")
    beside.chmod(0o755)
    assert autostart._command() == [str(beside)]
