"""SIGHUP: what dockerd reads again of daemon.json, and tells of as the daemon's event `reload`.

A key that is no longer in the file keeps its last value, the limits of transfers and `features` excepted, which go back
to the flag's or the default. What is bad changes nothing and is said in the log. Other keys count at the next start.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Set
from typing import Any

import msgspec

from sampan.engine import journal, runtimes, system
from sampan.engine.config import OWN_RUNTIME, ConfigError, DaemonConfig, check, gather, parse_size
from sampan.engine.registries import options_of
from sampan.engine.services import Services
from sampan.errors import SampanError

log = logging.getLogger("sampan")

_KEEP = (
    *("debug", "log-level", "labels", "live-restore", "shutdown-timeout", "insecure-registries"),
    *("registry-mirrors", "registry-prefix-mirrors", "runtimes", "default-runtime"),
)
_RESET = (
    *("max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts", "features"),
)


def reload(services: Services | None, flags: dict[str, Any], path: str | None) -> None:
    """Read the file again. Without services there is nothing but the log yet."""
    log.info("got signal to reload the configuration")
    try:
        read, given = gather(flags, path)
        if services is None:
            journal.set_up(read.log_level, debug=read.debug)
            return
        config = check(merged(services.config, read, given))
        services.distribution.reconfigure(options_of(config, os.environ))
    except (ConfigError, SampanError) as error:
        log.error("cannot reload the configuration: %s", error)
        return
    services.live.config = config
    journal.set_up(config.log_level, debug=config.debug)
    services.events.emit(
        "daemon", "reload", system.installation_id(services), _attributes(services)
    )


def merged(old: DaemonConfig, read: DaemonConfig, given: Set[str]) -> DaemonConfig:
    """`old` with what may change; `given` are the keys of the file."""
    keys = [*_RESET, *(key for key in _KEEP if key in given)]
    names = [key.replace("-", "_") for key in keys]
    return msgspec.structs.replace(old, **{name: getattr(read, name) for name in names})


def _attributes(services: Services) -> dict[str, str]:
    """dockerd's names and forms."""
    config = services.config
    cgroupns = "private" if services.host.unified_cgroups else "host"
    return {
        "name": services.host.name(),
        "debug": _go(config.debug),
        "default-cgroupns-mode": config.default_cgroupns_mode or cgroupns,
        "default-ipc-mode": config.default_ipc_mode,
        "default-runtime": config.default_runtime or OWN_RUNTIME,
        "default-shm-size": str(parse_size(config.default_shm_size)),
        "features": _map(config.features),
        "insecure-registries": _list(config.insecure_registries),
        "labels": _list(config.labels),
        "live-restore": _go(config.live_restore),
        "max-concurrent-downloads": str(config.max_concurrent_downloads),
        "max-concurrent-uploads": str(config.max_concurrent_uploads),
        "max-download-attempts": str(config.max_download_attempts),
        "registry-mirrors": _list(config.registry_mirrors),
        "runtimes": " ".join(
            f"{name}:{runtime['path']}" for name, runtime in runtimes.described(config).items()
        ),
        "shutdown-timeout": str(config.shutdown_timeout),
    }


def _go(value: bool) -> str:
    return "true" if value else "false"


def _list(values: tuple[str, ...]) -> str:
    """As Go's encoding/json writes it."""
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _map(values: Mapping[str, bool]) -> str:
    return "map[" + " ".join(f"{key}:{_go(values[key])}" for key in sorted(values)) + "]"
