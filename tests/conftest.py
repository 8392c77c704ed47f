"""Settings for all tests."""

from __future__ import annotations

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:  # in the machine of tests/machine, whose tests do without
    pass
else:
    # How long an example takes says something about a machine that is busy with other things, not about the code.
    settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")
