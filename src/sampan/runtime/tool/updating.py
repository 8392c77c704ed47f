"""`update`: new limits for a container that exists, by flags or as a document."""

from __future__ import annotations

import json
import sys

from sampan.runtime.tool.arguments import Options
from sampan.runtime.tool.bundle import read_json
from sampan.runtime.tool.state import STOPPED, Store, ToolError, group_of, status_of
from sampan.runtime.tool.validate import check_resources
from sampan.spec.record import replace
from sampan.spec.typing import Any

_NUMBERS = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-idle": ("cpu", "idle"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "pids-limit": ("pids", "limit"),
}
_SIZES = {
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "kernel-memory-tcp": ("memory", "kernelTCP"),
}
_TEXTS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}
_SUFFIXES = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}


def update(store: Store, options: Options) -> list[str]:
    """Returns warnings."""
    record = store.read(options.words[0])
    if status_of(store, record) == STOPPED:
        raise ToolError("container not running")
    group = group_of(record)
    if group is None or not group.exists():
        raise ToolError("container has no cgroup")
    resources = _resources(options)
    check_resources(resources, "resources")
    try:
        if record.scope:
            from sampan.linux.systemd import Scope, update_scope

            update_scope(Scope(*record.scope.split(" ")), resources)
        warnings = group.apply(resources)
    except ValueError as error:
        raise ToolError(str(error)) from None
    config = dict(record.config)
    linux = config["linux"] = dict(config.get("linux") or {})
    linux["resources"] = _merged(linux.get("resources") or {}, resources)
    store.write(replace(record, config=config))
    return warnings


def _resources(options: Options) -> dict[str, Any]:
    source = options.text("resources")
    if source == "-":
        try:
            content = json.load(sys.stdin)
        except ValueError as error:
            raise ToolError(f"resources: {error}") from None
        return dict(content) if isinstance(content, dict) else {}
    if source:
        content = read_json(source, "resources file")
        if not isinstance(content, dict):
            raise ToolError("resources: expected an object")
        return content
    for flag in ("l3-cache-schema", "mem-bw-schema"):
        if options.text(flag):
            raise ToolError(f"--{flag}: intelRdt is not supported")
    found: dict[str, Any] = {}
    for flag, (kind, key) in _NUMBERS.items():
        if options.given(flag):
            found.setdefault(kind, {})[key] = options.number(flag)
    for flag, (kind, key) in _SIZES.items():
        if options.text(flag):
            found.setdefault(kind, {})[key] = parse_size(options.text(flag), flag)
    for flag, (kind, key) in _TEXTS.items():
        if options.text(flag):
            found.setdefault(kind, {})[key] = options.text(flag)
    return found


def parse_size(text: str, flag: str) -> int:
    """Bytes, from a number with a unit of 1024, as `512m`; -1 is no limit."""
    word = text.lower().removesuffix("ib")
    if word[-1:] == "b" and not word[:-1].isdigit():
        word = word[:-1]
    if word == "-1":
        return -1
    shift = _SUFFIXES.get(word[-1:], 0)
    number = word[:-1] if word[-1:] in _SUFFIXES else word
    if not number.isdigit():
        raise ToolError(f'invalid value for {flag}: "{text}"')
    return int(number) << shift


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for kind, value in new.items():
        if isinstance(value, dict) and isinstance(merged.get(kind), dict):
            merged[kind] = {**merged[kind], **value}
        else:
            merged[kind] = value
    return merged
