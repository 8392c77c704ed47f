"""`run` of `true` from a bundle: `sampan-runtime` beside runc and crun, each as a command of its own, interleaved.

    .venv/bin/python -m bench.runtime_command [ROUNDS]

Processor time as well as the clock's: on a busy machine only the first can be compared. The second table says where
ours goes.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bundles import make_config, make_rootfs

TOOL = str(Path(sys.executable).parent / "sampan-runtime")
SOURCE = str(Path(__file__).parents[1] / "src")
ISOLATED = [sys.executable, "-I", "-S", "-B", "-c"]
IMPORTS = (
    f"import sys; sys.path.append({SOURCE!r}); import sampan.runtime.main, "
    "sampan.runtime.tool.creating, sampan.runtime.tool.life, sampan.runtime.tool.foreground"
)


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, tuple[float, float]]:
    """Medians of milliseconds: clock, processor."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, argv in commands.items():
            before, begun = _spent(), time.perf_counter()
            done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            taken = (time.perf_counter() - begun, _spent() - before)
            if done.returncode:
                raise SystemExit(f"{name}: {done.stderr.decode()}")
            if number:  # the first warms caches
                found[name].append(taken)
    return {
        name: (
            statistics.median(clock for clock, _ in each) * 1000,
            statistics.median(processor for _, processor in each) * 1000,
        )
        for name, each in found.items()
    }


def _spent() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def show(title: str, table: dict[str, tuple[float, float]]) -> None:
    print(f"{title:<44} clock ms  processor ms")
    for name, (clock, processor) in table.items():
        print(f"  {name:<42} {clock:8.1f}  {processor:12.1f}")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        make_rootfs(f"{folder}/rootfs")
        config = {**make_config("bench", "true"), "root": {"path": "rootfs"}}
        config["linux"]["cgroupsPath"] = f"/bench-{os.getpid()}"
        Path(folder, "config.json").write_text(json.dumps(config))
        run = ["run", "-b", folder, f"bench-{os.getpid()}"]
        commands = {"sampan-runtime": [TOOL, "--root", f"{folder}/state", *run]}
        for name in ("runc", "crun"):
            program = shutil.which(name)
            if program and not subprocess.run([program, *run], capture_output=True).returncode:
                commands[name] = [program, *run]
        show("run true from a bundle", measure(commands, rounds))
        parts = {
            "an interpreter, with site (first stage)": [sys.executable, "-c", "pass"],
            "an interpreter, without (second stage)": [*ISOLATED, "pass"],
            "… and all that the command imports": [*ISOLATED, IMPORTS],
            "the whole, `--version`": [TOOL, "--version"],
        }
        show("where it goes", measure(parts, rounds))


if __name__ == "__main__":
    main()
