"""What a container's mounts are made of, at its start: looked up, checked, and held open until it is created.

A part of a volume (`subpath`) belongs to containers, which may put a link in its place at any moment; so it is
opened once, never leaving the volume, and named to the runtime by that descriptor.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampan.engine.records import ContainerRecord, MountPoint
from sampan.engine.services import Services
from sampan.errors import InvalidParameter, NotFound, SampanError
from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.spec.mount import Mount
from sampan.spec.oci_mounts import bind_mount, image_mount

_BENEATH = c.RESOLVE_BENEATH | c.RESOLVE_NO_MAGICLINKS


@dataclass(slots=True)
class Sources:
    mounts: tuple[Mount, ...] = ()
    fds: list[int] = field(default_factory=list)

    def close(self) -> None:
        while self.fds:
            os.close(self.fds.pop())


def image_roots(services: Services, record: ContainerRecord) -> dict[str, Mount]:
    """The file systems of the images that are mounted, by id. Raises NotFound."""
    roots: dict[str, Mount] = {}
    for point in record.mounts:
        if point.type == "image":
            image = services.store.images.get(point.name)
            if image is None:
                raise NotFound(f"No such image: {point.source}")
            roots[image.id] = services.store.snapshots.read_only_mounts(image.top)[0]
    return roots


def mapped(mount: Mount) -> Mount:
    """Its files belong in the container to whom they belong on the disk, whatever its user namespace. A tmpfs is
    none of that: it is made in the namespace."""
    if mount.type not in ("bind", "overlay"):
        return mount
    return mount._replace(options=(*mount.options, "idmap"))


def open_sources(
    kernel: Kernel,
    points: Sequence[MountPoint],
    roots: Mapping[str, Mount],
    *,
    mapped_volumes: frozenset[str] | None = None,
    owner: tuple[int, int] | None = None,
) -> Sources:
    """Blocking. `roots`: of `image_roots`; `mapped_volumes`: of a container with a user namespace, those that are
    `mapped`, as images are. Binds never are: they show who owns them on the host. `owner`: whose the folders become
    that are made for binds. Raises InvalidParameter, NotFound, SampanError in Docker's words."""
    sources = Sources()
    try:
        for point in points:
            if point.type == "bind":
                _prepare_bind(point, owner)
            mount = _mount(kernel, point, roots, sources.fds)
            own = point.type == "image" or point.name in (mapped_volumes or ())
            remap = mapped_volumes is not None and own
            sources.mounts += (mapped(mount) if remap else mount,)
    except BaseException:
        sources.close()
        raise
    return sources


def _mount(kernel: Kernel, point: MountPoint, roots: Mapping[str, Mount], fds: list[int]) -> Mount:
    if point.type == "tmpfs":
        return Mount("tmpfs", "tmpfs", point.options, point.destination)
    if point.type == "image":
        return _image(kernel, point, roots[point.name], fds)
    source = point.source
    if point.type == "volume" and point.subpath:
        source = _open_part(kernel, source, point.subpath, fds)
    return bind_mount(
        source,
        point.destination,
        read_only=not point.read_write,
        read_only_below=point.read_only_depth != "own" and point.recursive,
        propagation=point.propagation or "rprivate",
        recursive=point.recursive,
    )


def _image(kernel: Kernel, point: MountPoint, root: Mount, fds: list[int]) -> Mount:
    if root.type == "bind" and point.subpath:
        part = _open_part(kernel, root.source, point.subpath, fds)
        return bind_mount(part, point.destination, read_only=True)
    return image_mount(root, point.destination, point.subpath)


def _open_part(kernel: Kernel, base: str, subpath: str, fds: list[int]) -> str:
    """A path that names exactly what was found, whoever renames or links what meanwhile."""
    folder = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fds.append(kernel.openat2(folder, subpath, os.O_PATH | os.O_CLOEXEC, resolve=_BENEATH))
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise InvalidParameter(
                f"path concatenation escapes the base directory, base: {base}, subpath: {subpath}"
            ) from None
        reason = os.strerror(error.errno or 0).lower()
        raise NotFound(f"cannot access path {os.path.join(base, subpath)}: {reason}") from None
    finally:
        os.close(folder)
    return f"/proc/{os.getpid()}/fd/{fds[-1]}"


# -- binds -------------------------------------------------------------------------------------


def check_bind_sources(points: Sequence[MountPoint]) -> None:
    """`--mount type=bind` wants its source to be there; `-v` makes it at start. Raises InvalidParameter."""
    for point in points:
        if point.type == "bind" and not point.create_source and not os.path.lexists(point.source):
            raise _missing(point)


def _prepare_bind(point: MountPoint, owner: tuple[int, int] | None) -> None:
    """Raises InvalidParameter, SampanError."""
    if not os.path.lexists(point.source):
        if not point.create_source:
            raise _missing(point)
        try:
            _make_folders(point.source, owner)
        except OSError as error:
            raise SampanError(
                f"error while creating mount source path '{point.source}': "
                f"mkdir {point.source}: {(error.strerror or '').lower()}"
            ) from None
    _check_propagation(point)


def _make_folders(path: str, owner: tuple[int, int] | None) -> None:
    """Those that are there stay whose they are. Raises OSError."""
    missing = []
    while path and not os.path.exists(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        try:
            os.mkdir(folder, 0o755)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
            continue  # another start was quicker
        if owner is not None:
            os.lchown(folder, *owner)


def _missing(point: MountPoint) -> InvalidParameter:
    return InvalidParameter(
        f'invalid mount config for type "bind": bind source path does not exist: {point.source}'
    )


def _check_propagation(point: MountPoint) -> None:
    """Nothing comes out of, or into, a mount whose source shares nothing. Raises SampanError."""
    kind = point.propagation.removeprefix("r")
    if kind not in ("shared", "slave"):
        return
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        place, tags = mount_of(os.path.realpath(point.source), file.readlines())
    if "shared" in tags or (kind == "slave" and "master" in tags):
        return
    wanted = "a shared mount" if kind == "shared" else "a shared or slave mount"
    raise SampanError(f"path {point.source} is mounted on {place} but it is not {wanted}")


def mount_of(path: str, mountinfo: Sequence[str]) -> tuple[str, frozenset[str]]:
    """Where the mount that holds `path` lies, and the words of its optional fields (proc(5)): "shared", "master"."""
    found, tags = "/", frozenset[str]()
    for line in mountinfo:
        fields = line.split(" ")
        place = _unescape(fields[4])
        below = path == place or path.startswith(place.rstrip("/") + "/")
        if below and len(place) >= len(found):
            optional = fields[6 : fields.index("-", 6)]
            found, tags = place, frozenset(word.partition(":")[0] for word in optional)
    return found, tags


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
