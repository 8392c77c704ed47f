"""How long the runtime alone takes: create, start, end and clean-up of `true` in a busybox root, network none.

    python -m bench.runtime_floor [--count 50] [--profile]       as root, from the top folder

Prints the median and the best of the whole and its parts, in a network namespace that is ready (as
the engine has it), in a new one, and without cgroups. With --profile it prints what init and its
parent spend, call by call, for one container.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.bundles import make_config, make_rootfs

from sampan.linux import constants as c
from sampan.linux.cgroup import detect
from sampan.linux.kernel import LinuxKernel
from sampan.runtime.create import create
from sampan.runtime.exec import exec_process
from sampan.runtime.request import Request, Target, wait_exit
from sampan.spec.mount import Mount

Seconds = dict[str, float]


class TimingKernel(LinuxKernel):
    """Says on stderr what each call took, and what passed between calls."""

    _last = 0.0

    def __getattribute__(self, name: str) -> Any:
        member = super().__getattribute__(name)
        if name.startswith("_"):
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            gap = begin - self._last
            try:
                return member(*args, **kwargs)
            finally:
                self._last = time.perf_counter()
                text = f"{os.getpid():>7} {gap * 1e6:7.0f} us, then {name:<18} "
                text += f"{(self._last - begin) * 1e6:7.0f} us  {args!r:.60}\n"
                os.write(2, text.encode())

        return call


def run_once(kernel: LinuxKernel, request: Request) -> Seconds:
    begin = time.perf_counter()
    created = create(kernel, request)
    ready = time.perf_counter()
    created.start()
    started = time.perf_counter()
    wait_exit(kernel, created.pidfd)
    kernel.close(created.pidfd)
    ended = time.perf_counter()
    if created.cgroup is not None:
        created.cgroup.remove()
    removed = time.perf_counter()
    return {
        "create": ready - begin,
        "start": started - ready,
        "run": ended - started,
        "remove": removed - ended,
        "whole": ended - begin,
    }


def make_network_namespace(kernel: LinuxKernel) -> int:
    reader, writer = os.pipe()
    pid, pidfd = kernel.clone3(c.CLONE_NEWNET)
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    for end in (reader, writer):
        os.close(end)
    wait_exit(kernel, pidfd)
    os.close(pidfd)
    return fd


def measure(count: int, once: Callable[[], Seconds]) -> None:
    samples = [once() for _ in range(count)]
    for name in samples[0]:
        values = sorted(sample[name] * 1e3 for sample in samples)
        print(
            f"    {name:<8} median {statistics.median(values):6.2f} ms   best {values[0]:6.2f} ms"
        )


def bench_exec(kernel: LinuxKernel, request: Request, count: int) -> None:
    created = create(kernel, request)
    created.start()
    target = Target(created.pid, created.pidfd, request.config, created.cgroup)
    process = {**request.config["process"], "args": ["true"]}

    def once() -> Seconds:
        begin = time.perf_counter()
        executed = exec_process(kernel, target, process)
        started = time.perf_counter()
        wait_exit(kernel, executed.pidfd)
        kernel.close(executed.pidfd)
        return {"start": started - begin, "whole": time.perf_counter() - begin}

    try:
        measure(count, once)
    finally:
        created.abort()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="sampan-bench-")
    try:
        lower = make_rootfs(f"{folder}/lower")
        for name in ("upper", "work"):
            os.mkdir(f"{folder}/{name}")
        layers = (f"lowerdir={lower}", f"upperdir={folder}/upper", f"workdir={folder}/work")
        root = (Mount("overlay", "overlay", layers),)
        config = make_config("floor", "true")
        bare = make_config("floor", "true")
        del bare["linux"]["cgroupsPath"]
        sleeping = make_config("floor", "sleep", "1000")
        hierarchies = detect()
        kernel = LinuxKernel()
        gc.freeze()
        if options.profile:
            run_once(TimingKernel(), Request(config, root, hierarchies=hierarchies))
            return
        print(f"with cgroups ({hierarchies.mode}, {len(hierarchies.v1)} of v1)")
        with_cgroup = Request(config, root, hierarchies=hierarchies)
        ready = replace(with_cgroup, namespaces={"network": make_network_namespace(kernel)})
        measure(options.count, lambda: run_once(kernel, ready))
        print("the same with a new network namespace each")
        measure(options.count, lambda: run_once(kernel, with_cgroup))
        print("the same without cgroups")
        without = Request(bare, root, hierarchies=hierarchies)
        measure(options.count, lambda: run_once(kernel, without))
        print("exec")
        bench_exec(kernel, Request(sleeping, root, hierarchies=hierarchies), options.count)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
