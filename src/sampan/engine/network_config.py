"""What the daemon's configuration says to the network room."""

from __future__ import annotations

import zlib
from ipaddress import IPv6Network

from sampan.engine.config import DaemonConfig
from sampan.engine.paths import Paths
from sampan.network.config import (
    DEFAULT_BRIDGE,
    DEFAULT_POOLS,
    NO_BRIDGE,
    NetworkConfig,
    Pool,
    parse_bip,
    parse_fixed_cidr,
    parse_pool,
)


def network_config(config: DaemonConfig, paths: Paths) -> NetworkConfig:
    """Raises InvalidParameter."""
    return NetworkConfig(
        bridge=config.bridge or DEFAULT_BRIDGE,
        bip=parse_bip(config.bip) if config.bip else None,
        fixed_cidr=parse_fixed_cidr(config.fixed_cidr) if config.fixed_cidr else None,
        ipv6=config.ipv6,
        fixed_cidr6=IPv6Network(config.fixed_cidr_v6, strict=False)
        if config.fixed_cidr_v6
        else None,
        mtu=config.mtu,
        ip_forward=config.ip_forward,
        ip_masq=config.ip_masq,
        icc=config.icc,
        pools=pools(config),
        state_file=paths.network_state,
        warden_socket=paths.network_socket,
        publish_mode=config.publish_mode,
        # Without a bridge there is no name that two daemons of one host cannot share.
        owner=f"sampan_{zlib.crc32(paths.exec_root.encode()):08x}"
        if config.bridge == NO_BRIDGE
        else "",
    )


def pools(config: DaemonConfig) -> tuple[Pool, ...]:
    """`default-address-pools`, else those of the network room. Raises InvalidParameter."""
    named = tuple(parse_pool(item.base, item.size) for item in config.default_address_pools)
    return named or DEFAULT_POOLS
