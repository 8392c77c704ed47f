"""Verifies the exact calls of each operation, on a kernel that only records."""

from __future__ import annotations

import errno
import os
import stat
from types import SimpleNamespace
from typing import Any

import pytest

from sampan.linux import constants as c
from sampan.linux import filesystems
from sampan.linux.filesystems import make_file_system
from sampan.runtime.cgroups import NewCgroupNamespace, SplitCgroupMount, UnifiedCgroupMount
from sampan.runtime.context import Context, Operation
from sampan.runtime.devices import Device, MakeDevices, MakeLinks
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.masks import MaskPaths, ReadOnlyPaths
from sampan.runtime.mounts import BindMount, FileSystemMount, ReadOnlyMount
from sampan.runtime.options import parse_options
from sampan.runtime.rootfs import (
    BindRoot,
    OverlayRoot,
    PivotRoot,
    PrivateMounts,
    ReadOnlyRoot,
    RootPropagation,
)
from sampan.runtime.settings import OpenProc, SetDomainname, SetHostname, SetSysctl
from sampan.runtime.terminal import MakeConsole, open_console
from tests.fakes.kernel import Call, RecordingKernel, stat_result

ROOT = 50
IN_ROOT = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS
ONTO = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
SELF = c.AT_EMPTY_PATH
NULL = stat_result(stat.S_IFCHR | 0o666, rdev=os.makedev(1, 3))


def run(operation: Operation, fake: RecordingKernel, **fields: Any) -> Context:
    context = Context(root_fd=ROOT, **fields)
    operation.execute(fake.kernel, context)
    return context


def without_closing(fake: RecordingKernel) -> list[Call]:
    return [call for call in fake.calls if call[0] not in ("close", "fstat", "fstatfs")]


def opened(
    path: str, flags: int, *, base: int = ROOT, mode: int = 0, resolve: int = IN_ROOT
) -> Call:
    return ("openat2", (base, path, flags, ("mode", mode), ("resolve", resolve)))


def attributes(fd: int, *, flags: int = SELF, **values: int) -> Call:
    return ("mount_setattr", (fd, "", flags, *values.items()))


@pytest.mark.parametrize(
    ("operation", "calls"),
    [
        (PrivateMounts(), [("mount", (None, "/", None, c.MS_REC | c.MS_PRIVATE, None))]),
        (ReadOnlyRoot(), [attributes(ROOT, attr_set=c.MOUNT_ATTR_RDONLY)]),
        (RootPropagation(c.MS_SHARED), [attributes(ROOT, propagation=c.MS_SHARED)]),
        (PivotRoot(), [("fchdir", (ROOT,)), ("pivot_root", (".", ".")),
                       ("umount2", (".", c.MNT_DETACH)), ("chdir", ("/",))]),
        (SetHostname("h"), [("sethostname", ("h",))]),
        (SetDomainname("d"), [("setdomainname", ("d",))]),
        (NewCgroupNamespace(), [("unshare", (c.CLONE_NEWCGROUP,))]),
        (ReadOnlyMount("/x"), [opened("/x", os.O_PATH | os.O_DIRECTORY),
                               attributes(100, attr_set=c.MOUNT_ATTR_RDONLY)]),
    ],
)  # fmt: skip
def test_single_steps(operation: Operation, calls: list[Call]) -> None:
    fake = RecordingKernel()
    run(operation, fake)
    assert without_closing(fake) == calls
    assert fake.open_descriptors() == set()


def test_an_overlay_is_made_by_the_parent_and_attached_by_init(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(filesystems, "knows_single_layers", lambda release: True)
    fake, context = RecordingKernel(), Context()
    operation = OverlayRoot("overlay", ("lowerdir=/b", "lowerdir=/a", "volatile"), 2)
    operation.prepare(fake.kernel, context)
    assert fake.calls == [
        ("fsopen", ("overlay",)),
        ("fsconfig_string", (100, "source", "overlay")),
        ("fsconfig_string", (100, "lowerdir+", "/b")),
        ("fsconfig_string", (100, "lowerdir+", "/a")),
        ("fsconfig_flag", (100, "volatile")),
        ("fsconfig_create", (100,)),
        ("fsmount", (100, 2)),
        ("close", (100,)),
    ]
    assert context.root_fd == 101
    fake.calls.clear()
    operation.execute(fake.kernel, context)
    assert fake.calls == [("move_mount", (101, "", c.AT_FDCWD, "/", c.MOVE_MOUNT_F_EMPTY_PATH))]
    context.close(fake.kernel)
    assert fake.calls[-1] == ("close", (101,))


def test_a_bound_root_leaves_its_sources_peer_group() -> None:
    fake, context = RecordingKernel(), Context()
    BindRoot("/r", parse_options(["ro"]), c.MS_SLAVE).prepare(fake.kernel, context)
    assert fake.calls == [
        ("open_tree", (c.AT_FDCWD, "/r", c.OPEN_TREE_CLONE | c.AT_RECURSIVE)),
        attributes(100, flags=SELF | c.AT_RECURSIVE, propagation=c.MS_SLAVE),
        attributes(100, attr_set=c.MOUNT_ATTR_RDONLY, attr_clr=0),
    ]


def test_what_the_kernel_says_about_a_file_system_is_in_the_error() -> None:
    error = OSError(errno.EINVAL, "Invalid argument")
    fake = RecordingKernel(
        errors={("fsconfig_create", 0): error}, results={"read": b"e tmpfs: Bad value for 'size'\n"}
    )
    with pytest.raises(OSError, match="tmpfs: Bad value for 'size'") as caught:
        make_file_system(fake.kernel, "tmpfs", "tmpfs", (), 0)
    assert caught.value.errno == errno.EINVAL
    assert fake.open_descriptors() == set()


@pytest.mark.parametrize(
    ("words", "propagations"),
    [
        # (flags, propagation) in order; the first takes the copy out of the host's peer group.
        (["rbind"], [(SELF | c.AT_RECURSIVE, c.MS_SLAVE)]),
        (["rbind", "rprivate"], [(SELF | c.AT_RECURSIVE, c.MS_PRIVATE)]),
        (["rbind", "private"], [(SELF | c.AT_RECURSIVE, c.MS_SLAVE), (SELF, c.MS_PRIVATE)]),
        (["rbind", "rshared"], [(SELF | c.AT_RECURSIVE, c.MS_SLAVE),
                                (SELF | c.AT_RECURSIVE, c.MS_SHARED)]),
    ],
)  # fmt: skip
def test_the_propagation_of_a_bind(words: list[str], propagations: list[tuple[int, int]]) -> None:
    fake = RecordingKernel()
    BindMount("/s", "/d", parse_options(words), c.MS_SLAVE).prepare(fake.kernel, Context())
    assert fake.calls[1:] == [
        attributes(100, flags=flags, propagation=kind) for flags, kind in propagations
    ]


def test_the_flags_of_a_bind_reach_as_deep_as_they_say() -> None:
    fake = RecordingKernel()
    options = parse_options(["bind", "ro", "suid", "rnodev", "rprivate"])
    BindMount("/s", "/d", options, c.MS_SLAVE).prepare(fake.kernel, Context())
    assert fake.calls == [
        ("open_tree", (c.AT_FDCWD, "/s", c.OPEN_TREE_CLONE)),
        attributes(100, attr_set=1, attr_clr=2),
        attributes(100, flags=SELF | c.AT_RECURSIVE, attr_set=4, attr_clr=0),
        attributes(100, flags=SELF | c.AT_RECURSIVE, propagation=c.MS_PRIVATE),
    ]


@pytest.mark.parametrize(
    ("kind", "flags"), [(stat.S_IFDIR, os.O_PATH | os.O_DIRECTORY), (stat.S_IFREG, os.O_PATH)]
)
def test_a_bind_goes_onto_the_descriptor_of_its_place(kind: int, flags: int) -> None:
    fake = RecordingKernel(results={"fstat": stat_result(kind | 0o755)})
    operation = BindMount("/s", "/d", parse_options(["bind"]), 0)
    run(operation, fake, prepared={id(operation): 77})
    assert without_closing(fake) == [opened("/d", flags), ("move_mount", (77, "", 100, "", ONTO))]
    assert fake.open_descriptors() == set()


def test_a_file_over_a_folder_is_refused_before_the_kernel_says_something_else() -> None:
    kinds = iter([stat.S_IFREG, stat.S_IFDIR])
    fake = RecordingKernel(results={"fstat": lambda fd: stat_result(next(kinds))})
    operation = BindMount("/s", "/d", parse_options(["bind"]), 0)
    with pytest.raises(NotADirectoryError):
        run(operation, fake, prepared={id(operation): 77})
    assert "move_mount" not in fake.names()


@pytest.mark.parametrize(
    ("destination", "allowed"),
    [("/proc/cpuinfo", True), ("/proc/net/dev", True), ("/proc/x", False), ("/elsewhere", False)],
)
def test_inside_procfs_only_a_few_files_may_be_covered(destination: str, allowed: bool) -> None:
    # Where the place lies is asked of its descriptor: "/elsewhere" may be a link into /proc.
    fake = RecordingKernel(
        results={"fstatfs": c.PROC_SUPER_MAGIC, "fstat": stat_result(stat.S_IFREG)}
    )
    operation = BindMount("/s", destination, parse_options(["bind"]), 0)
    if allowed:
        run(operation, fake, prepared={id(operation): 77})
        return
    with pytest.raises(RuntimeFailure, match="cannot be mounted because it is inside /proc"):
        run(operation, fake, prepared={id(operation): 77})
    assert "move_mount" not in fake.names()


def test_only_a_procfs_goes_on_proc() -> None:
    operation = BindMount("/s", "/proc", parse_options(["bind"]), 0)
    with pytest.raises(RuntimeFailure, match="not of type proc"):
        run(operation, RecordingKernel(), prepared={id(operation): 77})
    tmpfs = FileSystemMount("tmpfs", "tmpfs", "/proc", parse_options([]))
    with pytest.raises(RuntimeFailure, match="not of type proc"):
        run(tmpfs, RecordingKernel())


def test_a_file_system_is_made_detached_and_moved_onto_its_place() -> None:
    fake = RecordingKernel()
    options = parse_options(["nosuid", "ro", "size=1m", "private"])
    run(FileSystemMount("tmpfs", "shm", "/dev/shm", options), fake)
    assert without_closing(fake) == [
        opened("/dev/shm", os.O_PATH | os.O_DIRECTORY),
        ("fsopen", ("tmpfs",)),
        ("fsconfig_string", (101, "source", "shm")),
        ("fsconfig_string", (101, "size", "1m")),
        ("fsconfig_create", (101,)),
        # Read-only comes with `ReadOnlyMount`.
        ("fsmount", (101, c.MOUNT_ATTR_NOSUID)),
        attributes(102, propagation=c.MS_PRIVATE),
        ("move_mount", (102, "", 100, "", ONTO)),
    ]
    assert fake.open_descriptors() == set()


def test_proc_is_the_one_that_the_sysctls_went_through() -> None:
    fake = RecordingKernel()
    operation = FileSystemMount("proc", "proc", "/proc", parse_options(["nosuid"]))
    context = run(operation, fake, proc_fd=60)
    resolve = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_SYMLINKS
    assert without_closing(fake) == [
        (
            "openat2",
            (ROOT, "/proc", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, ("resolve", resolve)),
        ),
        attributes(60, attr_set=c.MOUNT_ATTR_NOSUID),
        ("move_mount", (60, "", 100, "", ONTO)),
    ]
    assert context.proc_fd == -1


@pytest.mark.parametrize("number", [errno.ELOOP, errno.ENOTDIR])
def test_proc_goes_through_no_link(number: int) -> None:
    fake = RecordingKernel(errors={("openat2", 0): OSError(number, "x")})
    with pytest.raises(RuntimeFailure, match='filesystem "proc" must be mounted on ordinary dir'):
        run(FileSystemMount("proc", "proc", "/proc", parse_options([])), fake)
    assert "fsopen" not in fake.names()


def test_a_sysctl_is_written_below_the_private_procfs_only() -> None:
    fake = RecordingKernel()
    context = run(OpenProc(), fake)
    assert context.proc_fd == 101
    fake.calls.clear()
    SetSysctl("net.ipv4.x", "1 2").execute(fake.kernel, context)
    resolve = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_XDEV
    assert fake.calls == [
        ("openat2", (101, "sys/net/ipv4/x", os.O_WRONLY, ("resolve", resolve))),
        ("write", (102, b"1 2")),
        ("close", (102,)),
    ]


def test_nodes_are_made_by_descriptor_with_owner() -> None:
    fake = RecordingKernel()
    devices = (
        Device("/dev/a", stat.S_IFCHR, os.makedev(1, 3)),
        Device("/dev/b", stat.S_IFBLK, os.makedev(8, 0), 0o660, 5, 6),
        Device("/dev/net/c", stat.S_IFCHR, os.makedev(10, 200)),
    )
    run(MakeDevices(devices), fake)
    flags = os.O_PATH | os.O_DIRECTORY
    assert without_closing(fake) == [
        opened("/dev", flags),
        ("mknodat", (100, "a", stat.S_IFCHR | 0o666, os.makedev(1, 3))),
        ("mknodat", (100, "b", stat.S_IFBLK | 0o660, os.makedev(8, 0))),
        ("fchownat", (100, "b", 5, 6)),
        opened("/dev/net", flags),
        ("mknodat", (101, "c", stat.S_IFCHR | 0o666, os.makedev(10, 200))),
    ]
    assert fake.open_descriptors() == set()


def test_a_node_that_may_not_be_made_is_the_hosts_if_it_is_the_right_one() -> None:
    refused = {("mknodat", 0): PermissionError(errno.EPERM, "x")}
    device = Device("/dev/null", stat.S_IFCHR, os.makedev(1, 3))
    fake = RecordingKernel(errors=refused, results={"fstat": NULL})  # type: ignore[arg-type]
    run(MakeDevices((device,)), fake)
    assert without_closing(fake)[2:] == [
        ("openat2", (c.AT_FDCWD, "/dev/null", os.O_PATH | os.O_NOFOLLOW)),
        opened("/dev/null", os.O_PATH),
        ("open_tree", (101, "", c.OPEN_TREE_CLONE | SELF)),
        ("move_mount", (103, "", 102, "", ONTO)),
    ]
    wrong = RecordingKernel(
        errors={("mknodat", 0): PermissionError(errno.EPERM, "x")},
        results={"fstat": stat_result(stat.S_IFCHR, rdev=os.makedev(1, 5))},
    )
    with pytest.raises(PermissionError):
        run(MakeDevices((device,)), wrong)
    assert "move_mount" not in wrong.names()


@pytest.mark.parametrize(("status", "kept"), [(NULL, True), (stat_result(stat.S_IFREG), False)])
def test_a_node_that_exists_must_be_the_same(status: os.stat_result, kept: bool) -> None:
    fake = RecordingKernel(
        errors={("mknodat", 0): FileExistsError(errno.EEXIST, "x")}, results={"fstat": status}
    )
    operation = MakeDevices((Device("/dev/null", stat.S_IFCHR, os.makedev(1, 3)),))
    if kept:
        run(operation, fake)
    else:
        with pytest.raises(FileExistsError):
            run(operation, fake)


def test_links_in_dev() -> None:
    fake = RecordingKernel(errors={("symlinkat", 1): FileExistsError(errno.EEXIST, "x")})
    run(MakeLinks(), fake)
    assert fake.named("symlinkat") == [
        ("symlinkat", ("/proc/self/fd", 100, "fd")),
        ("symlinkat", ("/proc/self/fd/0", 100, "stdin")),
        ("symlinkat", ("/proc/self/fd/1", 100, "stdout")),
        ("symlinkat", ("/proc/self/fd/2", 100, "stderr")),
        ("symlinkat", ("pts/ptmx", 100, "ptmx")),
    ]


def _masking(**more: Any) -> RecordingKernel:
    """fsopen 100, fsmount 101, null 102; then three descriptors a path: place, cover."""
    kinds = {102: NULL, 103: stat_result(stat.S_IFDIR), 105: stat_result(stat.S_IFREG)}
    return RecordingKernel(results={"fstat": lambda fd: kinds[fd]}, **more)


def test_covers_come_from_a_read_only_tmpfs_of_its_own() -> None:
    fake = _masking()
    run(MaskPaths(("/proc/folder", "/proc/file")), fake)
    calls = without_closing(fake)
    assert calls[5:] == [
        ("fsmount", (100, c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC)),
        ("mkdirat", (101, "empty", 0o555)),
        ("mknodat", (101, "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))),
        attributes(101, attr_set=c.MOUNT_ATTR_RDONLY),
        ("move_mount", (101, "", c.AT_FDCWD, "/dev", c.MOVE_MOUNT_F_EMPTY_PATH)),
        ("openat2", (101, "null", os.O_PATH | os.O_NOFOLLOW)),
        opened("/proc/folder", os.O_PATH),
        ("open_tree", (101, "empty", c.OPEN_TREE_CLONE)),
        ("move_mount", (104, "", 103, "", ONTO)),
        opened("/proc/file", os.O_PATH),
        ("open_tree", (102, "", c.OPEN_TREE_CLONE | SELF)),
        ("move_mount", (106, "", 105, "", ONTO)),
    ]
    assert fake.open_descriptors() == set()


@pytest.mark.parametrize(
    ("error", "ignored"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), True),
        (NotADirectoryError(errno.ENOTDIR, "x"), False),
        (PermissionError(errno.EACCES, "x"), False),
        (OSError(errno.ELOOP, "x"), False),
    ],
)
@pytest.mark.parametrize("operation", [MaskPaths(("/x",)), ReadOnlyPaths(("/x",))])
def test_only_what_does_not_exist_is_left_out(
    operation: Operation, error: OSError, ignored: bool
) -> None:
    position = 1 if isinstance(operation, MaskPaths) else 0  # after the null device
    fake = _masking(errors={("openat2", position): error})
    if ignored:
        run(operation, fake)
    else:
        with pytest.raises(type(error)):
            run(operation, fake)


def test_a_false_null_device_covers_nothing() -> None:
    fake = RecordingKernel(
        errors={("mknodat", 0): PermissionError(errno.EPERM, "x")},
        results={"fstat": stat_result(stat.S_IFREG)},
    )
    with pytest.raises(OSError, match="not the null device"):
        run(MaskPaths(("/x",)), fake)


def test_read_only_paths_are_copies_of_themselves() -> None:
    fake = RecordingKernel()
    run(ReadOnlyPaths(("/proc/sys",)), fake)
    assert without_closing(fake) == [
        opened("/proc/sys", os.O_PATH),
        ("open_tree", (100, "", c.OPEN_TREE_CLONE | SELF | c.AT_RECURSIVE)),
        attributes(101, flags=SELF | c.AT_RECURSIVE, attr_set=c.MOUNT_ATTR_RDONLY),
        ("move_mount", (101, "", 100, "", ONTO)),
    ]


def _cgroup(*controllers: str) -> Any:
    v1 = [
        SimpleNamespace(
            mountpoint=f"/sys/fs/cgroup/{words}", controllers=frozenset(words.split(","))
        )
        for words in controllers
    ]
    return SimpleNamespace(path="/box", hierarchies=SimpleNamespace(v1=v1))


def test_v1_shows_the_containers_cgroups_and_links_to_joint_ones() -> None:
    fake = RecordingKernel()
    options = parse_options(["ro", "nosuid"])
    run(SplitCgroupMount("/c", options), fake, cgroup=_cgroup("cpu,cpuacct", "memory"))
    calls = without_closing(fake)
    assert calls[5:] == [
        ("fsmount", (101, c.MOUNT_ATTR_NOSUID)),
        ("move_mount", (102, "", 100, "", ONTO)),
        ("mkdirat", (102, "cpu,cpuacct", 0o755)),
        ("open_tree", (c.AT_FDCWD, "/sys/fs/cgroup/cpu,cpuacct/box", c.OPEN_TREE_CLONE)),
        ("move_mount", (103, "", 102, "cpu,cpuacct", c.MOVE_MOUNT_F_EMPTY_PATH)),
        ("symlinkat", ("cpu,cpuacct", 102, "cpu")),
        ("symlinkat", ("cpu,cpuacct", 102, "cpuacct")),
        ("mkdirat", (102, "memory", 0o755)),
        ("open_tree", (c.AT_FDCWD, "/sys/fs/cgroup/memory/box", c.OPEN_TREE_CLONE)),
        ("move_mount", (104, "", 102, "memory", c.MOVE_MOUNT_F_EMPTY_PATH)),
        attributes(102, flags=SELF | c.AT_RECURSIVE, attr_set=3),
    ]
    assert fake.open_descriptors() == set()


def test_v2_is_mounted_anew() -> None:
    fake = RecordingKernel()
    run(UnifiedCgroupMount("/c", parse_options(["ro"])), fake)
    assert without_closing(fake)[1:] == [
        ("fsopen", ("cgroup2",)),
        ("fsconfig_string", (101, "source", "cgroup")),
        ("fsconfig_create", (101,)),
        ("fsmount", (101, c.MOUNT_ATTR_RDONLY)),
        ("move_mount", (102, "", 100, "", ONTO)),
    ]


def test_v2_of_the_host_where_it_may_not_be_mounted_anew() -> None:
    """A user namespace that does not own the cgroup namespace: the host's mount, with the attributes asked for."""
    unified = SimpleNamespace(mountpoint="/sys/fs/cgroup")
    cgroup = SimpleNamespace(path="/box", hierarchies=SimpleNamespace(unified=unified))
    refused = {("fsconfig_create", 0): PermissionError(errno.EPERM, "Operation not permitted")}
    fake = RecordingKernel(errors=refused)
    run(UnifiedCgroupMount("/c", parse_options(["ro"])), fake, cgroup=cgroup)
    names = [call for call in without_closing(fake) if call[0] not in ("read", "fsopen")]
    assert names[-3:] == [
        ("open_tree", (c.AT_FDCWD, "/sys/fs/cgroup", c.OPEN_TREE_CLONE)),
        attributes(102, flags=SELF, attr_set=c.MOUNT_ATTR_RDONLY),
        ("move_mount", (102, "", 100, "", ONTO)),
    ]
    assert fake.open_descriptors() == set()


PTMX = stat_result(stat.S_IFCHR, rdev=os.makedev(5, 2))


def test_a_console_comes_from_the_containers_devpts_and_is_bound_by_descriptor() -> None:
    fake = RecordingKernel(results={"fstat": PTMX, "ioctl": 55, "fstatfs": c.DEVPTS_SUPER_MAGIC})
    context = run(MakeConsole((3, 4)), fake, devpts_fd=40)
    assert context.console == (101, 55)
    assert [arguments[1] for _, arguments in fake.named("ioctl")] == [
        c.TIOCSPTLCK,
        c.TIOCGPTPEER,
        c.TIOCSWINSZ,
    ]
    assert without_closing(fake)[-3:] == [
        opened("/dev/console", os.O_PATH),
        ("open_tree", (55, "", c.OPEN_TREE_CLONE | SELF)),
        ("move_mount", (103, "", 102, "", ONTO)),
    ]


@pytest.mark.parametrize(
    ("status", "magic"),
    [(stat_result(stat.S_IFIFO), c.DEVPTS_SUPER_MAGIC), (NULL, c.DEVPTS_SUPER_MAGIC), (PTMX, 1)],
)
def test_a_false_multiplexer(status: os.stat_result, magic: int) -> None:
    fake = RecordingKernel(results={"fstat": status, "fstatfs": magic})
    with pytest.raises(OSError, match="not a terminal multiplexer"):
        open_console(fake.kernel, ROOT, "/dev/ptmx", None)
    assert "ioctl" not in fake.names()
