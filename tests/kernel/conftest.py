"""Real containers for the tests of this folder; they need root and busybox-static."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sampan.linux.kernel import Kernel, LinuxKernel
from sampan.runtime.create import Created, create
from sampan.runtime.exec import exec_process
from sampan.runtime.request import Request, Target, wait_exit
from sampan.spec.mount import Mount
from tests.bundles import BUSYBOX, make_config, make_rootfs
from tests.ledger import Ledger

_numbers = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = "needs root" if os.geteuid() else None if os.path.exists(BUSYBOX) else f"no {BUSYBOX}"
    if missing is not None:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """Where the unblocking of signals is what fails, they stay blocked, and later tests would inherit that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.fixture
def unchanged_host() -> Iterator[Ledger]:
    """The test leaves no mount, cgroup, link, process or descriptor behind."""
    before = Ledger.take()
    yield before
    before.require_same()


@dataclass(frozen=True)
class Result:
    status: int
    output: str
    errors: str

    def lines(self) -> list[str]:
        return self.output.splitlines()

    def table(self) -> dict[str, str]:
        """Of text like /proc/PID/status."""
        pairs = (line.partition(":") for line in self.lines())
        return {key.strip(): value.strip() for key, _, value in pairs}


@dataclass
class Box:
    """Containers over one root file system. `lower` may be changed before the first of them."""

    folder: Path
    lower: Path
    kernel: Kernel = field(default_factory=LinuxKernel)
    id: str = ""

    def config(self, *args: str, **process: Any) -> dict[str, Any]:
        return make_config(f"{self.id}-{next(_numbers)}", *args, **process)

    def root(self) -> tuple[Mount, ...]:
        number = next(_numbers)
        upper, work = self.folder / f"upper{number}", self.folder / f"work{number}"
        upper.mkdir()
        work.mkdir()
        options = (f"lowerdir={self.lower}", f"upperdir={upper}", f"workdir={work}")
        return (Mount("overlay", "overlay", options),)

    def create(
        self, config: dict[str, Any], *, kernel: Kernel | None = None, **request: Any
    ) -> Created:
        request.setdefault("root", self.root())
        return create(kernel or self.kernel, Request(config, **request))

    def run(self, *args: str, config: dict[str, Any] | None = None, **request: Any) -> Result:
        """Run to the end, with nothing on stdin."""
        config = self.config(*args) if config is None else config
        with open(os.devnull, "rb") as nothing, Capture() as captured:
            stdio = (nothing.fileno(), captured.output, captured.errors)
            created = self.create(config, stdio=stdio, **request)
            created.start()
            status = self.finish(created)
            return captured.result(status)

    def finish(self, created: Created) -> int:
        """Wait for its end and clear up, as a monitor does."""
        status = wait_exit(self.kernel, created.pidfd)
        os.close(created.pidfd)
        if created.console is not None:
            os.close(created.console)
        if created.cgroup is not None:
            created.cgroup.remove()
        return status

    def kill(self, created: Created) -> None:
        self.kernel.pidfd_send_signal(created.pidfd, signal.SIGKILL)
        self.finish(created)

    def exec(self, target: Target, *args: str, **process: Any) -> Result:
        """Run a command in a running container to its end."""
        wanted = {**target.config["process"], "args": list(args), **process}
        with open(os.devnull, "rb") as nothing, Capture() as captured:
            stdio = (nothing.fileno(), captured.output, captured.errors)
            executed = exec_process(self.kernel, target, wanted, stdio=stdio)
            status = wait_exit(self.kernel, executed.pidfd)
            os.close(executed.pidfd)
            return captured.result(status)


class Capture:
    """Two files in memory for what a process writes: nothing blocks, however much it is."""

    def __enter__(self) -> Capture:
        self.output, self.errors = os.memfd_create("output"), os.memfd_create("errors")
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.output)
        os.close(self.errors)

    def result(self, status: int) -> Result:
        texts = []
        for fd in (self.output, self.errors):
            data = os.pread(fd, 1 << 24, 0)
            texts.append(data.decode("utf-8", "replace"))
        return Result(status, *texts)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    """A busybox root file system of the test's own, and the host as it was afterwards."""
    container_id = f"t{os.getpid()}-{next(_numbers)}"
    before = Ledger.take(container_id)
    lower = Path(make_rootfs(str(tmp_path / "lower")))
    yield Box(tmp_path, lower, id=container_id)
    before.require_same()


@pytest.fixture
def running(box: Box) -> Iterator[Callable[..., Target]]:
    """Makes containers that sleep, and ends them."""
    begun: list[Created] = []

    def run(config: dict[str, Any] | None = None, **request: Any) -> Target:
        config = config or box.config("sleep", "1000")
        created = box.create(config, **request)
        begun.append(created)
        created.start()
        return Target(created.pid, created.pidfd, config, created.cgroup)

    yield run
    for created in begun:
        box.kill(created)
