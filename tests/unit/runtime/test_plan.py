"""Verifies the plan: what is done, in which order, and what is refused before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.linux import constants as c
from sampan.runtime import plan
from sampan.runtime.cgroups import (
    AwaitCgroup,
    EnterCgroup,
    NewCgroupNamespace,
    SplitCgroupMount,
    UnifiedCgroupMount,
)
from sampan.runtime.context import Operation
from sampan.runtime.devices import MakeDevices, MakeLinks
from sampan.runtime.init import SealInterpreter
from sampan.runtime.masks import MaskPaths, ReadOnlyPaths
from sampan.runtime.mounts import BindMount, FileSystemMount, ReadOnlyMount
from sampan.runtime.namespaces import JoinNamespace, LoopbackUp, parse_namespaces
from sampan.runtime.rootfs import (
    BindRoot,
    OverlayRoot,
    PivotRoot,
    PrivateMounts,
    ReadOnlyRoot,
    RootPropagation,
)
from sampan.runtime.settings import OpenProc, SetDomainname, SetHostname, SetSysctl
from sampan.runtime.terminal import MakeConsole
from sampan.spec.mount import Mount
from tests.bundles import make_config

OVERLAY = (Mount("overlay", "overlay", ("lowerdir=/b", "lowerdir=/a", "upperdir=/u")),)


def build(config: dict[str, Any], *, mode: str = "v1", **more: Any) -> list[Operation]:
    more.setdefault("root", OVERLAY)
    own = parse_namespaces(config, more.pop("given", {}))
    return plan.build(config, own=own, cgroup_mode=mode, **more)


def kinds(operations: list[Operation]) -> list[type[Operation]]:
    """Types in order, each run of the same one once."""
    found: list[type[Operation]] = []
    for operation in operations:
        if found[-1:] != [type(operation)]:
            found.append(type(operation))
    return found


def test_the_order_with_everything() -> None:
    config = make_config("x")
    config["domainname"] = "d"
    config["root"] = {"readonly": True}
    config["linux"]["rootfsPropagation"] = "slave"
    config["linux"]["namespaces"][-1]["path"] = "/proc/1/ns/ipc"
    config["linux"]["namespaces"].append({"type": "cgroup"})
    config["mounts"].append({"destination": "/d", "source": "/s", "options": ["rbind"]})
    assert kinds(build(config, with_terminal=True)) == [
        *(JoinNamespace, PrivateMounts, LoopbackUp),
        *(SetHostname, SetDomainname, OpenProc, SetSysctl),
        *(OverlayRoot, FileSystemMount, BindMount),
        *(MakeDevices, MakeLinks, MakeConsole),
        *(AwaitCgroup, EnterCgroup, NewCgroupNamespace, SplitCgroupMount),
        *(plan.MakeWorkingDirectory, ReadOnlyMount, ReadOnlyPaths, MaskPaths, ReadOnlyRoot),
        *(SealInterpreter, PivotRoot, RootPropagation),
    ]


def test_the_order_with_almost_nothing() -> None:
    config = {"process": {}, "linux": {"namespaces": [{"type": "mount"}]}, "root": {"path": "/r"}}
    assert kinds(build(config, root=())) == [
        *(PrivateMounts, BindRoot, MakeDevices, MakeLinks, AwaitCgroup, EnterCgroup),
        *(plan.MakeWorkingDirectory, SealInterpreter, PivotRoot),
    ]


def test_a_v2_init_is_born_in_its_cgroup_and_gets_the_one_hierarchy() -> None:
    operations = kinds(build(make_config("x"), mode="v2"))
    assert EnterCgroup not in operations
    assert UnifiedCgroupMount in operations
    assert SplitCgroupMount not in operations


def test_the_sysctls_come_before_any_mount_and_the_covers_after_the_last() -> None:
    operations = build(make_config("x"))
    last_sysctl = max(i for i, o in enumerate(operations) if isinstance(o, SetSysctl))
    first_mount = min(i for i, o in enumerate(operations) if isinstance(o, FileSystemMount))
    last_mount = max(i for i, o in enumerate(operations) if isinstance(o, SplitCgroupMount))
    first_cover = min(i for i, o in enumerate(operations) if isinstance(o, ReadOnlyPaths))
    assert last_sysctl < first_mount < last_mount < first_cover


def test_mounts_keep_their_order_and_lie_lexically_inside() -> None:
    config = make_config("x")
    config["mounts"] = [
        {"destination": "relative", "type": "tmpfs"},
        {"destination": "/../../up/./x/", "source": "rel", "type": "none", "options": ["bind"]},
        {"destination": "//double", "type": "tmpfs", "options": ["ro"]},
    ]
    operations = build(config)
    places = [o.destination for o in operations if isinstance(o, (FileSystemMount, BindMount))]
    assert places == ["/relative", "/up/x", "/double"]
    assert [o.destination for o in operations if isinstance(o, ReadOnlyMount)] == ["/double"]


def test_layers_become_one_option_each_topmost_first() -> None:
    overlay = next(o for o in build(make_config("x")) if isinstance(o, OverlayRoot))
    assert overlay.data == ("lowerdir=/b", "lowerdir=/a", "upperdir=/u")


@pytest.mark.parametrize(
    ("word", "base", "last"),
    [
        (None, c.MS_SLAVE, None),
        ("private", c.MS_PRIVATE, c.MS_PRIVATE),
        ("rslave", c.MS_SLAVE, c.MS_SLAVE),
        # Shared: copies stay in the host's peer group, which is what the caller asked for.
        ("rshared", 0, c.MS_SHARED),
    ],
)
def test_the_roots_propagation_is_what_binds_begin_with(
    word: str | None, base: int, last: int | None
) -> None:
    config = make_config("x")
    config["linux"]["rootfsPropagation"] = word
    config["mounts"].append({"destination": "/d", "source": "/s", "options": ["rbind"]})
    operations = build(config)
    bind = next(o for o in operations if isinstance(o, BindMount))
    assert bind.root_propagation == base
    final = operations[-1]
    assert (final.propagation if isinstance(final, RootPropagation) else None) == last


def test_default_devices_give_way_to_listed_ones() -> None:
    config = make_config("x")
    config["linux"]["devices"] = [
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 5},
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
    ]
    made = next(o for o in build(config) if isinstance(o, MakeDevices)).devices
    by_path = {device.path: device for device in made}
    assert len(by_path) == len(made) == 7
    assert (by_path["/dev/null"].mode, by_path["/dev/null"].uid) == (0o600, 5)


def test_a_bound_dev_is_used_as_it_is() -> None:
    config = make_config("x")
    config["mounts"] = [{"destination": "/dev", "source": "/dev", "options": ["rbind"]}]
    assert not {MakeDevices, MakeLinks} & set(kinds(build(config)))


def test_a_network_of_ones_own_gets_its_loopback_but_not_a_joined_one() -> None:
    assert LoopbackUp in kinds(build(make_config("x")))
    assert LoopbackUp not in kinds(build(make_config("x"), given={"network": 7}))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"root": {}}, "root.path is missing"),
        ({"mounts": [{"destination": "/."}]}, 'cannot have the destination "/"'),
        ({"mounts": [{"destination": "/x", "source": "/s", "options": ["bind", "size=1"]}]},
         "unknown option of a bind mount: size=1"),
        ({"linux": {"namespaces": [{"type": "mount"}], "rootfsPropagation": "odd"}},
         "rootfsPropagation=odd"),
        ({"linux": {"namespaces": [{"type": "mount"}], "devices": [{"path": "/x", "type": "z"}]}},
         "unknown device type 'z'"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(change: dict[str, Any], text: str) -> None:
    config = {**make_config("x"), "root": {"path": "/r"}, **change}
    with pytest.raises(ValueError, match=text):
        build(config, root=())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"process": {"apparmorProfile": "docker-default"}}, "apparmorProfile"),
        ({"process": {"selinuxLabel": "x"}}, "selinuxLabel"),
        ({"linux": {"namespaces": [{"type": "mount"}], "mountLabel": "x"}}, "mountLabel"),
    ],
)
def test_what_would_be_left_out_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"{text}.* not supported"):
        build({**make_config("x"), **change})


def test_two_mounts_make_no_root() -> None:
    with pytest.raises(ValueError, match="one mount"):
        build(make_config("x"), root=OVERLAY * 2)


def test_every_operation_describes_itself() -> None:
    operations = build(make_config("x"), with_terminal=True)
    assert all(operation.describe().strip() for operation in operations)
    assert len({operation.describe() for operation in operations}) == len(operations)
