"""What idle monitors cost, measured as in the daemon: a spawner that was launched before all else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[3] / "bench" / "monitor_floor.py"
MOST_KIB = 3584  # of PSS with ten alive; a containerd shim takes 5.8 MB


def test_an_idle_monitor_is_small() -> None:
    """The bench's own figure: what the runtime touched went with the helper."""
    command = [sys.executable, str(BENCH), "--rounds", "0", "--containers", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r"Pss +(\d+) KiB median", done.stdout)
    assert found, done.stdout
    assert int(found[1]) < MOST_KIB, done.stdout
