"""What a container's monitor has to do for its log driver. Pure.

    json-file  lines in ID-json.log, which `inspect` shows as LogPath
    local      the same in a folder of its own, rotated and compressed unless told otherwise
    syslog, journald, fluentd    sent away by the monitor; a copy is kept, bounded, for `docker logs`
    none

Without `max-size` a json-file log is bounded all the same, at LIMIT in
two files; `max-size=-1` lifts it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace

from sampan.engine import log_addresses
from sampan.engine.config import ConfigError, parse_size
from sampan.engine.log_options import REMOTE, switch
from sampan.engine.log_tags import TagError, expand_tag
from sampan.engine.paths import Paths
from sampan.engine.records import ContainerRecord
from sampan.errors import SampanError
from sampan.monitor.messages import LogOptions, RemoteLog
from sampan.spec.container import LogConfig
from sampan.spec.durations import parse_duration

LIMIT = 512 << 20  # bytes of one json-file log without `max-size`
_LOCAL_SIZE, _LOCAL_FILES = "20m", "5"
_BUFFER = 1 << 20  # bytes that wait for a remote log


def config_of(record: ContainerRecord) -> tuple[str, Mapping[str, str]]:
    log = record.host_config.log_config or LogConfig()
    return log.type or "json-file", log.config or {}


def shown_path(paths: Paths, container_id: str, config: LogConfig | None) -> str:
    """`LogPath` of inspect: dockerd has it for json-file only."""
    return paths.log(container_id) if (config or LogConfig()).type in ("", "json-file") else ""


def log_file(paths: Paths, record: ContainerRecord) -> str:
    """Where its lines can be read; empty when nowhere."""
    driver, options = config_of(record)
    if driver == "json-file":
        return record.log_path
    if driver == "local":
        return os.path.join(paths.home(record.id), "local-logs", "container.log")
    if driver == "none" or switch(options, "cache-disabled"):
        return ""
    return os.path.join(paths.home(record.id), "container-cached.log")


def plan(paths: Paths, record: ContainerRecord, daemon_name: str) -> LogOptions:
    """What the monitor does with the output. Raises SampanError (a tag that cannot be made)."""
    driver, options = config_of(record)
    path = log_file(paths, record)
    kept = LogOptions()
    if driver == "json-file":
        kept = _files(path, options, "", str(LIMIT), "1", compress=False)
        chosen = attributes(record)
        if options.get("tag"):
            chosen["tag"] = _tag(record, daemon_name)
        kept = replace(kept, attributes=chosen)
    elif driver == "local":
        kept = _files(path, options, "", _LOCAL_SIZE, _LOCAL_FILES, compress=True)
    elif path:
        kept = _files(path, options, "cache-", _LOCAL_SIZE, _LOCAL_FILES, compress=True)
        kept = replace(kept, attributes=attributes(record))
    blocking = options.get("mode", "blocking") != "non-blocking"
    kept = replace(kept, blocking=blocking)
    if driver in REMOTE:
        kept = replace(kept, remote=_remote(record, driver, options, daemon_name))
    return kept


def _files(
    path: str, options: Mapping[str, str], prefix: str, size: str, files: str, *, compress: bool
) -> LogOptions:
    given = options.get(f"{prefix}max-size", size)
    return LogOptions(
        driver="json-file",
        path=path,
        max_size=0 if given == "-1" else parse_size(given),
        max_file=int(options.get(f"{prefix}max-file", files)),
        compress=switch(options, f"{prefix}compress", default=compress),
    )


def attributes(record: ContainerRecord) -> dict[str, str]:
    """The labels and variables that the options name: each line carries them."""
    _, options = config_of(record)
    environment = dict(v.split("=", 1) for v in record.config.env or [] if "=" in v)
    found: dict[str, str] = {}
    for option, values in (("labels", record.labels), ("env", environment)):
        for key in filter(None, options.get(option, "").split(",")):
            if key in values:
                found[key] = values[key]
        pattern = options.get(f"{option}-regex", "")
        if pattern:
            found |= {key: value for key, value in values.items() if re.search(pattern, key)}
    return found


def _tag(record: ContainerRecord, daemon_name: str) -> str:
    _, options = config_of(record)
    try:
        return expand_tag(options.get("tag", "") or "{{.ID}}", record, daemon_name)
    except TagError as error:
        raise SampanError(f"failed to initialize logging driver: {error}") from None


def _remote(
    record: ContainerRecord, driver: str, options: Mapping[str, str], daemon_name: str
) -> RemoteLog:
    buffer = options.get("fluentd-buffer-limit") or options.get("max-buffer-size") or _BUFFER
    try:
        limit = parse_size(buffer)
    except ConfigError:
        limit = _BUFFER
    return RemoteLog(
        driver=driver,
        address=log_addresses.address(driver, options).to_message(),
        tag=_tag(record, daemon_name),
        container_id=record.id,
        container_name=record.name,
        image_name=record.image_name,
        host_name=daemon_name,
        facility=log_addresses.facility(options),
        format=options.get("syslog-format", ""),
        attributes=attributes(record),
        buffer_limit=max(limit, 64 * 1024),
        retry_wait=parse_duration(options.get("fluentd-retry-wait") or "1s") / 1e9,
        max_retries=int(options.get("fluentd-max-retries") or 0),
        sub_second=switch(options, "fluentd-sub-second-precision"),
        request_ack=switch(options, "fluentd-request-ack"),
        tls=log_addresses.tls_options(options),
    )
