"""What a monitor costs: the spawner's fork, a container's start and end through it, and memory.

    python bench/monitor_floor.py [--rounds 50] [--containers 8]       as root

The spawner is launched first, as in the daemon; everything heavy is imported after it. Containers are
busybox, network none. PSS is /proc/PID/smaps_rollup with all monitors alive; the lines per mapping tell
where it goes.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "src")]

from sampan.monitor import main as monitor_main  # noqa: E402
from sampan.monitor import spawner as spawner_module  # noqa: E402


def nothing(_args: object, _fds: object) -> None:
    """A role that ends at once."""


PROCESS = spawner_module.launch({"monitor": monitor_main.run, "nothing": nothing})

import argparse  # noqa: E402
import asyncio  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402
import shutil  # noqa: E402
import statistics  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402

from tests.kernel.monitor.house import CGROUPS, Box, make_root  # noqa: E402

from sampan.linux.cgroup import Cgroup, detect  # noqa: E402
from sampan.linux.channel import Channel  # noqa: E402
from sampan.linux.seccomp import compile_profile  # noqa: E402
from sampan.monitor.client import Spawner  # noqa: E402
from sampan.monitor.messages import LogOptions  # noqa: E402


def pss_kib(pid: int) -> dict[str, int]:
    """Sums of smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return {each[0].rstrip(":"): int(each[1]) for each in fields if len(each) == 3}


def pss_by_mapping(pid: int) -> Counter[str]:
    found: Counter[str] = Counter()
    name = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if "-" in first and not first.endswith(":"):
            name = rest[4] if len(rest) > 4 else "anonymous"
        elif first == "Pss:":
            found[name.rpartition("/")[2]] += int(rest[0])
    return found


def show(name: str, seconds: list[float]) -> None:
    median, best = statistics.median(seconds) * 1000, min(seconds) * 1000
    print(f"{name:<44} {median:7.2f} ms median {best:7.2f} ms best")


async def measure_forks(spawner: Spawner, rounds: int) -> None:
    samples = []
    for _ in range(rounds):
        ours, theirs = Channel.pair()
        begin = time.perf_counter()
        spawned = await spawner.spawn("nothing", {}, [theirs.fileno()])
        samples.append(time.perf_counter() - begin)
        theirs.close()
        os.close(spawned.pidfd)
        ours.close()
    show("spawn: request to pid and pidfd", samples)


async def measure_containers(spawner: Spawner, folder: Path, rounds: int) -> None:
    profile = Box(folder / "root", folder).config(["true"])["linux"]["seccomp"]
    program = compile_profile(profile, arch=platform.machine())  # as the daemon does, once
    parts: dict[str, list[float]] = {}
    for _ in range(rounds):
        box = Box(folder / "root", folder)
        moments = [time.perf_counter()]
        await box.create(spawner, ["true"], seccomp=program)
        moments.append(time.perf_counter())
        await box.door.start()
        moments.append(time.perf_counter())
        await box.event("exit")
        moments.append(time.perf_counter())
        await box.door.delete()
        moments.append(time.perf_counter())
        box.door.close()
        names = ("fork to created", "start to started", "started to exit", "delete to gone")
        for name, begin, end in zip(names, moments, moments[1:], strict=False):
            parts.setdefault(name, []).append(end - begin)
        parts.setdefault("whole life of `true`", []).append(moments[-1] - moments[0])
    for name, samples in parts.items():
        show(name, samples)


async def measure_execs(spawner: Spawner, folder: Path, rounds: int) -> None:
    box = Box(folder / "root", folder)
    await box.run(spawner, ["sleep", "1000"])
    samples = []
    for number in range(rounds):
        begin = time.perf_counter()
        await box.exec(f"e{number}", "exit 0", client=False)
        await box.event("exec_exit", exec_id=f"e{number}")
        samples.append(time.perf_counter() - begin)
    show("exec: request to exec_exit", samples)
    await end(box)


async def measure_streams(spawner: Spawner, folder: Path, size: int = 200 << 20) -> None:
    """Lines of 60 bytes into the log, and the same to a client without a log."""
    command = f"yes 'the quick brown fox jumps over the lazy dog, sixty bytes....' | head -c {size}"
    box = Box(folder / "root", folder)
    begin = time.perf_counter()
    await box.run(spawner, command)
    await box.event("exit")
    print(f"{'log':<44} {size / (time.perf_counter() - begin) / 1e6:7.0f} MB/s of output")
    box.log_path.unlink()
    await box.leave()
    box = Box(folder / "root", folder)
    await box.create(spawner, command, log=LogOptions())
    peer = await box.attach(multiplexed=True)
    begin = time.perf_counter()
    await box.door.start()
    while await peer.reader.read(1 << 20):
        pass
    print(f"{'attached client, no log':<44} {size / (time.perf_counter() - begin) / 1e6:7.0f} MB/s")
    await box.event("exit")
    await box.leave()


async def end(box: Box) -> None:
    await box.door.kill(9)
    await box.event("exit")
    await box.door.delete()
    box.door.close()


async def measure_memory(spawner: Spawner, folder: Path, count: int) -> None:
    boxes = [Box(folder / "root", folder) for _ in range(count)]
    for box in boxes:
        await box.run(spawner, ["sleep", "1000"])
    try:
        tell_memory(boxes)
    finally:
        for box in boxes:
            await end(box)


def tell_memory(boxes: list[Box]) -> None:
    count = len(boxes)
    figures = [pss_kib(box.door.pid) for box in boxes]
    for field in ("Pss", "Private_Dirty", "Rss"):
        values = [each[field] for each in figures]
        print(f"monitor, {count} alive: {field:<18} {statistics.median(values):7.0f} KiB median")
    top = pss_by_mapping(boxes[0].door.pid).most_common(6)
    print("   of that:", ", ".join(f"{name} {kib}" for name, kib in top))
    for pid in spawners():
        print(f"spawner (two of them, one asleep): Pss {pss_kib(pid)['Pss']} KiB")


def spawners() -> list[int]:
    return [
        int(name)
        for name in os.listdir("/proc")
        if name.isdigit() and comm(name) == "sampan-spawner" and descends(int(name))
    ]


def comm(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descends(pid: int) -> bool:
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


async def run(rounds: int, count: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="sampan-floor-"))
    spawner = Spawner(PROCESS)
    try:
        make_root(folder / "root")
        if rounds:
            await measure_forks(spawner, rounds)
            await measure_containers(spawner, folder, rounds)
            await measure_execs(spawner, folder, rounds)
            await measure_streams(spawner, folder)
        await measure_memory(spawner, folder, count)
    finally:
        spawner.close()
        Cgroup(CGROUPS, detect()).remove()
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50, help="0: memory only")
    parser.add_argument("--containers", type=int, default=8)
    options = parser.parse_args()
    asyncio.run(run(options.rounds, options.containers))


if __name__ == "__main__":
    main()
