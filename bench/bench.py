"""`make bench`: sampan beside its peers, in one run, medians and ratios against the budgets of the design.

The machine is noisy and so each measurement interleaves the peers and takes the median. Times are what a
person waits for: from starting the command to its end.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.engines import Engine
from tests.memory import descendants, pss_kib

from bench import looking, output
from bench.peers import (
    ENVIRONMENT,
    PROJECT,
    Peer,
    command_name,
    peers,
)

Row = tuple[str, dict[str, float], str]


def timed(argv: list[str]) -> float:
    """Milliseconds of a command that must succeed."""
    begin = time.perf_counter()
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT, check=False
    )
    elapsed = (time.perf_counter() - begin) * 1000
    assert done.returncode == 0, f"{argv}: {done.stderr.decode()}"
    return elapsed


def interleaved(measures: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The median of each, measured in turns, after one warm-up each."""
    for measure in measures.values():
        measure()
    samples: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            samples[name].append(measure())
    return {name: statistics.median(values) for name, values in samples.items()}


def run_true(found: list[Peer], network: list[str], rounds: int) -> dict[str, float]:
    return interleaved(
        {
            peer.name: functools.partial(timed, peer.run_argv("--rm", *network, "busybox", "true"))
            for peer in found
        },
        rounds,
    )


def many_at_once(found: list[Peer], count: int, rounds: int) -> dict[str, float]:
    """Milliseconds until `count` containers, started at the same instant, have all ended."""

    def measure(peer: Peer) -> float:
        begin = time.perf_counter()
        running = [
            subprocess.Popen(
                peer.run_argv("--rm", "busybox", "true"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=ENVIRONMENT,
            )
            for _ in range(count)
        ]
        for process in running:
            _, errors = process.communicate()
            assert process.returncode == 0, errors.decode()
        return (time.perf_counter() - begin) * 1000

    return interleaved({peer.name: lambda p=peer: measure(p) for peer in found}, rounds)


def exec_true(found: list[Peer], rounds: int) -> dict[str, float]:
    for peer in found:
        timed(peer.run_argv("-d", "--name", f"{ident(peer)}-exec", "busybox", "sleep", "1000"))
    try:
        return interleaved(
            {
                peer.name: lambda p=peer: timed([*p.argv, "exec", f"{ident(p)}-exec", "true"])
                for peer in found
            },
            rounds,
        )
    finally:
        for peer in found:
            timed([*peer.argv, "rm", "-f", f"{ident(peer)}-exec"])


def stop_plain(found: list[Peer]) -> dict[str, float]:
    """`stop` of a first process that handles no signal."""

    def measure(peer: Peer) -> float:
        name = f"{ident(peer)}-stop"
        timed(peer.run_argv("-d", "--name", name, "busybox", "sleep", "1000"))
        try:
            return timed([*peer.argv, "stop", name])
        finally:
            timed([*peer.argv, "rm", "-f", name])

    return {peer.name: measure(peer) for peer in found}


def client_start(found: list[Peer], rounds: int) -> dict[str, float]:
    """The client's own start: `version` against a running daemon."""
    chosen = [peer for peer in found if peer.engine]
    return interleaved(
        {
            peer.name: lambda p=peer: timed([*p.argv, "version", "--format", "{{.Server.Version}}"])
            for peer in chosen
        },
        rounds,
    )


def inside_engine(peer: Peer, rounds: int) -> float:
    """Milliseconds of create + start over the API alone, network none: what no client can make shorter."""
    engine = peer.engine
    assert engine
    samples = []
    for _ in range(rounds):
        begin = time.perf_counter()
        body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
        identifier = engine.request("POST", "/containers/create", body)[1]["Id"]
        assert engine.request("POST", f"/containers/{identifier}/start")[0] == 204
        samples.append((time.perf_counter() - begin) * 1000)
        engine.request("DELETE", f"/containers/{identifier}?force=1")
    return statistics.median(samples)


def memory(found: list[Peer], containers: int) -> list[Row]:
    """PSS in MB of each idle engine, and by how much one container more makes it grow, its own process left out."""
    idle, each = {}, {}
    for peer in found:
        if not peer.engine or (peer.engine.kind == "sampand" and peer.name != "sampan"):
            continue
        before = engine_pss(peer.engine)
        names = [f"{ident(peer)}-{n}" for n in range(containers)]
        for name in names:
            timed(peer.run_argv("-d", "--name", name, "busybox", "sleep", "1000"))
        idle[peer.name] = before / 1024
        each[peer.name] = (engine_pss(peer.engine) - before) / containers / 1024
        timed([*peer.argv, "rm", "-f", *names])
    return [
        ("memory of the idle engine, MB PSS", idle, "≤ 60 MB"),
        ("memory a running container adds, MB PSS", each, "≤ 1.5 MB"),
    ]


def engine_pss(engine: Engine) -> int:
    """KiB of all of its processes; containers' own are not among them."""
    assert engine.process
    pids = {engine.process.pid, *descendants(engine.process.pid)}
    # containerd's shims leave the daemon's tree; they name its run folder.
    pids |= {pid for pid in all_pids() if str(engine.exec_root) in command_name(pid)}
    return sum(pss_kib(pid) for pid in pids if is_of_engine(command_name(pid)))


def all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def is_of_engine(name: str) -> bool:
    return any(word in name for word in ("sampan", "dockerd", "containerd", "docker-proxy"))


def ident(peer: Peer) -> str:
    return "".join(letter for letter in peer.name if letter.isalnum())


def measure(found: list[Peer], rounds: int) -> Iterator[Row]:
    """Each row when it is measured."""
    yield "run --rm true, default bridge, ms", run_true(found, [], rounds), "≤ 1/6 of dockerd"
    yield "run --rm true, network none, ms", run_true(found, ["--network=none"], rounds), "≤ 1/6"
    yield "run --rm true, network host, ms", run_true(found, ["--network=host"], rounds), ""
    yield "20 at once, ms", many_at_once(found, 20, max(1, rounds // 5)), "≤ 1/8"
    yield "exec true, ms", exec_true(found, rounds), "≤ 1/3"
    yield "stop of a deaf PID 1, ms", stop_plain(found), "≤ 200 ms"
    yield "client start (version), ms", client_start(found, rounds), "≤ 30 ms"
    inside = {peer.name: inside_engine(peer, rounds) for peer in found if peer.engine}
    yield "create + start inside the engine, ms", inside, "≤ 20 ms"
    yield from memory(found, 20)
    yield from looking.listing(found, rounds)
    yield from looking.copying(found, max(1, rounds // 5))
    yield from output.rows(found)


def heading(names: list[str]) -> str:
    return f"\n{'':44}" + "".join(f"{name:>18}" for name in names) + f"{'ratio':>8}  budget"


def line(names: list[str], row: Row) -> str:
    title, values, budget = row
    cells = "".join(f"{values[name]:18.1f}" if name in values else f"{'–':>18}" for name in names)
    ours, theirs = values.get("sampan"), values.get("docker → dockerd")
    ratio = f"{theirs / ours:7.1f}×" if ours and theirs else f"{'–':>8}"
    return f"{title:44}{cells}{ratio}  {budget}"


def show(rows: list[Row]) -> None:
    names = list(dict.fromkeys(name for _, values, _ in rows for name in values))
    print(heading(names), *(line(names, row) for row in rows), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the engines end as well
    rows = []
    with peers() as found:
        names = [peer.name for peer in found]
        print(heading(names), flush=True)
        for row in measure(found, options.rounds):
            print(line(names, row), flush=True)
            rows.append(row)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    print(f"\nsampan installed as a wheel from {PROJECT.name}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
