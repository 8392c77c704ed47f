"""The flags that `run` and `create` share, and those of each. Names and kinds are docker's, the texts ours."""

from __future__ import annotations

from sampan.cli.container.devices import GPUS
from sampan.cli.container.kinds import (
    ADDRESS,
    ATTACH,
    CGROUP_RULE,
    CPUS,
    ENV,
    EXTRA_HOST,
    LABEL,
    LINK,
    PAIR,
    RATE_BPS,
    RATE_IOPS,
    SEARCH_DOMAIN,
    SWAP,
    SYSCTL,
    ULIMIT,
    WEIGHT_DEVICE,
)
from sampan.cli.container.mounts import MOUNT
from sampan.cli.container.networks import NETWORK
from sampan.cli.flags import Flag
from sampan.cli.kinds import INT, LIST, STRING, SWITCH, UINT, UINT16
from sampan.cli.units import BYTES, DURATION


def _text(name: str, usage: str, short: str = "", *, since: str = "", default: str = "") -> Flag:
    return Flag(name, short, STRING, usage, default=default, since=since)


def _switch(name: str, usage: str, short: str = "", *, since: str = "") -> Flag:
    return Flag(name, short, SWITCH, usage, default=False, since=since)


def _number(name: str, usage: str, short: str = "", *, since: str = "") -> Flag:
    return Flag(name, short, INT, usage, default=0, since=since)


def _list(name: str, usage: str, short: str = "") -> Flag:
    return Flag(name, short, LIST, usage)


def _bytes(name: str, usage: str, short: str = "") -> Flag:
    return Flag(name, short, BYTES, usage, default=0)


def _time(name: str, usage: str, *, since: str = "") -> Flag:
    return Flag(
        name, "", DURATION, f"{usage} (ms|s|m|h; 0s: as the image says)", default=0, since=since
    )


_CGROUPNS = """\
Namespace of the cgroup tree (host|private)
'host':    the one of the host
'private': one of its own
'':        what the daemon's default-cgroupns-mode says"""

_PROCESS = (
    Flag("attach", "a", ATTACH, "Connect only this stream (STDIN, STDOUT, STDERR)"),
    _text("entrypoint", "Run this instead of the image's ENTRYPOINT"),
    Flag("env", "e", ENV, "Set a variable in the environment"),
    _list("env-file", "Set the variables that stand in a file"),
    _list("group-add", "Give the process one more group"),
    _switch("init", "Put an init process first, which passes signals on and reaps", since="1.25"),
    _switch("interactive", "Keep standard input open, attached or not", "i"),
    _switch("no-healthcheck", "Switch the image's health check off"),
    _text("platform", "Platform of the image, when there are several"),
    _text("restart", "What to do when the container exits", default="no"),
    _switch("rm", "Remove the container and its anonymous volumes when it exits"),
    _text("runtime", "OCI runtime that runs the container"),
    _text("stop-signal", "Signal that asks the container to stop"),
    _number("stop-timeout", "Seconds between that signal and SIGKILL", since="1.25"),
    _switch("tty", "Give the container a terminal", "t"),
    Flag("ulimit", "", ULIMIT, "Set a resource limit of the process", note="[]"),
    _text("user", "User, by name or number (<name|uid>[:<group|gid>])", "u"),
    _text("workdir", "Working directory", "w"),
)

_IDENTITY = (
    Flag(
        "annotation",
        "",
        PAIR,
        "Add an annotation, which the OCI runtime sees",
        note="map[]",
        since="1.43",
    ),
    _text("cidfile", "Write the container's id into this new file"),
    Flag("label", "l", LABEL, "Add a label"),
    _list("label-file", "Add the labels that stand in a file"),
    _text("name", "Name of the container"),
    _text("log-driver", "Logging driver"),
    _list("log-opt", "Option of the logging driver"),
)

_ISOLATION = (
    _list("cap-add", "Allow a Linux capability"),
    _list("cap-drop", "Take a Linux capability away"),
    _text("cgroup-parent", "Cgroup to make the container's in"),
    _text("cgroupns", _CGROUPNS, since="1.41"),
    _text("domainname", "NIS domain name"),
    _text("hostname", "Host name", "h"),
    _text("ipc", "IPC namespace to use"),
    _text("isolation", "How to isolate the container"),
    _text("pid", "PID namespace to use"),
    _switch("privileged", "Allow nearly everything that root may do"),
    _switch("read-only", "Mount the root file system read-only"),
    _list("security-opt", "Security option"),
    Flag(
        "sysctl", "", SYSCTL, "Set a kernel parameter of the container's namespaces", note="map[]"
    ),
    _text("userns", "User namespace to use"),
    _text("uts", "UTS namespace to use"),
)

_NETWORK = (
    Flag("add-host", "", EXTRA_HOST, "Add a line to the hosts file (name:address)"),
    Flag("dns", "", ADDRESS, "Address of a DNS server"),
    Flag("dns-opt", "", LIST, "Option of the resolver", hidden=True, key="dns-option"),
    _list("dns-option", "Option of the resolver"),
    Flag("dns-search", "", SEARCH_DOMAIN, "Domain to complete names with"),
    _text("egress", "What it may reach outside of its networks (none, or allow=LIST)"),
    _list("expose", "Declare a port, or a range of them"),
    _text("ip", "IPv4 address (172.30.100.104)"),
    _text("ip6", "IPv6 address (2001:db8::33)"),
    Flag("link", "", LINK, "Make another container known here"),
    _list("link-local-ip", "Link-local address"),
    _text("mac-address", "MAC address (92:d0:c6:0a:29:33)"),
    Flag("net", "", NETWORK, "Network to connect to", hidden=True, key="network"),
    Flag("net-alias", "", LIST, "Another name on the network", hidden=True, key="network-alias"),
    Flag("network", "", NETWORK, "Network to connect to"),
    _list("network-alias", "Another name on the network"),
    _list("publish", "Make a port reachable through the host", "p"),
    _switch("publish-all", "Make all exposed ports reachable, through ports that are free", "P"),
)

_STORAGE = (
    _list("device", "Pass a device of the host"),
    Flag("device-cgroup-rule", "", CGROUP_RULE, "Add a rule to the allowed devices"),
    Flag("gpus", "", GPUS, "Pass GPUs ('all': every one)", since="1.40"),
    Flag("mount", "", MOUNT, "Mount a file system"),
    _bytes("shm-size", "Size of /dev/shm"),
    _list("storage-opt", "Option of the storage driver"),
    _list("tmpfs", "Mount an empty file system in memory"),
    _switch("use-api-socket", "Let the container speak to the daemon"),
    _list("volume", "Mount a volume or a path of the host", "v"),
    _text("volume-driver", "Driver of the container's volumes"),
    _list("volumes-from", "Mount what another container mounts"),
)

_HEALTH = (
    _text("health-cmd", "Command that tells whether the container is well"),
    _time("health-interval", "Time from one check to the next"),
    _number("health-retries", "Failures in a row that make it unhealthy"),
    _time("health-start-interval", "Time between checks while it starts", since="1.44"),
    _time("health-start-period", "Time to start in, when failures do not count", since="1.29"),
    _time("health-timeout", "Time that one check may take"),
)

_RESOURCES = (
    Flag(
        "blkio-weight", "", UINT16, "Share of block I/O, from 10 to 1000; 0 for no limit", default=0
    ),
    Flag("blkio-weight-device", "", WEIGHT_DEVICE, "The same for one device", note="[]"),
    Flag("cpu-count", "", INT, "Number of CPUs (Windows only)", default=0, windows=True),
    Flag("cpu-percent", "", INT, "Percent of the CPUs (Windows only)", default=0, windows=True),
    _number("cpu-period", "Length of a period of the CPU scheduler"),
    _number("cpu-quota", "CPU time in every period"),
    _number("cpu-rt-period", "Length of a real-time period, in microseconds", since="1.25"),
    _number("cpu-rt-runtime", "Real-time CPU time in every period, in microseconds", since="1.25"),
    _number("cpu-shares", "Share of CPU time, against other containers", "c"),
    Flag("cpus", "", CPUS, "How many CPUs may be busy", default=0, since="1.25"),
    _text("cpuset-cpus", "CPUs to run on (0-3, 0,1)"),
    _text("cpuset-mems", "Memory nodes to use (0-3, 0,1)"),
    Flag(
        "device-read-bps", "", RATE_BPS, "Bytes a second that may be read from a device", note="[]"
    ),
    Flag("device-read-iops", "", RATE_IOPS, "Reads a second from a device", note="[]"),
    Flag(
        "device-write-bps",
        "",
        RATE_BPS,
        "Bytes a second that may be written to a device",
        note="[]",
    ),
    Flag("device-write-iops", "", RATE_IOPS, "Writes a second to a device", note="[]"),
    Flag(
        "io-maxbandwidth",
        "",
        BYTES,
        "I/O of the system drive (Windows only)",
        default=0,
        windows=True,
    ),
    Flag(
        "io-maxiops",
        "",
        UINT,
        "Operations of the system drive (Windows only)",
        default=0,
        windows=True,
    ),
    _bytes("kernel-memory", "Memory for the kernel's sake"),
    _bytes("memory", "Memory", "m"),
    _bytes("memory-reservation", "Memory to be left with when it gets scarce"),
    Flag(
        "memory-swap", "", SWAP, "Memory and swap together; '-1' for any amount of swap", default=0
    ),
    Flag(
        "memory-swappiness",
        "",
        INT,
        "How readily memory is swapped (0 to 100)",
        default=-1,
        note="-1",
    ),
    _switch("oom-kill-disable", "Do not kill when memory runs out"),
    _number("oom-score-adj", "How early to be killed when memory runs out (-1000 to 1000)"),
    _number("pids-limit", "Number of processes and threads (-1 for any)"),
)

_PULL = (
    Flag(
        "disable-content-trust",
        "",
        SWITCH,
        "Do not check the image's signature",
        default=True,
        note="true",
    ),
    _text("pull", 'When to pull the image ("always", "missing", "never")', default="missing"),
    _switch("quiet", "Do not show the pull", "q"),
    Flag("help", "", SWITCH, "Show this", default=False),
)

CREATE_FLAGS = (
    *_PROCESS,
    *_IDENTITY,
    *_ISOLATION,
    *_NETWORK,
    *_STORAGE,
    *_HEALTH,
    *_RESOURCES,
    *_PULL,
)

RUN_FLAGS = (
    *CREATE_FLAGS,
    _switch("detach", "Leave it running and print its id", "d"),
    _text("detach-keys", "Keys that detach from the container"),
    Flag("sig-proxy", "", SWITCH, "Pass signals on to the container", default=True, note="true"),
)

_UPDATED = """\
blkio-weight cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus
cpuset-mems kernel-memory memory memory-reservation memory-swap pids-limit
"""
UPDATE_FLAGS = (
    *(flag for flag in _RESOURCES if flag.name in _UPDATED.split()),
    _text("restart", "What to do when the container exits"),
)
