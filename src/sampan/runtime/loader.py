"""Imports from one file of byte-code, the *pack*: what `sampan-runtime` loads, without looking for it file by file.

    install(modules, site)    by the pack itself, which carries this module's code (`pack.py` writes it)

A module is taken from the pack while its source has the size and time that it was made of, as Python does it with
byte-code; else it is imported as ever, and `stale()` says that the pack should be written anew. It goes the
way of all importers before a process enters a container (`command.seal_interpreter`).

Imports what every interpreter has loaded already.
"""

from __future__ import annotations

import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec  # importlib.machinery's, without importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType

    # Byte-code, whether it is a package, and the source's size and time in nanoseconds.
    Packed = tuple[bytes, bool, int, int]


class Pack:
    """A finder and loader of sys.meta_path."""

    def __init__(self, modules: dict[str, Packed], site: str) -> None:
        self._modules = modules
        self._site = site
        self.stale = False

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        packed = self._modules.get(name)
        if packed is None:
            return None
        _, is_package, size, changed = packed
        source = source_of(self._site, name, is_package=is_package)
        try:
            found = posix.stat(source)
        except OSError:
            found = None
        if found is None or found.st_size != size or found.st_mtime_ns != changed:
            self.stale = True
            return None
        spec = ModuleSpec(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [source.rpartition("/")[0]]
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        code: CodeType = marshal.loads(self._modules[name][0])
        return code


def source_of(site: str, name: str, *, is_package: bool) -> str:
    return f"{site}/{name.replace('.', '/')}{'/__init__' if is_package else ''}.py"


def install(modules: dict[str, Packed], site: str) -> None:
    sys.meta_path.insert(0, Pack(modules, site))


def stale() -> bool:
    """Whether this process had to do without a pack, or without parts of it."""
    packs = [finder for finder in sys.meta_path if isinstance(finder, Pack)]
    return not packs or packs[0].stale
