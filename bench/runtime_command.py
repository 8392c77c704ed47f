"""`run` and `exec` of `true` from a bundle: `sampan-runtime` beside runc and crun, interleaved.

    .venv/bin/python -m bench.runtime_command [ROUNDS]

Each as a command of its own, and ours also as the engine has it: by a process that is there already, warm and sealed.
Processor time as well as the clock's: on a busy machine only the first can be compared. The last table says where the
command's goes.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.bundles import make_config, make_rootfs

from bench.runtime_floor import run_once
from sampan.linux.cgroup import detect
from sampan.linux.kernel import LinuxKernel
from sampan.runtime.create import create
from sampan.runtime.exec import exec_process
from sampan.runtime.request import Request, Target, wait_exit

TOOL = str(Path(sys.executable).parent / "sampan-runtime")
SOURCE = str(Path(__file__).parents[1] / "src")
ISOLATED = [sys.executable, "-I", "-S", "-B", "-c"]
IMPORTS = (
    f"import sys; sys.path.append({SOURCE!r}); import sampan.runtime.main, "
    "sampan.runtime.tool.creating, sampan.runtime.tool.life, sampan.runtime.tool.foreground"
)


Action = list[str] | Callable[[], object]


def measure(commands: Mapping[str, Action], rounds: int) -> dict[str, tuple[float, float]]:
    """Medians of milliseconds: clock, processor."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, argv in commands.items():
            taken = _take(name, argv)
            if number:  # the first warms caches
                found[name].append(taken)
    return {
        name: (
            statistics.median(clock for clock, _ in each) * 1000,
            statistics.median(processor for _, processor in each) * 1000,
        )
        for name, each in found.items()
    }


def _take(name: str, action: Action) -> tuple[float, float]:
    """Seconds of one round: clock, processor. Of a command without what starting it costs us."""
    if callable(action):
        before, begun = _spent(itself=True), time.perf_counter()
        action()
        return time.perf_counter() - begun, _spent(itself=True) - before
    before, begun = _spent(), time.perf_counter()
    done = subprocess.run(action, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    taken = (time.perf_counter() - begun, _spent() - before)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.decode()}")
    return taken


def _spent(*, itself: bool = False) -> float:
    whom = (resource.RUSAGE_CHILDREN, *((resource.RUSAGE_SELF,) if itself else ()))
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, whom))


def show(title: str, table: dict[str, tuple[float, float]]) -> None:
    print(f"{title:<44} clock ms  processor ms")
    for name, (clock, processor) in table.items():
        print(f"  {name:<42} {clock:8.1f}  {processor:12.1f}")


class Bench:
    """A bundle, and whatever runtimes are installed."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        make_rootfs(f"{folder}/rootfs")
        self.config = {**make_config("bench", "true"), "root": {"path": "rootfs"}}
        self.config["linux"]["cgroupsPath"] = f"/bench-{os.getpid()}"
        self.write("true")
        self.id = f"bench-{os.getpid()}"
        ours = [TOOL, "--root", f"{folder}/state"]
        others = {name: shutil.which(name) for name in ("runc", "crun")}
        self.programs = {"sampan-runtime": ours, **{n: [p] for n, p in others.items() if p}}
        self.programs = {
            name: program
            for name, program in self.programs.items()
            if not subprocess.run(self.run(program), capture_output=True).returncode
        }

    def write(self, *args: str) -> None:
        self.config["process"]["args"] = list(args)
        Path(self.folder, "config.json").write_text(json.dumps(self.config))

    def run(self, program: list[str], *flags: str) -> list[str]:
        return [*program, "run", *flags, "-b", self.folder, self.id]

    def warm_request(self, *args: str) -> Request:
        config = {**self.config, "process": {**self.config["process"], "args": list(args)}}
        config["root"] = {"path": f"{self.folder}/rootfs"}
        config["linux"] = {**config["linux"], "cgroupsPath": f"/bench-{os.getpid()}-warm"}
        return Request(config, hierarchies=detect())

    def runs(self) -> dict[str, Action]:
        kernel, request = LinuxKernel(), self.warm_request("true")
        commands: dict[str, Action] = {n: self.run(p) for n, p in self.programs.items()}
        return {"ours, from a warm process": lambda: run_once(kernel, request), **commands}

    @contextlib.contextmanager
    def execs(self) -> Iterator[dict[str, Action]]:
        """Into containers that run, one for each."""
        kernel = LinuxKernel()
        created = create(kernel, self.warm_request("sleep", "1000"))
        created.start()
        target = Target(created.pid, created.pidfd, self.config, created.cgroup)

        def once() -> None:
            executed = exec_process(kernel, target, {**self.config["process"], "args": ["true"]})
            wait_exit(kernel, executed.pidfd)
            os.close(executed.pidfd)

        self.write("sleep", "1000")
        commands: dict[str, Action] = {}
        try:
            for name, program in self.programs.items():
                own = f"{self.id}-{name}"
                self.config["linux"]["cgroupsPath"] = f"/{own}"
                self.write("sleep", "1000")
                argv = [*self.run(program, "-d")[:-1], own]
                subprocess.run(argv, check=True, stdin=-3, stdout=-3, stderr=-3)
                commands[name] = [*program, "exec", own, "true"]
            yield {"ours, from a warm process": once, **commands}
        finally:
            for name, program in self.programs.items():
                argv = [*program, "delete", "--force", f"{self.id}-{name}"]
                subprocess.run(argv, capture_output=True)
            created.abort()


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        bench = Bench(folder)
        show("run true from a bundle", measure(bench.runs(), rounds))
        with bench.execs() as execs:
            show("exec true", measure(execs, rounds))
        parts: dict[str, Action] = {
            "an interpreter (each of two stages)": [*ISOLATED, "pass"],
            "… and all that the command imports": [*ISOLATED, IMPORTS],
            "the whole, `--version`": [TOOL, "--version"],
        }
        show("where it goes", measure(parts, rounds))


if __name__ == "__main__":
    main()
