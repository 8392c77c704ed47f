"""Rows of `make bench`: floods of lines to client and log, `logs --since` in a large log, memory over many lives."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.peers import ENVIRONMENT, Peer

Row = tuple[str, dict[str, float], str]

LINE = "a line of some eighty characters, as logs have them, to be counted and kept....."


def rows(
    found: list[Peer], *, megabytes: int = 200, large: int = 270, lives: int = 2000
) -> Iterator[Row]:
    engines = [peer for peer in found if peer.engine]
    yield (
        f"run: {megabytes} MB of lines to client and log, MB/s",
        {peer.name: flood(peer, megabytes) for peer in engines},
        "≥ dockerd's",
    )
    yield (
        f"logs --since 1s of {large} MB, ms",
        {peer.name: since(peer, large) for peer in engines},
        "≤ 100 ms",
    )
    ours = [peer for peer in engines if peer.engine and peer.engine.kind == "sampand"]
    yield (
        f"daemon's memory after {lives} run/rm more, KiB",
        {peer.name: growth(peer, lives) for peer in ours[:1]},
        "flat",
    )


def _yes(megabytes: int) -> list[str]:
    """Words of a command that prints as many whole lines as these megabytes hold."""
    return ["sh", "-c", f"yes '{LINE}' | head -n {_lines(megabytes)}"]


def _lines(megabytes: int) -> int:
    return megabytes * 10**6 // (len(LINE) + 1)


def flood(peer: Peer, megabytes: int) -> float:
    """Megabytes a second, from the command's start to its end."""
    argv = peer.run_argv("--rm", "busybox", *_yes(megabytes))
    begin = time.perf_counter()
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        size = 0
        while piece := process.stdout.read(1 << 20):
            size += len(piece)
    assert (process.returncode, size) == (0, _lines(megabytes) * (len(LINE) + 1))
    return megabytes / (time.perf_counter() - begin)


def since(peer: Peer, megabytes: int) -> float:
    """Milliseconds, median of five, when a large log has a new last line. Bytes as in the file."""
    share = len(LINE) / (len(LINE) + 75)
    script = f"{_yes(int(megabytes * share))[2]}; sleep 6; echo last; exec sleep 1000"
    name = "bench-since"
    subprocess.run(
        peer.run_argv("-d", "--name", name, "busybox", "sh", "-c", script),
        check=True,
        capture_output=True,
        env=ENVIRONMENT,
    )
    try:
        deadline = time.monotonic() + 120
        while not _logs(peer, name, "--tail", "1").startswith(b"last"):
            assert time.monotonic() < deadline, "the last line does not come"
            time.sleep(0.2)
        samples = []
        for _ in range(5):
            begin = time.perf_counter()
            _logs(peer, name, "--since", "1s")
            samples.append((time.perf_counter() - begin) * 1000)
        return statistics.median(samples)
    finally:
        subprocess.run(
            [*peer.argv, "rm", "-f", name], check=True, capture_output=True, env=ENVIRONMENT
        )


def _logs(peer: Peer, name: str, *flags: str) -> bytes:
    done = subprocess.run(
        [*peer.argv, "logs", *flags, name], check=True, capture_output=True, env=ENVIRONMENT
    )
    return done.stdout


def growth(peer: Peer, lives: int) -> float:
    """KiB that the daemon has grown by, after a tenth of the lives to warm up."""
    engine = peer.engine
    assert engine is not None
    assert engine.process is not None
    pid = engine.process.pid
    for _ in range(lives // 10):
        _one_life(peer)
    before = _resident(pid)
    for _ in range(lives):
        _one_life(peer)
    return _resident(pid) - before


def _one_life(peer: Peer) -> None:
    """Over the API, so that the clients' start is no part of it."""
    engine = peer.engine
    assert engine is not None
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
    identifier = engine.request("POST", "/containers/create", body)[1]["Id"]
    assert engine.request("POST", f"/containers/{identifier}/start")[0] == 204
    assert engine.request("POST", f"/containers/{identifier}/wait")[1]["StatusCode"] == 0
    assert engine.request("DELETE", f"/containers/{identifier}")[0] == 204


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
