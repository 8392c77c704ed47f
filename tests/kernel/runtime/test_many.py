"""Verifies that 500 containers leave the host, and the process that made them, as they were."""

from __future__ import annotations

import os

import pytest

from tests.kernel.conftest import Box

CYCLES = 500


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.timeout(900)
def test_500_cycles(box: Box) -> None:
    """Mounts, cgroups, processes and descriptors are compared by the fixture; memory here."""
    root = box.root()
    before = 0
    for cycle in range(CYCLES):
        if cycle == 50:
            before = resident()
        created = box.create(box.config("true"), root=root)
        if cycle % 5 == 0:
            created.abort()
            continue
        created.start()
        assert box.finish(created) == 0
    assert resident() - before < 8 << 20
