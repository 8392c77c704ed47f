"""Engines under test: sampand and the reference, dockerd, each with a host of its own.

A `Host` is a private network namespace, so that neither engine ever touches the bridges, addresses and
firewall of the machine. An `Engine` is a daemon on its own socket and roots; a `Driver` is a command
(`docker` or `sampan`) talking to an engine. One table of command lines runs on all of them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

DOCKER = shutil.which("docker") or "docker"
VENV_BIN = Path(sys.executable).parent


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 15.0) -> Any:
    """The condition's first true value; fails with `what` when the time is over."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.01)


class Host:
    """A network namespace with an uplink to another one that plays the outside (192.0.2.0/24, TEST-NET-1)."""

    def __init__(self) -> None:
        self._holders: list[subprocess.Popen[bytes]] = []
        self.pid = self._hold()
        self.outside_pid = self._hold()
        setup = f"""
            set -e
            ip link add uplink type veth peer name eth0 netns {self.outside_pid}
            ip link set lo up
            ip addr add 192.0.2.2/24 dev uplink
            ip link set uplink up
            nsenter --net=/proc/{self.outside_pid}/ns/net sh -ec '
                ip link set lo up; ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up'
            ip route add default via 192.0.2.1
        """
        subprocess.run([*self.enter(), "sh", "-c", setup], check=True, timeout=20)

    def _hold(self) -> int:
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"], stdout=-1
        )
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.stdout.close()
        self._holders.append(holder)
        return holder.pid

    def enter(self, *, outside: bool = False) -> list[str]:
        """Words to put before a command so that it runs on this host."""
        return ["nsenter", f"--net=/proc/{self.outside_pid if outside else self.pid}/ns/net"]

    def close(self) -> None:
        for holder in self._holders:
            holder.kill()
            holder.wait()


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass
class Engine:
    """A daemon: `kind` is "sampand" or "dockerd"."""

    kind: str
    root: Path
    host: Host
    extra: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    python: str = sys.executable
    exec_root: Path = Path()  # by default a folder of the root
    program: list[str] = field(default_factory=list)  # by default the kind's, from these sources

    def __post_init__(self) -> None:
        if self.exec_root == Path():
            self.exec_root = self.root / "exec"

    @property
    def socket(self) -> Path:
        return self.root / "engine.sock"

    @property
    def data_root(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    def command(self) -> list[str]:
        ours = [self.python, "-m", "sampan.daemon"]
        return [
            *self.host.enter(),
            *(self.program or (ours if self.kind == "sampand" else ["dockerd"])),
            f"--host=unix://{self.socket}",
            f"--data-root={self.data_root}",
            f"--exec-root={self.exec_root}",
            f"--pidfile={self.root / 'pid'}",
            *self.extra,
        ]

    def start(self) -> Engine:
        self.root.mkdir(parents=True, exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        with open(self.root / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**environment, **self.env},
            )
        wait_until(self._answers, f"{self.kind} to answer; its log:\n{self.log[-3000:]}", 100)
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.kind} ended:\n{self.log[-3000:]}"
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.request("GET", "/_ping")[0] == 200
        return False

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def request(
        self, method: str, path: str, body: object = None, *, timeout: float = 30.0
    ) -> tuple[int, Any]:
        """Status and decoded body (text when it is not JSON) of one API call."""
        connection = _UnixConnection(str(self.socket), timeout)
        try:
            data = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
            headers = {"Content-Type": "application/json"} if data is not None else {}
            connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            payload = response.read()
        finally:
            connection.close()
        try:
            return response.status, json.loads(payload)
        except ValueError:
            return response.status, payload.decode(errors="replace")

    def containers(self) -> list[dict[str, Any]]:
        answer = self.request("GET", "/containers/json?all=1")[1]
        assert isinstance(answer, list), answer
        return answer

    def remove_containers(self) -> None:
        for container in self.containers():
            self.request("DELETE", f"/containers/{container['Id']}?force=1&v=1", timeout=60)

    def remove_volumes(self) -> None:
        for volume in self.request("GET", "/volumes")[1].get("Volumes") or []:
            self.request("DELETE", f"/volumes/{volume['Name']}?force=1")

    def dispose(self) -> None:
        """End the daemon and whatever it left running, and take its folders away."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(Exception):
                self.remove_containers()
            self.stop()
        # A reference engine leaves mounts of its own under its roots.
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        ours = (f"{self.root}/", f"{self.exec_root}/")
        for mount in reversed([mount for mount in mounts if mount.startswith(ours)]):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self.exec_root, ignore_errors=True)


@dataclass
class Driver:
    """A command line client bound to an engine."""

    engine: Engine
    client: str
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    sampan: Path = VENV_BIN / "sampan"

    def __str__(self) -> str:
        return f"{self.client}-{self.engine.kind}"

    def argv(self, *args: str) -> list[str]:
        program = DOCKER if self.client == "docker" else str(self.sampan)
        return [program, "-H", f"unix://{self.engine.socket}", *args]

    def environment(self) -> dict[str, str]:
        home = {"HOME": str(self.engine.root / "home")}
        return {**os.environ, "DOCKER_CLI_HINTS": "false", "TERM": "xterm", **home}

    def __call__(self, *args: str, input: bytes | str = b"", timeout: float = 60) -> Result:
        data = input.encode() if isinstance(input, str) else input
        done = subprocess.run(
            self.argv(*args),
            input=data,
            capture_output=True,
            timeout=timeout,
            env=self.environment(),
        )
        return Result(
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )

    def ok(self, *args: str, input: bytes | str = b"", timeout: float = 60) -> str:
        """The output, stripped, of a command that must succeed."""
        result = self(*args, input=input, timeout=timeout)
        assert result.code == 0, f"{args}: exit {result.code}\n{result.out}\n{result.err}"
        return result.out.strip()

    def popen(self, *args: str, **options: Any) -> subprocess.Popen[bytes]:
        defaults = {"stdin": -1, "stdout": -1, "stderr": -1, "env": self.environment()}
        self.started.append(subprocess.Popen(self.argv(*args), **{**defaults, **options}))
        return self.started[-1]

    def close(self) -> None:
        """End what `popen` started, and remove every container and volume."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in process.stdin, process.stdout, process.stderr:
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
        self.engine.remove_containers()
        self.engine.remove_volumes()

    def inspect(self, name: str) -> dict[str, Any]:
        return json.loads(self.ok("inspect", name))[0]

    def load_image(self, tar: bytes, reference: str, *changes: str) -> str:
        flags = [word for change in changes for word in ("-c", change)]
        return self.ok("import", *flags, "-", reference, input=tar)


@contextlib.contextmanager
def running_engine(
    kind: str, root: Path, *extra: str, host: Host | None = None
) -> Iterator[Engine]:
    own = host is None
    host = host or Host()
    engine = Engine(kind, root, host, list(extra))
    try:
        engine.start()
        yield engine
    finally:
        try:
            engine.dispose()
        finally:
            if own:
                host.close()
