"""Environment, tmpfs options, security options and sysctls: what is accepted, what becomes of it, what is refused."""

from __future__ import annotations

import pytest

from sampan.errors import InvalidParameter
from sampan.spec.container import TmpfsOptions
from sampan.spec.defaults import PATH
from sampan.spec.environment import build_environment, check_environment
from sampan.spec.security_options import SecurityOptions, parse_security_options
from sampan.spec.sysctls import check_sysctls
from sampan.spec.tmpfs import tmpfs_mount, tmpfs_mount_of


@pytest.mark.parametrize(
    ("overrides", "terminal", "expected"),
    [
        ([], False, [f"PATH={PATH}", "HOSTNAME=h", "HOME=/r"]),
        ([], True, [f"PATH={PATH}", "HOSTNAME=h", "TERM=xterm", "HOME=/r"]),
        (["FOO=bar", "PATH=/x"], False, ["PATH=/x", "HOSTNAME=h", "FOO=bar", "HOME=/r"]),
        (
            ["TERM=vt100", "A=1=2"],
            True,
            [f"PATH={PATH}", "HOSTNAME=h", "TERM=vt100", "A=1=2", "HOME=/r"],
        ),
        (["HOME=/mine"], False, [f"PATH={PATH}", "HOSTNAME=h", "HOME=/mine"]),
        (["HOME="], False, [f"PATH={PATH}", "HOSTNAME=h", "HOME=/r"]),
        (["HOSTNAME"], False, [f"PATH={PATH}", "HOME=/r"]),
        (
            ["A=1", "A=2", "EMPTY="],
            False,
            [f"PATH={PATH}", "HOSTNAME=h", "A=2", "EMPTY=", "HOME=/r"],
        ),
    ],
)
def test_environment(overrides: list[str], terminal: bool, expected: list[str]) -> None:
    """Docker's order: what is overridden keeps its place, a bare name goes, HOME is last."""
    assert build_environment(overrides, hostname="h", home="/r", terminal=terminal) == expected


@pytest.mark.parametrize("entry", ["", "=x", "A=b\0c"])
def test_bad_environment(entry: str) -> None:
    """An entry without a name, or one that would be cut."""
    with pytest.raises(InvalidParameter, match="invalid environment variable"):
        check_environment(["A=1", entry])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "noexec,nosuid,nodev,rprivate"),
        ("size=64k,exec", "nosuid,nodev,rprivate,size=64k,exec"),
        ("rw,dev,suid,exec", "rprivate,rw,dev,suid,exec"),
        ("size=1,size=2,ro,rw", "noexec,nosuid,nodev,rprivate,size=2,rw"),
        ("mode=1777,uid=5,gid=6", "noexec,nosuid,nodev,rprivate,mode=1777,uid=5,gid=6"),
        ("shared,noatime", "noexec,nosuid,nodev,shared,noatime"),
    ],
)
def test_tmpfs(options: str, expected: str) -> None:
    """Of words about the same thing the last one counts."""
    mount = tmpfs_mount("/t", options)
    assert (mount.type, mount.source, mount.destination) == ("tmpfs", "tmpfs", "/t")
    assert ",".join(mount.options) == expected


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("foo=1", 'invalid tmpfs option ["foo" "1"]'),
        ("foo", 'invalid tmpfs option ["foo"]'),
        ("size", 'invalid tmpfs option ["size"]'),
        ("bind", 'invalid tmpfs option ["bind"]'),
        ("size=1\nx", 'invalid tmpfs option ["size" "1\nx"]'),
    ],
)
def test_bad_tmpfs(options: str, text: str) -> None:
    """Docker's words for an option that tmpfs does not have."""
    with pytest.raises(InvalidParameter) as error:
        tmpfs_mount("/t", options)
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("size", "mode", "read_only", "expected"),
    [
        (0, 0, False, ""),
        (1_000_000, 0o1770, False, ",mode=1770,size=1000000"),
        (64 << 20, 0, True, ",ro,size=64m"),
        (3 << 30, 0o755, False, ",mode=755,size=3g"),
        (1 << 41, 0, False, ",size=2048g"),
    ],
)
def test_tmpfs_by_mount(size: int, mode: int, read_only: bool, expected: str) -> None:
    """`--mount type=tmpfs` in the same words, its mode octal."""
    options = TmpfsOptions(size_bytes=size, mode=mode)
    mount = tmpfs_mount_of("/t", options, read_only=read_only)
    assert ",".join(mount.options) == "noexec,nosuid,nodev,rprivate" + expected
    assert tmpfs_mount_of("/t", TmpfsOptions(options=[["exec"], ["uid", "7"]])).options[-2:] == (
        "exec",
        "uid=7",
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], SecurityOptions()),
        (["no-new-privileges"], SecurityOptions(no_new_privileges=True)),
        (["no-new-privileges=true"], SecurityOptions(no_new_privileges=True)),
        (["no-new-privileges:1"], SecurityOptions(no_new_privileges=True)),
        (["no-new-privileges", "no-new-privileges=false"], SecurityOptions()),
        (["seccomp=unconfined"], SecurityOptions(seccomp="unconfined")),
        (["seccomp:unconfined"], SecurityOptions(seccomp="unconfined")),
        (['seccomp={"a": "b=c"}'], SecurityOptions(seccomp='{"a": "b=c"}')),
        (["seccomp=unconfined", "seccomp=builtin"], SecurityOptions()),
        (["systempaths=unconfined"], SecurityOptions(system_paths_unconfined=True)),
        (["writable-cgroups"], SecurityOptions(writable_cgroups=True)),
        (["writable-cgroups=true", "writable-cgroups=false"], SecurityOptions()),
        (["apparmor=unconfined"], SecurityOptions(apparmor="unconfined")),
        (["label=disable", "disable"], SecurityOptions(labels=("disable", "disable"))),
    ],
)
def test_security_options(options: list[str], expected: SecurityOptions) -> None:
    """Every option, with `=` and the old `:`; of contradicting ones the last counts."""
    assert parse_security_options(options) == expected


def test_security_defaults_of_the_daemon() -> None:
    """no-new-privileges may be the daemon's default, and be switched off for one container."""
    assert parse_security_options(None, no_new_privileges=True).no_new_privileges
    assert not parse_security_options(
        ["no-new-privileges=false"], no_new_privileges=True
    ).no_new_privileges


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("nonsense", 'invalid --security-opt 1: "nonsense"'),
        ("", 'invalid --security-opt 1: ""'),
        ("foo=bar", 'invalid --security-opt 2: "foo=bar"'),
        ("no-new-privileges=xx", 'invalid --security-opt 2: "no-new-privileges=xx"'),
        ("systempaths=all", 'invalid --security-opt 2: "systempaths=all"'),
    ],
)
def test_bad_security_option(option: str, text: str) -> None:
    """Docker's words."""
    with pytest.raises(InvalidParameter) as error:
        parse_security_options([option])
    assert str(error.value) == text


PRIVATE = frozenset(["network", "ipc", "uts"])


@pytest.mark.parametrize(
    "key",
    [
        "net.ipv4.ip_forward",
        "net/ipv4/ip_forward",
        "net.ipv4.conf.eth0/1.rp_filter",
        "net.core.somaxconn",
        "kernel.msgmax",
        "kernel.shm_rmid_forced",
        "kernel.sem",
        "fs.mqueue.msg_max",
        "kernel.domainname",
    ],
)
def test_sysctls_that_are_namespaced(key: str) -> None:
    """What the kernel keeps apart may be set, unless the namespace is shared with the host."""
    check_sysctls({key: "1 2\t3"}, private=PRIVATE)
    with pytest.raises(InvalidParameter, match="not allowed in host"):
        check_sysctls({key: "1"}, private=frozenset())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kernel.panic", "1"),
        ("kernel.core_pattern", "|/evil"),
        ("kernel.hostname", "x"),
        ("kernel.shm_rmid_forced+kernel.core_pattern", "1+|/evil #"),
        ("vm.overcommit_memory", "1"),
        ("fs.suid_dumpable", "1"),
        ("fs.mqueue", "1"),
        ("net", "1"),
        ("", "1"),
        (".net.x", "1"),
        ("net..x", "1"),
        ("net.x.", "1"),
        ("net/../kernel/core_pattern", "x"),
        ("net.ipv4/../../kernel/panic", "1"),
        ("net//x", "1"),
        ("/net/x", "1"),
        ("net.x\0", "1"),
        ("net.x\n", "1"),
        ("net.x=1", "1"),
        ("net.x y", "1"),
        ("net.x", "1\nkernel.panic=1"),
        ("net.x", "1\0"),
        ("net.x", "x" * 5000),
        ("kernel/panic", "1"),
        ("net.\u0435", "1"),
        ("kernel.msgmax/x", "1"),
    ],
)
def test_sysctls_that_would_reach_the_host(key: str, value: str) -> None:
    """Keys that are not namespaced, keys that climb, values that smuggle (CVE-2022-0811)."""
    with pytest.raises(InvalidParameter):
        check_sysctls({"net.ipv4.ip_forward": "1", key: value}, private=PRIVATE)
