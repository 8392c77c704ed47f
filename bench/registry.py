"""`python -m bench.registry`: pull and push beside dockerd and podman, with Debian's docker-registry on loopback.

Images: a Debian root file system in one gzip layer, and one of 60 layers of 500 small files. Each peer has a
registry in its own network namespace, over the same storage; what is measured is from the command's start to its
end, peers in turns, everything of the image removed before. `--memory` has 2 GB pass through sampand instead.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from tests.engines import wait_until
from tests.memory import pss_kib
from tests.registries import docker_registry
from tests.rootfs import debian_tar

from bench.bench import Row, interleaved, show, timed
from bench.peers import Peer, peers

SOURCE = "127.0.0.1:5000"  # what is pulled from; all peers see the same
TARGET = "127.0.0.1:5001"  # what is pushed to; emptied before each time
LAYERS, FILES = 60, 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image", choices=("debian", "layers"), help="only this one")
    parser.add_argument("--only", help="peers with this word in their names")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--memory", action="store_true", help="2 GB through sampand")
    options = parser.parse_args()
    with peers() as all_of_them, tempfile.TemporaryDirectory(prefix="bench") as folder:
        found = [peer for peer in all_of_them if (options.only or "") in peer.name]
        with contextlib.ExitStack() as stack:
            storage = Path(folder) / "source"
            for number, peer in enumerate(one_a_host(found)):
                assert peer.host is not None
                for address, where in ((SOURCE, storage), (TARGET, Path(folder) / f"t{number}")):
                    logs = Path(folder) / f"{number}{address[-1]}"
                    stack.enter_context(docker_registry(peer.host, logs, address, storage=where))
            if options.memory:
                rows = [memory(found[0])]
            else:
                rows = measure(found, Path(folder), options.rounds, options.image)
        show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def one_a_host(found: list[Peer]) -> list[Peer]:
    return list({id(peer.host): peer for peer in found if peer.host is not None}.values())


def measure(found: list[Peer], folder: Path, rounds: int, only: str | None) -> list[Row]:
    rows: list[Row] = []
    targets = {id(peer.host): folder / f"t{n}" for n, peer in enumerate(one_a_host(found))}
    for name, make in (("debian", debian_archive), ("layers", layered_archive)):
        if only not in (None, name):
            continue
        archive = make()
        source = f"{SOURCE}/{name}:1"
        load(found[0], archive, source)
        timed([*found[0].argv, "push", source])
        clean(found[0], source)
        rows.append((f"pull {name}, ms", in_turns(found, rounds, source, pull), "≤ 1/2"))

        def push(peer: Peer, name: str = name, source: str = source) -> float:
            target = f"{TARGET}/{name}:1"
            timed([*peer.argv, "pull", *insecure(peer), source])
            timed([*peer.argv, "tag", source, target])
            shutil.rmtree(targets[id(peer.host)] / "docker", ignore_errors=True)
            taken = timed([*peer.argv, "push", *insecure(peer), target])
            clean(peer, target)
            clean(peer, source)
            return taken

        rows.append((f"push {name} as pulled, ms", in_turns(found, rounds, source, push), "≤ 1/2"))

        def push_made(peer: Peer, name: str = name, archive: bytes = archive) -> float:
            target = f"{TARGET}/{name}:made"
            load(peer, archive, target)
            shutil.rmtree(targets[id(peer.host)] / "docker", ignore_errors=True)
            taken = timed([*peer.argv, "push", *insecure(peer), target])
            clean(peer, target)
            return taken

        rows.append(
            (f"push {name} as loaded, ms", in_turns(found, rounds, source, push_made), "≤ 1/2")
        )
    return rows


def in_turns(
    found: list[Peer], rounds: int, name: str, work: Callable[..., float]
) -> dict[str, float]:
    def one(peer: Peer) -> float:
        taken = work(peer, name) if work is pull else work(peer)
        print(f"{peer.name}: {taken:.0f} ms", flush=True)
        return taken

    return interleaved({peer.name: lambda p=peer: one(p) for peer in found}, rounds)


def pull(peer: Peer, name: str) -> float:
    taken = timed([*peer.argv, "pull", *insecure(peer), name])
    clean(peer, name)
    return taken


def insecure(peer: Peer) -> list[str]:
    return [] if peer.engine else ["--tls-verify=false"]


def clean(peer: Peer, name: str) -> None:
    """The image is gone, from the disk as well."""
    timed([*peer.argv, "rmi", "-f", name])
    if peer.engine and peer.engine.kind == "sampand":
        trash = peer.engine.data_root / "trash"
        wait_until(lambda: not list(trash.iterdir()), "the trash to be emptied", 60)


def load(peer: Peer, archive: bytes, name: str) -> None:
    """`archive` is a docker-archive, whose tag is made `name`."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(archive)
        file.flush()
        timed([*peer.argv, "load", "-i", file.name])
    timed([*peer.argv, "tag", "bench:1", name])
    timed([*peer.argv, "rmi", "bench:1"])


def debian_archive() -> bytes:
    return docker_archive([debian_tar().read_bytes()])


def layered_archive() -> bytes:
    return docker_archive([layer_of_small_files(number) for number in range(LAYERS)])


def layer_of_small_files(number: int) -> bytes:
    """Text, in folders of a hundred."""
    words = random.Random(number)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for index in range(FILES):
            if index % 100 == 0:
                folder = tarfile.TarInfo(f"l{number}/d{index // 100}")
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(folder)
            info = tarfile.TarInfo(f"l{number}/d{index // 100}/f{index}")
            data = words.randbytes(words.randrange(200, 3000)).hex().encode()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def docker_archive(layers: list[bytes]) -> bytes:
    diffs = [f"sha256:{sha256(layer).hexdigest()}" for layer in layers]
    config = json.dumps(
        {
            **{"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}},
            **{"rootfs": {"type": "layers", "diff_ids": diffs}, "created": "2026-01-01T00:00:00Z"},
        }
    ).encode()
    name = f"{sha256(config).hexdigest()}.json"
    paths = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": name, "RepoTags": ["bench:1"], "Layers": paths}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        members = [
            *zip(paths, layers),
            (name, config),
            ("manifest.json", json.dumps(manifest).encode()),
        ]
        for path, data in members:
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def memory(peer: Peer) -> Row:
    """The highest PSS of the daemon while an image of 2 GB is pulled, then pushed; MB."""
    assert peer.engine is not None
    assert peer.engine.process is not None
    peak: dict[str, float] = {}
    name = f"{SOURCE}/huge:1"
    load(peer, docker_archive([incompressible(n) for n in range(4)]), name)
    for what in ("push", "pull"):
        if what == "pull":
            clean(peer, name)
        with watched(peer.engine.process.pid) as highest:
            timed([*peer.argv, what, name])
        peak[what] = highest[0] / 1024
    clean(peer, name)
    print(f"peak of the daemon, MB PSS: {peak}")
    return ("peak memory with 2 GB, MB PSS", {"sampan": max(peak.values())}, "≤ 100 MB")


def incompressible(number: int) -> bytes:
    buffer = io.BytesIO()
    words = random.Random(number)
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for index in range(8):
            info = tarfile.TarInfo(f"n{number}/f{index}")
            info.size = 64 << 20
            tar.addfile(info, io.BytesIO(words.randbytes(info.size)))
    return buffer.getvalue()


@contextlib.contextmanager
def watched(pid: int) -> Iterator[list[float]]:
    """The highest PSS, KiB, seen every 50 ms while the block runs."""
    highest, ended = [0.0], threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            highest[0] = max(highest[0], pss_kib(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield highest
    finally:
        ended.set()
        thread.join()


if __name__ == "__main__":
    main()
