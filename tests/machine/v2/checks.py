"""Checks that run inside the machine: registered by name, each reports one JSON line on stdout.

{"check": "memory_limit", "passed": true, "seconds": 1.2, "detail": ""}
"""

from __future__ import annotations

import json
import signal
import time
import traceback
from collections.abc import Callable
from types import ModuleType

from tests.machine.v2.house import House

Check = Callable[[House], None]
TIME_LIMIT = 60  # seconds for one check
_registered: dict[str, dict[str, Check]] = {}


def check(function: Check) -> Check:
    """Its name is the result's, its first line says what is verified."""
    _registered.setdefault(function.__module__, {})[function.__name__] = function
    return function


def collect(*modules: ModuleType) -> dict[str, Check]:
    """The modules' checks by name, in the order of the arguments and then of the source."""
    pairs = [pair for module in modules for pair in _registered[module.__name__].items()]
    found = dict(pairs)
    assert len(found) == len(pairs), "two checks have the same name"
    return found


def run_all(checks: dict[str, Check], house: House) -> None:
    signal.signal(signal.SIGALRM, _too_long)
    for name, function in checks.items():
        begun = time.monotonic()
        detail = _run(function, house)
        detail += _tidy(house)
        line = {"check": name, "passed": not detail, "detail": detail}
        line["seconds"] = round(time.monotonic() - begun, 1)
        print(json.dumps(line), flush=True)


def _run(function: Check, house: House) -> str:
    signal.alarm(TIME_LIMIT)
    try:
        function(house)
    except BaseException:
        return f"{traceback.format_exc()}\nend of the daemon's log:\n{house.log()[-3000:]}"
    finally:
        signal.alarm(0)
    return ""


def _tidy(house: House) -> str:
    """What a check left is its failure too: the next one finds an empty house."""
    try:
        house.clear()
    except Exception:
        return traceback.format_exc()
    return ""


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"the check took longer than {TIME_LIMIT} s")
