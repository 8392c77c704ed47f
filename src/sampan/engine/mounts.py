"""`-v`, `--mount`, `--tmpfs` and an image's volumes: what the user wrote, as `MountPoint`s. Pure.

Forms: a bind string `[source:]destination[:mode]`, the API's `Mount`, `Tmpfs` (destination → options), and
`Volumes` (destinations of anonymous volumes). Texts and precedence are moby's (`volume/mounts`). Whether a
source exists is looked at by whoever makes the container.
"""

from __future__ import annotations

import posixpath

from sampan.engine.records import MountPoint
from sampan.errors import InvalidParameter
from sampan.spec import tmpfs
from sampan.spec.container import BindOptions, ContainerConfig, HostConfig, Mount, VolumeOptions
from sampan.store.volumes import check_name

PROPAGATIONS = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))
_LABEL_MODES = frozenset(("z", "Z"))
_ACCESS_MODES = frozenset(("ro", "rw"))
_CONSISTENCIES = frozenset(("consistent", "cached", "delegated", "default"))


def plan_mounts(
    config: ContainerConfig, host_config: HostConfig, inherited: tuple[MountPoint, ...] = ()
) -> tuple[MountPoint, ...]:
    """Every mount of the container, by destination. `inherited`: from `--volumes-from`; the user's own win.

    Raises InvalidParameter.
    """
    asked: dict[str, MountPoint] = {}
    for text in host_config.binds or []:
        _add(asked, parse_bind(text, host_config.volume_driver))
    for mount in host_config.mounts or []:
        _add(asked, parse_mount(mount))
    for destination, options in (host_config.tmpfs or {}).items():
        _add(asked, parse_tmpfs(destination, options))
    everything = {point.destination: point for point in inherited} | asked
    for destination in config.volumes or {}:
        clean = _destination(destination)
        if clean not in everything:
            everything[clean] = MountPoint(
                type="volume", destination=clean, driver="local", copy_up=True, anonymous=True
            )
    # By depth, so that a mount below another one comes after it.
    return tuple(sorted(everything.values(), key=lambda point: point.destination.count("/")))


def parse_bind(text: str, driver: str = "") -> MountPoint:
    parts = text.split(":")
    if len(parts) > 3 or "" in parts:
        raise InvalidParameter(f"invalid volume specification: '{text}'")
    mode = parts[2] if len(parts) == 3 else ""
    words = _mode(mode)
    source, destination = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
    bind = source.startswith("/")
    try:
        clean = _destination(destination)
    except InvalidParameter as error:
        kind = "bind" if bind else "volume"
        raise InvalidParameter(
            f"invalid volume specification: '{text}': invalid mount config for type \"{kind}\": {error}"
        ) from None
    _check_words(text, words, bind=bind)
    read_write = "ro" not in words
    if bind:
        propagation = next((word for word in words if word in PROPAGATIONS), "rprivate")
        return MountPoint(
            type="bind",
            destination=clean,
            source=posixpath.normpath(source),
            mode=mode,
            read_write=read_write,
            propagation=propagation,
            create_source=True,
        )
    if source:
        check_name(source)
    return MountPoint(
        type="volume",
        destination=clean,
        name=source,
        driver=driver or "local",
        mode=mode,
        read_write=read_write,
        copy_up="nocopy" not in words,
        anonymous=not source,
    )


def _check_words(text: str, words: frozenset[str], *, bind: bool) -> None:
    """A bind is never filled, and a volume has no propagation to choose."""
    kind, field, wrong = (
        ("bind", "VolumeOptions", "nocopy" in words)
        if bind
        else ("volume", "BindOptions", bool(words & PROPAGATIONS))
    )
    if wrong:
        raise InvalidParameter(
            f"invalid volume specification: '{text}': invalid mount config for type \"{kind}\": "
            f"field {field} must not be specified"
        )


def parse_mount(mount: Mount) -> MountPoint:
    try:
        return _parse_mount(mount)
    except InvalidParameter as error:
        raise InvalidParameter(f'invalid mount config for type "{mount.type}": {error}') from None


def _parse_mount(mount: Mount) -> MountPoint:
    if mount.type not in ("bind", "volume", "tmpfs", "image"):
        raise InvalidParameter("mount type unknown")
    if not mount.target:
        raise InvalidParameter("field Target must not be empty")
    destination = _destination(mount.target)
    _check_options(mount)
    if mount.type == "tmpfs":
        return _tmpfs_mount(mount, destination)
    if mount.type == "volume":
        return _volume_mount(mount, destination)
    if mount.type == "image":
        return _image_mount(mount, destination)
    return _bind_mount(mount, destination)


def _check_options(mount: Mount) -> None:
    """Options of another type than the mount's."""
    for kind, options, name in (
        ("bind", mount.bind_options, "BindOptions"),
        ("volume", mount.volume_options, "VolumeOptions"),
        ("tmpfs", mount.tmpfs_options, "TmpfsOptions"),
        ("image", mount.image_options, "ImageOptions"),
    ):
        if options is not None and kind != mount.type:
            raise InvalidParameter(f"field {name} must not be specified")


def _bind_mount(mount: Mount, destination: str) -> MountPoint:
    if not mount.source:
        raise InvalidParameter("field Source must not be empty")
    if not mount.source.startswith("/"):
        raise InvalidParameter(f"invalid mount path: '{mount.source}' mount path must be absolute")
    options = mount.bind_options or BindOptions()
    if options.propagation and options.propagation not in PROPAGATIONS:
        raise InvalidParameter(f"invalid propagation mode: {options.propagation}")
    depth = _read_only_depth(mount, options)
    return MountPoint(
        type="bind",
        destination=destination,
        source=posixpath.normpath(mount.source),
        read_write=not mount.read_only,
        propagation=options.propagation or "rprivate",
        recursive=not options.non_recursive,
        read_only_depth=depth,
        create_source=options.create_mountpoint,
    )


def _read_only_depth(mount: Mount, options: BindOptions) -> str:
    if not mount.read_only:
        for given, name in (
            (options.read_only_non_recursive, "ReadOnlyNonRecursive"),
            (options.read_only_force_recursive, "ReadOnlyForceRecursive"),
        ):
            if given:
                raise InvalidParameter(f"mount options conflict: !ReadOnly && BindOptions.{name}")
    if options.read_only_non_recursive and options.read_only_force_recursive:
        raise InvalidParameter(
            "mount options conflict: BindOptions.ReadOnlyNonRecursive && "
            "BindOptions.ReadOnlyForceRecursive"
        )
    if options.read_only_force_recursive:
        return "all"
    return "own" if options.read_only_non_recursive else ""


def _volume_mount(mount: Mount, destination: str) -> MountPoint:
    options = mount.volume_options or VolumeOptions()
    if not mount.source and mount.read_only:
        raise InvalidParameter("must not set ReadOnly mode when using anonymous volumes")
    if mount.source:
        check_name(mount.source)
    _check_subpath(options.subpath)
    driver = options.driver_config.name if options.driver_config else ""
    return MountPoint(
        type="volume",
        destination=destination,
        name=mount.source,
        driver=driver or "local",
        mode="z",
        read_write=not mount.read_only,
        copy_up=not options.no_copy,
        anonymous=not mount.source,
        subpath=options.subpath,
        labels=options.labels,
        driver_options=options.driver_config.options if options.driver_config else None,
    )


def _check_subpath(subpath: str) -> None:
    """An empty one is the whole. It must stay inside as a text; what links do is looked at when it is opened."""
    depth = 0
    for part in subpath.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0 or subpath.startswith("/") or "\0" in subpath:
            raise InvalidParameter("subpath must be a relative path within the volume")


def _image_mount(mount: Mount, destination: str) -> MountPoint:
    if not mount.source:
        raise InvalidParameter("field Source must not be empty")
    subpath = mount.image_options.subpath if mount.image_options else ""
    _check_subpath(subpath)
    return MountPoint(
        type="image",
        destination=destination,
        source=mount.source,
        read_write=False,
        subpath=subpath,
    )


def _tmpfs_mount(mount: Mount, destination: str) -> MountPoint:
    if mount.source:
        raise InvalidParameter("field Source must not be specified")
    if mount.tmpfs_options is not None and mount.tmpfs_options.size_bytes < 0:
        raise InvalidParameter("invalid tmpfs size")
    made = tmpfs.tmpfs_mount_of(destination, mount.tmpfs_options, read_only=mount.read_only)
    return MountPoint(
        type="tmpfs", destination=destination, read_write=not mount.read_only, options=made.options
    )


def parse_tmpfs(destination: str, options: str) -> MountPoint:
    clean = _destination(destination)
    words = tmpfs.tmpfs_mount(clean, options).options
    return MountPoint(type="tmpfs", destination=clean, read_write="ro" not in words, options=words)


def _mode(mode: str) -> frozenset[str]:
    """The words of a bind string's mode, each kind at most once. Raises InvalidParameter."""
    if not mode:
        return frozenset()
    words = mode.split(",")
    kinds = [_mode_kind(word) for word in words]
    if None in kinds or len(set(kinds)) != len(kinds):
        raise InvalidParameter(f"invalid mode: {mode}")
    return frozenset(words)


def _mode_kind(word: str) -> str | None:
    if word in PROPAGATIONS:
        return "propagation"
    if word in _ACCESS_MODES:
        return "access"
    if word in _LABEL_MODES:
        return "label"
    if word in _CONSISTENCIES:
        return "consistency"
    return "copy" if word == "nocopy" else None


def _destination(path: str) -> str:
    if not path.startswith("/"):
        raise InvalidParameter(f"invalid mount path: '{path}' mount path must be absolute")
    if "\0" in path:
        raise InvalidParameter("invalid mount path: it contains a NUL byte")
    clean = "/" + posixpath.normpath(path).lstrip("/")
    if clean == "/":
        raise InvalidParameter("invalid specification: destination can't be '/'")
    return clean


def _add(mounts: dict[str, MountPoint], point: MountPoint) -> None:
    if point.destination in mounts:
        raise InvalidParameter(f"Duplicate mount point: {point.destination}")
    mounts[point.destination] = point
