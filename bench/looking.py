"""Rows of `make bench`: listing many containers, inspecting one, copying files out of one and into it."""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import tempfile
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
    """MB a second of `cp`: in from a file, out to a file, out to a pipe; the peers in turns."""
    chosen = [peer for peer in found if peer.engine is not None]
    samples: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="copy") as folder:
        file = Path(folder) / "big"
        _fill(file, megabytes)
        for peer in chosen:
            _run(peer.run_argv("-d", "--name", _name(peer), "busybox", "sleep", "10000"))
        try:
            for _ in range(rounds):
                for peer in chosen:
                    for what, argv in _commands(peer, file).items():
                        begin = time.perf_counter()
                        _run(argv)
                        seconds = time.perf_counter() - begin
                        samples.setdefault((what, peer.name), []).append(seconds)
        finally:
            for peer in chosen:
                _run([*peer.argv, "rm", "-f", _name(peer)])
    rows: dict[str, dict[str, float]] = {}
    for (what, name), seconds_of in samples.items():
        rows.setdefault(what, {})[name] = megabytes / statistics.median(seconds_of)
    return [(f"cp of {megabytes} MB {what}, MB/s", row, "≥ dockerd") for what, row in rows.items()]


def _name(peer: Peer) -> str:
    return "".join(filter(str.isalnum, peer.name)) + "-copy"


def _commands(peer: Peer, file: Path) -> dict[str, list[str]]:
    there = f"{_name(peer)}:/big"
    return {
        "in from a file": [*peer.argv, "cp", str(file), there],
        "out to a file": [*peer.argv, "cp", there, f"{file}-{_name(peer)}"],
        "out to a pipe": [*peer.argv, "cp", there, "-"],
    }


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
