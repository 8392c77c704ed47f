"""The rules of the house that a machine can check: levels, sizes, what each room may import."""

from __future__ import annotations

import ast
import re
import statistics
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2] / "src" / "sampan"
LEVELS = {
    "errors": -1,  # what even the lowest may raise
    "spec": 0,
    "linux": 1,
    "wire": 1,
    "runtime": 2,
    "store": 2,
    "network": 2,
    "monitor": 3,
    "distribution": 3,
    "engine": 4,
    "api": 5,
    "registry": 5,
    "cli": 5,
    "daemon": 6,
}
THIRD_PARTY = {
    "spec": {"msgspec"},
    "store": {"msgspec", "isal", "backports"},
    "network": {"msgspec"},
    "distribution": {"aiohttp", "msgspec", "yarl", "multidict"},
    "engine": {"msgspec"},
    "api": {"msgspec", "aiohttp", "multidict", "yarl"},
    "daemon": {"aiohttp"},
}
CLI_MAY_IMPORT = {"cli", "spec", "wire", "errors"}
BANNED_BELOW_ENGINE = {
    "pwd",
    "grp",
    "subprocess",
    "shutil",
    "tempfile",
    "locale",
    "pickle",
    "multiprocessing",
}
# Functions over 60 lines carry their reason in the line above them.
MAX_FILE, MAX_FUNCTION = 600, 60

FILES = sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports_of(path: Path) -> list[tuple[str, int]]:
    """Every module that `path` imports, at any depth of the file, with its line."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            found.append((module, node.lineno))
            if module == "sampan":
                found += [(f"sampan.{alias.name}", node.lineno) for alias in node.names]
    return found


def test_imports_go_strictly_down() -> None:
    """A room imports only rooms of a lower level, and the cli only what a thin client needs."""
    wrong = []
    for path in FILES:
        room = room_of(path)
        if room == "__init__":
            continue
        for module, line in imports_of(path):
            parts = module.split(".")
            if parts[0] != "sampan" or len(parts) < 2 or parts[1] == room:
                continue
            allowed = LEVELS[parts[1]] < LEVELS[room]
            if room == "cli":
                allowed = parts[1] in CLI_MAY_IMPORT
            if not allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_third_party_imports_are_those_that_the_room_may_have() -> None:
    """Nothing outside the standard library but what the table of rooms names."""
    wrong = []
    for path in FILES:
        allowed = THIRD_PARTY.get(room_of(path), set())
        for module, line in imports_of(path):
            top = module.split(".")[0]
            # compression.zstd is the standard library's from 3.14.
            if top in sys.stdlib_module_names or top in {"sampan", "__future__", "compression"}:
                continue
            if top not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def banned_imports(path: Path) -> list[str]:
    return [
        f"{path}:{line} imports {module}"
        for module, line in imports_of(path)
        if module.split(".")[0] in BANNED_BELOW_ENGINE
    ]


def test_rooms_below_the_engine_do_not_use_modules_that_look_things_up(tmp_path: Path) -> None:
    """P3: inside a hostile root these would load the container's files. The control is a file that does."""
    rooms = {"linux", "wire", "runtime", "monitor"}
    wrong = [each for path in FILES if room_of(path) in rooms for each in banned_imports(path)]
    assert not wrong, "\n".join(wrong)
    control = tmp_path / "naive.py"
    control.write_text(
        "def home(user):\n    from pwd import getpwnam\n    import shutil as tools\n"
    )
    assert len(banned_imports(control)) == 2


def dangerous_calls(path: Path) -> list[str]:
    """What would run, or take half a century over, text from outside: P8."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            found += [f"{path}:{node.lineno} imports {n}" for n in names & {"pickle", "shelve"}]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in ("eval", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen"):
            found.append(f"{path}:{node.lineno} calls {called}")
        pattern = node.args[0] if called.startswith("re.") and node.args else None
        if isinstance(pattern, ast.Constant) and has_nested_repeat(pattern.value):
            found.append(f"{path}:{node.lineno} repeats what repeats: {pattern.value!r}")
    return found


def has_nested_repeat(pattern: str | bytes) -> bool:
    """Whether some part repeats without bound, ambiguously: a repeat whose body is nothing but a repeat."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from re import _parser  # type: ignore[attr-defined]

    def unbounded(item: Any) -> bool:
        return str(item[0]) in ("MAX_REPEAT", "MIN_REPEAT") and item[1][1] >= 1 << 31

    def body(item: Any) -> list[Any]:
        inner = list(item[1][2])
        while len(inner) == 1 and str(inner[0][0]) == "SUBPATTERN":
            inner = list(inner[0][1][3])
        return inner

    def walk(items: Any) -> bool:
        for item in items:
            if unbounded(item):
                inner = body(item)
                if inner and all(unbounded(each) for each in inner):
                    return True
            for part in item[1] if isinstance(item[1], tuple | list) else ():
                parts = part if isinstance(part, list) else [part]
                if any(isinstance(each, _parser.SubPattern) and walk(each) for each in parts):
                    return True
        return False

    return walk(_parser.parse(pattern))


def test_nothing_from_outside_is_run(tmp_path: Path) -> None:
    """P8: no pickle, no eval, no YAML of arbitrary types, no pattern that backtracks for ever. The control has all."""
    wrong = [each for path in FILES for each in dangerous_calls(path)]
    assert not wrong, "\n".join(wrong)
    control = tmp_path / "naive.py"
    control.write_text(
        "import pickle, re, yaml\n"
        "value = eval(text)\n"
        "value = yaml.load(text)\n"
        "match = re.compile(r'^(a+)+$')\n"
        "match = re.match(r'x(?:(?:[a-z]*)*)y', text)\n"
    )
    assert len(dangerous_calls(control)) == 5


def test_no_file_outgrows_its_idea() -> None:
    """No file over 600 lines, and the median stays readable."""
    sizes = {path: path.read_text().count("\n") for path in FILES}
    too_long = [f"{path.relative_to(ROOT)}: {n}" for path, n in sizes.items() if n > MAX_FILE]
    assert not too_long, "\n".join(too_long)
    assert statistics.median(n for n in sizes.values() if n) <= 180


def test_long_functions_say_why() -> None:
    """A function over 60 lines has a comment right above it."""
    wrong, lengths = [], []
    for path in FILES:
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            lengths.append(length)
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if length > MAX_FUNCTION and not lines[first - 2].strip().startswith("#"):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length} lines")
    assert not wrong, "\n".join(wrong)
    assert statistics.median(lengths) <= 10


@pytest.mark.parametrize("package", ["sampan", "sampan.cli", "sampan.linux", "sampan.runtime"])
def test_packages_have_no_import_side_effects(package: str) -> None:
    """`__init__` of the packages on a start path does nothing: what is imported there is paid at every start."""
    init = ROOT.joinpath(*package.split(".")[1:], "__init__.py")
    statements = ast.parse(init.read_text()).body
    assert all(isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) for s in statements)


_WALL = re.compile(r"\btime\.(time|time_ns)\(|\bdatetime\.now\(")
# Where the wall clock is shown, written down, or compared with a file's time.
_SHOWN = frozenset(
    (
        *("monitor/monitor.py", "monitor/log.py", "monitor/helper.py", "monitor/remote.py"),
        *("engine/clock.py", "engine/commit.py", "runtime/tool/creating.py"),
        *("store/garbage.py", "store/import_rootfs.py"),
    )
)


def _read_the_wall_clock(text: str) -> bool:
    return bool(_WALL.search(text))


def test_deadlines_are_the_monotonic_clocks() -> None:
    """P-time: a clock that is set kills nobody early and lets nobody wait for ever."""
    found = {
        str(path.relative_to(ROOT)) for path in FILES if _read_the_wall_clock(path.read_text())
    }
    below = ("monitor/", "engine/", "runtime/", "store/", "network/", "linux/")
    assert {name for name in found if name.startswith(below)} <= _SHOWN
    timed = re.compile(r"(deadline|timeout|until)\w* = .*time\.(time|time_ns)\(")
    assert [path for path in FILES if timed.search(path.read_text())] == []
    assert _read_the_wall_clock("deadline = time.time() + 5")
    assert timed.search("deadline = time.time() + 5")
