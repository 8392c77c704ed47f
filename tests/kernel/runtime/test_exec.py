"""Verifies processes brought into a running container: whose they are, what they may, what they say."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from sampan.linux import constants as c
from sampan.linux.kernel import LinuxKernel
from sampan.runtime.exec import exec_process
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.request import Target, wait_exit
from tests.kernel.conftest import Box

Running = Callable[..., Target]


def test_it_shares_every_namespace_and_the_cgroup(box: Box, running: Running) -> None:
    config = box.config("sleep", "1000")
    config["linux"]["namespaces"].append({"type": "cgroup"})
    target = running(config)
    script = (
        "for k in mnt net uts pid ipc cgroup; do for p in 1 self; do readlink /proc/$p/ns/$k; done; "
        "done; cat /proc/self/cgroup"
    )
    lines = box.exec(target, "sh", "-c", script).lines()
    assert lines[0:12:2] == lines[1:12:2]
    assert lines[12:]
    assert all(line.endswith(":/") for line in lines[12:])


def test_it_is_a_child_of_the_caller_and_of_nobody_inside(box: Box, running: Running) -> None:
    target = running()
    executed = exec_process(
        box.kernel, target, {**target.config["process"], "args": ["sleep", "1000"]}
    )
    with open(f"/proc/{executed.pid}/stat", encoding="ascii") as file:
        assert file.read().split()[3] == str(os.getpid())
    box.kernel.pidfd_send_signal(executed.pidfd, 9)
    assert wait_exit(box.kernel, executed.pidfd) == 137
    os.close(executed.pidfd)


def test_its_rights_are_those_of_its_own_process_object(box: Box, running: Running) -> None:
    target = running()
    user = {"uid": 1000, "gid": 7, "additionalGids": [8]}
    result = box.exec(
        target, "cat", "/proc/self/status", user=user, noNewPrivileges=True, cwd="/tmp"
    )
    status = result.table()
    assert [status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Amb")] == ["0" * 16] * 4
    assert (status["Uid"].split()[0], status["Groups"]) == ("1000", "8")
    assert status["NoNewPrivs"] == "1"
    assert box.exec(target, "pwd", cwd="/tmp").output == "/tmp\n"


def test_only_three_descriptors_and_default_signals(box: Box, running: Running) -> None:
    target = running()
    inherited = os.open("/", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        assert box.exec(target, "ls", "/proc/self/fd").lines() == ["0", "1", "2", "3"]
    finally:
        os.close(inherited)
    status = box.exec(target, "cat", "/proc/self/status").table()
    assert [status[name] for name in ("SigBlk", "SigIgn", "SigCgt")] == ["0" * 16] * 3


def test_the_filter_of_the_container_applies(box: Box, running: Running) -> None:
    config = box.config("sleep", "1000")
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO"}],
    }
    target = running(config)
    os.symlink("busybox", box.lower / "bin/mkdir")
    result = box.exec(target, "sh", "-c", "cat /proc/self/status; mkdir /tmp/x")
    assert result.table()["Seccomp"] == "2"
    assert result.status == 1


@pytest.mark.parametrize(
    ("command", "cwd", "text", "exit_code"),
    [
        ("foo", "/", 'exec: "foo": executable file not found in $PATH', 127),
        ("/foo", "/", 'exec: "/foo": stat /foo: no such file or directory', 127),
        ("/etc", "/", 'exec: "/etc": permission denied', 126),
        ("/etc/passwd", "/", 'exec: "/etc/passwd": permission denied', 126),
        ("pwd", "/nope", 'chdir to cwd ("/nope") set in config.json failed: '
         "no such file or directory", None),
        ("pwd", "/etc/passwd", 'chdir to cwd ("/etc/passwd") set in config.json failed: '
         "not a directory", None),
        ("/tmp/text", "/", "exec /tmp/text: exec format error", 126),
    ],
)  # fmt: skip
def test_failures(
    box: Box, running: Running, command: str, cwd: str, text: str, exit_code: int | None
) -> None:
    script = box.lower / "tmp/text"
    script.write_text("text")
    script.chmod(0o755)
    target = running()
    with pytest.raises(RuntimeFailure) as caught:
        box.exec(target, command, cwd=cwd)
    assert str(caught.value) == f"unable to start container process: {text}"
    assert caught.value.exit_code == exit_code


@pytest.mark.parametrize("pid", ["self", "1"])
def test_no_descriptor_serves_as_working_directory(box: Box, running: Running, pid: str) -> None:
    target = running()
    for number in range(64):
        with pytest.raises(RuntimeFailure, match="chdir to cwd"):
            box.exec(target, "pwd", cwd=f"/proc/{pid}/fd/{number}")


def test_a_container_that_has_ended(box: Box) -> None:
    created = box.create(box.config("true"))
    created.start()
    target = Target(created.pid, created.pidfd, box.config("true"), None)
    os.waitid(os.P_PIDFD, created.pidfd, os.WEXITED | os.WNOWAIT)
    with pytest.raises(RuntimeFailure, match="no such process"):
        box.exec(target, "true")
    box.finish(created)
    assert os.readlink("/proc/self/ns/pid") == os.readlink("/proc/self/ns/pid_for_children")


class OpenKernel(LinuxKernel):
    """Hides nothing."""

    def prctl(self, option: int, *args: int) -> int:
        return super().prctl(option, *((1,) if option == c.PR_SET_DUMPABLE else args))


@pytest.mark.parametrize("naive", [False, True], ids=["ours", "naive"])
def test_nobody_in_the_container_can_look_into_the_newcomer(
    box: Box, running: Running, naive: bool
) -> None:
    """R16, P9 (CVE-2016-9962): 200 times somebody is brought in while the container polls whoever there is.

    Nothing that leads to files, memory or the root of one of ours may open: neither `exe` nor any of the rest.
    """
    poll = (
        "cd /proc; while :; do for p in [0-9]*; do e=$(readlink $p/exe) && case $e in "
        "/bin/*|'') ;; *) echo caught exe $e; [ -d $p/root/proc ] && echo caught root; "
        "true <$p/mem && echo caught mem; ls $p/fd && echo caught fd; true <$p/maps && echo caught maps;; "
        "esac; done; done 2>&1"
    )
    config = box.config("sh", "-c", poll)
    seen = os.memfd_create("seen")
    target = running(config, stdio=(0, seen, seen))
    if naive:
        box.kernel = OpenKernel()
    until = time.monotonic() + 20
    for _ in range(2000 if naive else 200):
        assert box.exec(target, "true").status == 0
        caught = b"caught" in os.pread(seen, 1 << 20, 0)
        if caught or time.monotonic() > until:
            break
    os.close(seen)
    assert caught is naive
    assert box.kernel.prctl(c.PR_GET_DUMPABLE) == int(naive)
