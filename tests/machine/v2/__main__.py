"""Run in the machine by its script; words are names of checks, none means all."""

from __future__ import annotations

import sys

from tests.machine.v2.checks import run_all
from tests.machine.v2.house import House
from tests.machine.v2.suite import CHECKS

wanted = sys.argv[1:]
house = House("first", "--debug")
run_all({name: c for name, c in CHECKS.items() if name in wanted or not wanted}, house)
house.engine.dispose()
