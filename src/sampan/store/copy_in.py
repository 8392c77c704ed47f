"""A tar stream into a folder of a container, by `docker cp`'s rules. Runs in a worker.

As a layer is applied (`apply.py`), but names mean what they say, what is there already is merged with or replaced,
and links to folders on the way are followed as the container would, inside its root.
"""

from __future__ import annotations

import os
import stat

from sampan.errors import ProtocolError
from sampan.linux import constants as c
from sampan.linux.kernel import Kernel
from sampan.store.apply import Applier, clean
from sampan.store.tree import Remover
from sampan.wire import tar


class CopyIn(Applier):
    """`folder` is the destination's absolute path, without links; `owner` takes the place of the archive's."""

    resolve = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS | c.RESOLVE_NO_MAGICLINKS

    def __init__(
        self,
        kernel: Kernel,
        root: int,
        folder: str,
        *,
        reserve: int,
        overwrite: bool,
        owner: tuple[int, int] | None,
    ) -> None:
        super().__init__(kernel, root, reserve=reserve, base=False)
        self._folder_name = os.fsencode(folder.strip("/"))
        self._overwrite = overwrite
        self._new_owner = owner

    def entry(self, header: tar.Header) -> None:
        self.begin(header)
        name = clean(header.name)
        if not name:
            return  # the destination itself stays as it is
        if self._new_owner is not None:
            header.uid, header.gid = self._new_owner
        self.make(header, self._inside(name), self._inside(clean(header.linkname)))

    def _inside(self, name: bytes) -> bytes:
        return b"/".join(part for part in (self._folder_name, name) if part)

    def _make_room(self, above: int, leaf: bytes, name: bytes) -> None:
        found = os.stat(leaf, dir_fd=above, follow_symlinks=False)
        if not self._overwrite and stat.S_ISDIR(found.st_mode):
            raise ProtocolError(self._refusal("directory", name, "non-directory"))
        self._forget_folders(name)
        Remover(above).remove(above, leaf)

    def _directory(self, above: int, leaf: bytes, name: bytes, header: tar.Header) -> None:
        if not self._overwrite:
            try:
                found = os.stat(leaf, dir_fd=above, follow_symlinks=False)
            except FileNotFoundError:
                pass
            else:
                if not stat.S_ISDIR(found.st_mode):
                    raise ProtocolError(self._refusal("non-directory", name, "directory"))
        super()._directory(above, leaf, name, header)

    def _refusal(self, old: str, name: bytes, new: str) -> str:
        there, folder = (b"/" + part for part in (name, self._folder_name))
        shown = [part.decode("utf-8", "backslashreplace")[:300] for part in (there, folder)]
        return f'cannot overwrite {old} "{shown[0]}" with {new} "{shown[1]}"'
