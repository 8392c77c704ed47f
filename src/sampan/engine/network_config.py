"""What the daemon's configuration says to the network room."""

from __future__ import annotations

from sampan.engine.config import DaemonConfig
from sampan.engine.paths import Paths
from sampan.network.config import DEFAULT_BRIDGE, NetworkConfig, parse_bip, parse_fixed_cidr


def network_config(config: DaemonConfig, paths: Paths) -> NetworkConfig:
    """Raises InvalidParameter."""
    return NetworkConfig(
        bridge=config.bridge or DEFAULT_BRIDGE,
        bip=parse_bip(config.bip) if config.bip else None,
        fixed_cidr=parse_fixed_cidr(config.fixed_cidr) if config.fixed_cidr else None,
        mtu=config.mtu,
        ip_forward=config.ip_forward,
        ip_masq=config.ip_masq,
        state_file=paths.network_state,
    )
