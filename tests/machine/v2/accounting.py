"""The room itself, used directly: what a container has used."""

from __future__ import annotations

from sampan.linux.cgroup import Cgroup
from tests.machine.v2.checks import check
from tests.machine.v2.house import House, same


@check
def statistics(house: House) -> None:
    """Time, memory, processes and I/O of a container are there and plausible."""
    script = "head -c 8000000 /dev/urandom >/big; sync; sleep 1000"
    container = house.start("-m", "64m", "--pids-limit", "20", "--", "sh", "-c", script)
    while container.exec("sh", "-c", "pidof sleep").code:
        pass
    found = Cgroup(f"/sampan/{container.id}").statistics()
    assert found["cpu"]["usage"] >= found["cpu"]["system"] > 0
    same(found["memory"]["limit"], 64 << 20)
    assert 0 < found["memory"]["usage"] <= 64 << 20
    assert found["memory"]["stat"]["anon"] > 0
    same(found["pids"], {"current": 1, "limit": 20})
    written = [row for row in found["blkio"]["io_service_bytes_recursive"] if row["op"] == "write"]
    assert sum(row["value"] for row in written) >= 8_000_000, written
