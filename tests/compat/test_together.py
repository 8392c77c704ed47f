"""Many clients at once on the same few containers: each is answered as in some order of the calls, and nothing is left."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from tests.compat.test_daemon import load_busybox
from tests.engines import Engine, running_engine

NAMES = ("one", "two", "three")
CALLS = 60  # of each client
ALLOWED = {
    "create": {201, 409},
    "start": {204, 304, 404, 409},
    "stop": {204, 304, 404, 409},
    "kill": {204, 404, 409},
    "pause": {204, 404, 409},
    "unpause": {204, 404, 409},
    "rename": {204, 400, 404, 409},  # 400: it has that name by then
    "exec": {201, 404, 409},
    "inspect": {200, 404},
    "update": {200, 404, 409},
    "remove": {204, 404, 409},
}
STATES = {"created", "running", "paused", "restarting", "exited", "removing", "dead"}


def call(engine: Engine, verb: str, name: str, other: str) -> tuple[int, Any]:
    where = f"/containers/{name}"
    body: object = None
    method, path = "POST", f"{where}/{verb}"
    match verb:
        case "create":
            path = f"/containers/create?name={name}"
            body = {"Image": "busybox", "Cmd": ["sleep", "1000"]}
        case "inspect":
            method, path = "GET", f"{where}/json"
        case "remove":
            method, path = "DELETE", f"{where}?force=1"
        case "rename":
            path = f"{where}/rename?name={other}"
        case "stop":
            path = f"{where}/stop?t=0"
        case "exec":
            body = {"Cmd": ["true"]}
        case "update":
            body = {"CpuShares": 100}
    return engine.request(method, path, body, timeout=60)


def client(
    engine: Engine,
    seed: int,
    seen: Counter[tuple[str, int]],
    wrong: list[Any],
    made: list[str],
) -> None:
    choose = random.Random(seed)
    for _ in range(CALLS):
        verb = choose.choice([*ALLOWED, "create", "start"])
        name, other = choose.sample(NAMES, 2)
        try:
            status, answer = call(engine, verb, name, other)
        except OSError as error:
            wrong.append((verb, repr(error)))
            return
        seen[verb, status] += 1
        if (verb, status) == ("create", 201):
            made.append(answer["Id"])
        if status not in ALLOWED[verb]:
            wrong.append((verb, name, status, answer))
        if verb == "inspect" and status == 200 and answer["State"]["Status"] not in STATES:
            wrong.append((verb, answer["State"]))


def test_many_at_once(tmp_path: Path) -> None:
    """P-conc: six clients, every verb, three names; no other status than an order of the calls can give."""
    with running_engine("sampand", tmp_path / "s") as engine:
        load_busybox(engine)
        call(engine, "create", "one", "")
        call(engine, "start", "one", "")
        call(engine, "remove", "one", "")
        seen: Counter[tuple[str, int]] = Counter()
        wrong: list[Any] = []
        made: list[str] = []
        clients = [
            threading.Thread(target=client, args=(engine, seed, seen, wrong, made))
            for seed in range(6)
        ]
        for each in clients:
            each.start()
        for each in clients:
            each.join(120)
        assert not any(each.is_alive() for each in clients)
        assert [(verb, rest) for verb, *rest in wrong] == []
        assert {status for _, status in seen} & {404, 409}  # they did get into each other's way
        names = [name for item in engine.containers() for name in item["Names"]]
        assert len(names) == len(set(names))
        engine.remove_containers()
        assert engine.containers() == []
        order = "create start pause unpause exec update inspect stop rename"
        for verb in order.split():
            assert call(engine, verb, "one", "two")[0] < 300, verb
        assert call(engine, "start", "two", "")[0] == 204
        assert call(engine, "kill", "two", "")[0] == 204
        assert call(engine, "remove", "two", "")[0] == 204
        cgroups = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]
        for identifier in made:
            assert not any(os.path.exists(f"{place}/sampan/{identifier}") for place in cgroups)
            assert not (engine.exec_root / "containers" / identifier).exists()
            assert not (engine.data_root / "containers" / identifier).exists()
