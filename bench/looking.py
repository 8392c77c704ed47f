"""Rows of `make bench`: listing many containers, inspecting one, copying files out of one and into it."""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import time
from pathlib import Path

from tests.engines import Engine

from bench.peers import ENVIRONMENT, Peer

CONTAINERS = 1000
COPY_MB = 1000


def listing(
    found: list[Peer], rounds: int, count: int = CONTAINERS
) -> list[tuple[str, dict[str, float], str]]:
    """`ps -a` and one inspect while there are many containers. The reference makes them slowly, so it has a tenth."""
    whole: dict[str, float] = {}
    single: dict[str, float] = {}
    done: dict[str, int] = {}
    for peer in found:
        if peer.engine is None or str(peer.engine.root) in done:
            continue
        size = count if peer.engine.kind == "sampand" else count // 10
        identifiers = _make(peer.engine, size)
        done[str(peer.engine.root)] = size
        for other in [p for p in found if p.engine is peer.engine]:
            whole[other.name] = _median(functools.partial(_run, [*other.argv, "ps", "-a"]), rounds)
        path = f"/containers/{identifiers[size // 2]}/json"
        single[peer.name] = _median(functools.partial(peer.engine.request, "GET", path), rounds)
        for identifier in identifiers:
            peer.engine.request("DELETE", f"/containers/{identifier}")
    return [
        (f"ps -a of {count} containers (dockerd: {count // 10}), ms", whole, "≤ 60 ms"),
        ("inspect over the API among them, ms", single, "≤ 5 ms"),
    ]


def copying(
    found: list[Peer], rounds: int, megabytes: int = COPY_MB
) -> list[tuple[str, dict[str, float], str]]:
    """MB a second of `cp`, out to a file, out to a pipe, and in."""
    rates: dict[str, dict[str, float]] = {
        "out to a file": {},
        "out to a pipe": {},
        "in from a file": {},
    }
    for peer in found:
        if peer.engine is None:
            continue
        file = peer.engine.root / "copied"
        name = "".join(filter(str.isalnum, peer.name)) + "-copy"
        _run(peer.run_argv("-d", "--name", name, "busybox", "sleep", "10000"))
        try:
            _fill(file, megabytes)
            commands = {
                "in from a file": [*peer.argv, "cp", str(file), f"{name}:/big"],
                "out to a file": [*peer.argv, "cp", f"{name}:/big", str(file)],
                "out to a pipe": [*peer.argv, "cp", f"{name}:/big", "-"],
            }
            for what, argv in commands.items():
                rates[what][peer.name] = (
                    megabytes / _median(functools.partial(_run, argv), rounds) * 1000
                )
        finally:
            file.unlink(missing_ok=True)
            _run([*peer.argv, "rm", "-f", name])
    return [
        (f"cp of {megabytes} MB {what}, MB/s", values, "≥ dockerd")
        for what, values in rates.items()
    ]


def _make(engine: Engine, count: int) -> list[str]:
    body = {"Image": "busybox", "Cmd": ["true"], "Labels": {"some": "label"}}
    return [engine.request("POST", "/containers/create", body)[1]["Id"] for _ in range(count)]


def _fill(path: Path, megabytes: int) -> None:
    with open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))


def _run(argv: list[str]) -> None:
    subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=ENVIRONMENT, check=True
    )


def _median(action: functools.partial[object], rounds: int) -> float:
    """Milliseconds."""
    samples = []
    for _ in range(rounds):
        begin = time.perf_counter()
        action()
        samples.append((time.perf_counter() - begin) * 1000)
    return statistics.median(samples)
