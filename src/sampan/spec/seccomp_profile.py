"""Which system calls a container may make: Docker's default, and profiles in Docker's format.

The default is a table of facts with the meaning of moby's profile of 2026 (`profiles/seccomp`): what is not named
fails with EPERM. What it leaves out on purpose: io_uring, userfaultfd, keyrings, AF_ALG and AF_VSOCK
sockets, new user namespaces, and all that needs a capability that the container does not have.
`resolve` evaluates a profile's conditions and gives the OCI `linux.seccomp` object, which
`sampan.linux.seccomp` compiles.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from sampan.errors import InvalidParameter

Kernel = tuple[int, int]

_SIZE_LIMIT = 4 * 1024 * 1024

# uname's machine → Go's name, which profiles use; libseccomp's name; the sub-architectures.
_ARCHITECTURES = {
    "x86_64": ("amd64", "SCMP_ARCH_X86_64", ("SCMP_ARCH_X86", "SCMP_ARCH_X32")),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64", ("SCMP_ARCH_ARM",)),
}

_ACTIONS = frozenset(
    "SCMP_ACT_" + name
    for name in (
        *(
            "ALLOW",
            "ERRNO",
            "KILL",
            "KILL_THREAD",
            "KILL_PROCESS",
            "LOG",
            "NOTIFY",
            "TRACE",
            "TRAP",
        ),
    )
)

_ALLOWED = """
    _llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset
    chdir chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64
    clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range
    connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl
    epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve
    execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark
    fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr
    flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
    ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake
    futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid
    getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername
    getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid
    getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid
    getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
    ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
    listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack
    membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2
    mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget
    msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open
    openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
    pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
    process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink
    readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr
    removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
    semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list
    set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
    setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid
    setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid
    setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd
    signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64
    statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write
    writev
"""

# Only with the capability that guards them in the kernel anyway.
_WITH_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": (
        """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
        open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog
        umount umount2 unshare
        """
    ),
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": (
        """
        kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace
        """
    ),
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}

_ONLY_ON = {
    "amd64": "arch_prctl modify_ldt",
    "arm64": """
        arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2
    """,
}

# Since 4.8 a tracer's change of a system call is filtered too.
_PTRACE_KERNEL = (4, 8)
_PTRACE = "process_vm_readv process_vm_writev ptrace"

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_NEW_NAMESPACES = 0x7E020000
_AF_ALG, _AF_LLC, _AF_VSOCK = 38, 39, 40
# PER_LINUX, PER_LINUX32, both with UNAME26, and the query.
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_ENOSYS = 38


def resolve_security_option(
    option: str, capabilities: frozenset[str], machine: str, kernel: Kernel
) -> dict[str, Any] | None:
    """`option`: "" is the default profile, `unconfined` none at all, else a profile as JSON text."""
    if option == "unconfined":
        return None
    if not option:
        return default_profile(capabilities, machine, kernel)
    return resolve(load(option), capabilities, machine, kernel)


def default_profile(
    capabilities: frozenset[str], machine: str, kernel: Kernel
) -> dict[str, Any] | None:
    """The default as OCI `linux.seccomp`; None on a machine that sampan has no table for."""
    if machine not in _ARCHITECTURES:
        return None
    # A fresh outer object; what is in it is shared and must not be changed.
    return dict(_default(capabilities, machine, kernel))


@lru_cache(maxsize=64)
def _default(capabilities: frozenset[str], machine: str, kernel: Kernel) -> dict[str, Any]:
    go_name, native, others = _ARCHITECTURES[machine]
    allowed = set(_ALLOWED.split())
    allowed.update(_ONLY_ON[go_name].split())
    for capability, names in _WITH_CAPABILITY.items():
        if capability in capabilities:
            allowed.update(names.split())
    if kernel >= _PTRACE_KERNEL:
        allowed.update(_PTRACE.split())
    rules = [
        _rule(sorted(allowed)),
        _rule(["socket"], _argument(0, "LT", _AF_ALG)),
        _rule(["socket"], _argument(0, "EQ", _AF_LLC)),
        _rule(["socket"], _argument(0, "GT", _AF_VSOCK)),
        *(_rule(["personality"], _argument(0, "EQ", value)) for value in _PERSONALITIES),
    ]
    if "CAP_SYS_ADMIN" not in capabilities:
        rules.append(_rule(["clone"], _argument(0, "MASKED_EQ", _NEW_NAMESPACES)))
        # Its flags are in memory, where no filter sees them; libc falls back to clone on ENOSYS.
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": [native, *others],
        "syscalls": rules,
    }


def _rule(names: list[str], argument: dict[str, Any] | None = None) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    if argument is not None:
        rule["args"] = [argument]
    return rule


def _argument(index: int, operator: str, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_" + operator}


def load(text: str) -> dict[str, Any]:
    """A profile from its JSON text. Raises `InvalidParameter`."""
    if len(text) > _SIZE_LIMIT:
        raise InvalidParameter("Decoding seccomp profile failed: it is too large")
    try:
        profile = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(f"Decoding seccomp profile failed: {error}") from None
    if not isinstance(profile, dict):
        raise InvalidParameter("Decoding seccomp profile failed: it is not an object")
    return profile


def resolve(
    profile: Mapping[str, Any], capabilities: frozenset[str], machine: str, kernel: Kernel
) -> dict[str, Any]:
    """A profile in Docker's format, for this container on this host, as OCI `linux.seccomp`."""
    try:
        return _resolve(profile, capabilities, machine, kernel)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise InvalidParameter(f"invalid seccomp profile: {error!r}") from None


def _resolve(
    profile: Mapping[str, Any], capabilities: frozenset[str], machine: str, kernel: Kernel
) -> dict[str, Any]:
    result: dict[str, Any] = {"defaultAction": _action(profile.get("defaultAction"))}
    if profile.get("defaultErrnoRet") is not None:
        result["defaultErrnoRet"] = int(profile["defaultErrnoRet"])
    architectures = _architectures(profile, machine)
    if architectures:
        result["architectures"] = architectures
    for key in ("flags", "listenerPath", "listenerMetadata"):
        if profile.get(key):
            result[key] = profile[key]
    result["syscalls"] = [
        _oci_rule(rule)
        for rule in profile.get("syscalls") or ()
        if _applies(rule, capabilities, machine, kernel)
    ]
    return result


def _architectures(profile: Mapping[str, Any], machine: str) -> list[str]:
    listed, mapped = profile.get("architectures") or [], profile.get("archMap") or []
    if listed and mapped:
        raise InvalidParameter(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    native = _ARCHITECTURES[machine][1] if machine in _ARCHITECTURES else ""
    for entry in mapped:
        if entry["architecture"] == native:
            return [native, *(entry.get("subArchitectures") or [])]
    return [str(name) for name in listed]


def _applies(
    rule: Mapping[str, Any], capabilities: frozenset[str], machine: str, kernel: Kernel
) -> bool:
    """All that it includes must hold, and nothing that it excludes may."""
    arch = _ARCHITECTURES[machine][0] if machine in _ARCHITECTURES else machine
    excludes, includes = rule.get("excludes") or {}, rule.get("includes") or {}
    if arch in (excludes.get("arches") or ()):
        return False
    if any(name in capabilities for name in excludes.get("caps") or ()):
        return False
    if excludes.get("minKernel") and kernel >= _version(excludes["minKernel"]):
        return False
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if not all(name in capabilities for name in includes.get("caps") or ()):
        return False
    return not includes.get("minKernel") or kernel >= _version(includes["minKernel"])


def _version(text: str) -> Kernel:
    major, dot, minor = text.partition(".")
    if not dot:
        raise ValueError(f"invalid kernel version: {text}")
    return int(major), int(minor)


def _oci_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    names, name = rule.get("names") or [], rule.get("name")
    if names and name:
        raise InvalidParameter(
            "both 'name' and 'names' are specified in the seccomp profile, "
            "use either 'name' or 'names'"
        )
    result: dict[str, Any] = {
        "names": _strings([name] if name else names),
        "action": _action(rule.get("action")),
    }
    if rule.get("errnoRet") is not None:
        result["errnoRet"] = int(rule["errnoRet"])
    if rule.get("args"):
        result["args"] = [_oci_argument(argument) for argument in rule["args"]]
    return result


def _oci_argument(argument: Mapping[str, Any]) -> dict[str, Any]:
    result = {"index": int(argument["index"]), "value": int(argument.get("value") or 0)}
    if argument.get("valueTwo"):
        result["valueTwo"] = int(argument["valueTwo"])
    return {**result, "op": str(argument["op"])}


def _strings(names: Iterable[Any]) -> list[str]:
    result = list(names)
    if not all(isinstance(name, str) for name in result):
        raise TypeError("a name is not a string")
    return result


def _action(name: Any) -> str:
    if name not in _ACTIONS:
        raise ValueError(f"invalid action: {name}")
    return str(name)
