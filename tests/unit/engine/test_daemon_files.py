"""What the daemon has on the host: sockets, lock, pid file, readiness, its own log; and the options' way to it."""

from __future__ import annotations

import logging
import os
import socket
import stat
from pathlib import Path

import pytest

from sampan import daemon
from sampan.engine import instance, journal, listen, options
from sampan.engine.config import ConfigError, gather

ROOT = os.geteuid() == 0


@pytest.mark.skipif(not ROOT, reason="changes the owner of a socket")
def test_a_socket(tmp_path: Path) -> None:
    """0660 and the group's from the first instant, its folder is made, a dead one is replaced."""
    path = tmp_path / "a" / "s.sock"
    before = os.umask(0o022)
    try:
        for _ in range(2):
            (sock,) = listen.open_sockets((f"unix://{path}",), group="1", environment={})
            status = path.stat()
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o660, 0, 1)
            sock.close()
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    listen.remove_paths((f"unix://{path}", "fd://"))
    assert not path.exists()
    listen.remove_paths((f"unix://{path}",))


@pytest.mark.skipif(not ROOT, reason="changes the owner of a socket")
def test_a_socket_that_is_alive(tmp_path: Path) -> None:
    """Never taken away from whoever listens; nor is a file that is no socket."""
    path = tmp_path / "s.sock"
    (sock,) = listen.open_sockets((f"unix://{path}",), group="0", environment={})
    with sock, pytest.raises(OSError, match="address already in use"):
        listen.open_sockets((f"unix://{path}",), group="0", environment={})
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FileExistsError):
        listen.open_sockets((f"unix://{tmp_path / 'file'}",), group="0", environment={})
    assert (tmp_path / "file").read_text() == "precious"


def test_groups() -> None:
    """A given one must be there."""
    assert listen.group_id("0") == 0
    assert listen.group_id("root") == 0
    with pytest.raises(ConfigError, match="group nosuchgroup not found"):
        listen.group_id("nosuchgroup")


def test_sockets_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number or name, not inherited further; without them a clear error."""
    one, other = socket.socketpair()
    with one, other:
        environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
        for name in ("", "web", "*"):
            fd = os.dup(one.fileno())
            monkeypatch.setattr(listen, "FIRST_FD", fd)
            os.set_inheritable(fd, True)
            (sock,) = listen.inherited(environment, name)
            assert not os.get_inheritable(sock.fileno())
            sock.close()
        for broken in ({}, {**environment, "LISTEN_PID": "1"}, {**environment, "LISTEN_FDS": "0"}):
            with pytest.raises(ConfigError, match="no sockets found via socket activation"):
                listen.inherited(broken, "")


def test_one_daemon_to_a_data_root(tmp_path: Path) -> None:
    """The second is refused and told who has it; afterwards the way is free."""
    held = instance.lock(str(tmp_path))
    with pytest.raises(ConfigError, match=rf"another sampand \(process {os.getpid()}\) uses"):
        instance.lock(str(tmp_path))
    os.close(held)
    os.close(instance.lock(str(tmp_path)))


def test_pid_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A living daemon's is respected, a stale one is taken over, only our own is removed."""
    path = tmp_path / "x" / "pid"
    instance.write_pidfile(str(path))
    assert path.read_text() == str(os.getpid())
    path.write_text(str(os.getppid()))
    instance.remove_pidfile(str(path))
    assert path.exists()
    monkeypatch.setattr(instance, "NAME", Path(f"/proc/{os.getppid()}/comm").read_text().strip())
    with pytest.raises(ConfigError, match="is still running"):
        instance.write_pidfile(str(path))
    monkeypatch.setattr(instance, "NAME", "sampand-of-nobody")
    instance.write_pidfile(str(path))
    instance.remove_pidfile(str(path))
    assert not path.exists()
    instance.write_pidfile("")


def test_readiness(tmp_path: Path) -> None:
    """sd_notify(3); without systemd, or with one that is gone, nothing happens."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        instance.notify({"NOTIFY_SOCKET": path}, "READY=1")
        assert systemd.recv(100) == b"READY=1"
    instance.notify({"NOTIFY_SOCKET": path}, "READY=1")
    instance.notify({}, "READY=1")


def test_own_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A time, a level, a room, one text a line; `--debug` shows milliseconds."""
    formatter = journal.Formatter("%(message)s")
    record = logging.LogRecord("sampan.x", logging.WARNING, "f", 1, "two\nlines", (), None)
    record.created = 1_795_498_700.0
    assert formatter.format(record) == "2026-11-24T05:38:20Z warning sampan.x: two\n  lines"


def test_configuration_file(tmp_path: Path) -> None:
    """Found where it is said to be; one that was named must be there; its name is in every complaint."""
    path = tmp_path / "daemon.json"
    path.write_text('{"mtu": 1400}')
    arguments = options.parse([f"--config-file={path}", "--debug"])
    made, given = gather(arguments.directives, arguments.config_file)
    assert (made.mtu, made.debug, given) == (1400, True, {"mtu"})
    path.write_text('{"nosuch": 1}')
    with pytest.raises(ConfigError) as caught:
        gather(arguments.directives, arguments.config_file)
    assert str(caught.value) == (
        f"unable to configure the Docker daemon with file {path}: "
        "the following directives don't match any configuration option: nosuch"
    )
    with pytest.raises(ConfigError, match="No such file or directory"):
        gather({}, str(tmp_path / "nope"))


def test_how_it_is_run_again() -> None:
    """Isolated: neither the caller's environment nor its folder decides what is imported."""
    python, flag, _, code = daemon._program("main")
    assert flag == "-I"
    assert os.path.isabs(python)
    assert "daemon.main()" in code
