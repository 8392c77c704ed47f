"""`update`: other limits for containers that exist."""

from __future__ import annotations

from sampan.cli import output
from sampan.cli.command import App
from sampan.cli.container.build import parse_restart
from sampan.cli.container.flags import UPDATE_FLAGS
from sampan.cli.failure import Failure
from sampan.cli.names import container_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sampan.cli.flags import Values

FLAGS = UPDATE_FLAGS


def run(app: App, values: Values, arguments: list[str]) -> int:
    if not any(values.changed(flag.key) for flag in FLAGS):
        raise Failure("you must provide one or more flags when using this command")
    try:
        body = _body(values)
    except ValueError as error:
        raise Failure(str(error)) from None
    warnings: list[str] = []
    errors: list[str] = []
    for name in arguments:
        try:
            answer = app.client.post(container_path(name, "/update"), None, body)
        except Failure as failure:
            errors.append(str(failure))
            continue
        output.out(f"{name}\n")
        warnings += (answer or {}).get("Warnings") or []
    if warnings:
        output.out("\n".join(warnings) + "\n")
    if errors:
        raise Failure("\n".join(errors))
    return 0


def _body(values: Values) -> dict[str, Any]:
    policy = {"Name": "", "MaximumRetryCount": 0}
    if values["restart"]:
        policy = parse_restart(values["restart"])
    return {
        "CpuShares": values["cpu-shares"],
        "Memory": values["memory"],
        "NanoCpus": values["cpus"],
        "CgroupParent": "",
        "BlkioWeight": values["blkio-weight"],
        "BlkioWeightDevice": None,
        "BlkioDeviceReadBps": None,
        "BlkioDeviceWriteBps": None,
        "BlkioDeviceReadIOps": None,
        "BlkioDeviceWriteIOps": None,
        "CpuPeriod": values["cpu-period"],
        "CpuQuota": values["cpu-quota"],
        "CpuRealtimePeriod": values["cpu-rt-period"],
        "CpuRealtimeRuntime": values["cpu-rt-runtime"],
        "CpusetCpus": values["cpuset-cpus"],
        "CpusetMems": values["cpuset-mems"],
        "Devices": None,
        "DeviceCgroupRules": None,
        "DeviceRequests": None,
        "MemoryReservation": values["memory-reservation"],
        "MemorySwap": values["memory-swap"],
        "MemorySwappiness": None,
        "OomKillDisable": None,
        "PidsLimit": values["pids-limit"] or None,
        "Ulimits": None,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
        "RestartPolicy": policy,
    }
