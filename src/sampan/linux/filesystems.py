"""File systems as detached mounts: descriptors of something that hangs in no mount table yet.

Out of scope: where they go. An overlay has a second way here, for kernels before 6.7.
"""

from __future__ import annotations

import os

from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.spec.typing import Callable, Sequence

_LAYER = "lowerdir="
_FOLDERS = (_LAYER, "upperdir=", "workdir=")


def make_file_system(
    kernel: Kernel, kind: str, source: str, data: Sequence[str], attributes: int
) -> int:
    """A new file system as a detached mount. The kernel's own words about a failure are in the error."""
    fs = kernel.fsopen(kind)
    try:
        try:
            if source:
                kernel.fsconfig_string(fs, "source", source)
            for option in data:
                key, has_value, value = option.partition("=")
                if has_value:
                    kernel.fsconfig_string(fs, key, value)
                else:
                    kernel.fsconfig_flag(fs, key)
            kernel.fsconfig_create(fs)
        except OSError as error:
            raise _with_log(kernel, fs, error) from None
        return kernel.fsmount(fs, attributes)
    finally:
        kernel.close(fs)


def _with_log(kernel: Kernel, fs: int, error: OSError) -> OSError:
    try:
        words = kernel.read(fs, 4096).decode("utf-8", "replace").strip()
    except OSError:
        return error  # ENODATA: the kernel has nothing to add
    if not words:
        return error
    return OSError(error.errno, words.removeprefix("e "), error.filename)


def make_overlay(
    kernel: Kernel, options: Sequence[str], attributes: int, *, source: str = "overlay"
) -> int:
    """A detached overlay. `options` are mount(8)'s, with one `lowerdir=` a layer, topmost first."""
    if not knows_single_layers(os.uname().release):
        return overlay_by_mount(kernel, options, attributes, source=source)
    data = [
        "lowerdir+=" + option[len(_LAYER) :] if option.startswith(_LAYER) else option
        for option in options
    ]
    return make_file_system(kernel, "overlay", source, data, attributes)


def knows_single_layers(release: str) -> bool:
    """Linux 6.7 has `lowerdir+`; fsconfig(2) before it takes all layers in one text of 255 bytes."""
    major, _, rest = release.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return not (major.isdigit() and minor.isdigit()) or (int(major), int(minor)) >= (6, 7)


def clone_from_namespace(kernel: Kernel, pid: int, path: str, *, recursive: bool) -> int:
    """A detached copy of the mount at `path` of the mount namespace that the process is in: open_tree(2) copies
    only what is in the caller's own. The calling thread is moved there and back."""
    back: list[int] = []
    try:
        for place, flags in _PLACES:
            back.append(kernel.openat2(c.AT_FDCWD, place, flags))
        other = kernel.openat2(c.AT_FDCWD, f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        back.append(other)
        kernel.setns(other, c.CLONE_NEWNS)
        try:
            deep = c.AT_RECURSIVE if recursive else 0
            return kernel.open_tree(c.AT_FDCWD, path, c.OPEN_TREE_CLONE | deep)
        finally:
            _go_back(kernel, *back[:3])
    finally:
        for fd in back:
            kernel.close(fd)


def make_mapped_overlay(
    kernel: Kernel,
    options: Sequence[str],
    attributes: int,
    *,
    user_namespace: int,
    root: tuple[int, int],
    source: str = "overlay",
) -> int:
    """As `make_overlay`, of folders whose files belong to others in there (mount_setattr(2), "ID-mapped mounts").

    overlayfs itself cannot be id-mapped; so the folder that holds them all is, over its own place in a passing mount
    namespace. `root`: who in the host is 0 in `user_namespace`, uid and gid: overlayfs makes files of its own as
    whoever mounts it, and those of an id that has no mapping cannot be made.
    """

    def make() -> int:
        folders = [value for key, _, value in _parts(options) if key + "=" in _FOLDERS]
        above = os.path.commonpath([os.path.dirname(folder) for folder in folders])
        tree = kernel.open_tree(c.AT_FDCWD, above, c.OPEN_TREE_CLONE)
        try:
            kernel.mount_setattr(
                tree, "", c.AT_EMPTY_PATH, attr_set=c.MOUNT_ATTR_IDMAP, userns_fd=user_namespace
            )
            kernel.move_mount(tree, "", c.AT_FDCWD, above, c.MOVE_MOUNT_F_EMPTY_PATH)
        finally:
            kernel.close(tree)
        return _make_as(
            kernel, *root, lambda: _mount_and_clone(kernel, options, attributes, source)
        )

    return _in_passing_namespace(kernel, make)


def _make_as(kernel: Kernel, uid: int, gid: int, make: Callable[[], int]) -> int:
    """Files are made as this user, with all of root's capabilities still."""
    kernel.prctl(c.PR_SET_SECUREBITS, c.SECBIT_NO_SETUID_FIXUP)
    try:
        kernel.setresgid(0, gid, 0)
        kernel.setresuid(0, uid, 0)
        return make()
    finally:
        kernel.setresuid(0, 0, 0)
        kernel.setresgid(0, 0, 0)
        kernel.prctl(c.PR_SET_SECUREBITS, 0)


def overlay_by_mount(
    kernel: Kernel, options: Sequence[str], attributes: int, *, source: str = "overlay"
) -> int:
    """The same by mount(2), whose text may have a page: the folders are named by their descriptors.

    The host's table does not show it here either.
    """
    return _in_passing_namespace(
        kernel, lambda: _mount_and_clone(kernel, options, attributes, source)
    )


def _in_passing_namespace(kernel: Kernel, make: Callable[[], int]) -> int:
    """What `make` makes, in a mount namespace that lives as long as this call. The thread is moved there and back."""
    back: list[int] = []
    try:
        for path, flags in _PLACES:
            back.append(kernel.openat2(c.AT_FDCWD, path, flags))
        kernel.unshare(c.CLONE_NEWNS)
        try:
            kernel.mount(None, "/", None, c.MS_REC | c.MS_PRIVATE, None)
            made = make()
        except BaseException:
            _go_back(kernel, *back)
            raise
        try:
            _go_back(kernel, *back)
        except OSError:
            kernel.close(made)
            raise
        return made
    finally:
        for fd in back:
            kernel.close(fd)


_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_PLACES = (
    ("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC),
    ("/", _FOLDER),
    (".", _FOLDER),
)


def _go_back(kernel: Kernel, namespace: int, root: int, cwd: int) -> None:
    """setns(2) into a mount namespace makes its root one's own; this process may have had another.

    Tried twice: a thread that stays away would see mounts from then on that nobody else sees.
    """
    try:
        _enter(kernel, namespace, root, cwd)
    except OSError:
        _enter(kernel, namespace, root, cwd)


def _enter(kernel: Kernel, namespace: int, root: int, cwd: int) -> None:
    kernel.setns(namespace, c.CLONE_NEWNS)
    kernel.fchdir(root)
    kernel.chroot(".")
    kernel.fchdir(cwd)


def _mount_and_clone(kernel: Kernel, options: Sequence[str], attributes: int, source: str) -> int:
    fds: list[int] = []
    try:
        layers, data = [], []
        for option, (key, equals, value) in zip(options, _parts(options)):
            if key + equals not in _FOLDERS:
                data.append(option)
                continue
            # Opened here: the kernel takes only folders of the caller's own namespace.
            fds.append(kernel.openat2(c.AT_FDCWD, value, _FOLDER))
            if key + equals == _LAYER:
                layers.append(str(fds[-1]))
            else:
                data.append(f"{key}={fds[-1]}")
        place = next(option[len(_LAYER) :] for option in options if option.startswith(_LAYER))
        flags = c.MS_RDONLY if "ro" in data else 0
        words = [_LAYER + ":".join(layers), *(word for word in data if word != "ro")]
        kernel.chdir("/proc/self/fd")
        kernel.mount(source, place, "overlay", flags, ",".join(words))
        made = kernel.open_tree(c.AT_FDCWD, place, c.OPEN_TREE_CLONE)
        return _with_attributes(kernel, made, attributes)
    finally:
        for fd in fds:
            kernel.close(fd)


def _parts(options: Sequence[str]) -> list[tuple[str, str, str]]:
    return [option.partition("=") for option in options]


def _with_attributes(kernel: Kernel, mount_fd: int, attributes: int) -> int:
    try:
        if attributes:
            kernel.mount_setattr(mount_fd, "", c.AT_EMPTY_PATH, attr_set=attributes)
    except OSError:
        kernel.close(mount_fd)
        raise
    return mount_fd
