"""`sampan system fsck`: the store looks at itself; containers whose layers are gone are named."""

from __future__ import annotations

from sampan.engine.services import Services
from sampan.store.fsck import Problem, Report


async def check_store(services: Services, *, repair: bool) -> Report:
    """Raises OSError."""
    report = await services.store.check(repair=repair)
    known = set(services.store.snapshots.keys())
    for record in services.containers.all():
        if record.id not in known:
            problem = Problem("missing", f"container {record.id}", "it has lost what it wrote")
            report.problems.append(problem)
    return report
