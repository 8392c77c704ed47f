"""OCI's `process` object of an exec, from the container's settings and the exec's own. Pure."""

from __future__ import annotations

from typing import Any

from sampan.engine.records import ContainerRecord, ExecRecord
from sampan.spec.capabilities import choose_capabilities
from sampan.spec.environment import build_environment
from sampan.spec.oci import capability_sets
from sampan.spec.resources import build_rlimits
from sampan.spec.security_options import parse_security_options
from sampan.spec.users import User


def build_exec_process(
    container: ContainerRecord,
    wanted: ExecRecord,
    user: User,
    *,
    held: frozenset[str],
    rlimits_held: dict[str, int] | None,
    no_new_privileges: bool,
) -> dict[str, Any]:
    """`held`: the daemon's capabilities; `no_new_privileges`: its default."""
    host, config = container.host_config, container.config
    capabilities = choose_capabilities(
        host.cap_add, host.cap_drop, privileged=host.privileged or wanted.privileged, held=held
    )
    security = parse_security_options(host.security_opt, no_new_privileges=no_new_privileges)
    return {
        "terminal": wanted.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": list(wanted.arguments),
        "env": build_environment(
            [*(config.env or []), *wanted.env],
            hostname=config.hostname,
            home=user.home,
            terminal=wanted.tty,
        ),
        "cwd": wanted.working_dir or config.working_dir or "/",
        "capabilities": capability_sets(capabilities, root=user.uid == 0),
        "rlimits": build_rlimits(host.ulimits or (), rlimits_held),
        "noNewPrivileges": security.no_new_privileges,
        "oomScoreAdj": host.oom_score_adj,
    }
