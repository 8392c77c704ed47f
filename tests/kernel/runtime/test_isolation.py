"""Verifies what a container with Docker's defaults is and may: security.md, "Default hardening parity"."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from sampan.linux import capabilities
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.request import Target
from tests.bundles import DEFAULT_CAPABILITIES, MASKED, READ_ONLY
from tests.kernel.conftest import Box

DEFAULT_MASK = "00000000a80425fb"
Running = Callable[..., Target]


def test_root_has_the_fourteen_capabilities_and_inherits_none(box: Box) -> None:
    status = box.run("cat", "/proc/self/status").table()
    assert [status[f"Cap{name}"] for name in ("Prm", "Eff", "Bnd")] == [DEFAULT_MASK] * 3
    assert [status["CapInh"], status["CapAmb"]] == ["0" * 16] * 2


def test_another_user_has_none_but_the_bounding_set(box: Box) -> None:
    user = {"uid": 1000, "gid": 1001, "additionalGids": [5, 7]}
    status = box.run(config=box.config("cat", "/proc/self/status", user=user)).table()
    assert [status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Amb")] == ["0" * 16] * 4
    assert status["CapBnd"] == DEFAULT_MASK
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Gid"].split() == ["1001"] * 4
    assert status["Groups"].split() == ["5", "7"]


def test_capabilities_that_this_process_lacks_are_left_out(box: Box) -> None:
    everything = list(capabilities.NAMES)
    sets = {name: everything for name in ("bounding", "effective", "permitted")}
    status = box.run(config=box.config("cat", "/proc/self/status", capabilities=sets)).table()
    assert int(status["CapEff"], 16) == capabilities.held_mask()


def test_ambient_capabilities_reach_a_user(box: Box) -> None:
    names = ["CAP_NET_RAW"]
    sets = dict.fromkeys(("bounding", "effective", "permitted", "inheritable", "ambient"), names)
    config = box.config("cat", "/proc/self/status", capabilities=sets, user={"uid": 9, "gid": 9})
    status = box.run(config=config).table()
    assert [int(status[f"Cap{name}"], 16) for name in ("Eff", "Amb")] == [1 << 13] * 2


@pytest.mark.parametrize("wanted", [False, True])
def test_no_new_privileges_only_on_request(box: Box, wanted: bool) -> None:
    config = box.config("cat", "/proc/self/status", noNewPrivileges=wanted)
    assert box.run(config=config).table()["NoNewPrivs"] == str(int(wanted))


@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("uid", [0, 1000])
def test_the_filter_is_in_force_for_everybody(box: Box, uid: int, no_new_privileges: bool) -> None:
    config = box.config(
        *("sh", "-c", "cat /proc/self/status; mount -t tmpfs x /tmp 2>&1"),
        user={"uid": uid, "gid": uid},
        noNewPrivileges=no_new_privileges,
        capabilities={
            name: [*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"]
            for name in ("bounding", "effective", "permitted")
        },
    )
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    }
    result = box.run(config=config)
    assert result.table()["Seccomp"] == "2"
    assert result.table()["Seccomp_filters"] == "1"
    assert "Function not implemented" in result.output
    # The right that loading the filter took is not the user's.
    assert int(result.table()["CapPrm"], 16) == (0 if uid else 0xA80425FB | 1 << 21)


def test_every_namespace_is_another_one(box: Box) -> None:
    kinds = ("mnt", "net", "uts", "pid", "ipc")
    script = "for k in mnt net uts pid ipc; do readlink /proc/self/ns/$k; done"
    links = box.run("sh", "-c", script).lines()
    assert len(links) == len(kinds)
    for kind, link in zip(kinds, links, strict=True):
        assert link.startswith(f"{kind}:[")
        assert link != os.readlink(f"/proc/self/ns/{kind}")


def test_a_namespace_is_joined_by_descriptor_or_path(box: Box, running: Running) -> None:
    other = running()
    theirs = os.readlink(f"/proc/{other.pid}/ns/net")
    config = box.config("readlink", "/proc/self/ns/net")
    fd = os.open(f"/proc/{other.pid}/ns/net", os.O_RDONLY)
    try:
        assert box.run(config=config, namespaces={"network": fd}).output.strip() == theirs
    finally:
        os.close(fd)
    for entry in config["linux"]["namespaces"]:
        if entry["type"] == "network":
            entry["path"] = f"/proc/{other.pid}/ns/net"
    assert box.run(config=config).output.strip() == theirs


def test_a_pid_namespace_is_joined_and_left_again(box: Box, running: Running) -> None:
    other = running()
    config = box.config("cat", "/proc/1/comm", "/proc/self/stat")
    for entry in config["linux"]["namespaces"]:
        if entry["type"] == "pid":
            entry["path"] = f"/proc/{other.pid}/ns/pid"
    lines = box.run(config=config).lines()
    assert lines[0] == "sleep"
    assert lines[1].split()[0] == "2"
    own = [os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "pid_for_children")]
    assert own[0] == own[1]


def test_host_namespaces_are_kept_when_none_is_asked_for(box: Box) -> None:
    config = box.config("sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/pid")
    config["linux"]["namespaces"] = [{"type": "mount"}]
    config["linux"]["sysctl"] = {}
    del config["hostname"]
    expected = [os.readlink("/proc/self/ns/net"), os.readlink("/proc/self/ns/pid")]
    assert box.run(config=config).lines() == expected


def test_a_private_cgroup_namespace_is_rooted_at_the_container(box: Box) -> None:
    config = box.config("cat", "/proc/self/cgroup")
    path = config["linux"]["cgroupsPath"]
    assert all(line.endswith(path) for line in box.run(config=config).lines())
    config["linux"]["namespaces"].append({"type": "cgroup"})
    assert all(line.endswith(":/") for line in box.run(config=config).lines())


def test_the_cgroup_shows_read_only_and_takes_no_orders(box: Box) -> None:
    script = (
        "for d in /sys/fs/cgroup/*; do ls $d >/dev/null || echo none; "
        "mkdir $d/x 2>/dev/null && echo made $d; "
        "echo 1 2>/dev/null >$d/cgroup.procs && echo wrote $d; done; "
        "mkdir /sys/fs/cgroup/x 2>/dev/null && echo made; true"
    )
    os.symlink("busybox", box.lower / "bin/mkdir")
    assert box.run("sh", "-c", script).output == ""


def test_masked_files_read_empty_and_masked_folders_are_empty(box: Box) -> None:
    script = " ".join(MASKED)
    result = box.run("sh", "-c", f"for p in {script}; do [ -d $p ] && ls $p || cat $p; done")
    assert result.output == ""
    missing = [line for line in result.errors.splitlines() if "No such file" not in line]
    assert missing == []


def test_a_mask_can_neither_be_taken_off_nor_changed(box: Box) -> None:
    os.symlink("busybox", box.lower / "bin/umount")
    os.symlink("busybox", box.lower / "bin/chmod")
    result = box.run("sh", "-c", "umount /proc/keys; chmod 777 /proc/keys; cat /proc/keys")
    assert result.output == ""
    assert "Read-only file system" in result.errors
    assert "umount" in result.errors


def test_read_only_paths_refuse_writing(box: Box) -> None:
    config = box.config(
        "sh", "-c", "echo 1 > /proc/sys/kernel/domainname; cat /proc/self/mountinfo"
    )
    result = box.run(config=config)
    assert "Read-only file system" in result.errors
    flags = {line.split()[4]: line.split()[5] for line in result.lines()}
    for path in READ_ONLY:
        if os.path.exists(path):
            assert flags[path].startswith("ro")
    assert flags["/sys"].startswith("ro")
    assert flags["/proc"].startswith("rw,nosuid,nodev,noexec")


def test_a_read_only_root_with_a_writable_folder(box: Box) -> None:
    config = box.config("sh", "-c", "echo x > /etc/x; echo y > /tmp/y && cat /tmp/y")
    config["root"] = {"readonly": True}
    config["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"})
    result = box.run(config=config)
    assert result.output == "y\n"
    assert "Read-only file system" in result.errors


def test_dev_has_these_nodes_and_links(box: Box) -> None:
    result = box.run("sh", "-c", "cd /dev; for n in *; do stat -c '%n %F %t:%T %a %u' $n; done")
    nodes = {line.split()[0]: line.split(" ", 1)[1] for line in result.lines()}
    device = "character special file {} 666 0"
    assert nodes == {
        **{
            name: device.format(number)
            for name, number in {
                "null": "1:3",
                "zero": "1:5",
                "full": "1:7",
                "random": "1:8",
                "urandom": "1:9",
                "tty": "5:0",
            }.items()
        },
        **dict.fromkeys(("fd", "stdin", "stdout", "stderr", "ptmx"), "symbolic link 0:0 777 0"),
        "mqueue": "directory 0:0 1777 0",
        "pts": "directory 0:0 755 0",
        "shm": "directory 0:0 1777 0",
    }


def test_a_disk_cannot_be_opened(box: Box) -> None:
    os.symlink("busybox", box.lower / "bin/mknod")
    result = box.run("sh", "-c", "mknod /tmp/b b 254 0 && head -c 1 /tmp/b")
    assert result.output == ""
    assert "Operation not permitted" in result.errors


def test_only_three_descriptors_survive(box: Box) -> None:
    inherited = os.open("/", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        # The last one is the folder that ls itself reads.
        assert box.run("ls", "/proc/self/fd").lines() == ["0", "1", "2", "3"]
    finally:
        os.close(inherited)


def test_signals_are_neither_blocked_nor_ignored(box: Box) -> None:
    status = box.run("cat", "/proc/self/status").table()
    assert [status[name] for name in ("SigBlk", "SigIgn", "SigCgt")] == ["0" * 16] * 3


def test_umask_session_limits_and_oom_score(box: Box) -> None:
    files = ("stat", "oom_score_adj", "limits")
    config = box.config("cat", *(f"/proc/self/{file}" for file in files), oomScoreAdj=77)
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 111, "hard": 222}]
    stat, score, *limits = box.run(config=config).lines()
    assert stat.split()[4:6] == ["1", "1"]  # process group and session
    assert score == "77"
    assert (
        "Max open files            111                  222                  files     " in limits
    )
    assert box.run("sh", "-c", "umask").output == "0022\n"
    user = {"uid": 0, "gid": 0, "umask": 0o27}
    assert box.run(config=box.config("sh", "-c", "umask", user=user)).output == "0027\n"


def test_limits_that_cannot_be_raised_are_cut_and_reported(box: Box) -> None:
    config = box.config("true")
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}]
    created = box.create(config)
    created.start()
    assert box.finish(created) == 0
    assert len(created.warnings) == 1
    assert "nofile" in created.warnings[0]


def test_names_and_sysctls_of_the_container_only(box: Box) -> None:
    config = box.config(
        "sh",
        "-c",
        "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname "
        "/proc/sys/net/ipv4/ip_unprivileged_port_start",
    )
    config["hostname"], config["domainname"] = "inside", "example.org"
    before = os.uname()
    assert box.run(config=config).lines() == ["inside", "example.org", "0"]
    assert os.uname() == before


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("net.ipv4.nope", "1", "open /proc/sys/net/ipv4/nope: no such file or directory"),
        ("net.ipv4.ip_forward", "abc", "write /proc/sys/net/ipv4/ip_forward: invalid argument"),
        ("../../etc/passwd", "1", "open /proc/sys///////etc/passwd: no such file or directory"),
    ],
)
def test_a_bad_sysctl_is_refused_in_runcs_words(box: Box, key: str, value: str, text: str) -> None:
    config = box.config("true")
    config["linux"]["sysctl"] = {key: value}
    with pytest.raises(RuntimeFailure) as caught:
        box.create(config)
    assert str(caught.value) == (
        f"unable to start container process: error during container init: {text}"
    )
