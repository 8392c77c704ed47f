"""`python -m bench.images`: load, save and commit beside dockerd, and the daemon's memory while 2 GB pass through.

Two images: a Debian root file system, and 60 layers of 500 small files. Peers take turns; before each measurement
the disk is quiet (sync). Archives are in memory, so that what is measured is the engine's work.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gzip
import hashlib
import io
import json
import os
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.memory import large_archive, large_layer, peak_memory
from tests.rootfs import TarBuilder, debian_tar

from bench.bench import Row, ident, show
from bench.peers import ENVIRONMENT, Peer, peers

_LAYERS, _FILES = 60, 500
LARGE = 2000  # megabytes


def docker_archive(path: Path, name: str, layers: list[bytes]) -> None:
    """A docker-archive of gzipped layers, as a registry has them."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["sh"]},
        "rootfs": {
            "type": "layers",
            "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers],
        },
    }
    raw = json.dumps(config).encode()
    with tarfile.open(path, "w") as tar:

        def add(member: str, data: bytes) -> None:
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

        names = [f"{number}.tar.gz" for number in range(len(layers))]
        for member, layer in zip(names, layers):
            add(member, gzip.compress(layer, 6))
        add("config.json", raw)
        manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": names}]
        add("manifest.json", json.dumps(manifest).encode())


def small_files() -> list[bytes]:
    """A minute's work of many small layers: incompressible content, as programs are."""
    layers = []
    for layer in range(_LAYERS):
        tar = TarBuilder().directory(f"layer{layer}")
        for file in range(_FILES):
            tar.add(f"layer{layer}/file{file}", os.urandom(600) + bytes(400), mode=0o644)
        layers.append(tar.finish())
    return layers


def timed(argv: list[str], *, stdin: Path | None = None) -> float:
    """Milliseconds of a command that must succeed; what it prints goes nowhere."""
    os.sync()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(open(stdin, "rb")) if stdin else subprocess.DEVNULL
        begin = time.perf_counter()
        done = subprocess.run(
            argv,
            stdin=source,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            check=False,
        )
        elapsed = (time.perf_counter() - begin) * 1000
    assert done.returncode == 0, f"{argv}: {done.stderr.decode()}"
    return elapsed


def interleaved(measures: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    samples: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            samples[name].append(measure())
    return {name: statistics.median(values) for name, values in samples.items()}


def load(found: list[Peer], archive: Path, name: str, rounds: int) -> dict[str, float]:
    """Without the image each time; it stays after the last round."""

    def measure(peer: Peer) -> float:
        subprocess.run([*peer.argv, "rmi", "-f", name], capture_output=True, env=ENVIRONMENT)
        return timed([*peer.argv, "load", "-q"], stdin=archive)

    return interleaved({peer.name: functools.partial(measure, peer) for peer in found}, rounds)


def save(found: list[Peer], name: str, rounds: int) -> dict[str, float]:
    return interleaved(
        {peer.name: functools.partial(timed, [*peer.argv, "save", name]) for peer in found}, rounds
    )


def commit(found: list[Peer], rounds: int, *, running: bool) -> dict[str, float]:
    """A container that wrote 500 MB, freshly made each time."""
    after = "; sleep 1000" if running else ""
    script = f"head -c 500000000 /dev/urandom > /big; sync{after}"

    def measure(peer: Peer) -> float:
        name = f"{ident(peer)}-commit"
        flags = ["-d", "--name", name]
        subprocess.run(
            peer.run_argv(*flags, "busybox", "sh", "-c", f"{script}"),
            check=True,
            capture_output=True,
            env=ENVIRONMENT,
        )
        try:
            _wait_written(peer, name, running=running)
            return timed([*peer.argv, "commit", name, f"{name}:1"])
        finally:
            for words in (["rm", "-f", name], ["rmi", "-f", f"{name}:1"]):
                subprocess.run([*peer.argv, *words], capture_output=True, env=ENVIRONMENT)

    chosen = [peer for peer in found if peer.name != "podman"]
    return interleaved({peer.name: functools.partial(measure, peer) for peer in chosen}, rounds)


def _wait_written(peer: Peer, name: str, *, running: bool) -> None:
    if not running:
        subprocess.run([*peer.argv, "wait", name], capture_output=True, env=ENVIRONMENT)
        return
    script = "until [ $(stat -c %s /big) = 500000000 ]; do :; done"
    argv = [*peer.argv, "exec", name, "sh", "-c", script]
    subprocess.run(argv, check=True, capture_output=True, env=ENVIRONMENT)


def memory(found: list[Peer], folder: Path) -> list[Row]:
    """The peak of the daemon with all its helpers while an image of LARGE megabytes passes through it."""
    layer, archive = folder / "layer.tar", folder / "large.tar"
    large_archive(archive, "large:1", layer, large_layer(layer, LARGE))
    peaks: dict[str, dict[str, float]] = {}
    for peer in found:
        if peer.engine is None or peer.name == "docker → sampand":
            continue
        for title, peak in _peaks(peer, layer, archive).items():
            peaks.setdefault(title, {})[peer.name] = peak
    titles = {title: f"peak memory, {title} of 2 GB, MB PSS" for title in peaks}
    return [(titles[title], values, "≤ 100 MB") for title, values in peaks.items()]


def _peaks(peer: Peer, layer: Path, archive: Path) -> dict[str, float]:
    assert peer.engine
    assert peer.engine.process
    root, found = peer.engine.process.pid, {}

    def measure(title: str, *words: str, stdin: Path | None = None) -> None:
        with peak_memory(root) as peak:
            timed([*peer.argv, *words], stdin=stdin)
        found[title] = peak[0]

    box = f"{ident(peer)}-large"
    script = f"head -c {LARGE << 20} /dev/urandom > /big"
    measure("load", "load", "-q", stdin=archive)
    measure("save", "save", "large:1")
    timed([*peer.argv, "create", "--name", box, "large:1"])
    measure("export", "export", box)
    timed([*peer.argv, "rm", box])
    timed([*peer.argv, "rmi", "large:1"])
    measure("import", "import", "-", "large:2", stdin=layer)
    timed([*peer.argv, "rmi", "large:2"])
    timed(peer.run_argv("--name", box, "busybox", "sh", "-c", script))
    measure("commit", "commit", box, "large:3")
    measure("save of what was committed", "save", "large:3")
    timed([*peer.argv, "rm", box])
    timed([*peer.argv, "rmi", "large:3"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="load, save, commit or memory")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench", dir="/dev/shm") as folder, peers() as found:
        archives = {"debian:bench": Path(folder) / "debian.tar", "many:bench": Path(folder) / "m"}
        docker_archive(archives["debian:bench"], "debian:bench", [debian_tar().read_bytes()])
        docker_archive(archives["many:bench"], "many:bench", small_files())
        for name, archive in archives.items():
            if options.only in ("", "load", "save"):
                rows.append(
                    (f"load of {name}, ms", load(found, archive, name, options.rounds), "≤ 1/2")
                )
            if options.only in ("", "save"):
                rows.append((f"save of {name}, ms", save(found, name, options.rounds), "≤ 1/2"))
        if options.only in ("", "commit"):
            for running in (False, True):
                title = f"commit of 500 MB, {'running' if running else 'stopped'}, ms"
                rows.append((title, commit(found, options.rounds, running=running), "≤ 1/4"))
        for archive in archives.values():
            archive.unlink()
        if options.only in ("", "memory"):
            with tempfile.TemporaryDirectory(prefix="bench") as disk:
                rows += memory(found, Path(disk))
        show(rows)
    if options.json:
        options.json.write_text(json.dumps([[t, v, b] for t, v, b in rows], indent=1))


if __name__ == "__main__":
    main()
