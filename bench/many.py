"""`python -m bench.many`: 500 containers that run at the same time beside dockerd's, and the daemon over 5,000 lives.

Over the API, so that no client is measured. An engine that is slow is stopped when its time is over: what it has
reached by then is what is told.
"""

from __future__ import annotations

import argparse
import time

from tests.engines import Engine

from bench.bench import Row, engine_pss, show
from bench.output import growth
from bench.peers import Peer, peers


def running(found: list[Peer], count: int, seconds: float) -> list[Row]:
    """On the default bridge, one after the other."""
    reached: dict[str, float] = {}
    rate: dict[str, float] = {}
    last: dict[str, float] = {}
    each: dict[str, float] = {}
    for peer in found:
        assert peer.engine is not None
        before = engine_pss(peer.engine)
        spent, identifiers = _start(peer.engine, count, seconds)
        reached[peer.name] = len(identifiers)
        rate[peer.name] = len(identifiers) / sum(spent)
        last[peer.name] = sum(spent[-20:]) / len(spent[-20:]) * 1000
        each[peer.name] = (engine_pss(peer.engine) - before) / len(identifiers) / 1024
        for identifier in identifiers:
            peer.engine.request("DELETE", f"/containers/{identifier}?force=1")
    return [
        (f"running at a time (of {count}, within {seconds:.0f} s)", reached, ""),
        ("created and started a second", rate, ""),
        ("create + start of the last 20, ms", last, ""),
        ("memory each of them adds, MB PSS", each, "≤ 1.5 MB"),
    ]


def _start(engine: Engine, count: int, seconds: float) -> tuple[list[float], list[str]]:
    body = {"Image": "busybox", "Cmd": ["sleep", "100000"]}
    spent: list[float] = []
    identifiers = []
    while len(spent) < count and sum(spent) < seconds:
        begun = time.perf_counter()
        identifier = engine.request("POST", "/containers/create", body)[1]["Id"]
        status = engine.request("POST", f"/containers/{identifier}/start")[0]
        spent.append(time.perf_counter() - begun)
        assert status == 204
        identifiers.append(identifier)
    return spent, identifiers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--running", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=180, help="for one engine to start them")
    parser.add_argument("--lives", type=int, default=5000)
    options = parser.parse_args()
    with peers() as all_of_them:
        found = [peer for peer in all_of_them if peer.name in ("sampan", "docker → dockerd")]
        rows = running(found, options.running, options.seconds)
        show(rows)
        lives = {found[0].name: growth(found[0], options.lives)}
        show([(f"daemon's memory after {options.lives} lives more, KiB", lives, "flat")])


if __name__ == "__main__":
    main()
