"""What the tests of the machine share."""

from __future__ import annotations

import pytest

from tests.machine import vm


@pytest.fixture(scope="session")
def machine_possible() -> None:
    """Skips where this host cannot run it. Whoever starts one asks for it; what runs inside does not."""
    reason = vm.unavailable()
    if reason is not None:
        pytest.skip(reason)
