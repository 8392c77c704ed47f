"""`run` and `exec` of `true` from a bundle: `sampan-runtime` beside runc and crun, interleaved.

    .venv/bin/python -m bench.runtime_command [ROUNDS]

Each as a command of its own, and ours also as the engine has it: by a process that is there already, warm, with all
that the engine's spawner has loaded and no more (`bench/warm_process.py`). Processor time as well as the clock's: on a
busy machine only the first can be compared. The last table says where the command's goes.

Where cgroups are hybrid the v2 hierarchy is hidden from all of them: crun refuses such a host.
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
from typing import Any

from tests.bundles import make_config, make_rootfs

from sampan.linux import constants as c
from sampan.linux.cgroup import detect
from sampan.linux.kernel import LinuxKernel
from sampan.runtime import pack

WARM = "ours, from a warm process"
TOOL = str(Path(sys.executable).parent / "sampan-runtime")
SOURCE = str(Path(__file__).parents[1] / "src")
ISOLATED = [sys.executable, "-I", "-S", "-B", "-c"]
IMPORTS = (
    "import sampan.runtime.main, sampan.runtime.tool.creating, sampan.runtime.tool.life, "
    "sampan.runtime.tool.foreground"
)
BOOT = pack.BOOT.replace("from sampan.runtime.__main__ import entry\nentry()", IMPORTS)
FILE_BY_FILE = f"import sys; sys.path.append(sys.argv[1]); {IMPORTS}"


# A command, or what measures itself: seconds of clock and processor.
Action = list[str] | Callable[[], tuple[float, float]]


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
        return action()
    before, begun = _spent(), time.perf_counter()
    done = subprocess.run(action, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    taken = (time.perf_counter() - begun, _spent() - before)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.decode()}")
    return taken


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(title: str, table: dict[str, tuple[float, float]]) -> None:
    print(f"{title:<44} clock ms  processor ms")
    for name, (clock, processor) in table.items():
        print(f"  {name:<42} {clock:8.1f}  {processor:12.1f}")


class Warm:
    """A `bench.warm_process`."""

    def __init__(self, config: dict[str, Any], folder: str) -> None:
        path = Path(folder, "warm.json")
        path.write_text(json.dumps(config))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.warm_process", str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the warm process failed")
        return line

    def ask(self, word: str) -> tuple[float, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        clock, processor = map(float, self._answer().split())
        return clock, processor

    def close(self) -> None:
        self.ask("end")
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Bench:
    """A bundle, and whatever runtimes are installed."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        make_rootfs(f"{folder}/rootfs")
        self.config = {**make_config("bench", "true"), "root": {"path": "rootfs"}}
        self.config["ociVersion"] = "1.0.2"  # what they all take
        self.config["linux"]["cgroupsPath"] = f"/bench-{os.getpid()}"
        self.write("true")
        self.id = f"bench-{os.getpid()}"
        ours = [TOOL, "--root", f"{folder}/state"]
        others = {name: shutil.which(name) for name in ("runc", "crun")}
        self.programs = {"sampan-runtime": ours, **{n: [p] for n, p in others.items() if p}}
        for name, program in list(self.programs.items()):
            done = subprocess.run(self.run(program), capture_output=True, text=True)
            if done.returncode:
                print(f"{name} does not run here: {done.stderr.strip()}")
                del self.programs[name]

    def write(self, *args: str) -> None:
        self.config["process"]["args"] = list(args)
        Path(self.folder, "config.json").write_text(json.dumps(self.config))

    def run(self, program: list[str], *flags: str) -> list[str]:
        return [*program, "run", *flags, "-b", self.folder, self.id]

    @contextlib.contextmanager
    def warm(self) -> Iterator[Warm]:
        config = {**self.config, "root": {"path": f"{self.folder}/rootfs"}}
        config["linux"] = {**config["linux"], "cgroupsPath": f"/{self.id}-warm"}
        process = Warm(config, self.folder)
        try:
            yield process
        finally:
            process.close()

    @contextlib.contextmanager
    def runs(self) -> Iterator[dict[str, Action]]:
        commands: dict[str, Action] = {n: self.run(p) for n, p in self.programs.items()}
        with self.warm() as warm:
            yield {WARM: lambda: warm.ask("run"), **commands}

    @contextlib.contextmanager
    def execs(self) -> Iterator[dict[str, Action]]:
        """Into containers that run, one for each."""
        commands: dict[str, Action] = {}
        with self.warm() as warm:
            warm.ask("keep")
            try:
                for name, program in self.programs.items():
                    own = f"{self.id}-{name}"
                    self.config["linux"]["cgroupsPath"] = f"/{own}"
                    self.write("sleep", "1000")
                    argv = [*self.run(program, "-d")[:-1], own]
                    subprocess.run(argv, check=True, stdin=-3, stdout=-3, stderr=-3)
                    commands[name] = [*program, "exec", own, "true"]
                yield {WARM: lambda: warm.ask("exec"), **commands}
            finally:
                for name, program in self.programs.items():
                    argv = [*program, "delete", "--force", f"{self.id}-{name}"]
                    subprocess.run(argv, capture_output=True)


def hide_unified() -> None:
    """From this process and its children, where there are also hierarchies of v1."""
    found = detect()
    if found.mode != "hybrid" or found.unified is None:
        return
    kernel = LinuxKernel()
    kernel.unshare(c.CLONE_NEWNS)
    kernel.mount(None, "/", None, c.MS_REC | c.MS_PRIVATE, None)
    kernel.umount2(found.unified.mountpoint, c.MNT_DETACH)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    hide_unified()
    with tempfile.TemporaryDirectory(prefix="bench", dir="/run") as folder:
        bench = Bench(folder)
        with bench.runs() as runs:
            show("run true from a bundle", measure(runs, rounds))
        with bench.execs() as execs:
            show("exec true", measure(execs, rounds))
        pack.write(SOURCE)
        parts: dict[str, Action] = {
            "an interpreter, which is the floor": [*ISOLATED, "pass"],
            "… and all that `run` imports, file by file": [*ISOLATED, FILE_BY_FILE, SOURCE],
            "… and the same, from the pack": [*ISOLATED, BOOT, SOURCE],
            "the whole, `--version`": [TOOL, "--version"],
        }
        show("where it goes", measure(parts, rounds))


if __name__ == "__main__":
    main()
