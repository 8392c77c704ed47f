"""Registries as real parts: Debian's docker-registry in a `Host`, and those of tests/fakes on that host's loopback.

with docker_registry(host, folder, "127.0.0.1:5000", tls=…, htpasswd=…) as authority: …
with in_background(host, Registry()) as registry: registry.fault(…)
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.engines import Host, wait_until
from tests.netns import KERNEL, run_in

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
NAME = "registry.test"


@dataclass(frozen=True)
class Tls:
    """A CA, a server's certificate for an address, and a client's."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.crt"

    def pair(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"


def make_tls(folder: Path, address: str) -> Tls:
    """Made by openssl; `address` is the server's only name."""
    folder.mkdir(parents=True, exist_ok=True)
    subject = ["-subj", "/CN=test", "-days", "2", "-nodes", "-newkey", "rsa:2048"]
    _openssl(folder, "req", "-x509", *subject, "-keyout", "ca.key", "-out", "ca.crt")
    for name, extension in (
        ("server", f"subjectAltName=IP:{address}"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        (folder / "extension").write_text(extension)
        _openssl(folder, "req", *subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signing = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
        _openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-extfile", "extension",
            "-out", f"{name}.crt",
        )  # fmt: skip
    return Tls(folder)


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@contextmanager
def docker_registry(
    host: Host,
    folder: Path,
    address: str,
    *,
    storage: Path | None = None,
    tls: Tls | None = None,
    clients: bool = False,
    htpasswd: dict[str, str] | None = None,
    token: dict[str, str] | None = None,
) -> Iterator[str]:
    """Its authority, once it answers. `clients`: only whoever shows a certificate; `token`: its token section."""
    folder.mkdir(parents=True, exist_ok=True)
    http: dict[str, Any] = {"addr": address, "secret": "the same for all"}
    if tls is not None:
        certificate, key = tls.pair("server")
        http["tls"] = {"certificate": str(certificate), "key": str(key)}
        if clients:
            http["tls"]["clientcas"] = [str(tls.authority)]
    auth: dict[str, Any] = {}
    if htpasswd is not None:
        auth = {"htpasswd": {"realm": "test", "path": str(_htpasswd(folder, htpasswd))}}
    if token is not None:
        auth = {"token": token}
    # JSON is YAML.
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(storage or folder / "data")}},
        "http": http,
        **({"auth": auth} if auth else {}),
    }
    (folder / "config.yml").write_text(json.dumps(config))
    with open(folder / "log", "ab") as log:
        process = subprocess.Popen(
            [*host.enter(), "docker-registry", "serve", str(folder / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: _listens(host, address), f"docker-registry at {address}", 30)
        yield address
    finally:
        process.kill()
        process.wait()


def _htpasswd(folder: Path, users: dict[str, str]) -> Path:
    lines = [
        subprocess.run(
            ["htpasswd", "-Bbn", user, password], check=True, capture_output=True, text=True
        ).stdout
        for user, password in users.items()
    ]
    (folder / "htpasswd").write_text("".join(lines))
    return folder / "htpasswd"


def _listens(host: Host, address: str) -> bool:
    name, _, port = address.rpartition(":")
    fd = os.open(f"/proc/{host.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def connect() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex((name, int(port))) == 0

    try:
        return run_in(fd, connect)
    finally:
        os.close(fd)


@contextmanager
def in_background(host: Host, server: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """A server of an event loop, on a thread of its own that is inside the host."""
    started, made, failed = threading.Event(), [], []
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        async with server as entered:
            made.append(entered)
            loops.append((asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()

    def body() -> None:
        fd = os.open(f"/proc/{host.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            KERNEL.setns(fd, CLONE_NEWNET)
            asyncio.run(serve())
        except BaseException as error:
            failed.append(error)
        finally:
            os.close(fd)
            started.set()

    thread = threading.Thread(target=body)
    thread.start()
    started.wait(20)
    assert made, failed
    try:
        yield made[0]
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
    assert not failed, failed
