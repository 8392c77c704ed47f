"""What of the host goes into a container's configuration: users, devices, namespaces, limits, files of /etc."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import msgspec
import pytest

from sampan.engine import devices, etc, exec_process, intent, lookup, seccomp
from sampan.engine.records import Endpoint, ExecRecord
from sampan.engine.seccomp import compile_filter
from sampan.errors import InvalidParameter, SampanError
from sampan.linux import filesystems
from sampan.spec.container import DeviceMapping, HostConfig, WeightDevice
from sampan.spec.mount import Mount
from sampan.spec.users import User
from tests.fakes.kernel import RecordingKernel
from tests.fakes.rooms import FolderKernel, Rooms

BOB = User(uid=7, gid=8, groups=(8,), home="/home/bob")


def test_the_overlay_is_never_attached(monkeypatch: pytest.MonkeyPatch) -> None:
    """fsopen, every layer topmost first, fsmount read-only: no path of any mount table."""
    monkeypatch.setattr(filesystems, "knows_single_layers", lambda release: True)
    kernel = RecordingKernel()
    mount = Mount(
        "overlay", "overlay", ("lowerdir=/top", "lowerdir=/bottom", "upperdir=/up", "workdir=/w")
    )
    lookup.open_detached(kernel, mount)
    strings = [arguments[1:] for _, arguments in kernel.named("fsconfig_string")]
    layers = [("lowerdir+", "/up"), ("lowerdir+", "/top"), ("lowerdir+", "/bottom")]
    assert strings == [("source", "overlay"), *layers]
    assert {"mount", "move_mount"}.isdisjoint(kernel.names())
    assert lookup.stack(mount) == ["/up", "/top", "/bottom"]


@pytest.mark.parametrize("what", ["missing", "folder", "fifo", "loop", "outside"])
def test_hostile_user_files(tmp_path: Path, what: str) -> None:
    """Whatever stands there: it says nothing, hangs nobody and never leads out of the root."""
    folder = tmp_path / "etc"
    folder.mkdir()
    passwd = folder / "passwd"
    (tmp_path / "host-passwd").write_text("bob:x:1:1::/:\n")
    {
        "missing": lambda: None,
        "folder": passwd.mkdir,
        "fifo": lambda: os.mkfifo(passwd),
        "loop": lambda: passwd.symlink_to("passwd"),
        "outside": lambda: passwd.symlink_to(f"../../{'../' * 20}{tmp_path}/host-passwd"),
    }[what]()
    fd = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        assert lookup.resolve(FolderKernel(), fd, "", ()).uid == 0
        with pytest.raises(InvalidParameter, match="unable to find user bob"):
            lookup.resolve(FolderKernel(), fd, "bob", ())
    finally:
        os.close(fd)


def test_devices() -> None:
    """One node, under another name, a folder of them; what is none is refused in Docker's words."""
    (null,) = devices.requested([DeviceMapping(path_on_host="/dev/null")])
    assert (null.path, null.type, null.major, null.minor, null.access) == (
        "/dev/null",
        "c",
        1,
        3,
        "rwm",
    )
    (renamed,) = devices.requested(
        [
            DeviceMapping(
                path_on_host="/dev/null", path_in_container="/dev/x", cgroup_permissions="r"
            )
        ]
    )
    assert (renamed.path, renamed.access) == ("/dev/x", "r")
    for path, reason in (
        ("/dev/nope", "no such file or directory"),
        ("/etc/passwd", "not a device node"),
    ):
        with pytest.raises(SampanError) as caught:
            devices.requested([DeviceMapping(path_on_host=path)])
        assert str(caught.value) == (
            f'error gathering device information while adding custom device "{path}": {reason}'
        )


def test_all_devices() -> None:
    """Of the host, but not what a container has of its own."""
    found = {device.path for device in devices.everything()}
    assert {"/dev/null", "/dev/zero"} <= found
    assert not any(
        path.startswith(("/dev/pts/", "/dev/shm/")) or path == "/dev/console" for path in found
    )


async def test_cgroup_parents(rooms: Rooms) -> None:
    """The container's, the daemon's, ours."""
    record = await rooms.create("web")
    assert intent.cgroup_path(rooms.services, record) == f"/sampan/{record.id}"
    asked = msgspec.structs.replace(record, host_config=HostConfig(cgroup_parent="/x/y/"))
    assert intent.cgroup_path(rooms.services, asked) == f"/x/y/{record.id}"


async def test_namespaces_of_others(rooms: Rooms) -> None:
    """By descriptor; an IPC namespace that is not shared is refused, and nothing stays open."""
    other = await rooms.create("other")
    actor = rooms.services.containers.actor("other")
    from sampan.engine.records import State

    actor.record = msgspec.structs.replace(other, state=State.RUNNING, pid=os.getpid())
    found = intent.joined_namespaces(
        rooms.services, HostConfig(network_mode="container:other", pid_mode="container:other")
    )
    try:
        assert os.readlink(f"/proc/self/fd/{found['network']}") == os.readlink("/proc/self/ns/net")
        assert sorted(found) == ["network", "pid"]
    finally:
        for fd in found.values():
            os.close(fd)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(InvalidParameter, match="non-shareable IPC"):
        intent.joined_namespaces(
            rooms.services, HostConfig(network_mode="container:other", ipc_mode="container:other")
        )
    assert len(os.listdir("/proc/self/fd")) == before


async def test_block_devices(rooms: Rooms) -> None:
    """A path that is none is refused before anything runs."""
    record = await rooms.create("web")
    for path, kind in (("/dev/nope", SampanError), ("/dev/null", InvalidParameter)):
        host = HostConfig(blkio_weight_device=[WeightDevice(path=path, weight=100)])
        with pytest.raises(kind, match=path):
            intent.build_intent(
                rooms.services, msgspec.structs.replace(record, host_config=host), BOB, [], ()
            )


def test_limits_that_the_daemon_has() -> None:
    """Only a daemon without CAP_SYS_RESOURCE is bound by them."""
    assert intent.rlimits_held(frozenset({"CAP_SYS_RESOURCE"})) is None
    held = intent.rlimits_held(frozenset())
    assert held is not None
    assert held["RLIMIT_NOFILE"] > 0
    assert all(value >= 0 for value in held.values())


async def test_files_of_etc(rooms: Rooms) -> None:
    """Written in place: a bind mount of the file shows the new text."""
    record = await rooms.create("web", hostname="h", domainname="d.e", extra_hosts=["x:1.2.3.4"])
    etc.write_all(rooms.services, record)
    inode = os.stat(record.hosts_path).st_ino
    places = {"bridge": Endpoint(address="10.9.0.7")}
    etc.write_hosts(rooms.services, msgspec.structs.replace(record, endpoints=places))
    assert os.stat(record.hosts_path).st_ino == inode
    text = Path(record.hosts_path).read_text()
    assert text.endswith("1.2.3.4\tx\n10.9.0.7\th.d.e h\n")
    assert stat.S_IMODE(os.stat(record.hosts_path).st_mode) == 0o644
    shared = await rooms.create("shared", network_mode="host")
    etc.write_all(rooms.services, shared)
    assert Path(shared.hosts_path).read_bytes() == Path("/etc/hosts").read_bytes()


def test_files_of_etc_do_not_follow_links(tmp_path: Path) -> None:
    """A link in the place of one is an error, and its target stays."""
    (tmp_path / "target").write_text("x")
    (tmp_path / "hosts").symlink_to("target")
    with pytest.raises(OSError) as caught:
        etc.write_in_place(str(tmp_path / "hosts"), b"y")
    assert caught.value.errno == errno.ELOOP
    assert (tmp_path / "target").read_text() == "x"


async def test_the_process_of_an_exec(rooms: Rooms) -> None:
    """The container's settings; privileged it holds what the daemon does."""
    record = await rooms.create(
        "web", env=["A=1"], working_dir="/w", security_opt=["no-new-privileges"]
    )
    wanted = ExecRecord(id="e", container_id=record.id, arguments=("x",), tty=True)
    held = frozenset({"CAP_CHOWN", "CAP_SYS_ADMIN"})
    made = exec_process.build_exec_process(
        record,
        wanted,
        User(0, 0, (), "/root"),
        held=held,
        rlimits_held=None,
        no_new_privileges=False,
    )
    assert (made["cwd"], made["noNewPrivileges"], made["terminal"]) == ("/w", True, True)
    assert made["capabilities"]["bounding"] == ["CAP_CHOWN"]
    assert {"A=1", "TERM=xterm", "HOME=/root", f"HOSTNAME={record.id[:12]}"} <= set(made["env"])
    wanted = msgspec.structs.replace(wanted, privileged=True)
    made = exec_process.build_exec_process(
        record, wanted, BOB, held=held, rlimits_held=None, no_new_privileges=False
    )
    assert set(made["capabilities"]["bounding"]) == held
    assert made["capabilities"]["effective"] == []


def test_filters() -> None:
    """None without a profile; a bad one is the caller's fault."""
    assert compile_filter({"linux": {}}, "x86_64") is None
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}
    assert compile_filter({"linux": {"seccomp": profile}}, "x86_64")
    with pytest.raises(InvalidParameter, match="invalid seccomp profile"):
        compile_filter({"linux": {"seccomp": {"defaultAction": "nonsense"}}}, "x86_64")


async def test_the_filter_of_an_adopted_container(rooms: Rooms) -> None:
    """From its config.json, once."""
    record = await rooms.create("web")
    folder = Path(rooms.services.paths.run(record.id))
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}}}'
    )
    actor = rooms.services.containers.actor("web")
    first = seccomp.filter_of(rooms.services, actor)
    assert first
    (folder / "config.json").unlink()
    assert seccomp.filter_of(rooms.services, actor) is first


def test_default_profiles(tmp_path: Path) -> None:
    """Built in, none, or a file that must be there."""
    assert intent.seccomp_default("builtin") == ""
    assert intent.seccomp_default("unconfined") == "unconfined"
    (tmp_path / "p.json").write_text("{}")
    assert intent.seccomp_default(str(tmp_path / "p.json")) == "{}"
    with pytest.raises(SampanError, match="opening seccomp profile"):
        intent.seccomp_default(str(tmp_path / "nope"))


def test_the_init_program(tmp_path: Path) -> None:
    """Written once, executable, renewed when it is another version's."""
    from sampan.engine.paths import Paths

    paths = Paths(str(tmp_path), str(tmp_path))
    intent.install_init(paths)
    path = Path(paths.init)
    assert path.read_bytes()[:4] == b"\x7fELF"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    inode = path.stat().st_ino
    intent.install_init(paths)
    assert path.stat().st_ino == inode
    path.write_bytes(b"old")
    intent.install_init(paths)
    assert path.read_bytes()[:4] == b"\x7fELF"
