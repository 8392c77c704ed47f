"""From the OCI `process` to a running command: who it is, what it may, and execve; for init and exec alike.

    Command = parse_command(process, …)      pure, in the parent
    become(kernel, command)                  in the child: groups, ids, capabilities, limits
    launch(kernel, command, path)            in the child, last: descriptors, signals, filter, execve

The order is forced by the kernel: what needs a right comes before that right is dropped, and the
filter comes last so that as little as possible happens under it.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from sampan.linux import capabilities, inroot, pty
from sampan.linux import constants as c
from sampan.linux import signals as signal
from sampan.linux.capabilities import CapabilitySets
from sampan.linux.channel import Channel
from sampan.linux.kernel import Kernel
from sampan.runtime import sync
from sampan.runtime.attributes import NONE, Attributes, apply_attributes, parse_attributes
from sampan.runtime.failure import RuntimeFailure, reason
from sampan.runtime.rlimits import Limit, apply_limits
from sampan.spec.record import dataclass
from sampan.spec.typing import Any, Mapping, NoReturn, Sequence

STREAMS = (stat.S_IFIFO, stat.S_IFSOCK)
_MAX_FD = (1 << 32) - 1
_MAX_ID = (1 << 31) - 1
_FORBIDDEN_EVENTS = frozenset(
    [
        *("import", "open", "ctypes.dlopen", "subprocess.Popen", "os.system", "os.exec"),
        *("os.posix_spawn", "os.fork", "os.forkpty", "socket.getaddrinfo"),
    ]
)


@dataclass(frozen=True, slots=True)
class Command:
    args: tuple[str, ...]
    environment: tuple[str, ...]
    cwd: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: int
    capabilities: CapabilitySets
    no_new_privileges: bool
    limits: tuple[Limit, ...]
    seccomp: bytes | None
    seccomp_flags: int
    terminal: bool
    die_with_parent: bool
    preserve_fds: int = 0
    new_keyring: bool = True
    attributes: Attributes = NONE


def parse_capabilities(process: dict[str, Any], held: int) -> CapabilitySets:
    """The five sets as far as we hold them: nobody can pass on what he has not."""
    sets = process.get("capabilities") or {}
    bounding, effective, inheritable, permitted, ambient = (
        capabilities.mask(sets.get(name) or ()) & held
        for name in ("bounding", "effective", "inheritable", "permitted", "ambient")
    )
    # The kernel refuses ambient ones that are not both of these, and effective that are not permitted.
    return CapabilitySets(
        bounding, effective & permitted, inheritable, permitted, ambient & permitted & inheritable
    )


def _id(value: Any, what: str) -> int:
    if not isinstance(value, int) or not 0 <= value <= _MAX_ID:
        raise ValueError(f"invalid {what}: {value!r}")
    return value


def parse_command(
    process: dict[str, Any],
    *,
    held: int,
    limits: Sequence[Limit] = (),
    seccomp: bytes | None = None,
    seccomp_flags: int = 0,
    terminal: bool = False,
    die_with_parent: bool = True,
    preserve_fds: int = 0,
    new_keyring: bool = True,
    linux: Mapping[str, Any] | None = None,
) -> Command:
    """Raises ValueError when the process makes no sense."""
    args = process.get("args") or []
    cwd = process.get("cwd") or "/"
    user = process.get("user") or {}
    if not args:
        raise ValueError("process.args must not be empty")
    if not cwd.startswith("/"):
        raise ValueError("Cwd must be an absolute path")
    umask = user.get("umask")
    return Command(
        args=tuple(args),
        environment=tuple(process.get("env") or ()),
        cwd=cwd,
        uid=_id(user.get("uid", 0), "uid"),
        gid=_id(user.get("gid", 0), "gid"),
        # Once each, as runc: dockerd names root's group twice.
        groups=tuple(dict.fromkeys(_id(gid, "gid") for gid in user.get("additionalGids") or ())),
        umask=0o022 if umask is None else umask & 0o777,
        capabilities=parse_capabilities(process, held),
        no_new_privileges=bool(process.get("noNewPrivileges")),
        limits=tuple(limits),
        seccomp=seccomp,
        seccomp_flags=seccomp_flags,
        terminal=terminal,
        die_with_parent=die_with_parent,
        preserve_fds=preserve_fds,
        new_keyring=new_keyring,
        attributes=parse_attributes(process, linux or {}),
    )


def seal_interpreter() -> None:
    """From here on the interpreter loads nothing: the root that it would look in is the container's.

    In a child only; it cannot be undone.
    """
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()
    sys.addaudithook(_refuse_to_load)


def _refuse_to_load(event: str, arguments: tuple[object, ...]) -> None:
    if event in _FORBIDDEN_EVENTS:
        raise RuntimeError(f"{event} in a container's root: {arguments!r}")


def enter_directory(kernel: Kernel, root_fd: int, path: str, *, fd: int = -1) -> None:
    """Make the folder the current one, and be sure that it lies in the root (CVE-2024-21626)."""
    try:
        if fd < 0:
            fd = inroot.open_in_root(kernel, root_fd, path, os.O_PATH | os.O_DIRECTORY)
        kernel.fchdir(fd)
        current = kernel.getcwd()
    except OSError as error:
        number = error.errno or errno.EIO
        raise RuntimeFailure(
            f'chdir to cwd ("{path}") set in config.json failed: {reason(number)}',
            step="change to the working directory",
            path=path,
            errno=number,
        ) from None
    if not current.startswith("/"):
        raise RuntimeFailure(
            "current working directory is outside of container mount namespace root "
            "-- possible container breakout detected",
            step="change to the working directory",
            path=path,
            errno=errno.EPERM,
        )


def take_stdio(kernel: Kernel, stdio: tuple[int, int, int], *, terminal: bool) -> None:
    """Become the leader of a session with `stdio` as 0, 1 and 2, of a terminal when it is one."""
    kernel.setsid()
    # First out of the way, since they may be 0, 1 or 2 in another order.
    aside = [kernel.dup(fd) for fd in stdio]
    for target, fd in enumerate(aside):
        while fd <= 2:
            fd = kernel.dup(fd)
        kernel.dup2(fd, target)
    if terminal:
        pty.make_controlling(kernel, 0)


def give_stdio(
    kernel: Kernel,
    uid: int,
    fds: Sequence[int] = (0, 1, 2),
    *,
    kinds: tuple[int, ...] = (*STREAMS, stat.S_IFCHR),
) -> None:
    """Let the user open /dev/stdout again. Never a regular file: that would be the host's.

    `kinds`: from outside a user namespace STREAMS only. A terminal is the host's there too, and from inside
    the kernel would not give it away.
    """
    for fd in fds:
        status = kernel.fstat(fd)
        kind = stat.S_IFMT(status.st_mode)
        null = kind == stat.S_IFCHR and status.st_rdev == os.makedev(*c.NULL_DEVICE)
        if kind not in kinds or null:
            continue
        if status.st_uid == uid:
            continue
        try:
            kernel.fchown(fd, uid, status.st_gid)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EINVAL, errno.EROFS):
                raise


def _join_keyring(kernel: Kernel) -> None:
    try:
        kernel.keyctl_join_session()
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EDQUOT):
            raise


def _set_groups(kernel: Kernel, groups: tuple[int, ...]) -> None:
    try:
        kernel.setgroups(list(groups))
    except PermissionError:
        # A user namespace whose maker had no right to change groups, user_namespaces(7): they stay.
        if groups:
            raise


def become(kernel: Kernel, command: Command) -> None:
    """Limits, ids, capabilities. What is still needed until execve is CAP_SYS_ADMIN, for the filter."""
    sets = command.capabilities
    if command.new_keyring:
        _join_keyring(kernel)
    give_stdio(kernel, command.uid)
    apply_attributes(kernel, command.attributes)
    apply_limits(kernel, list(command.limits))
    capabilities.drop_bounding(kernel, sets.bounding)
    _set_groups(kernel, command.groups)
    kernel.setresgid(command.gid, command.gid, command.gid)
    kernel.prctl(c.PR_SET_KEEPCAPS, 1)
    kernel.setresuid(command.uid, command.uid, command.uid)
    for_filter = command.seccomp is not None and not command.no_new_privileges
    extra = capabilities.CAP_SYS_ADMIN if for_filter else 0
    capabilities.apply(kernel, sets, extra=extra)
    if command.no_new_privileges:
        kernel.prctl(c.PR_SET_NO_NEW_PRIVS, 1)
    if command.die_with_parent:
        # After the last change of credentials, each of which clears it, prctl(2).
        kernel.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
    kernel.umask(command.umask)


def _load_filter(kernel: Kernel, program: bytes, flags: int, channel: Channel) -> None:
    if not flags & c.SECCOMP_FILTER_FLAG_NEW_LISTENER:
        kernel.seccomp_set_filter(program, flags)
        return
    number = kernel.dup(channel.fileno())  # the lowest that is free, as the listener's will be
    kernel.close(number)
    sync.tell(channel, sync.FILTER, at=number)
    sync.expect_listened(channel, kernel.seccomp_set_filter(program, flags))


def launch(kernel: Kernel, command: Command, path: str, channel: Channel) -> NoReturn:
    """Raises OSError when execve fails. Only 0, 1, 2 and what was to be preserved survive it.

    `channel` leads to who waits for it.
    """
    kernel.close_range(3 + command.preserve_fds, _MAX_FD, c.CLOSE_RANGE_CLOEXEC)
    kernel.reset_signals()
    if command.seccomp is not None:
        _load_filter(kernel, command.seccomp, command.seccomp_flags, channel)
    # The right to load the filter goes with execve: for root the bounding set is what remains, for
    # others the ambient one. capabilities(7), "Transformation of capabilities during execve()".
    kernel.execve(path, list(command.args), list(command.environment))
