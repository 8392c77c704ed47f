"""Writes what makes the command `sampan-runtime` start quickly, beside the byte-code of the package:

    __pycache__/command.TAG    all modules that it loads (`loader.py`), 11 ms less than file by file
    __pycache__/sealed         runs an interpreter sealed, without another interpreter before it, 12 ms less

    python -m sampan.runtime.pack      when sampan is installed; and by the command, where it finds none, or an old one

As with byte-code only he who may write to the package's folder makes them. `BOOT`, which `tools/sampan-runtime` gives
the interpreter as `-c`, takes a pack only from a file that belongs to whom the sources belong to, that nobody else may
write, and whose byte-code is of this interpreter's form; without one all is imported as ever. Whether a process is
sealed it asks itself (`__main__.py`), whatever started it.
"""

from __future__ import annotations

import marshal
import os
import sys
from importlib.util import MAGIC_NUMBER

from sampan.linux.atomic import write_file
from sampan.runtime import loader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    from sampan.runtime.loader import Packed

ROOTS = ("sampan.runtime.__main__", "sampan.runtime.main")
LOADER = "sampan.runtime.loader"
LAUNCHER = "sealed"
# Its argument is the folder that the package lies in.
BOOT = """\
import gc, posix, sys
gc.disable()
site = sys.argv.pop(1)
sys.path.append(site)
try:
    fd = posix.open(f"{site}/sampan/runtime/__pycache__/command.{sys.implementation.cache_tag}", posix.O_CLOEXEC)
except OSError:
    pass
else:
    key, file = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER, posix.fstat(fd)
    if file.st_uid == posix.stat(f"{site}/sampan").st_uid and not file.st_mode & 0o22:
        data = posix.read(fd, file.st_size)
        if data.startswith(key):
            import marshal
            code, modules = marshal.loads(memoryview(data)[len(key):])
            name = "sampan.runtime.loader"
            module = sys.modules[name] = type(sys)(name)
            exec(code, module.__dict__)
            module.install(modules, site)
    posix.close(fd)
from sampan.runtime.__main__ import entry
entry()
"""


def write(site: str) -> None:
    """Raises OSError."""
    folder = f"{site}/sampan/runtime/__pycache__"
    try:
        os.mkdir(folder, 0o755)
    except FileExistsError:
        pass
    path = f"{folder}/command.{sys.implementation.cache_tag}"
    write_file(path, build(site), 0o644)
    write_file(f"{folder}/{LAUNCHER}", _launcher(), 0o755)


def refresh() -> None:
    """Where this process found no pack, or an old one, and may write one. Never raises OSError: it is a cache."""
    site = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if loader.stale() and os.access(f"{site}/sampan/runtime", os.W_OK):
        try:
            write(site)
        except OSError:
            pass  # a full disk, say


def build(site: str) -> bytes:
    """The pack: the number of the byte-code's form, then the loader's code and all modules, marshalled."""
    modules: dict[str, Packed] = {}
    loader_code = None
    wanted = [LOADER, *ROOTS]
    while wanted:
        name = wanted.pop()
        if name in modules:
            continue
        found = _module(site, name)
        if found is None:
            continue  # the name of something in a module
        code, packed = found
        if name == LOADER:
            loader_code = code
        else:
            modules[name] = packed
        wanted += [n for n in _named(code) if n.startswith("sampan") and n not in modules]
        wanted += [name.rpartition(".")[0]] if "." in name else []
    return MAGIC_NUMBER + marshal.dumps((loader_code, modules))


def _module(site: str, name: str) -> tuple[CodeType, Packed] | None:
    from importlib.machinery import SourceFileLoader

    for is_package in (False, True):
        source = loader.source_of(site, name, is_package=is_package)
        try:
            status = os.stat(source)  # before it is read: what changes meanwhile is stale
            code = SourceFileLoader(name, source).get_code(name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if code is not None:
            return code, (marshal.dumps(code), is_package, status.st_size, status.st_mtime_ns)
    return None


def _named(code: CodeType) -> set[str]:
    """What may be names of modules: those in imports, and their parts joined (`from a import b`)."""
    names = {name for name in code.co_names if name.startswith("sampan")}
    names |= {f"{package}.{name}" for package in names for name in code.co_names}
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            names |= _named(constant)
    return names


def _launcher() -> bytes:
    from sampan.spec.programs import sealed_program

    return sealed_program(os.uname().machine)


if __name__ == "__main__":
    write(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
