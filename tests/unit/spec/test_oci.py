"""The OCI configuration equals what dockerd gives runc, but for differences that are named here."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sampan.errors import InvalidParameter
from sampan.spec import defaults
from sampan.spec.container import ContainerConfig, HostConfig, Ulimit
from sampan.spec.mount import Mount
from sampan.spec.oci import Device, Intent, build_config
from sampan.spec.oci_mounts import bind_mount
from sampan.spec.tmpfs import tmpfs_mount
from sampan.spec.users import User, resolve

# `docker inspect` and the bundle's config.json of dockerd 20.10.24 with runc 1.1.5, on cgroup v1.
GOLDEN = Path(__file__).parents[2] / "golden/oci"
HELD = frozenset(defaults.ALL_CAPABILITIES)
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUP = b"root:x:0:root\nwheel:x:10:root\nextra:x:50:www\n"
ETC = {
    name: f"CONTAINERS/ID/{name[5:]}"
    for name in ("/etc/resolv.conf", "/etc/hostname", "/etc/hosts")
}
# What dockerd 20.10 does not know.
NEW_CAPABILITIES = {"CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"}
ROOT = User(0, 0, (0,), "/root")


def intent(
    config: ContainerConfig | None = None, host: HostConfig | None = None, **more: Any
) -> Intent:
    given: dict[str, Any] = {
        "container_id": "ID",
        "config": config or ContainerConfig(cmd=["true"]),
        "host_config": host or HostConfig(),
        "user": ROOT,
        "hostname": "SHORT",
        "cgroup_path": "/docker/ID",
        "held_capabilities": HELD,
        "kernel": (6, 18),
        "machine": "x86_64",
        **more,
    }
    return Intent(**given)


def user_mounts(golden: dict[str, Any]) -> tuple[Mount, ...]:
    """What the engine makes of binds and volumes; here from the golden record itself."""
    known = (
        {mount.destination for mount in defaults.MOUNTS} | set(ETC) | {"/sbin/docker-init", "/run"}
    )
    return tuple(
        Mount(m["type"], m["source"], tuple(m["options"]), m["destination"])
        for m in golden["mounts"]
        if m["destination"] not in known
    )


def build_as_recorded(record: dict[str, Any]) -> dict[str, Any]:
    golden = record["oci"]
    config = msgspec.convert(record["Config"], ContainerConfig)
    host = msgspec.convert(record["HostConfig"], HostConfig)
    devices = tuple(
        Device(
            path=d["path"],
            type=d["type"],
            major=d["major"],
            minor=d["minor"],
            mode=d["fileMode"],
            access=(host.devices[0].cgroup_permissions if host.devices else "rwm"),
        )
        for d in golden["linux"].get("devices", [])
    )
    return build_config(
        intent(
            config,
            host,
            user=resolve(config.user, PASSWD, GROUP),
            hostname=config.hostname,
            mounts=user_mounts(golden),
            etc_files=ETC,
            devices=devices,
            cpus=2,
            init_binary="/usr/bin/docker-init",
            root_path="ROOT",
        )
    )


def reconcile(ours: dict[str, Any], golden: dict[str, Any]) -> None:
    """Take away, one after the other, the differences that are meant."""
    # Newer runtime-spec.
    del ours["ociVersion"], golden["ociVersion"]
    process, linux = ours["process"], ours["linux"]
    # runc adds HOME, we say it.
    process["env"] = [entry for entry in process["env"] if not entry.startswith("HOME=")]
    # runc drops doubles, we have none.
    for user in (process["user"], golden["process"]["user"]):
        user["additionalGids"] = list(dict.fromkeys(user["additionalGids"]))
    # runc inherits from the daemon what is not asked for; we set it (security: no odd limits of a caller).
    own = {name for name, _, _ in defaults.RLIMITS}
    asked = {item["type"] for item in golden["process"].get("rlimits", [])}
    process["rlimits"] = [item for item in process["rlimits"] if item["type"] not in own - asked]
    # Empty sets are said.
    capabilities = {
        kind: [name for name in names if name not in NEW_CAPABILITIES]
        for kind, names in process["capabilities"].items()
    }
    process["capabilities"] = {kind: names for kind, names in capabilities.items() if names}
    # Stricter lists of moby's HEAD.
    for paths in ("maskedPaths", "readonlyPaths"):
        assert set(linux[paths]) >= set(golden["linux"].get(paths, []))
        linux.pop(paths), golden["linux"].pop(paths, None)
    # runc adds its own list of harmless devices at the end; ours is complete, and the user's rules stay last.
    rules, theirs = linux["resources"]["devices"], golden["linux"]["resources"]["devices"]
    if len(theirs) > 1:
        usual = len(defaults.DEVICE_RULES)
        rules[:usual], theirs[:8] = [], []
        for rule in theirs:
            rule.update({key: None for key in ("major", "minor") if rule.get(key) == -1})
        theirs[:] = [{k: v for k, v in rule.items() if v is not None} for rule in theirs]
        for rule in (*rules, *theirs):
            rule["access"] = "".join(sorted(rule["access"]))
    # Mounts of a container are never seen by another.
    linux.pop("rootfsPropagation")
    # The runtime-spec has a field for it since 1.1.
    if "domainname" in ours:
        linux["sysctl"]["kernel.domainname"] = ours.pop("domainname")
    # The host's network namespace needs no path.
    theirs_ns = golden["linux"]["namespaces"]
    golden["linux"]["namespaces"] = [
        n for n in theirs_ns if not n.get("path", "").endswith("netns/default")
    ]
    # The filter itself is compared elsewhere.
    assert ("seccomp" in linux) == ("seccomp" in golden["linux"])
    linux.pop("seccomp", None), golden["linux"].pop("seccomp", None)
    # The order among mounts of one depth means nothing.
    for config in (ours, golden):
        config["mounts"].sort(key=lambda mount: mount["destination"])


def without_nothing(value: Any) -> Any:
    """Zero, false and empty are the same as not there."""
    if isinstance(value, dict):
        cleaned = {key: without_nothing(item) for key, item in value.items()}
        return {
            key: item for key, item in cleaned.items() if item not in (None, False, 0, [], {}, "")
        }
    return [without_nothing(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.json")))
def test_equals_dockerds(name: str) -> None:
    """Twelve command lines, as recorded from dockerd."""
    record = json.loads((GOLDEN / f"{name}.json").read_text())
    golden, ours = record["oci"], copy.deepcopy(build_as_recorded(record))
    reconcile(ours, golden)
    keep = {"uid": 0, "gid": 0}
    for config in (ours, golden):
        for device in config["linux"].get("devices", []):
            device.update(keep)
        if not config["process"]["user"]["uid"]:
            config["process"]["user"].update(keep)
    assert without_nothing(ours) == without_nothing(golden)


def test_no_secret_inheritance() -> None:
    """Nothing is inheritable or ambient, and a user other than root has nothing in effect."""
    for uid in (0, 1000):
        sets = build_config(intent(user=User(uid, 0, (0,), "/")))["process"]["capabilities"]
        assert sets["inheritable"] == sets["ambient"] == []
        assert sets["bounding"] == list(defaults.CAPABILITIES)
        assert (
            sets["effective"]
            == sets["permitted"]
            == (list(defaults.CAPABILITIES) if uid == 0 else [])
        )


def test_never_more_than_the_daemon_holds() -> None:
    """Privileged without CAP_SYS_RESOURCE in the daemon is privileged without it, not an error."""
    held = HELD - {"CAP_SYS_RESOURCE"}
    config = build_config(intent(host=HostConfig(privileged=True), held_capabilities=held))
    assert set(config["process"]["capabilities"]["effective"]) == held
    assert "seccomp" not in config["linux"]
    assert config["linux"]["maskedPaths"] == config["linux"]["readonlyPaths"] == []
    assert config["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]


@pytest.mark.parametrize(
    ("options", "privileged", "daemon", "default_action"),
    [
        ([], False, "", "SCMP_ACT_ERRNO"),
        ([], True, "", None),
        (["seccomp=unconfined"], False, "", None),
        (["seccomp=builtin"], False, "", "SCMP_ACT_ERRNO"),
        (['seccomp={"defaultAction":"SCMP_ACT_LOG"}'], False, "", "SCMP_ACT_LOG"),
        (['seccomp={"defaultAction":"SCMP_ACT_LOG"}'], True, "", "SCMP_ACT_LOG"),
        ([], False, "unconfined", None),
        ([], False, '{"defaultAction":"SCMP_ACT_TRAP"}', "SCMP_ACT_TRAP"),
    ],
)
def test_which_seccomp_profile(
    options: list[str], privileged: bool, daemon: str, default_action: str | None
) -> None:
    """The caller's word, else none for privileged, else the daemon's, else the built-in one."""
    host = HostConfig(security_opt=options, privileged=privileged)
    linux = build_config(intent(host=host, seccomp_profile=daemon))["linux"]
    assert linux.get("seccomp", {}).get("defaultAction") == default_action


def test_paths_may_be_chosen() -> None:
    """null is the default, a list is that list, and an empty one or `systempaths=unconfined` hides nothing."""
    linux = build_config(intent(host=HostConfig(masked_paths=["/a"], readonly_paths=[])))["linux"]
    assert (linux["maskedPaths"], linux["readonlyPaths"]) == (["/a"], [])
    linux = build_config(intent(host=HostConfig(security_opt=["systempaths=unconfined"])))["linux"]
    assert linux["maskedPaths"] == linux["readonlyPaths"] == []
    linux = build_config(intent(cpus=3))["linux"]
    assert linux["maskedPaths"][-1] == "/sys/devices/system/cpu/cpu2/thermal_throttle"


@pytest.mark.parametrize(
    ("host", "expected", "sysctls"),
    [
        (HostConfig(), ["mount", "network", "uts", "pid", "ipc"], True),
        (HostConfig(network_mode="host"), ["mount", "uts", "pid", "ipc"], False),
        (
            HostConfig(network_mode="none", cgroupns_mode="private"),
            ["mount", "network", "uts", "pid", "ipc", "cgroup"],
            True,
        ),
        (
            HostConfig(network_mode="container:x"),
            ["mount", "network=/n", "uts", "pid", "ipc"],
            False,
        ),
        (
            HostConfig(pid_mode="container:x", ipc_mode="container:x"),
            ["mount", "network", "uts", "pid=/p", "ipc=/i"],
            True,
        ),
        (HostConfig(pid_mode="host", ipc_mode="host", uts_mode="host"), ["mount", "network"], True),
    ],
)
def test_namespaces(host: HostConfig, expected: list[str], sysctls: bool) -> None:
    """New, the host's (absent) or another container's (a path); network sysctls only with a network of its own."""
    paths = {"network": "/n", "pid": "/p", "ipc": "/i"}
    linux = build_config(intent(host=host, namespace_paths=paths))["linux"]
    found = [
        item["type"] + ("=" + item["path"] if "path" in item else "")
        for item in linux["namespaces"]
    ]
    assert found == expected
    assert linux["sysctl"] == (defaults.NETWORK_SYSCTLS if sysctls else {})


def test_sysctls_of_the_user_win() -> None:
    """An own value for a default sysctl is taken."""
    host = HostConfig(sysctls={"net.ipv4.ip_unprivileged_port_start": "1024"})
    assert (
        build_config(intent(host=host))["linux"]["sysctl"]["net.ipv4.ip_unprivileged_port_start"]
        == "1024"
    )
    with pytest.raises(InvalidParameter):
        build_config(intent(host=HostConfig(sysctls={"kernel.panic": "1"})))


@pytest.mark.parametrize(
    ("init", "by_default", "pid_mode", "used"),
    [
        (None, False, "", False),
        (None, True, "", True),
        (True, False, "", True),
        (False, True, "", False),
        (True, False, "host", False),
    ],
)
def test_init(init: bool | None, by_default: bool, pid_mode: str, used: bool) -> None:
    """An init is put before the command, but never into a pid namespace that has one."""
    host = HostConfig(init=init, pid_mode=pid_mode)
    config = build_config(
        intent(host=host, init_by_default=by_default, init_binary="/usr/bin/tini")
    )
    assert config["process"]["args"] == (["/sbin/docker-init", "--", "true"] if used else ["true"])
    mounted = [m["source"] for m in config["mounts"] if m["destination"] == "/sbin/docker-init"]
    assert mounted == (["/usr/bin/tini"] if used else [])


def test_devices_and_their_rules() -> None:
    """Devices are allowed after the defaults, and the caller's rules come last."""
    device = Device(
        path="/dev/x", type="b", major=7, minor=1, mode=0o640, uid=1, gid=2, access="rw"
    )
    host = HostConfig(device_cgroup_rules=["c 1:* m"])
    linux = build_config(intent(host=host, devices=(device,)))["linux"]
    assert linux["devices"] == [
        {
            "path": "/dev/x",
            "type": "b",
            "major": 7,
            "minor": 1,
            "fileMode": 0o640,
            "uid": 1,
            "gid": 2,
        }
    ]
    assert linux["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert linux["resources"]["devices"][-2:] == [
        {"allow": True, "type": "b", "major": 7, "minor": 1, "access": "rw"},
        {"allow": True, "type": "c", "major": 1, "access": "m"},
    ]


def test_rlimits_stay_below_what_the_daemon_has() -> None:
    """Defaults are lowered to the daemon's own limits in silence, what the caller asks for is passed on."""
    host = HostConfig(ulimits=[Ulimit(name="core", soft=-1, hard=-1)])
    held = {"RLIMIT_NOFILE": 700, "RLIMIT_CORE": 0, "RLIMIT_NPROC": 5000}
    limits = {
        item["type"]: (item["soft"], item["hard"])
        for item in build_config(intent(host=host, rlimits_held=held))["process"]["rlimits"]
    }
    assert limits["RLIMIT_NOFILE"] == (700, 700)
    assert limits["RLIMIT_NPROC"] == (5000, 5000)
    assert limits["RLIMIT_CORE"] == (defaults.UNLIMITED, defaults.UNLIMITED)
    assert limits["RLIMIT_FSIZE"] == (defaults.UNLIMITED, defaults.UNLIMITED)


def test_the_small_things() -> None:
    """Terminal, working directory, annotations, names, and that the result is JSON."""
    config = ContainerConfig(
        cmd=["b"], entrypoint=["a"], tty=True, domainname="d", working_dir="/w"
    )
    host = HostConfig(annotations={"k": "v"}, oom_score_adj=-5, security_opt=["no-new-privileges"])
    built = build_config(intent(config, host))
    process = built["process"]
    assert process["args"] == ["a", "b"]
    assert process["terminal"] is True
    assert process["cwd"] == "/w"
    assert process["noNewPrivileges"] is True
    assert process["oomScoreAdj"] == -5
    assert (built["hostname"], built["domainname"], built["annotations"]) == (
        "SHORT",
        "d",
        {"k": "v"},
    )
    assert json.loads(json.dumps(built)) == built
    shared = build_config(intent(config, HostConfig(uts_mode="host")))
    assert "hostname" not in shared
    assert "domainname" not in shared


def mounts_of(host: HostConfig, *mounts: Mount, **more: Any) -> dict[str, dict[str, Any]]:
    built = build_config(intent(host=host, mounts=mounts, **more))["mounts"]
    assert len({m["destination"] for m in built}) == len(built)
    return {m["destination"]: m for m in built}


def test_mounts_are_made_from_the_outside_in() -> None:
    """A mount below another one comes after it, whatever the order in which they were asked for."""
    own = [bind_mount("/s", place) for place in ("/a/b/c", "/etc", "/a", "/a/b/")]
    places = list(mounts_of(HostConfig(), *own, etc_files={"/etc/hosts": "/h"}))
    assert places[: len(defaults.MOUNTS)] == [mount.destination for mount in defaults.MOUNTS]
    assert places[len(defaults.MOUNTS) :] == ["/etc", "/a", "/a/b/", "/etc/hosts", "/a/b/c"]


def test_own_mounts_replace_defaults() -> None:
    """A mount on a default's place hides it, one on /dev everything below, and one on /etc/hosts ours."""
    found = mounts_of(
        HostConfig(),
        tmpfs_mount("/dev", ""),
        bind_mount("/s", "/etc/hosts"),
        etc_files={"/etc/hosts": "/h"},
    )
    assert not [place for place in found if place.startswith("/dev/")]
    assert found["/dev"]["options"][0] == "noexec"
    assert found["/etc/hosts"]["source"] == "/s"


def test_read_only_root() -> None:
    """What the user mounts and what must be written stays writable, the rest is read-only; privileged keeps /sys."""
    host = HostConfig(readonly_rootfs=True, tmpfs={"/run": "size=64k,exec"})
    found = mounts_of(host, bind_mount("/s", "/data"), etc_files={"/etc/hosts": "/h"})
    read_only = {place for place, mount in found.items() if "ro" in mount["options"]}
    assert read_only == {"/sys", "/sys/fs/cgroup", "/etc/hosts"}
    assert found["/run"]["options"] == ["nosuid", "nodev", "rprivate", "size=64k", "exec"]
    found = mounts_of(HostConfig(readonly_rootfs=True, privileged=True))
    assert not {place for place, mount in found.items() if "ro" in mount["options"]}


def test_writable_cgroups() -> None:
    """`--security-opt writable-cgroups` frees only the cgroup mount."""
    found = mounts_of(HostConfig(security_opt=["writable-cgroups=true"]))
    assert "ro" not in found["/sys/fs/cgroup"]["options"]
    assert "ro" in found["/sys"]["options"]


@pytest.mark.parametrize(
    ("host", "shm_path", "expected"),
    [
        (HostConfig(), "", ("tmpfs", "shm", "size=67108864")),
        (HostConfig(shm_size=1 << 20), "", ("tmpfs", "shm", "size=1048576")),
        (HostConfig(ipc_mode="none"), "", None),
        (HostConfig(ipc_mode="host"), "", ("bind", "/dev/shm", "rprivate")),
        (HostConfig(ipc_mode="container:x"), "/shm/of/x", ("bind", "/shm/of/x", "rprivate")),
    ],
)
def test_shared_memory(
    host: HostConfig, shm_path: str, expected: tuple[str, str, str] | None
) -> None:
    """/dev/shm of its own with its size, none, the host's, or another container's."""
    mount = mounts_of(host, shm_path=shm_path).get("/dev/shm")
    found = (mount["type"], mount["source"], mount["options"][-1]) if mount else None
    assert found == expected


@pytest.mark.parametrize(
    ("propagation", "root"),
    [("rprivate", "rprivate"), ("rslave", "rslave"), ("slave", "rslave"), ("rshared", "shared")],
)
def test_root_propagation(propagation: str, root: str) -> None:
    """The root lets events pass only if some mount asks for them."""
    mount = bind_mount("/s", "/d", propagation=propagation)
    assert build_config(intent(mounts=(mount,)))["linux"]["rootfsPropagation"] == root
