"""A layer's tar becomes a folder in overlayfs's form. Runs in a worker that is chrooted to that folder.

The archive is hostile. Names are made relative and `..` ends at the top; the folder above a name is opened
with openat2 beneath the root, without links (or, where a link of the same layer is in the way, with the
kernel's in-root resolution, as other engines do); what is made is made with O_EXCL and never followed;
owners, modes, xattrs and times go on by descriptor. An entry replaces an earlier one of the same name, so
that the last wins. Folders get their times at the end, when nothing changes them any more.

    .wh.NAME          becomes a character device 0:0 called NAME, overlayfs's whiteout
    .wh..wh..opq      marks its folder opaque
    .wh..wh.*         is AUFS's own business, and skipped
    char 0:0 from the tar, trusted.overlay.*, user.overlay.*, security.* but capability: skipped

Whiteouts mean lower layers only (OCI image-spec, layer.md), whatever else is in the same layer and in
whichever order. Time is linear in the archive.
"""

from __future__ import annotations

import errno
import os
import stat

from sampan.errors import ProtocolError
from sampan.linux import constants as c
from sampan.linux.inroot import make_directory, open_in_root
from sampan.linux.kernel import Kernel
from sampan.store.room import LOOK_STEP, check_room
from sampan.store.tree import Remover
from sampan.wire import tar

WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_AUFS = b".wh..wh."
_OVERLAY_OPAQUE = "trusted.overlay.opaque"
_STRIPPED = (b"trusted.overlay.", b"user.overlay.")

_STRICT = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_MAGICLINKS | c.RESOLVE_NO_XDEV
_FOLDER = os.O_PATH | os.O_DIRECTORY
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CACHE_LIMIT = 64  # descriptors of folders kept open
_ENTRY_COST = 4096  # what an entry takes at least, so that a million empty ones count too


class Applier:
    """Feed it a TarReader's events: `entry`, `data`…, `end`; then `finish`.

    `reserve` bytes stay free on the file system; a `base` layer has nothing below it.
    Raises ProtocolError and OSError; `name` is the entry it was at.
    """

    resolve = _STRICT  # of folders, before links are looked at

    def __init__(self, kernel: Kernel, root_fd: int, *, reserve: int, base: bool) -> None:
        self.name = b""
        self.entries = 0
        self.whiteouts = 0
        self.size = 0
        self.replaced = False  # then `size` counts what is not there any more
        self._kernel = kernel
        self._root = root_fd
        self._reserve = reserve
        self._base = base
        self._until_look = 0
        self._folders: dict[bytes, int] = {}
        self._times: dict[bytes, int] = {}
        self._remover = Remover(root_fd)
        self._fd = -1  # the file that is being written
        self._mtime = 0
        self._mode = 0
        self._owner = (0, 0)
        self._xattrs: dict[bytes, bytes] | None = None

    def entry(self, header: tar.Header) -> None:
        """Make what the header says; the content of a file follows."""
        self.begin(header)
        name = clean(header.name)
        above, _, leaf = name.rpartition(b"/")
        if not leaf:  # the root of the layer itself
            if header.type == tar.DIRECTORY:
                self._folder_metadata(self._root, b".", b"", header)
        elif leaf.startswith(WHITEOUT):
            self._whiteout(self._above(above), leaf)
        else:
            self.make(header, name, clean(header.linkname))

    def begin(self, header: tar.Header) -> None:
        self.name = header.name
        self.entries += 1
        self._spend(_ENTRY_COST)

    def make(self, header: tar.Header, name: bytes, link: bytes) -> None:
        """What the header says, at `name`; `link` is what a hard link names. Both are relative to the root."""
        above, _, leaf = name.rpartition(b"/")
        if header.type == tar.FILE:
            self._file(self._above(above), leaf, name, header)
        elif header.type == tar.DIRECTORY:
            self._directory(self._above(above), leaf, name, header)
        elif header.type == tar.LINK:
            self._link(self._above(above), leaf, name, link)
        elif header.type == tar.SYMLINK:
            self._symlink(self._above(above), leaf, name, header)
        elif header.type in (tar.CHARACTER, tar.BLOCK_DEVICE, tar.FIFO):
            self._node(self._above(above), leaf, name, header)
        else:
            kind = header.type.decode("ascii", "replace")
            raise ProtocolError(f"unhandled tar header type {ord(kind)}")

    def data(self, piece: memoryview) -> None:
        """A piece of the content; dropped where the entry can have none (whiteouts)."""
        if self._fd < 0:
            return
        self._spend(len(piece))
        self.size += len(piece)
        while piece:
            piece = piece[os.write(self._fd, piece) :]

    def end(self) -> None:
        """The content of a file is complete."""
        fd = self._fd
        if fd < 0:
            return
        os.fchown(fd, *self._owner)
        if self._mode & 0o7000:
            os.fchmod(fd, self._mode)  # chown took setuid and setgid away
        if self._xattrs:
            _set_xattrs(fd, self._xattrs)
        os.utime(fd, ns=(self._mtime, self._mtime))
        self._fd = -1
        os.close(fd)

    def finish(self) -> None:
        """Everything is there: the times of folders, those made implicitly excepted."""
        for name, mtime in self._times.items():
            try:
                fd = self._kernel.openat2(
                    self._root, name or b".", _OPEN_FOLDER, resolve=self.resolve
                )
            except OSError as error:  # replaced later, or reached over a link that changed
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    raise
                continue
            os.utime(fd, ns=(mtime, mtime))
            os.close(fd)

    def _file(self, above: int, leaf: bytes, name: bytes, header: tar.Header) -> None:
        try:
            self._fd = os.open(leaf, _NEW_FILE, header.mode & 0o777, dir_fd=above)
        except FileExistsError:
            self._make_room(above, leaf, name)
            self._fd = os.open(leaf, _NEW_FILE, header.mode & 0o777, dir_fd=above)
        self._mtime = header.mtime_ns
        self._mode = header.mode
        self._owner = (header.uid, header.gid)
        self._xattrs = header.xattrs

    def _directory(self, above: int, leaf: bytes, name: bytes, header: tar.Header) -> None:
        opaque = False
        try:
            os.mkdir(leaf, 0o700, dir_fd=above)
        except FileExistsError:
            found = os.stat(leaf, dir_fd=above, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                opaque = _is_whiteout(found)
                self._make_room(above, leaf, name)
                os.mkdir(leaf, 0o700, dir_fd=above)
        self._folder_metadata(above, leaf, name, header)
        if opaque:
            self._make_opaque(above, leaf)

    def _folder_metadata(self, above: int, leaf: bytes, name: bytes, header: tar.Header) -> None:
        fd = os.open(leaf, _OPEN_FOLDER, dir_fd=above)
        try:
            os.fchown(fd, header.uid, header.gid)
            os.fchmod(fd, header.mode)
            if header.xattrs:
                _set_xattrs(fd, header.xattrs)
        finally:
            os.close(fd)
        self._times[name] = header.mtime_ns

    def _symlink(self, above: int, leaf: bytes, name: bytes, header: tar.Header) -> None:
        try:
            os.symlink(header.linkname, leaf, dir_fd=above)
        except FileExistsError:
            self._make_room(above, leaf, name)
            os.symlink(header.linkname, leaf, dir_fd=above)
        self.size += len(header.linkname)
        self._metadata(above, leaf, header)

    def _node(self, above: int, leaf: bytes, name: bytes, header: tar.Header) -> None:
        kind = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK}.get(
            header.type, stat.S_IFIFO
        )
        device = os.makedev(header.major, header.minor)
        if kind == stat.S_IFCHR and device == 0:
            return  # overlayfs's whiteout: only `.wh.` may say what is deleted
        mode = kind | header.mode & 0o777
        device = 0 if kind == stat.S_IFIFO else device
        try:
            os.mknod(leaf, mode, device, dir_fd=above)
        except FileExistsError:
            self._make_room(above, leaf, name)
            os.mknod(leaf, mode, device, dir_fd=above)
        self._metadata(above, leaf, header)

    def _metadata(self, above: int, leaf: bytes, header: tar.Header) -> None:
        """Of what cannot be opened: links and nodes, by name but never followed."""
        os.chown(leaf, header.uid, header.gid, dir_fd=above, follow_symlinks=False)
        if header.xattrs:
            # There is no setxattrat before Linux 6.13, and no /proc in here.
            os.fchdir(above)
            _set_xattrs(leaf, header.xattrs)
            os.fchdir(self._root)
        times = (header.mtime_ns, header.mtime_ns)
        os.utime(leaf, ns=times, dir_fd=above, follow_symlinks=False)

    def _link(self, above: int, leaf: bytes, name: bytes, target: bytes) -> None:
        target_above, _, target_leaf = target.rpartition(b"/")
        if not target_leaf or target == name:
            if target == name:
                os.stat(leaf, dir_fd=above, follow_symlinks=False)  # a link to itself is no change
                return
            raise ProtocolError("a hard link to the root folder in the tar archive")
        source = self._existing(target_above)
        try:
            try:
                _hard_link(source, target_leaf, above, leaf)
            except FileExistsError:
                # The target first: it may be missing, or be what is in the way.
                found = os.stat(target_leaf, dir_fd=source, follow_symlinks=False)
                there = os.stat(leaf, dir_fd=above, follow_symlinks=False)
                if (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino):
                    return
                if target.startswith(name + b"/"):
                    raise ProtocolError("a hard link in place of its own folder") from None
                self._make_room(above, leaf, name)
                _hard_link(source, target_leaf, above, leaf)
        finally:
            os.close(source)

    def _whiteout(self, above: int, leaf: bytes) -> None:
        hidden = leaf[len(WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise ProtocolError("invalid whiteout in the tar archive")
        self.whiteouts += 1
        if self._base:
            return  # it hides nothing, and overlayfs would list it in folders of one layer only
        if leaf == _OPAQUE:
            self._make_opaque(above, b".")
            return
        if leaf.startswith(_AUFS):
            return
        try:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=above)
        except FileExistsError:
            # What this layer brings itself stays; a folder of it hides what is below.
            found = os.stat(hidden, dir_fd=above, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                self._make_opaque(above, hidden)

    def _make_opaque(self, above: int, leaf: bytes) -> None:
        fd = os.open(leaf, _OPEN_FOLDER, dir_fd=above)
        try:
            os.setxattr(fd, _OVERLAY_OPAQUE, b"y")
        finally:
            os.close(fd)

    def _make_room(self, above: int, leaf: bytes, name: bytes) -> None:
        """Remove what an earlier entry made under this name."""
        self.replaced = True
        self._forget_folders(name)
        self._remover.remove(above, leaf)

    def _forget_folders(self, name: bytes) -> None:
        inside = name + b"/"
        for key in [key for key in self._folders if key == name or key.startswith(inside)]:
            os.close(self._folders.pop(key))

    def _above(self, name: bytes) -> int:
        """An O_PATH descriptor of the folder `name`, made if missing; kept open for a while."""
        fd = self._folders.get(name)
        if fd is None:
            if not name:
                return self._root
            fd = self._open_or_make(name)
            if len(self._folders) >= _CACHE_LIMIT:
                os.close(self._folders.pop(next(iter(self._folders))))
            self._folders[name] = fd
        return fd

    def _open_or_make(self, name: bytes) -> int:
        try:
            return self._kernel.openat2(self._root, name, _FOLDER, resolve=self.resolve)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                raise
        return make_directory(self._kernel, self._root, os.fsdecode(name))

    def _existing(self, name: bytes) -> int:
        """Like `_above`, but nothing is made and the descriptor is the caller's."""
        if not name:
            return os.dup(self._root)
        return open_in_root(self._kernel, self._root, os.fsdecode(name), _FOLDER)

    def _spend(self, size: int) -> None:
        """Look now and then whether the file system has room left for others."""
        self._until_look -= size
        if self._until_look < 0:
            self._until_look = LOOK_STEP
            check_room(self._root, self._reserve)


def clean(name: bytes) -> bytes:
    """`name` relative to the root, without `.`, `..` and empty parts; `..` stays inside."""
    name = name.removeprefix(b"./").rstrip(b"/")
    if not (name.startswith((b"/", b".")) or b"//" in name or b"/." in name):
        return name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _hard_link(source: int, source_leaf: bytes, above: int, leaf: bytes) -> None:
    os.link(source_leaf, leaf, src_dir_fd=source, dst_dir_fd=above, follow_symlinks=False)


def _set_xattrs(target: int | bytes, xattrs: dict[bytes, bytes]) -> None:
    for name, value in xattrs.items():
        if name.startswith(b"security.") and name != b"security.capability":
            continue  # labels of another machine's policy: IMA, EVM, SELinux, Smack
        if name.startswith(_STRIPPED):
            continue
        try:
            if isinstance(target, int):
                os.setxattr(target, name, value)
            else:
                os.setxattr(target, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP):
                raise
