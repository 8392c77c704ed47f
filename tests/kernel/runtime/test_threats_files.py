"""R2-R8: descriptors, device nodes, procfs and mount places as ways out of a container, each with its negative control.

A test runs twice: with our code, where the attack must fail, and with a naive variant of the one defence, where the same
check must see it succeed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.linux import inroot
from sampan.linux.kernel import Kernel, LinuxKernel
from sampan.runtime import command, init, masks, mounts, plan, settings
from sampan.runtime import exec as exec_module
from sampan.runtime.context import Context
from sampan.runtime.exec import exec_process
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.request import Target, wait_exit
from tests.kernel.conftest import Box
from tests.kernel.runtime.test_terminal import read_to_end
from tests.ledger import tree_state

pytestmark = pytest.mark.timeout(300)
Running = Callable[..., Target]
both = pytest.mark.parametrize("naive", [False, True], ids=["ours", "naive"])
# A number that nobody else's descriptor has.
INHERITED = 61
TRIES, SECONDS = 2000, 20.0


class LeakyKernel(LinuxKernel):
    """Closes nothing before execve."""

    def close_range(self, first: int, last: int, flags: int) -> None:
        pass


@contextlib.contextmanager
def inherited(path: Path) -> Iterator[int]:
    """A folder of the host's, open in this process and in all that it starts."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.dup2(fd, INHERITED)
    os.close(fd)
    try:
        yield INHERITED
    finally:
        os.close(INHERITED)


def naive_resolver(
    kernel: Kernel, root_fd: int, path: str, flags: int, *, mode: int = 0, **_more: Any
) -> int:
    """As `inroot.open_in_root`, but links lead where they say."""
    return kernel.openat2(root_fd, path.lstrip("/") or ".", flags, mode=mode)


# -- R2 ------------------------------------------------------------------------------------------


def naive_directory(_kernel: Kernel, _root_fd: int, path: str, **_more: Any) -> None:
    os.chdir(path)


@both
@pytest.mark.parametrize("way", ["run", "exec"])
def test_no_descriptor_leads_out_as_working_directory(
    box: Box, running: Running, monkeypatch: pytest.MonkeyPatch, way: str, naive: bool
) -> None:
    """R2 (CVE-2024-21626): 64 numbers of two processes as the working directory."""
    outside = box.folder / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    if naive:
        box.kernel = LeakyKernel()
        monkeypatch.setattr(init, "enter_directory", naive_directory)
        monkeypatch.setattr(exec_module, "enter_directory", naive_directory)
        monkeypatch.setattr(plan.MakeWorkingDirectory, "execute", lambda *_: None)
    target = running() if way == "exec" else None
    reached = []
    with inherited(outside):
        for cwd in (f"/proc/{pid}/fd/{n}" for pid in ("self", "1") for n in range(64)):
            try:
                if target is not None:
                    result = box.exec(target, "cat", "secret", cwd=cwd)
                else:
                    result = box.run(config=box.config("cat", "secret", cwd=cwd))
            except RuntimeFailure:
                continue
            reached += [cwd] if result.status == 0 else []
    assert bool(reached) is naive, reached


@both
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("way", ["run", "exec"])
def test_three_descriptors_and_no_more(
    box: Box, running: Running, way: str, terminal: bool, naive: bool
) -> None:
    """R2: what the command has open, though its maker had more, and had it inheritable."""
    args = ("ls", "/proc/self/fd")
    target = running() if way == "exec" else None
    kernel = LeakyKernel() if naive else LinuxKernel()
    output = os.memfd_create("output")
    with inherited(box.folder):
        if target is not None:
            process = {**target.config["process"], "args": list(args)}
            made: Any = exec_process(
                kernel, target, process, stdio=(0, output, output), terminal=terminal
            )
        else:
            stdio = (0, output, output)
            made = box.create(box.config(*args), kernel=kernel, stdio=stdio, terminal=terminal)
            made.start()
    text = read_to_end(made.console) if terminal else ""
    if target is None:
        box.finish(made)
    else:
        wait_exit(kernel, made.pidfd)
        for fd in (made.pidfd, *([made.console] if terminal else [])):
            os.close(fd)
    text = text or os.pread(output, 65536, 0).decode()
    os.close(output)
    # The last one is the folder that ls itself reads.
    assert (set(text.split()) == {"0", "1", "2", "3"}) is not naive, text
    assert (str(INHERITED) in text.split()) is naive


# -- R3 ------------------------------------------------------------------------------------------


def naive_mask(self: masks.MaskPaths, kernel: Kernel, context: Context) -> None:
    """Covers with whatever the container has as its null device."""
    for path in self.paths:
        try:
            place = inroot.open_in_root(kernel, context.root_fd, path, os.O_PATH)
        except FileNotFoundError:
            continue
        null = inroot.open_in_root(kernel, context.root_fd, "/dev/null", os.O_PATH)
        mounts.attach(kernel, mounts.clone_tree(kernel, null, ""), place)


@both
def test_the_containers_null_device_masks_nothing(
    box: Box, monkeypatch: pytest.MonkeyPatch, naive: bool
) -> None:
    """R3 (CVE-2025-31133): a shared /dev whose null device is another container's file."""
    shared = box.folder / "shared"
    shared.mkdir()
    (shared / "null").write_text("leak\n")
    if naive:
        monkeypatch.setattr(masks.MaskPaths, "execute", naive_mask)
    config = box.config("cat", "/proc/keys", "/proc/timer_list")
    config["linux"]["maskedPaths"] = ["/proc/keys", "/proc/timer_list"]
    config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/dev")]
    bind = {"destination": "/dev", "type": "bind", "source": str(shared), "options": ["rbind"]}
    config["mounts"].insert(1, bind)
    assert ("leak" in box.run(config=config).output) is naive


# -- R4, R6: names in the image's /dev -------------------------------------------------------------


@pytest.fixture
def canary(box: Box) -> Path:
    """A folder outside of every root."""
    folder = box.folder / "canary"
    folder.mkdir()
    (folder / "file").write_text("canary\n")
    return folder


def bare_dev(box: Box) -> dict[str, Any]:
    """Without a tmpfs on /dev, so that the image's own names are used."""
    config = box.config("true")
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/dev"]
    return config


@both
@pytest.mark.parametrize("terminal", [False, True], ids=["R6", "R4"])
def test_names_in_dev_lead_nowhere(
    box: Box, canary: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, naive: bool
) -> None:
    """R4 (CVE-2025-52565): /dev/console as a link out, with a terminal. R6 (CVE-2026-41579): /dev itself."""
    if terminal:
        (box.lower / "dev/pts").mkdir()
        os.symlink(str(canary / "new"), box.lower / "dev/console")
    else:
        (box.lower / "dev").rmdir()
        os.symlink(str(canary), box.lower / "dev")
    if naive:
        monkeypatch.setattr(inroot, "open_in_root", naive_resolver)
    before = tree_state(str(canary))
    with contextlib.suppress(RuntimeFailure):
        box.create(bare_dev(box), terminal=terminal).abort()
    assert (tree_state(str(canary)) != before) is naive


# -- R5 ------------------------------------------------------------------------------------------


def naive_sysctl(self: settings.SetSysctl, kernel: Kernel, context: Context) -> None:
    """Through the path that the container will see, before procfs is there."""
    path = "/proc/sys/" + self.key.replace(".", "/")
    fd = inroot.open_in_root(kernel, context.root_fd, path, os.O_WRONLY)
    kernel.write(fd, self.value.encode())
    kernel.close(fd)


@both
def test_a_false_procfs_swallows_no_setting(
    box: Box, monkeypatch: pytest.MonkeyPatch, naive: bool
) -> None:
    """R5 (CVE-2019-16884, CVE-2025-52881): the image has files where sysctls are."""
    place = box.lower / "proc/sys/net/ipv4"
    place.mkdir(parents=True)
    (place / "ip_unprivileged_port_start").touch()
    config = box.config("cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start")
    config["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "7"}
    if naive:
        operations = plan.build

        def late(*args: Any, **kwargs: Any) -> list[Any]:
            """The setting after the root is there."""
            made = operations(*args, **kwargs)
            sets = [each for each in made if isinstance(each, settings.SetSysctl)]
            rest = [each for each in made if not isinstance(each, settings.SetSysctl)]
            root = next(at for at, each in enumerate(rest) if "Root" in type(each).__name__)
            return [*rest[: root + 1], *sets, *rest[root + 1 :]]

        monkeypatch.setattr(plan, "build", late)
        monkeypatch.setattr(settings.SetSysctl, "execute", naive_sysctl)
    assert (box.run(config=config).output != "7\n") is naive


@both
@pytest.mark.parametrize("how", ["link", "bind"])
def test_only_a_procfs_is_mounted_on_an_ordinary_proc(
    box: Box, monkeypatch: pytest.MonkeyPatch, how: str, naive: bool
) -> None:
    """R5 (CVE-2019-19921): /proc is a link of the image's, or a folder of a volume's."""
    config = box.config("true")
    if how == "link":
        (box.lower / "proc").rmdir()
        (box.lower / "other").mkdir()
        os.symlink("/other", box.lower / "proc")
    else:
        config["mounts"] = [m for m in config["mounts"] if m["destination"] != "/proc"]
        source = {"type": "bind", "source": str(box.folder / "false"), "options": ["rbind"]}
        config["mounts"].insert(0, {"destination": "/proc", **source})
        (box.folder / "false/sys").mkdir(parents=True)
    if naive:
        made = lambda kernel, root, _kind, path: inroot.make_directory(kernel, root, path)  # noqa: E731
        monkeypatch.setattr(mounts, "open_ordinary_directory", made)
        monkeypatch.setattr(mounts, "_require_proc", lambda *_: None)
    text = {"link": "must be mounted on ordinary directory", "bind": "it is not of type proc"}
    failure = contextlib.nullcontext() if naive else pytest.raises(RuntimeFailure, match=text[how])
    with failure:
        box.create(config).abort()


# -- R7 ------------------------------------------------------------------------------------------


def flip(one: str, other: str) -> None:
    """Exchange two names as fast as the kernel can, for ever."""
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    first, second = one.encode(), other.encode()
    while True:
        renameat2(-100, first, -100, second, 2)


@both
def test_a_destination_that_is_swapped_meanwhile(
    box: Box, canary: Path, monkeypatch: pytest.MonkeyPatch, naive: bool
) -> None:
    """R7 (CVE-2021-30465): another container swaps a folder of a shared volume for a link while this one starts."""
    volume, source = box.folder / "volume", box.folder / "source"
    (volume / "a/b").mkdir(parents=True)
    os.symlink(str(canary), volume / "x")
    source.mkdir()
    if naive:
        monkeypatch.setattr(inroot, "open_in_root", naive_resolver)
    before, root = tree_state(str(canary)), box.root()
    mounted = Path("/proc/self/mountinfo").read_text()
    attacker = os.fork()
    if attacker == 0:
        flip(str(volume / "a"), str(volume / "x"))
    try:
        until = time.monotonic() + SECONDS
        for number in range(TRIES):
            config = box.config("true")
            config["mounts"] = [
                {"destination": place, "type": "bind", "source": str(path),
                 "options": ["rbind", "rprivate"]}
                for place, path in (("/v", volume), (f"/v/a/b/{number}", source))
            ]  # fmt: skip
            del config["linux"]["cgroupsPath"]
            with contextlib.suppress(RuntimeFailure):
                box.create(config, root=root).abort()
            if time.monotonic() > until or (naive and tree_state(str(canary)) != before):
                break
    finally:
        os.kill(attacker, 9)
        os.waitpid(attacker, 0)
    assert (tree_state(str(canary)) != before) is naive
    assert Path("/proc/self/mountinfo").read_text() == mounted


# -- R8 ------------------------------------------------------------------------------------------


def naive_give(_kernel: Kernel, uid: int, _fds: Any = ()) -> None:
    """Whatever the outputs are, the user gets them. Not the input: it is the machine's own null device."""
    for fd in (1, 2):
        os.fchown(fd, uid, -1)


@both
def test_streams_that_are_files_stay_the_hosts(
    box: Box, monkeypatch: pytest.MonkeyPatch, naive: bool
) -> None:
    """R8 (CVE-2026-88265): a log file as the output of a user's command, and a tampered null device in the image."""
    log = box.folder / "log"
    log.touch()
    shared = box.folder / "shared"
    shared.mkdir()
    os.symlink(str(box.folder / "secret"), shared / "null")
    (box.folder / "secret").write_text("secret")
    if naive:
        monkeypatch.setattr(command, "give_stdio", naive_give)
    config = box.config("sh", "-c", "stat -L -c %t:%T /proc/self/fd/0", user={"uid": 9, "gid": 9})
    config["mounts"] = [m for m in config["mounts"] if not m["destination"].startswith("/dev")]
    bind = {"destination": "/dev", "type": "bind", "source": str(shared), "options": ["rbind"]}
    config["mounts"].insert(1, bind)
    before = tree_state(str(box.folder / "secret"))
    with open(os.devnull, "rb") as null, open(log, "wb") as output:
        created = box.create(config, stdio=(null.fileno(), output.fileno(), output.fileno()))
        created.start()
        box.finish(created)
    assert (log.stat().st_uid != 0) is naive
    if not naive:
        assert log.read_text() == "1:3\n"
    assert tree_state(str(box.folder / "secret")) == before
