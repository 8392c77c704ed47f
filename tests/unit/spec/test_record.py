"""Verifies that the light `dataclass` and `NamedTuple` do what the standard library's do, as far as the rooms use it."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

from sampan.spec import record
from sampan.spec import typing as light

SOURCE = """
from __future__ import annotations
def make(dataclass, field):
    @dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 2
        z: list = field(default_factory=list)
        def total(self):
            return self.x + self.y
    @dataclass(frozen=True, slots=True)
    class Named(Point):
        name: str = "n"
    @dataclass(slots=True)
    class Open:
        a: int
        b: int = 0
        @property
        def double(self):
            return self.a * 2
    return Point, Named, Open
"""


def classes(module: Any) -> list[Any]:
    scope: dict[str, Any] = {}
    exec(SOURCE, scope)
    return list(scope["make"](module.dataclass, module.field))


@pytest.fixture(params=[record, dataclasses], ids=["light", "standard"])
def module(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_what_an_instance_does(module: Any) -> None:
    point, named, opened = classes(module)
    one = point(1)
    assert (one.x, one.y, one.z, one.total()) == (1, 2, [], 3)
    assert one == point(1, 2, []) != point(1, 3)
    assert one.z is not point(1).z
    assert repr(point(x=1)).endswith("Point(x=1, y=2, z=[])")
    assert named(1, name="m").name == "m"
    assert named(1).total() == 3
    assert one != named(1)
    with pytest.raises(AttributeError):
        one.x = 5
    with pytest.raises(AttributeError):
        del one.x
    with pytest.raises(TypeError):
        point()
    with pytest.raises(TypeError):
        point(1, w=2)
    with pytest.raises(AttributeError):
        _ = one.w
    other = opened(3)
    other.a = 4
    assert other.double == 8
    with pytest.raises(TypeError):
        hash(other)
    match one:
        case point(x, y):
            assert (x, y) == (1, 2)


def test_the_functions(module: Any) -> None:
    point, _, opened = classes(module)
    assert module.replace(point(1), y=7) == point(1, 7)
    assert module.asdict(opened(opened(1))) == {"a": {"a": 1, "b": 0}, "b": 0}
    assert [each.name for each in module.fields(point)] == ["x", "y", "z"]
    assert copy.copy(point(1, 5)) == point(1, 5)
    hashed = point(1, 2, ())
    assert hash(hashed) == hash(point(1, 2, ()))


class Light(light.NamedTuple):
    a: int
    b: str = "x"

    @property
    def both(self) -> str:
        return f"{self.a}{self.b}"


class Standard(typing.NamedTuple):
    a: int
    b: str = "x"

    @property
    def both(self) -> str:
        return f"{self.a}{self.b}"


@pytest.mark.parametrize("kind", [Light, Standard])
def test_named_tuples(kind: Any) -> None:
    one = kind(1)
    assert one == (1, "x")
    assert (one.a, one.b, one.both, kind(b="y", a=2).both) == (1, "x", "1x", "2y")
    assert one._replace(b="z") == kind(1, "z")
    assert one._asdict() == {"a": 1, "b": "x"}
    assert kind._fields == ("a", "b")
    assert repr(one) == f"{kind.__name__}(a=1, b='x')"
    assert pickle.loads(pickle.dumps(one)) == one
    first, second = one
    assert (first, second) == (1, "x")
    for wrong in ((), (1, 2, 3)):
        with pytest.raises(TypeError):
            kind(*wrong)
    with pytest.raises(TypeError):
        kind(1, c=2)
    with pytest.raises(AttributeError):
        one.a = 5


def test_what_the_runtimes_command_does_not_load() -> None:
    """Each of these costs it milliseconds at every call."""
    source = Path(record.__file__).parents[2]
    code = (
        f"import sys; sys.path.append({str(source)!r}); import sampan.runtime.main; "
        "import sampan.runtime.tool.creating, sampan.runtime.tool.life; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    costly = {"dataclasses", "typing", "inspect", "argparse", "platform", "subprocess", "asyncio"}
    assert not costly & set(done.stdout.split())
    assert "sampan.linux.seccomp" not in done.stdout.split()
