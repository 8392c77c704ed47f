"""What the daemon's configuration says about registries; every field has dockerd's default where it has one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.distribution.proxy import Proxies
from sampan.spec.version import VERSION


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds. There is no limit on the time of a blob, but on how slow it may come."""

    connect: float = 30.0
    document: float = 60.0  # a manifest, a token, an answer to an upload; from request to last byte
    silence: float = 60.0  # nothing at all arrives, or can be sent
    drip_window: float = 60.0  # in a window of waiting so long …
    drip_bytes: int = 64 << 10  # … at least this much has to arrive
    retry_base: float = 0.5
    retry_cap: float = 15.0
    retry_after: float = 60.0  # a registry that asks for more is not waited for


@dataclass(frozen=True, kw_only=True)
class Options:
    """`mirrors` are for docker.io; `prefix_mirrors` map a prefix of names (`quay.io`, `docker.io/library`) to base
    URLs, whose path comes before that of the repository. See `hosts.check` for what is refused."""

    mirrors: tuple[str, ...] = ()
    prefix_mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    insecure_registries: tuple[str, ...] = ()  # host[:port] or CIDR
    certs_dirs: tuple[str, ...] = ("/etc/sampan/certs.d", "/etc/docker/certs.d")
    proxies: Proxies = field(default_factory=Proxies)
    max_downloads: int = 3
    max_uploads: int = 5
    attempts: int = 5  # of a request that fails for a reason that may pass
    timeouts: Timeouts = field(default_factory=Timeouts)
    user_agent: str = f"sampan/{VERSION} ({os.uname().sysname.lower()}; {os.uname().machine})"
