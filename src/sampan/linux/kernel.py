"""`Kernel`: every system call made below the engine, one thin method each, and `LinuxKernel`.

Methods have the kernel's names and raise `OSError(errno, text, path)`. They hold no policy,
retry nothing, and return descriptors that are close-on-exec. `tests/fakes/kernel.py` records them.
Integers are checked, never wrapped; paths are `str` (surrogateescape) or `bytes`, without NUL.
"""

from __future__ import annotations

import _struct as struct
import fcntl
import os

from sampan.linux import cdll
from sampan.linux import constants as c
from sampan.linux import signals as signal
from sampan.linux.libc import CString, Int, Libc, Path, Pointer, UInt, ULong, check, unsigned
from sampan.spec.typing import NoReturn, Protocol

Capabilities = tuple[int, int, int]  # effective, permitted, inheritable: bit masks
SchedulerNumbers = tuple[int, int, int, int, int]  # nice, priority, runtime, deadline, period
Limits = tuple[int, int]  # soft, hard; 2**64-1 is RLIM_INFINITY

_CAPABILITY_VERSION_3 = 0x20080522


_GLIBC_SIGNALS = (32, 33)
_DEFAULT_ACTION = bytes(64)  # struct kernel_sigaction: SIG_DFL, no flags, empty mask


class Kernel(Protocol):
    # namespaces and processes
    def unshare(self, flags: int) -> None: ...
    def setns(self, fd: int, flags: int) -> None: ...
    def clone3(self, flags: int, *, cgroup: int = -1) -> tuple[int, int]: ...
    def fork(self) -> tuple[int, int]: ...
    def pidfd_open(self, pid: int) -> int: ...
    def pidfd_send_signal(self, pidfd: int, signal_number: int) -> None: ...
    def pidfd_getfd(self, pidfd: int, number: int) -> int: ...
    def waitid(self, pidfd: int, options: int) -> int | None: ...
    def execve(self, path: Path, argv: list[str], environment: list[str]) -> NoReturn: ...
    def setsid(self) -> None: ...
    def prctl(self, option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0) -> int: ...
    def block_signals(self) -> set[int]: ...
    def restore_signals(self, blocked: set[int]) -> None: ...
    def reset_signals(self) -> None: ...
    # descriptors
    def openat2(
        self, dirfd: int, path: Path, flags: int, *, mode: int = 0, resolve: int = 0
    ) -> int: ...
    def read(self, fd: int, size: int) -> bytes: ...
    def write(self, fd: int, data: bytes) -> int: ...
    def close(self, fd: int) -> None: ...
    def close_range(self, first: int, last: int, flags: int) -> None: ...
    def dup(self, fd: int) -> int: ...
    def dup2(self, fd: int, target: int) -> None: ...
    def fstat(self, fd: int) -> os.stat_result: ...
    def fstatfs(self, fd: int) -> int: ...
    def ioctl(self, fd: int, request: int, argument: int | bytes = 0) -> int: ...
    # files
    def stat(self, path: Path) -> os.stat_result: ...
    def faccessat(self, path: Path, mode: int) -> None: ...
    def mkdirat(self, dirfd: int, path: Path, mode: int) -> None: ...
    def mknodat(self, dirfd: int, path: Path, mode: int, device: int) -> None: ...
    def symlinkat(self, target: Path, dirfd: int, path: Path) -> None: ...
    def readlinkat(self, dirfd: int, path: Path) -> str: ...
    def fchownat(self, dirfd: int, path: Path, uid: int, gid: int) -> None: ...
    def fchown(self, fd: int, uid: int, gid: int) -> None: ...
    def umask(self, mask: int) -> int: ...
    def chdir(self, path: Path) -> None: ...
    def fchdir(self, fd: int) -> None: ...
    def chroot(self, path: Path) -> None: ...
    def getcwd(self) -> str: ...
    # mounts
    def open_tree(self, dirfd: int, path: Path, flags: int) -> int: ...
    def fsopen(self, name: str) -> int: ...
    def fsconfig_string(self, fd: int, key: str, value: Path) -> None: ...
    def fsconfig_flag(self, fd: int, key: str) -> None: ...
    def fsconfig_fd(self, fd: int, key: str, value: int) -> None: ...
    def fsconfig_create(self, fd: int) -> None: ...
    def fsmount(self, fd: int, attributes: int) -> int: ...
    def mount_setattr(
        self,
        fd: int,
        path: Path,
        flags: int,
        *,
        attr_set: int = 0,
        attr_clr: int = 0,
        propagation: int = 0,
        userns_fd: int = 0,
    ) -> None: ...
    def move_mount(
        self, from_fd: int, from_path: Path, to_fd: int, to_path: Path, flags: int
    ) -> None: ...
    def mount(
        self, source: Path | None, target: Path, name: str | None, flags: int, data: str | None
    ) -> None: ...
    def umount2(self, target: Path, flags: int) -> None: ...
    def pivot_root(self, new_root: Path, put_old: Path) -> None: ...
    # identity and limits
    def setgroups(self, groups: list[int]) -> None: ...
    def setresuid(self, real: int, effective: int, saved: int) -> None: ...
    def setresgid(self, real: int, effective: int, saved: int) -> None: ...
    def capget(self) -> Capabilities: ...
    def capset(self, capabilities: Capabilities) -> None: ...
    def seccomp_set_filter(self, program: bytes, flags: int = 0) -> int: ...
    def sched_setattr(self, policy: int, flags: int, numbers: SchedulerNumbers) -> None: ...
    def sched_setaffinity(self, cpus: frozenset[int]) -> None: ...
    def ioprio_set(self, priority: int) -> None: ...
    def personality(self, persona: int) -> None: ...
    def set_mempolicy(self, mode: int, nodes: int) -> None: ...
    def keyctl_join_session(self, name: str | None = None) -> None: ...
    def prlimit(self, pid: int, resource_number: int, limits: Limits | None = None) -> Limits: ...
    def sethostname(self, name: str) -> None: ...
    def setdomainname(self, name: str) -> None: ...


class LinuxKernel:
    """The real thing. Make one a process, before entering another root: it loads every symbol."""

    def __init__(self) -> None:
        libc = Libc()
        f, s = libc.function, libc.syscall
        self._unshare = f("unshare", Int)
        self._setns = f("setns", Int, Int)
        self._clone3 = s("clone3", Pointer, ULong, keep_lock=True)
        self._pidfd_open = s("pidfd_open", Int, UInt)
        self._pidfd_send_signal = s("pidfd_send_signal", Int, Int, Pointer, UInt)
        self._pidfd_getfd = s("pidfd_getfd", Int, Int, UInt)
        self._prctl = f("prctl", Int, ULong, ULong, ULong, ULong)
        self._openat2 = s("openat2", Int, CString, Pointer, ULong)
        self._rt_sigaction = s("rt_sigaction", Int, Pointer, Pointer, ULong)
        self._execve = f("execve", CString, Pointer, Pointer)
        self._prlimit = f("prlimit64", Int, Int, Pointer, Pointer)
        self._close_range = s("close_range", UInt, UInt, UInt)
        self._fstatfs = f("fstatfs", Int, Pointer)
        self._faccessat = f("faccessat", Int, CString, Int, Int)
        self._mknodat = f("mknodat", Int, CString, UInt, ULong)
        self._open_tree = s("open_tree", Int, CString, UInt)
        self._fsopen = s("fsopen", CString, UInt)
        self._fsconfig = s("fsconfig", Int, UInt, CString, CString, Int)
        self._fsmount = s("fsmount", Int, UInt, UInt)
        self._mount_setattr = s("mount_setattr", Int, CString, UInt, Pointer, ULong)
        self._move_mount = s("move_mount", Int, CString, Int, CString, UInt)
        self._mount = f("mount", CString, CString, CString, ULong, CString)
        self._umount2 = f("umount2", CString, Int)
        self._pivot_root = s("pivot_root", CString, CString)
        self._capget = f("capget", Pointer, Pointer)
        self._capset = f("capset", Pointer, Pointer)
        self._seccomp = s("seccomp", UInt, UInt, Pointer)
        self._sched_setattr = s("sched_setattr", Int, Pointer, UInt)
        self._ioprio_set = s("ioprio_set", Int, Int, Int)
        self._personality = s("personality", ULong)
        self._set_mempolicy = s("set_mempolicy", Int, Pointer, ULong)
        self._keyctl = s("keyctl", Int, CString)
        self._setdomainname = f("setdomainname", CString, ULong)
        self._sethostname = f("sethostname", CString, ULong)

    # namespaces and processes

    def unshare(self, flags: int) -> None:
        check(self._unshare(flags))

    def setns(self, fd: int, flags: int) -> None:
        check(self._setns(fd, flags))

    def clone3(self, flags: int, *, cgroup: int = -1) -> tuple[int, int]:
        """`(pid, pidfd)` in the parent, `(0, -1)` in the child, which goes on as after fork.

        `cgroup` is a descriptor of a cgroup v2 folder for CLONE_INTO_CGROUP.
        For single-threaded callers only: nothing of PyOS_AfterFork is done.
        """
        pidfd = cdll.c_int(-1)
        flags |= c.CLONE_PIDFD | (c.CLONE_INTO_CGROUP if cgroup >= 0 else 0)
        arguments = struct.pack(
            "=11Q",
            *(unsigned(flags), cdll.addressof(pidfd), 0, 0),
            # With CLONE_PARENT the kernel takes the caller's own, and wants none here.
            0 if flags & c.CLONE_PARENT else signal.SIGCHLD,
            *(0, 0, 0, 0, 0, max(cgroup, 0)),
        )
        pid = check(self._clone3(arguments, len(arguments)))
        return pid, (pidfd.value if pid else -1)

    def fork(self) -> tuple[int, int]:
        """A plain child of the caller's own, whatever a subclass does to `clone3`; see there."""
        return LinuxKernel.clone3(self, 0)

    def pidfd_open(self, pid: int) -> int:
        return check(self._pidfd_open(pid, 0))

    def pidfd_send_signal(self, pidfd: int, signal_number: int) -> None:
        check(self._pidfd_send_signal(pidfd, signal_number, None, 0))

    def pidfd_getfd(self, pidfd: int, number: int) -> int:
        """A duplicate of that process's descriptor, close-on-exec. For who may trace it, ptrace(2)."""
        return check(self._pidfd_getfd(pidfd, number, 0))

    def waitid(self, pidfd: int, options: int) -> int | None:
        """The exit status as a shell counts it (128 + signal); None with WNOHANG while alive."""
        result = os.waitid(os.P_PIDFD, pidfd, options)
        if result is None:
            return None
        exited = result.si_code == os.CLD_EXITED
        return result.si_status if exited else 128 + result.si_status

    def execve(self, path: Path, argv: list[str], environment: list[str]) -> NoReturn:
        """`environment` in its own order, duplicates included, as `NAME=value`."""
        # os.execve takes a mapping, which cannot hold entries without "=" nor duplicates.
        check(self._execve(path, _string_array(argv), _string_array(environment)), path)
        raise AssertionError("execve returned")

    def setsid(self) -> None:
        os.setsid()

    def prctl(self, option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0) -> int:
        return check(self._prctl(option, arg2, arg3, arg4, 0))

    def block_signals(self) -> set[int]:
        """All of them; returns what was blocked before."""
        return set(map(int, signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())))

    def restore_signals(self, blocked: set[int]) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def reset_signals(self) -> None:
        """Every signal to its default, none blocked: what a new program expects."""
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if signal.getsignal(number) is not signal.SIG_DFL:
                signal.signal(number, signal.SIG_DFL)
        # glibc keeps these to itself and lets nobody set them; ignored by some ancestor they would stay so.
        for hidden in _GLIBC_SIGNALS:
            check(self._rt_sigaction(hidden, _DEFAULT_ACTION, None, 8))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    # descriptors

    def openat2(
        self, dirfd: int, path: Path, flags: int, *, mode: int = 0, resolve: int = 0
    ) -> int:
        # Negative when one of them is; struct refuses what is too large.
        unsigned(flags | mode | resolve)
        how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, resolve)
        return check(self._openat2(dirfd, path, how, len(how)), path)

    def read(self, fd: int, size: int) -> bytes:
        return os.read(fd, size)

    def write(self, fd: int, data: bytes) -> int:
        return os.write(fd, data)

    def close(self, fd: int) -> None:
        os.close(fd)

    def close_range(self, first: int, last: int, flags: int) -> None:
        check(self._close_range(first, last, flags))

    def dup(self, fd: int) -> int:
        return os.dup(fd)

    def dup2(self, fd: int, target: int) -> None:
        os.dup2(fd, target, inheritable=True)

    def fstat(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def fstatfs(self, fd: int) -> int:
        """The magic number of the file system."""
        buffer = (cdll.c_long * 32)()
        check(self._fstatfs(fd, buffer))
        return int(buffer[0])

    def ioctl(self, fd: int, request: int, argument: int | bytes = 0) -> int:
        if isinstance(argument, int):
            return fcntl.ioctl(fd, request, argument)
        fcntl.ioctl(fd, request, argument)
        return 0

    # files

    def stat(self, path: Path) -> os.stat_result:
        return os.stat(path)

    def faccessat(self, path: Path, mode: int) -> None:
        """By effective ids; EACCES when not allowed."""
        check(self._faccessat(c.AT_FDCWD, path, mode, c.AT_EACCESS), path)

    def mkdirat(self, dirfd: int, path: Path, mode: int) -> None:
        os.mkdir(path, mode, dir_fd=dirfd)

    def mknodat(self, dirfd: int, path: Path, mode: int, device: int) -> None:
        check(self._mknodat(dirfd, path, mode, device), path)

    def symlinkat(self, target: Path, dirfd: int, path: Path) -> None:
        os.symlink(os.fsencode(target), os.fsencode(path), dir_fd=dirfd)

    def readlinkat(self, dirfd: int, path: Path) -> str:
        """An empty `path` reads the link that `dirfd` itself is open on (O_PATH|O_NOFOLLOW)."""
        return os.fsdecode(os.readlink(os.fsencode(path), dir_fd=dirfd))

    def fchownat(self, dirfd: int, path: Path, uid: int, gid: int) -> None:
        """Never follows a link in the last component."""
        unsigned(uid, 31), unsigned(gid, 31)
        os.chown(path, uid, gid, dir_fd=dirfd, follow_symlinks=False)

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        unsigned(uid, 31), unsigned(gid, 31)
        os.fchown(fd, uid, gid)

    def umask(self, mask: int) -> int:
        return os.umask(mask)

    def chdir(self, path: Path) -> None:
        os.chdir(path)

    def fchdir(self, fd: int) -> None:
        os.fchdir(fd)

    def chroot(self, path: Path) -> None:
        os.chroot(path)

    def getcwd(self) -> str:
        return os.getcwd()

    # mounts

    def open_tree(self, dirfd: int, path: Path, flags: int) -> int:
        return check(self._open_tree(dirfd, path, flags | c.OPEN_TREE_CLOEXEC), path)

    def fsopen(self, name: str) -> int:
        return check(self._fsopen(name, c.FSOPEN_CLOEXEC), name)

    def fsconfig_string(self, fd: int, key: str, value: Path) -> None:
        check(self._fsconfig(fd, c.FSCONFIG_SET_STRING, key, value, 0), f"{key}={value!s}")

    def fsconfig_flag(self, fd: int, key: str) -> None:
        check(self._fsconfig(fd, c.FSCONFIG_SET_FLAG, key, None, 0), key)

    def fsconfig_fd(self, fd: int, key: str, value: int) -> None:
        check(self._fsconfig(fd, c.FSCONFIG_SET_FD, key, None, value), key)

    def fsconfig_create(self, fd: int) -> None:
        check(self._fsconfig(fd, c.FSCONFIG_CMD_CREATE, None, None, 0))

    def fsmount(self, fd: int, attributes: int) -> int:
        return check(self._fsmount(fd, c.FSMOUNT_CLOEXEC, attributes))

    def mount_setattr(
        self,
        fd: int,
        path: Path,
        flags: int,
        *,
        attr_set: int = 0,
        attr_clr: int = 0,
        propagation: int = 0,
        userns_fd: int = 0,
    ) -> None:
        attributes = struct.pack(
            "=QQQQ",
            unsigned(attr_set),
            unsigned(attr_clr),
            unsigned(propagation),
            unsigned(userns_fd),
        )
        check(self._mount_setattr(fd, path, flags, attributes, len(attributes)), path)

    def move_mount(
        self, from_fd: int, from_path: Path, to_fd: int, to_path: Path, flags: int
    ) -> None:
        check(self._move_mount(from_fd, from_path, to_fd, to_path, flags), to_path)

    def mount(
        self, source: Path | None, target: Path, name: str | None, flags: int, data: str | None
    ) -> None:
        check(self._mount(source, target, name, flags, data), target)

    def umount2(self, target: Path, flags: int) -> None:
        check(self._umount2(target, flags), target)

    def pivot_root(self, new_root: Path, put_old: Path) -> None:
        check(self._pivot_root(new_root, put_old), new_root)

    # identity and limits

    def setgroups(self, groups: list[int]) -> None:
        os.setgroups([unsigned(group, 31) for group in groups])

    def setresuid(self, real: int, effective: int, saved: int) -> None:
        os.setresuid(unsigned(real, 31), unsigned(effective, 31), unsigned(saved, 31))

    def setresgid(self, real: int, effective: int, saved: int) -> None:
        os.setresgid(unsigned(real, 31), unsigned(effective, 31), unsigned(saved, 31))

    def capget(self) -> Capabilities:
        header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
        data = (cdll.c_uint32 * 6)()
        check(self._capget(header, data))
        low, high = data[:3], data[3:]
        return (low[0] | high[0] << 32, low[1] | high[1] << 32, low[2] | high[2] << 32)

    def capset(self, capabilities: Capabilities) -> None:
        header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
        masks = [unsigned(mask) for mask in capabilities]
        data = struct.pack("=6I", *(m & 0xFFFFFFFF for m in masks), *(m >> 32 for m in masks))
        check(self._capset(header, data))

    def seccomp_set_filter(self, program: bytes, flags: int = 0) -> int:
        """`program` is an array of struct sock_filter (8 bytes each).

        Returns the listener's descriptor with SECCOMP_FILTER_FLAG_NEW_LISTENER, close-on-exec, else 0.
        """
        count, rest = divmod(len(program), 8)
        if rest:
            raise ValueError("a filter is a whole number of instructions")
        body = cdll.create_string_buffer(program, len(program))
        header = struct.pack("=HxxxxxxQ", count, cdll.addressof(body))
        return check(self._seccomp(c.SECCOMP_SET_MODE_FILTER, flags, header))

    def sched_setattr(self, policy: int, flags: int, numbers: SchedulerNumbers) -> None:
        attributes = struct.pack("=IIQiIQQQ", 48, policy, unsigned(flags), *numbers)
        check(self._sched_setattr(0, attributes, 0))

    def sched_setaffinity(self, cpus: frozenset[int]) -> None:
        os.sched_setaffinity(0, cpus)

    def ioprio_set(self, priority: int) -> None:
        check(self._ioprio_set(c.IOPRIO_WHO_PROCESS, 0, priority))

    def personality(self, persona: int) -> None:
        check(self._personality(persona))

    def set_mempolicy(self, mode: int, nodes: int) -> None:
        """`nodes` is a bit mask."""
        mask = nodes.to_bytes((nodes.bit_length() // 64 + 1) * 8, "little")
        # The kernel looks at one bit less than it is told.
        check(self._set_mempolicy(mode, mask if nodes else None, len(mask) * 8 + 1 if nodes else 0))

    def keyctl_join_session(self, name: str | None = None) -> None:
        check(self._keyctl(c.KEYCTL_JOIN_SESSION_KEYRING, name))

    def prlimit(self, pid: int, resource_number: int, limits: Limits | None = None) -> Limits:
        """Sets when `limits` is given; returns what held before."""
        wanted = limits and struct.pack("=QQ", unsigned(limits[0]), unsigned(limits[1]))
        before = (cdll.c_uint64 * 2)()
        check(self._prlimit(pid, resource_number, wanted, before))
        return before[0], before[1]

    def sethostname(self, name: str) -> None:
        check(self._sethostname(name, len(os.fsencode(name))), name)

    def setdomainname(self, name: str) -> None:
        check(self._setdomainname(name, len(os.fsencode(name))), name)


def _string_array(items: list[str]) -> cdll.Array[cdll.c_char_p]:
    encoded = [CString.from_param(item) for item in items]
    return (cdll.c_char_p * (len(encoded) + 1))(*encoded, None)
