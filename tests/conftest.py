"""Settings for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:  # in the machine of tests/machine, whose tests do without
    pass
else:
    # How long an example takes says something about a machine that is busy with other things, not about the code.
    settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")


@pytest.fixture(scope="session", autouse=True)
def the_machine_is_left_alone() -> Iterator[None]:
    """The accounts, and the names in `/` and `/etc`, are the same after all tests: many of them write archives that break out."""
    before = machine()
    yield
    assert machine() == before


def machine() -> dict[str, object]:
    accounts = ("passwd", "group", "subuid", "subgid")
    null = os.stat("/dev/null")
    files = {name: Path("/etc", name) for name in accounts}
    return {
        "/dev/null": (null.st_mode, null.st_uid, null.st_gid, null.st_rdev),
        "/": sorted(os.listdir("/")),
        "/etc": sorted(name for name in os.listdir("/etc") if not name.startswith(".")),
        **{name: path.read_bytes() if path.exists() else b"" for name, path in files.items()},
    }
