"""Where the daemon is: -H, the environment, the default."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sampan.cli.address import Address, choose
from sampan.cli.failure import ConnectionFailed, Failure


@pytest.mark.parametrize(
    ("text", "shown", "header"),
    [
        ("unix:///a/b.sock", "unix:///a/b.sock", "localhost"),
        ("unix://", "unix:///run/sampan.sock", "localhost"),
        ("tcp://host:1", "tcp://host:1", "host:1"),
        ("tcp://host", "tcp://host:2375", "host:2375"),
        ("tcp://[::1]", "tcp://[::1]:2375", "[::1]:2375"),
        ("tcp://[::1]:80/", "tcp://[::1]:80", "[::1]:80"),
        ("http://host:1", "tcp://host:1", "host:1"),
        (" host:1 ", "tcp://host:1", "host:1"),
        ("tcp://", "tcp://localhost:2375", "localhost:2375"),
    ],
)
def test_forms(text: str, shown: str, header: str) -> None:
    address = Address(text, explicit=True)
    assert (address.text, address.host_header) == (shown, header)


@pytest.mark.parametrize("text", ["foo://x", "fd://", "ssh://x", "npipe:////./pipe"])
def test_what_we_do_not_speak(text: str) -> None:
    with pytest.raises(Failure, match="invalid bind address format"):
        Address(text, explicit=True)


@pytest.mark.parametrize(
    ("hosts", "environment", "chosen", "explicit"),
    [
        ([], {}, "unix:///run/sampan.sock", False),
        ([], {"DOCKER_HOST": "unix:///d"}, "unix:///d", True),
        ([], {"DOCKER_HOST": "unix:///d", "SAMPAN_HOST": "unix:///s"}, "unix:///s", True),
        (["unix:///a", "unix:///b"], {"SAMPAN_HOST": "unix:///s"}, "unix:///b", True),
        ([""], {}, "unix:///run/sampan.sock", False),
        ([], {"DOCKER_HOST": ""}, "unix:///run/sampan.sock", False),
    ],
)
def test_the_last_word_counts(
    hosts: list[str],
    environment: dict[str, str],
    chosen: str,
    explicit: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DOCKER_HOST", "SAMPAN_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    address = choose(hosts)
    assert (address.text, address.explicit) == (chosen, explicit)


def test_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        sock = Address(f"tcp://127.0.0.1:{port}", explicit=True).connect()
        assert sock.getpeername()[1] == port
        sock.close()
    with pytest.raises(ConnectionFailed, match="Is the sampan daemon running"):
        Address(f"tcp://127.0.0.1:{port}", explicit=True).connect()


def test_what_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConnectionFailed, match="Cannot connect"):
        Address(f"unix://{tmp_path}/file", explicit=True).connect()
