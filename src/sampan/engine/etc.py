"""A container's `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf`, written below its folder.

They are bind-mounted, so they are rewritten in place and never replaced. Their texts are `network/files.py`'s.
"""

from __future__ import annotations

import logging
import os

from sampan.engine.network import links
from sampan.engine.network.names import has_names
from sampan.engine.network.records import BRIDGE
from sampan.engine.records import ContainerRecord
from sampan.engine.services import Services
from sampan.errors import SampanError
from sampan.network import files
from sampan.network.files import Resolver

log = logging.getLogger(__name__)


def write_all(services: Services, record: ContainerRecord) -> None:
    """Before the start, when the addresses are not known yet. Blocking."""
    write_in_place(record.hostname_path, files.build_hostname(record.config.hostname))
    write_resolv_conf(services, record)
    write_hosts(services, record)


def write_hosts(services: Services, record: ContainerRecord) -> None:
    """With the addresses that it has. Raises InvalidParameter for an extra host that is none."""
    host, config = record.host_config, record.config
    bridge = services.networks.default
    content = files.build_hosts(
        hostname=config.hostname,
        domainname=config.domainname,
        addresses=[
            text
            for endpoint in record.endpoints.values()
            for text in (endpoint.address, endpoint.address6)
            if text
        ],
        extra=[*(host.extra_hosts or []), *links.hosts(services, record)],
        host_gateways=services.config.host_gateway_ips
        or [str(item) for item in (bridge and bridge.gateway, bridge and bridge.gateway6) if item],
    )
    if host.network_mode == "host":
        content = files.read_host(files.HOSTS) + content.removeprefix(files.DEFAULT_HOSTS)
    write_in_place(record.hosts_path, content)


def refresh_linking(services: Services, record: ContainerRecord) -> None:
    """It has just started, maybe with another address: who is linked to it finds it there."""
    if BRIDGE not in record.endpoints:
        return
    for other in links.linking(services, record):
        try:
            write_hosts(services, other)
        except (SampanError, OSError) as error:  # a matter of the other's, and it goes on
            log.error("container %s: its hosts file is stale: %s", other.id[:12], error)


def write_resolv_conf(services: Services, record: ContainerRecord) -> None:
    write_in_place(record.resolv_conf_path, _resolv_conf(services, record))


def _resolv_conf(services: Services, record: ContainerRecord) -> bytes:
    host, config = record.host_config, services.config
    resolver = Resolver(
        servers=host.dns or config.dns,
        search=host.dns_search or config.dns_search,
        options=host.dns_options or config.dns_opts,
    )
    found = files.read_host_resolv_conf()
    if has_names(record):
        return files.build_own_resolv_conf(found, resolver)
    return files.build_resolv_conf(found, resolver, host_network=host.network_mode == "host")


def write_in_place(path: str, content: bytes) -> None:
    """The same inode, so that a bind mount of it shows the new content."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, 0o644)
        file.write(content)
