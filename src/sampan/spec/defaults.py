"""What every container gets unless it asks otherwise: capabilities, paths, mounts, devices, limits.

The values are those of dockerd (moby HEAD where it is stricter than 20.10). Pure data; no msgspec here.
"""

from __future__ import annotations

from sampan.spec.mount import Mount

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# In the kernel's order (linux/capability.h); the index is the bit.
ALL_CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)

CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)

_MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)


def masked_paths(cpus: int) -> list[str]:
    """`cpus`: how many CPUs the host may ever have; each has a file that tells of its load."""
    throttles = (f"/sys/devices/system/cpu/cpu{n}/thermal_throttle" for n in range(cpus))
    return [*_MASKED_PATHS, *throttles]


READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

SHM_SIZE = 64 * 1024 * 1024

MOUNTS = (
    Mount("proc", "proc", ("nosuid", "noexec", "nodev"), "/proc"),
    Mount("tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k"), "/dev"),
    Mount(
        "devpts",
        "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        "/dev/pts",
    ),
    Mount("sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro"), "/sys"),
    Mount("cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev"), "/sys/fs/cgroup"),
    Mount("mqueue", "mqueue", ("nosuid", "noexec", "nodev"), "/dev/mqueue"),
    Mount("tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777"), "/dev/shm"),
)

DeviceRule = tuple[bool, str, int | None, int | None, str]

# allow, type, major, minor, access; None is every number. In order, the last match decides.
DEVICE_RULES: tuple[DeviceRule, ...] = (
    (False, "a", None, None, "rwm"),
    (True, "c", None, None, "m"),  # making a node is harmless, opening it is not
    (True, "b", None, None, "m"),
    (True, "c", 1, 3, "rwm"),  # null
    (True, "c", 1, 5, "rwm"),  # zero
    (True, "c", 1, 7, "rwm"),  # full
    (True, "c", 1, 8, "rwm"),  # random
    (True, "c", 1, 9, "rwm"),  # urandom
    (True, "c", 5, 0, "rwm"),  # tty
    (True, "c", 5, 1, "rwm"),  # console
    (True, "c", 5, 2, "rwm"),  # ptmx
    (True, "c", 136, None, "rwm"),  # pts/*
    (True, "c", 10, 200, "rwm"),  # net/tun
    (False, "c", 10, 229, "rwm"),  # fuse
)

UNLIMITED = (1 << 64) - 1

# Name, soft, hard. Everything that a caller of the daemon could have lowered is set, so that a
# container never depends on the shell that the daemon was started from.
RLIMITS: tuple[tuple[str, int, int], ...] = (
    ("RLIMIT_AS", UNLIMITED, UNLIMITED),
    ("RLIMIT_CORE", UNLIMITED, UNLIMITED),
    ("RLIMIT_CPU", UNLIMITED, UNLIMITED),
    ("RLIMIT_DATA", UNLIMITED, UNLIMITED),
    ("RLIMIT_FSIZE", UNLIMITED, UNLIMITED),
    ("RLIMIT_NOFILE", 1024, 524288),
    ("RLIMIT_NPROC", UNLIMITED, UNLIMITED),
    ("RLIMIT_STACK", 8 * 1024 * 1024, UNLIMITED),
)

# Only with a network namespace of the container's own: ping and low ports without a capability.
NETWORK_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}
