"""The runtime in a process that has loaded what the engine's spawner has, and nothing else: for `runtime_command.py`.

    python -m bench.warm_process CONFIG.json

Says `ready`, then reads a word a line and answers with the seconds of clock and processor that it took: `run` (create,
start, wait and remove such a container), `keep` (create and start one to enter), `exec` (run `true` in that), `end`.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import sampan.daemon  # noqa: F401 - all that there is in the spawner
from sampan.linux.cgroup import detect
from sampan.linux.kernel import LinuxKernel
from sampan.runtime.create import Created, create
from sampan.runtime.exec import exec_process
from sampan.runtime.request import Request, Target, wait_exit


class Warm:
    def __init__(self, config: dict[str, Any]) -> None:
        self.kernel = LinuxKernel()
        self.hierarchies = detect()
        self.config = config
        self.kept: Created | None = None

    def _create(self, *args: str) -> Created:
        config = {**self.config, "process": {**self.config["process"], "args": list(args)}}
        created = create(self.kernel, Request(config, hierarchies=self.hierarchies))
        created.start()
        return created

    def run(self) -> None:
        created = self._create("true")
        wait_exit(self.kernel, created.pidfd)
        os.close(created.pidfd)
        if created.cgroup is not None:
            created.cgroup.remove()

    def keep(self) -> None:
        self.kept = self._create("sleep", "1000")

    def exec(self) -> None:
        assert self.kept is not None
        target = Target(self.kept.pid, self.kept.pidfd, self.config, self.kept.cgroup)
        process = {**self.config["process"], "args": ["true"]}
        executed = exec_process(self.kernel, target, process)
        wait_exit(self.kernel, executed.pidfd)
        os.close(executed.pidfd)

    def end(self) -> None:
        if self.kept is not None:
            self.kept.abort()


def _spent() -> float:
    whom = (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, whom))


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        warm = Warm(json.load(file))
    actions: dict[str, Callable[[], None]] = {
        name: getattr(warm, name) for name in ("run", "keep", "exec", "end")
    }
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        before, begun = _spent(), time.perf_counter()
        actions[line.strip()]()
        print(time.perf_counter() - begun, _spent() - before, flush=True)


if __name__ == "__main__":
    main()
