"""What a daemon and its helpers take of the memory while something large passes through them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

FILE_SIZE = 20 << 20
_BLOCK = 1 << 20


def large_layer(path: Path, megabytes: int) -> str:
    """A layer of files that do not compress well enough to matter; returns its DiffID."""
    block = os.urandom(_BLOCK)
    with tarfile.open(path, "w") as tar:
        for number in range(-(-(megabytes << 20) // FILE_SIZE)):
            info = tarfile.TarInfo(f"file{number}")
            info.size = FILE_SIZE
            tar.addfile(info, _Repeated(block, FILE_SIZE // _BLOCK))
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def large_archive(path: Path, name: str, layer: Path, diff_id: str) -> None:
    """What `docker save` would have written of an image of that layer."""
    config = {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Cmd": ["true"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        tar.add(layer, "layer.tar")
        for member, document in (("config.json", config), ("manifest.json", manifest)):
            data = json.dumps(document).encode()
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


class _Repeated(io.RawIOBase):
    """A block, many times."""

    def __init__(self, block: bytes, count: int) -> None:
        self._block, self._left = block, len(block) * count

    def read(self, size: int = -1) -> bytes:
        size = min(size, self._left, len(self._block))
        self._left -= size
        return self._block[:size]


def pss_kib(pid: int) -> int:
    """Proportional set size of a process in KiB (proc(5), smaps_rollup); 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^Pss:\s+(\d+)", text, re.M)
    return int(found[1]) if found else 0


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        found = [int(word) for task in threads for word in _children(task)]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return found + [grandchild for child in found for grandchild in descendants(child)]


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []


@contextlib.contextmanager
def peak_memory(root: int) -> Iterator[list[float]]:
    """The highest sum of PSS of a process and all below it, in MB (2^20), as long as it is looked at."""
    found, done = [0.0], threading.Event()

    def sample() -> None:
        while True:  # once at least, however short it is looked at
            total = sum(map(pss_kib, [root, *descendants(root)]))
            found[0] = max(found[0], total / 1024)
            if done.wait(0.02):
                return

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
