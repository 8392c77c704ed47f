"""All checks, in the order in which they run: the first one starts the daemon."""

from __future__ import annotations

from tests.machine.v2 import accounting, devices, life, limits, parents, view
from tests.machine.v2.checks import collect

CHECKS = collect(view, limits, devices, life, accounting, parents)
