"""Inside the machine: a daemon, our command line on it, and what the host's cgroup files say."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.engines import Driver, Engine, Host, Result, wait_until
from tests.rootfs import busybox_tar

CGROUPS = Path("/sys/fs/cgroup")
IMAGE = "busybox"


class Here(Host):
    """The machine itself, or rather a process in its cgroup `path`."""

    def __init__(self, path: str = "/") -> None:
        self.cgroup = path

    def enter(self, *, outside: bool = False) -> list[str]:
        procs = CGROUPS / self.cgroup.strip("/") / "cgroup.procs"
        return ["sh", "-c", f'echo $$ >{procs}; exec "$@"', "-"]

    def close(self) -> None:
        """There is nothing to give back."""


class Nested(Here):
    """A process at the root of a cgroup namespace, as in a container that runs an engine itself."""

    def enter(self, *, outside: bool = False) -> list[str]:
        return [sys.executable, "-m", "tests.machine.v2.nested", self.cgroup]


class House:
    """A daemon with a busybox image. `parent` is where its containers' cgroups are, as a folder."""

    def __init__(
        self, name: str, *options: str, host: Here | None = None, parent: str = "/sampan"
    ) -> None:
        host = host or Here()
        self.engine = Engine("sampand", Path("/var/lib") / name, host, list(options))
        self.sampan = Driver(self.engine, "sampan", sampan=Path("/usr/local/bin/sampan"))
        self.parent = CGROUPS / parent.strip("/")

    def open(self) -> House:
        self.engine.start()
        self.sampan.load_image(busybox_tar(), IMAGE)
        return self

    def log(self) -> str:
        """The daemon's, from its first start on."""
        return self.engine.log if (self.engine.root / "log").exists() else ""

    def clear(self) -> None:
        """Nothing is left of any container in the cgroup file system."""
        self.engine.remove_containers()
        same(self.groups(), [])

    def groups(self) -> list[str]:
        """Names of the containers' cgroups."""
        if not self.parent.exists():
            return []
        return sorted(entry.name for entry in self.parent.iterdir() if len(entry.name) == 64)

    def run(self, *words: str) -> Result:
        """`run --rm` with the flags before `--` and the command after it."""
        flags, command = split(words)
        return self.sampan("run", "--rm", "--net=none", *flags, IMAGE, *command)

    def shell(self, *words: str) -> Result:
        """The same with one text for the shell after `--`."""
        flags, command = split(words)
        return self.run(*flags, "--", "sh", "-c", *command)

    def file(self, name: str, *flags: str) -> str:
        """What a container with these flags reads in a file of its cgroup."""
        result = self.run(*flags, "--", "cat", f"/sys/fs/cgroup/{name}")
        assert result.code == 0, result
        return result.out.strip()

    def start(self, *words: str) -> Container:
        """A container in the background, by default one that sleeps."""
        flags, command = split(words)
        command = command or ["sleep", "1000"]
        return Container(self, self.sampan.ok("run", "-d", "--net=none", *flags, IMAGE, *command))

    def create(self, host_config: dict[str, Any]) -> tuple[str, list[str]]:
        """Id and warnings of a container made over the API."""
        body = {"Image": IMAGE, "Cmd": ["true"], "HostConfig": host_config}
        status, answer = self.engine.request("POST", "/containers/create", body)
        assert status == 201, answer
        return answer["Id"], answer["Warnings"]


class Container:
    def __init__(self, house: House, container_id: str) -> None:
        self.house, self.id = house, container_id
        self.group = house.parent / container_id

    def inspect(self) -> dict[str, Any]:
        return self.house.sampan.inspect(self.id)

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.inspect()["State"]
        return state

    def exec(self, *words: str) -> Result:
        return self.house.sampan("exec", self.id, *words)

    def read(self, name: str) -> str:
        """A file of its cgroup, seen from the host."""
        return (self.group / name).read_text().strip()

    def wait_exited(self) -> dict[str, Any]:
        self.house.sampan.ok("wait", self.id)
        return self.state

    def monitor(self) -> int:
        """Pid of the process above its first one."""
        status = Path(f"/proc/{self.state['Pid']}/status").read_text()
        return int(status.partition("PPid:")[2].split()[0])


def same(found: object, expected: object) -> None:
    """`assert ==` that says both sides: pytest is not in the machine."""
    assert found == expected, f"{found!r} is not {expected!r}"


def split(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    if "--" not in words:
        return list(words), []
    place = words.index("--")
    return list(words[:place]), list(words[place + 1 :])


def processes(group: Path) -> list[int]:
    """Those of the cgroup and of the ones in it, as each exec has one."""
    found: list[int] = []
    for path in [group, *group.glob("*/")]:
        with contextlib.suppress(FileNotFoundError):
            found += [int(word) for word in (path / "cgroup.procs").read_text().split()]
    return found


def is_inside(text: str) -> bool:
    """Whether /proc/self/cgroup, as an exec in a container reads it, is in the container's own cgroup."""
    return text == "0::/\n" or text.startswith("0::/exec-")


@contextlib.contextmanager
def another(
    name: str, *options: str, host: Here | None = None, parent: str = "/sampan"
) -> Iterator[House]:
    """One more daemon beside the first, without a network of its own."""
    house = House(name, "--bridge=none", *options, host=host, parent=parent)
    try:
        yield house.open()
        house.clear()
    finally:
        house.engine.dispose()


@contextlib.contextmanager
def group(path: str) -> Iterator[Path]:
    """A cgroup that somebody else made."""
    folder = CGROUPS / path.strip("/")
    os.makedirs(folder)
    try:
        yield folder
    finally:
        # A daemon's helpers end a moment after it.
        wait_until(
            lambda: "populated 0" in (folder / "cgroup.events").read_text(), "it to be empty"
        )
        for inner in sorted(folder.rglob("*/"), reverse=True):
            inner.rmdir()
        folder.rmdir()
