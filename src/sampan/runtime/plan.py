"""From an OCI config.json to the list of operations that make the container. Pure: nothing is touched here.

The order is one of dependencies:

    namespaces → the container's own settings → root → mounts → devices → cgroup → covers → pivot
"""

from __future__ import annotations

import os
import posixpath

from sampan.linux import constants as c
from sampan.linux import inroot
from sampan.linux.kernel import Kernel
from sampan.runtime import (
    cgroups,
    devices,
    idmap,
    masks,
    mounts,
    namespaces,
    rootfs,
    settings,
    terminal,
)
from sampan.runtime.context import Context, Operation
from sampan.runtime.failure import RuntimeFailure, reason
from sampan.runtime.hooks import PARENT_KINDS, Hooks, RunHooks, TellMounted
from sampan.runtime.init import SealInterpreter
from sampan.runtime.namespaces import Namespaces
from sampan.runtime.options import MountOptions, parse_options, parse_propagation
from sampan.spec.mount import PART, Mount
from sampan.spec.record import dataclass, replace
from sampan.spec.typing import Any, Mapping, Sequence

_CGROUP_TYPES = ("cgroup", "cgroup2")


@dataclass(frozen=True, slots=True)
class MakeWorkingDirectory(Operation):
    """Made when it is missing, as root, while the root can still be written."""

    path: str

    def describe(self) -> str:
        return f"mkdir {self.path}"

    def execute(self, kernel: Kernel, context: Context) -> None:
        try:
            context.cwd_fd = inroot.make_directory(kernel, context.root_fd, self.path)
        except OSError as error:
            # ELOOP: a link of /proc, which would lead out of the root.
            number = error.errno or 0
            raise RuntimeFailure(
                f"error during container init: mkdir {self.path}: {reason(number)}",
                step=self.describe(),
                path=self.path,
                errno=number,
            ) from None


def build(
    config: dict[str, Any],
    *,
    root: Sequence[Mount] = (),
    own: Namespaces,
    cgroup_mode: str,
    terminal_size: tuple[int, int] | None = None,
    with_terminal: bool = False,
    hooks: Hooks | None = None,
    state: Mapping[str, Any] | None = None,
    pivot: bool = True,
) -> list[Operation]:
    """`cgroup_mode` is "v1", "hybrid" or "v2".

    Raises ValueError when the configuration makes no sense, or asks for what would be left out.
    """
    _refuse_unsupported(config)
    hooks = hooks or {}
    unified = cgroup_mode == "v2"
    root_propagation = _root_propagation(config)
    base = 0 if root_propagation == c.MS_SHARED else root_propagation or c.MS_SLAVE
    bare_dev = _has_own_dev(config)
    return [
        *_plan_namespaces(own),
        *_plan_settings(config),
        _plan_root(config, root, base),
        *_plan_mounts(config, base),
        *(_plan_devices(config) if not bare_dev else []),
        *([terminal.MakeConsole(terminal_size)] if with_terminal else []),
        *([TellMounted()] if any(hooks.get(kind) for kind in PARENT_KINDS) else []),
        *_plan_cgroup(config, own, unified=unified),
        MakeWorkingDirectory((config.get("process") or {}).get("cwd") or "/"),
        *_plan_covers(config),
        *_plan_hooks(hooks, state or {}),
        SealInterpreter(),
        rootfs.PivotRoot() if pivot else rootfs.ChrootOnly(),
        *([rootfs.RootPropagation(root_propagation)] if root_propagation else []),
    ]


def _refuse_unsupported(config: dict[str, Any]) -> None:
    """Better no container than one with less confinement, or less done, than was asked for."""
    process, linux = config.get("process") or {}, config.get("linux") or {}
    for place, names in (
        (process, ("selinuxLabel",)),
        (linux, ("mountLabel", "intelRdt")),
    ):
        for name in names:
            if place.get(name):
                raise ValueError(f"{name} is not supported")
    if process.get("apparmorProfile") not in (None, "", "unconfined"):
        raise ValueError("apparmorProfile is not supported")


def _plan_namespaces(own: Namespaces) -> list[Operation]:
    plan: list[Operation] = [
        namespaces.JoinNamespace(kind)
        for kind in own.joined
        if kind not in ("pid", "cgroup", "user")
    ]
    plan.append(rootfs.PrivateMounts())
    if "network" in own.new:
        plan.append(namespaces.LoopbackUp())
    return plan


def _plan_cgroup(config: dict[str, Any], own: Namespaces, *, unified: bool) -> list[Operation]:
    """Late: the parent needs time to make it, and a v1 device cgroup would judge init's own mknod."""
    plan: list[Operation] = [cgroups.AwaitCgroup()]
    # With v2 init was born in it; out of a user namespace the parent moves it.
    if not unified and "user" not in own.own:
        plan.append(cgroups.EnterCgroup())
    if "cgroup" in own.new:
        plan.append(cgroups.NewCgroupNamespace())
    elif "cgroup" in own.joined:
        plan.append(namespaces.JoinNamespace("cgroup"))
    make = cgroups.UnifiedCgroupMount if unified else cgroups.SplitCgroupMount
    for entry in config.get("mounts") or []:
        if entry.get("type") in _CGROUP_TYPES:
            options = parse_options(entry.get("options") or ())
            plan.append(make(_destination(entry), options))
    return plan


def _plan_hooks(hooks: Hooks, state: Mapping[str, Any]) -> list[Operation]:
    own = hooks.get("createContainer")
    return [RunHooks("createContainer", own, state)] if own else []


def _plan_settings(config: dict[str, Any]) -> list[Operation]:
    plan: list[Operation] = []
    if config.get("hostname"):
        plan.append(settings.SetHostname(config["hostname"]))
    if config.get("domainname"):
        plan.append(settings.SetDomainname(config["domainname"]))
    sysctls = config.get("linux", {}).get("sysctl") or {}
    if sysctls:
        plan.append(settings.OpenProc())
    plan += [settings.SetSysctl(key, value) for key, value in sysctls.items()]
    return plan


def _root_propagation(config: dict[str, Any]) -> int:
    word = config.get("linux", {}).get("rootfsPropagation")
    if not word:
        return 0
    parsed = parse_propagation(word)
    if parsed is None:
        raise ValueError(f"rootfsPropagation={word} is not supported")
    return parsed[0]


def _plan_root(config: dict[str, Any], root: Sequence[Mount], base: int) -> Operation:
    if not root:
        path = (config.get("root") or {}).get("path")
        if not path:
            raise ValueError("root.path is missing")
        return rootfs.root_from_mounts("bind", path, MountOptions(), base)
    if len(root) > 1:
        raise ValueError("a root file system is one mount")
    mount = root[0]
    options = parse_options(mount.options)
    ids = idmap.parse_mappings({}, options, config.get("linux") or {})
    return rootfs.root_from_mounts(mount.type, mount.source, options, base, ids)


def _destination(entry: dict[str, Any]) -> str:
    destination: str = posixpath.normpath("/" + entry["destination"].lstrip("/"))
    if destination == "/":
        raise ValueError('a mount cannot have the destination "/"')
    return destination


def _plan_mounts(config: dict[str, Any], base: int) -> list[Operation]:
    plan: list[Operation] = []
    for entry in config.get("mounts") or []:
        destination, kind = _destination(entry), entry.get("type") or "bind"
        options = parse_options(entry.get("options") or ())
        source = entry.get("source") or ""
        if kind in _CGROUP_TYPES:
            continue
        if kind == "bind" or options.bind:
            if options.data:
                raise ValueError(f"unknown option of a bind mount: {options.data[0]}")
            ids = idmap.parse_mappings(entry, options, config.get("linux") or {})
            plan.append(mounts.BindMount(os.path.abspath(source), destination, options, base, ids))
        elif kind == "overlay":
            ids = idmap.parse_mappings(entry, options, config.get("linux") or {})
            plan.append(_plan_overlay(source, destination, options, ids))
        elif entry.get("uidMappings") or entry.get("gidMappings") or options.idmap:
            raise ValueError(f"mounts: {destination}: only bind mounts can have id mappings")
        elif options.copy_up and kind != "tmpfs":
            raise ValueError(f"mounts: {destination}: tmpcopyup is for tmpfs only")
        else:
            plan.append(mounts.FileSystemMount(kind, source, destination, options))
    return plan


def _plan_overlay(
    source: str, destination: str, options: MountOptions, ids: idmap.IdMapping | None
) -> Operation:
    """Layers as `Mount` has them, topmost first, and the option by which a part of an image is wanted."""
    part = next((word.removeprefix(PART) for word in options.data if word.startswith(PART)), "")
    data = tuple(word for word in options.data if not word.startswith(PART))
    return mounts.OverlayMount(source, destination, replace(options, data=data), part, ids)


def _has_own_dev(config: dict[str, Any]) -> bool:
    """Whether /dev is a bind mount, which is used as it is."""
    for entry in config.get("mounts") or []:
        if _destination(entry) == "/dev":
            bind = parse_options(entry.get("options") or ()).bind
            return bind or (entry.get("type") or "bind") == "bind"
    return False


def _plan_devices(config: dict[str, Any]) -> list[Operation]:
    listed = [devices.parse_device(item) for item in config.get("linux", {}).get("devices") or []]
    paths = {device.path for device in listed}
    defaults = [device for device in devices.DEFAULT_DEVICES if device.path not in paths]
    return [devices.MakeDevices((*defaults, *listed)), devices.MakeLinks()]


def _plan_covers(config: dict[str, Any]) -> list[Operation]:
    linux = config.get("linux", {})
    plan: list[Operation] = [
        mounts.ReadOnlyMount(operation.destination)
        for operation in _plan_mounts(config, 0)
        if isinstance(operation, mounts.FileSystemMount) and operation.options.read_only
    ]
    if linux.get("readonlyPaths"):
        plan.append(masks.ReadOnlyPaths(tuple(linux["readonlyPaths"])))
    if linux.get("maskedPaths"):
        plan.append(masks.MaskPaths(tuple(linux["maskedPaths"])))
    if (config.get("root") or {}).get("readonly"):
        plan.append(rootfs.ReadOnlyRoot())
    return plan
