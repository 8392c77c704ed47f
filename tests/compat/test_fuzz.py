"""The whole daemon under requests that make no sense: no 5xx, no hang, and afterwards everything is as before.

Every route, with names and parameters that are missing, wrong, huge, negative, in other types; bodies are made after the
API's own objects (`spec.container`), field by field, with values of the right and of the wrong type.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect as types

from sampan.api import archive, changing, containers, exec, extensions, streams, system, watching
from sampan.api.shapes import CreateRequest, ExecCreateRequest
from sampan.spec.container import HostConfig
from tests.engines import Driver, Engine, wait_until
from tests.memory import pss_kib

REQUESTS = 25  # between two clean-ups
# The 50,000 of a release: SAMPAN_TEST_FUZZ=50000.
EXAMPLES = int(os.environ.get("SAMPAN_TEST_FUZZ", "1000")) // REQUESTS
GROWTH = 40_000  # KiB that the daemon may be larger afterwards, however many requests there were
DEADLINE = 15.0  # seconds for any answer
NOUNS = (archive, changing, containers, exec, extensions, streams, system, watching)
# They wait for something that does not come, or take the connection over, by design.
WAITING = (
    "/attach",
    "/attach/ws",
    "/wait",
    "/events",
    "/start",
    "/auth",
    "/_ping",
    "/stop",
    "/restart",
)
ROUTES = [
    (route.method, route.pattern)
    for noun in NOUNS
    for route in noun.ROUTES
    if not route.pattern.endswith(WAITING)
]
NAMES = [
    "up",
    "down",
    "nosuch",
    "%00",
    "..%2f..",
    "u" * 300,
    "%ff",
    "f" * 64,
    "0",
    "-1",
    "*",
    "up%20",
]
WORDS = [
    "",
    "0",
    "1",
    "-1",
    "x",
    "true",
    "null",
    "9" * 30,
    "1e9",
    "\u00e9",
    "a" * 5000,
    "[",
    "{}",
    "%",
    "/",
    "/etc",
    "10m",
    "KILL",
]
KEYS = ["all", "limit", "size", "filters", "signal", "t", "path", "noOverwriteDirNonDir", "ps_args", "stream", "one-shot", "name", "platform", "h", "w", "force", "v", "link", "stdout", "stderr", "since", "until", "timestamps", "tail", "details", "container", "condition", "copyUIDGID"]  # fmt: skip
BODIES: dict[str, type[msgspec.Struct]] = {
    "/containers/create": CreateRequest,
    "/containers/{name}/update": HostConfig,
    "/containers/{name}/exec": ExecCreateRequest,
}

anything = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, -1, 1, 2**31, 2**63, -(2**63) - 1, 1.5]) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS[:6]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


def of_type(kind: types.Type) -> st.SearchStrategy[Any]:
    """Values that fit a field, with some that do not."""
    match kind:
        case types.BoolType():
            good: st.SearchStrategy[Any] = st.booleans()
        case types.IntType():
            good = st.sampled_from([0, 1, -1, 7, 10**6, 2**40, 2**63 - 1])
        case types.StrType():
            good = st.sampled_from(WORDS)
        case types.ListType():
            good = st.lists(of_type(kind.item_type), max_size=2)
        case types.DictType():
            good = st.dictionaries(
                st.sampled_from(["a", "80/tcp", ""]), of_type(kind.value_type), max_size=2
            )
        case types.UnionType():
            good = st.one_of([of_type(each) for each in kind.types])
        case types.StructType():
            good = of_struct(kind)
        case _:
            good = anything
    return st.one_of(good, good, good, anything)


def of_struct(kind: types.StructType) -> st.SearchStrategy[Any]:
    fields = {field.encode_name: field for field in kind.fields}
    return st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: of_type(fields[name].type) for name in names})
    )


def body_of(pattern: str) -> st.SearchStrategy[Any]:
    if pattern not in BODIES:
        return anything
    kind = types.type_info(BODIES[pattern])
    assert isinstance(kind, types.StructType)
    made = of_struct(kind)
    # Most get past the first check, as they name an image and a command.
    return made | made.map(lambda body: {"Image": "busybox", "Cmd": ["true"], **body})


queries = st.dictionaries(
    st.sampled_from(KEYS), st.sampled_from(WORDS) | anything.map(json.dumps), max_size=4
)
requests = st.sampled_from(ROUTES).flatmap(
    lambda route: st.tuples(
        st.just(route), st.sampled_from(NAMES[:2] * 4 + NAMES), queries, body_of(route[1])
    )
)


@pytest.fixture(scope="module")
def victim(sampand: Engine) -> Iterator[Engine]:
    """Afterwards it works as before, and holds no more descriptors."""
    driver = Driver(sampand, "docker")
    assert driver.ok("run", "--rm", "busybox", "echo", "well") == "well"
    before = _descriptors(sampand)
    assert sampand.process is not None
    size = pss_kib(sampand.process.pid)
    yield sampand
    assert pss_kib(sampand.process.pid) < size + GROWTH
    sampand.remove_containers()
    assert driver.ok("run", "--rm", "busybox", "echo", "well") == "well"
    wait_until(lambda: _descriptors(sampand) <= before + 2, f"{before} descriptors again")


@pytest.mark.timeout(EXAMPLES * REQUESTS * 0.12)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(calls=st.lists(requests, min_size=REQUESTS, max_size=REQUESTS))
def test_no_5xx_and_no_hang(victim: Engine, calls: list[Any]) -> None:
    """Whatever is asked, the answer says what is wrong with it, in time."""
    _prepare(victim)
    for (method, pattern), name, query, body in calls:
        query = {**query, "stream": "0", "follow": "0"}
        if pattern.endswith("/start"):
            body = {"Detach": True}
        target = (
            pattern.replace("{name}", name)
            + "?"
            + "&".join(f"{key}={quote(str(value), safe='')}" for key, value in query.items())
        )
        data = json.dumps(body).encode() if method in ("POST", "PUT") else None
        begin = time.monotonic()
        status, answer = victim.request(method, target, data, timeout=DEADLINE)
        took = time.monotonic() - begin
        assert status < 500 or status == 501, (method, target, body, status, answer)
        assert took < DEADLINE, (method, target, body)
        if status >= 400 and method != "HEAD":
            assert isinstance(answer, dict), (method, target, answer)
            assert answer["message"], (method, target)


def _prepare(engine: Engine) -> None:
    """`up` runs, `down` does not; what earlier requests made is gone."""
    names = {name: each for each in engine.containers() for name in each["Names"]}
    for name, each in names.items():
        if name not in ("/up", "/down") or (name == "/up" and each["State"] != "running"):
            engine.request("DELETE", f"/containers/{each['Id']}?force=1&v=1", timeout=DEADLINE)
            names = {**names, name: {}}
    for name, command in (("up", ["sleep", "1000"]), ("down", ["true"])):
        if not names.get(f"/{name}"):
            body = {"Image": "busybox", "Cmd": command}
            assert engine.request("POST", f"/containers/create?name={name}", body)[0] == 201
            if name == "up":
                assert engine.request("POST", "/containers/up/start")[0] == 204


def _descriptors(engine: Engine) -> int:
    assert engine.process is not None
    children = [engine.process.pid]
    for pid in list(children):
        path = f"/proc/{pid}/task/{pid}/children"
        with open(path) as file:
            children += [int(word) for word in file.read().split()]
    counts = []
    for pid in children:
        with open(f"/proc/{pid}/comm") as file:
            if file.read().strip() == "sampand":
                counts.append(len(os.listdir(f"/proc/{pid}/fd")))
    return max(counts, default=len(os.listdir(f"/proc/{engine.process.pid}/fd")))
