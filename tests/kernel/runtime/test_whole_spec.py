"""Verifies, in real containers, the rarer parts of the runtime-spec: each is done, or refused with a clear error."""

from __future__ import annotations

import array
import json
import os
import socket
import struct
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.runtime.tool import COMMAND, Tool, tool

__all__ = ["tool"]


def run(tool: Tool, config: dict[str, Any], *args: str) -> list[str]:
    """The lines that the command `args` says in such a container."""
    config["process"]["args"] = list(args)
    tool.write(config)
    return tool.ok("run", "-b", str(tool.bundle), tool.new_id()).splitlines()


def refusal(tool: Tool, config: dict[str, Any]) -> str:
    tool.write(config)
    done = tool("run", "-b", str(tool.bundle), tool.new_id())
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def bind(source: Path, destination: str, *options: str, **more: Any) -> dict[str, Any]:
    return {
        "destination": destination,
        "type": "bind",
        "source": str(source),
        "options": ["rbind", *options],
        **more,
    }


# -- how the kernel treats the process -----------------------------------------------------------


def test_scheduler_and_io_priority(tool: Tool) -> None:
    config = tool.configure()
    config["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
    config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE"}
    os.symlink("busybox", tool.bundle / "rootfs/bin/ionice")
    lines = run(tool, config, "sh", "-c", "ionice -p $$; cat /proc/self/stat")
    assert lines[0].startswith("idle")
    fields = lines[1].rpartition(")")[2].split()
    assert (fields[16], fields[38]) == ("5", "3")  # nice, policy; proc_pid_stat(5) 19 and 41


def test_personality_and_memory_policy(tool: Tool) -> None:
    config = tool.configure()
    config["linux"]["personality"] = {"domain": "LINUX32"}
    config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0"}
    os.symlink("busybox", tool.bundle / "rootfs/bin/uname")
    lines = run(tool, config, "sh", "-c", "uname -m; head -1 /proc/self/numa_maps")
    assert lines[0] in ("i686", "armv8l")
    assert len(lines) < 2 or "bind:0" in lines[1]


def test_affinity_is_for_those_that_are_brought_in(tool: Tool) -> None:
    config = tool.configure("sleep", "1000")
    config["process"]["execCPUAffinity"] = {"initial": "0", "final": "0"}
    tool.write(config)
    container = tool.new_id()
    tool.ok("run", "-d", "-b", str(tool.bundle), container)
    script = (
        "while read a b; do [ $a = Cpus_allowed_list: ] && echo $b; done < /proc/{}/status; true"
    )
    both = [tool.ok("exec", container, "sh", "-c", script.format(who)) for who in ("1", "self")]
    own = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    assert both[1] == "0\n"
    assert both[0] == "0\n" if own == "0" else both[0] != "0\n"


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("process.scheduler", {"policy": "SCHED_ISO"}, "process.scheduler.policy: 'SCHED_ISO' is not"),
        ("process.scheduler", {"policy": "SCHED_OTHER", "priority": 3}, "process.scheduler.priority"),
        ("process.scheduler", {"policy": "SCHED_RR", "flags": ["X"]}, "process.scheduler.flags: 'X'"),
        ("process.scheduler", {"policy": "SCHED_BATCH", "nice": 20}, "process.scheduler.nice: 20"),
        ("linux.personality", {"domain": "LINUX", "flags": ["x"]}, "linux.personality.flags"),
        ("linux.memoryPolicy", {"mode": "MPOL_X"}, "linux.memoryPolicy.mode: 'MPOL_X'"),
        ("linux.memoryPolicy", {"mode": "MPOL_BIND", "nodes": "a"}, "linux.memoryPolicy.nodes"),
        ("linux.intelRdt", {"closID": "x"}, "intelRdt is not supported"),
        ("linux.mountLabel", "x", "mountLabel is not supported"),
        ("process.selinuxLabel", "x", "selinuxLabel is not supported"),
        ("process.apparmorProfile", "x", "apparmorProfile is not supported"),
        ("linux.timeOffsets", {"boottime": {"secs": 1}}, "linux.timeOffsets: they need a new time"),
        ("linux.netDevices", {"lo": {"name": "a/b"}}, "linux.netDevices: 'a/b' is no name"),
        ("linux.resources", {"unified": {"memory.high": "1"}}, "resources.unified"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(tool: Tool, path: str, value: Any, text: str) -> None:
    config = tool.configure("true")
    place, _, name = path.partition(".")
    config[place][name] = value
    assert text in refusal(tool, config).replace('\\"', '"')


# -- namespaces ----------------------------------------------------------------------------------


def test_a_time_namespace_has_its_offsets(tool: Tool) -> None:
    config = tool.configure()
    config["linux"]["namespaces"].append({"type": "time"})
    config["linux"]["timeOffsets"] = {"boottime": {"secs": 1_000_000}, "monotonic": {"secs": 5}}
    uptime = float(run(tool, config, "cat", "/proc/uptime")[0].split()[0])
    assert uptime - float(Path("/proc/uptime").read_text().split()[0]) > 999_000
    own = os.readlink("/proc/self/ns/time")
    assert run(tool, config, "readlink", "/proc/self/ns/time") != [own]


def with_user_namespace(config: dict[str, Any]) -> dict[str, Any]:
    config["linux"]["namespaces"].append({"type": "user"})
    mappings = [{"containerID": 0, "hostID": 100_000, "size": 1000}]
    config["linux"] |= {"uidMappings": mappings, "gidMappings": mappings}
    config["linux"]["sysctl"] = {}  # that of ping names groups which are not mapped
    return config


@pytest.fixture
def open_bundle(tool: Tool) -> Tool:
    """A bundle whose root file system belongs to the mapped root."""
    for folder in [tool.folder, *tool.folder.parents][:2]:
        folder.chmod(0o755)
    subprocess.run(["chown", "-R", "100000:100000", str(tool.bundle / "rootfs")], check=True)
    return tool


def test_a_user_namespace_and_one_joined(open_bundle: Tool) -> None:
    """The second container shares the first one's user and network namespace, as in a pod."""
    tool = open_bundle
    config = with_user_namespace(tool.configure("sleep", "1000"))
    tool.write(config)
    first = tool.new_id()
    tool.ok("run", "-d", "-b", str(tool.bundle), first)
    pid = tool.state(first)["pid"]
    assert "100000" in Path(f"/proc/{pid}/uid_map").read_text()
    for entry in config["linux"]["namespaces"]:
        if entry["type"] in ("user", "network"):
            entry["path"] = f"/proc/{pid}/ns/{'net' if entry['type'] == 'network' else 'user'}"
    lines = run(
        tool, config, "sh", "-c", "id -u; readlink /proc/self/ns/user; cat /proc/self/uid_map"
    )
    assert lines[0] == "0"
    assert lines[1] == os.readlink(f"/proc/{pid}/ns/user")
    assert lines[2].split() == ["0", "100000", "1000"]
    assert tool.ok("exec", first, "id", "-u") == "0\n"


# -- mounts ----------------------------------------------------------------------------------------


def test_an_id_mapped_mount_shows_other_owners(tool: Tool) -> None:
    source = tool.folder / "source"
    source.mkdir()
    (source / "file").write_text("x")
    os.chown(source / "file", 1000, 1000)
    config = tool.configure()
    mappings = [{"containerID": 1000, "hostID": 42, "size": 1}]
    config["mounts"].append(
        bind(source, "/mapped", "idmap", uidMappings=mappings, gidMappings=mappings)
    )
    assert run(tool, config, "stat", "-c", "%u:%g", "/mapped/file") == ["42:42"]
    config["mounts"][-1].pop("uidMappings")
    assert "uidMappings and gidMappings go together" in refusal(tool, config)
    config["mounts"][-1].pop("gidMappings")
    assert "idmap needs mappings" in refusal(tool, config)


def test_a_user_namespace_gets_pipes_and_no_terminal_of_the_hosts(open_bundle: Tool) -> None:
    """By its first process and by one that is brought in; `terminal` is false, as from root's own shell."""
    tool = open_bundle
    tool.write(with_user_namespace(tool.configure("sleep", "1000")))
    container = tool.new_id()
    for pair, owner in ((os.openpty(), 0), (os.pipe()[::-1], 100_000)):
        inner = pair[1]
        try:
            if owner == 0:
                tool.ok("run", "-d", "-b", str(tool.bundle), container, stdin=inner)
                assert os.fstat(inner).st_uid == 0
            tool.ok("exec", container, "true", stdin=inner)
            assert os.fstat(inner).st_uid == owner
        finally:
            for fd in pair:
                os.close(fd)


def test_idmap_takes_the_containers_own_mappings(open_bundle: Tool) -> None:
    tool = open_bundle
    source = tool.folder / "source"
    source.mkdir()
    (source / "file").write_text("x")
    os.chown(source / "file", 7, 7)
    config = with_user_namespace(tool.configure())
    config["mounts"].append(bind(source, "/mapped", "idmap"))
    assert run(tool, config, "stat", "-c", "%u:%g", "/mapped/file") == ["7:7"]


def test_recursive_options_reach_what_is_mounted_below(tool: Tool) -> None:
    source = tool.folder / "source"
    (source / "below").mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "x", str(source / "below")], check=True)
    try:
        config = tool.configure()
        script = "touch /m/below/x 2>&1; while read l; do case $l in */m/below*) echo $l;; esac; done < /proc/self/mountinfo"
        config["mounts"] += [bind(source, "/m", "ro")]
        assert " rw," in run(tool, config, "sh", "-c", script)[-1]
        config["mounts"][-1] = bind(source, "/m", "rro", "rnoexec")
        lines = run(tool, config, "sh", "-c", script)
        assert "Read-only file system" in lines[0]
        assert " ro," in lines[-1]
        assert "noexec" in lines[-1]
    finally:
        subprocess.run(["umount", str(source / "below")], check=True)


@pytest.mark.parametrize(
    ("word", "mark"), [("rprivate", ""), ("rslave", "master:"), ("rshared", "shared:"), ("runbindable", "unbindable")]
)  # fmt: skip
def test_propagation_of_a_mount(tool: Tool, word: str, mark: str) -> None:
    source = tool.folder / "source"
    source.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "x", str(source)], check=True)
    try:
        subprocess.run(["mount", "--make-shared", str(source)], check=True)
        config = tool.configure()
        config["mounts"].append(bind(source, "/m", word))
        script = "while read l; do case $l in *' /m '*) echo $l;; esac; done < /proc/self/mountinfo"
        (line,) = run(tool, config, "sh", "-c", script)
        fields = line.partition(" - ")[0].split()[6:]
        assert fields == [] if not mark else any(field.startswith(mark) for field in fields)
    finally:
        subprocess.run(["umount", str(source)], check=True)


def test_tmpcopyup_begins_with_the_images_files(tool: Tool) -> None:
    folder = tool.bundle / "rootfs/data"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/file").write_text("content\n")
    (folder / "sub").chmod(0o700)
    os.chown(folder / "sub/file", 3, 4)
    os.symlink("/etc/shadow", folder / "link")
    os.mkfifo(folder / "fifo")
    config = tool.configure()
    mount = {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
    config["mounts"].append(mount)
    script = "cat /data/sub/file; stat -c %u:%g:%a:%F /data/sub/file /data/sub /data/fifo; readlink /data/link; touch /data/new"
    assert run(tool, config, "sh", "-c", script) == [
        *("content", "3:4:644:regular file", "0:0:700:directory", "0:0:644:fifo", "/etc/shadow"),
    ]
    assert not (folder / "new").exists()
    mount["type"] = "ramfs"
    assert "tmpcopyup is for tmpfs only" in refusal(tool, config)


# -- devices, limits ---------------------------------------------------------------------------------


def test_a_network_device_moves_in(tool: Tool) -> None:
    """With its address, under its new name, up."""
    name = f"sd{os.getpid() % 100000}"
    subprocess.run(
        ["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"], check=True
    )
    try:
        for address in ("198.51.100.7/24", "169.254.169.13/32"):
            subprocess.run(["ip", "addr", "add", address, "dev", name], check=True)
        config = tool.configure()
        config["linux"]["netDevices"] = {name: {"name": "inside0"}}
        os.symlink("busybox", tool.bundle / "rootfs/bin/ip")
        text = "\n".join(run(tool, config, "ip", "addr", "show", "inside0"))
        assert "198.51.100.7/24" in text
        assert "169.254.169.13/32" in text
        assert ",UP" in text
        assert not Path(f"/sys/class/net/{name}").exists()
        config["linux"]["netDevices"] = {"nope0": {}}
        assert "nope0" in refusal(tool, config)
    finally:
        subprocess.run(["ip", "link", "del", f"{name}p"], check=False, stderr=subprocess.DEVNULL)


def test_network_classes(tool: Tool) -> None:
    mounted = Path("/sys/fs/cgroup/net_cls")
    if not mounted.exists():
        pytest.skip("this host has no net_cls")
    config = tool.configure()
    config["linux"]["resources"]["network"] = {"classID": 0x100001}
    lines = run(tool, config, "cat", "/sys/fs/cgroup/net_cls/net_cls.classid")
    assert lines == [str(0x100001)]


# -- seccomp's listener ------------------------------------------------------------------------------

NOTIFY = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    "listenerMetadata": "from the configuration",
}
_RECEIVE, _ANSWER, _CONTINUE = 0xC0502100, 0xC0182101, 1
# What every process calls that there is, and our own between loading the filter and execve.
OURS = [
    "brk",
    "close",
    "execve",
    "futex",
    "madvise",
    "mmap",
    "munmap",
    "recvmsg",
    "sendmsg",
    "write",
]


class Listener:
    """Answers every notified call with an errno; with 0 it lets the kernel do it."""

    def __init__(self, path: str, number: int) -> None:
        self.documents: list[dict[str, Any]] = []
        self._number = number
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(4))
            self.documents.append(json.loads(data))
            (fd,) = array.array("i", ancillary[0][2])
            threading.Thread(target=self._serve, args=(fd,), daemon=True).start()

    def _serve(self, fd: int) -> None:
        import fcntl

        try:
            while True:
                request = bytearray(80)
                fcntl.ioctl(fd, _RECEIVE, request)
                (cookie,) = struct.unpack_from("=Q", request)
                number = self._number
                answer = struct.pack("=QqiI", cookie, 0, -number, 0 if number else _CONTINUE)
                fcntl.ioctl(fd, _ANSWER, answer)
        except OSError:
            pass  # nobody is left whom it listens to
        finally:
            os.close(fd)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def test_a_seccomp_listener_decides(tool: Tool) -> None:
    """For the first process and for one that is exec'd; it gets the state and the metadata."""
    path = str(tool.folder / "listener")
    listener = Listener(path, 95)
    try:
        config = tool.configure("sh", "-c", "busybox mkdir /tmp/x 2>&1; sleep 1000")
        config["linux"]["seccomp"] = {**NOTIFY, "listenerPath": path}
        tool.write(config)
        container = tool.create()
        tool.ok("start", container)
        (document,) = listener.documents
        assert document["metadata"] == "from the configuration"
        assert document["fds"] == ["seccompFd"]
        assert document["pid"] == document["state"]["pid"] == tool.state(container)["pid"]
        assert document["state"]["id"] == container
        done = tool("exec", container, "busybox", "mkdir", "/tmp/y")
        assert "Operation not supported" in done.stderr
        assert len(listener.documents) == 2
    finally:
        listener.close()


def test_a_listener_for_what_our_own_process_calls(tool: Tool) -> None:
    """Nothing waits for ever: the descriptor is taken, not sent."""
    path = str(tool.folder / "listener")
    listener = Listener(path, 0)
    try:
        config = tool.configure("sh", "-c", "echo one; sleep 1000")
        calls = [{"names": OURS, "action": "SCMP_ACT_NOTIFY"}]
        config["linux"]["seccomp"] = {**NOTIFY, "syscalls": calls, "listenerPath": path}
        tool.write(config)
        container = tool.create()
        tool.ok("start", container)
        assert tool.ok("exec", container, "busybox", "echo", "two") == "two\n"
        assert len(listener.documents) == 2
    finally:
        listener.close()


def test_a_listener_of_who_may_take_nothing(tool: Tool) -> None:
    """As an ordinary user: the descriptor is sent; what would make that wait for ever is refused."""
    path = str(tool.folder / "listener")
    listener = Listener(path, 95)
    command = ["setpriv", "--bounding-set=-sys_ptrace", *COMMAND]
    try:
        config = tool.configure("sh", "-c", "busybox mkdir /tmp/x 2>&1")
        config["linux"]["seccomp"] = {**NOTIFY, "listenerPath": path}
        tool.write(config)
        done = tool("run", "-b", str(tool.bundle), tool.new_id(), command=command)
        assert "Operation not supported" in done.stdout, done
        calls = [{"names": OURS, "action": "SCMP_ACT_NOTIFY"}]
        config["linux"]["seccomp"]["syscalls"] = calls
        tool.write(config)
        done = tool("run", "-b", str(tool.bundle), tool.new_id(), command=command)
        assert "SCMP_ACT_NOTIFY cannot be used for brk" in done.stderr, done
    finally:
        listener.close()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"listenerPath": ""}, "linux.seccomp.listenerPath: SCMP_ACT_NOTIFY needs one"),
        ({"listenerPath": "/nonexistent/x"}, "No such file or directory"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "cannot be the default action"),
        ({"flags": ["SECCOMP_FILTER_FLAG_X"]}, "seccomp flag 'SECCOMP_FILTER_FLAG_X' is not supported"),
    ],
)  # fmt: skip
def test_a_listener_that_cannot_be(tool: Tool, change: dict[str, Any], text: str) -> None:
    config = tool.configure("true")
    config["linux"]["seccomp"] = {**NOTIFY, "listenerPath": "/tmp/x", **change}
    assert text.lower() in refusal(tool, config).lower()
