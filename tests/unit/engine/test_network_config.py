"""Verifies what the network room is told of the daemon's configuration."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

from sampan.engine.config import DaemonConfig
from sampan.engine.network_config import network_config
from sampan.engine.paths import Paths

PATHS = Paths("/data", "/exec")


def test_what_was_switched_is_remembered_in_the_run_folder() -> None:
    """Without a state file a daemon that comes back would forget which uplinks it guards."""
    assert network_config(DaemonConfig(), PATHS).state_file == "/exec/network.json"


def test_options_reach_the_network() -> None:
    """Each under its own name, parsed."""
    config = DaemonConfig(bip="10.1.0.1/16", fixed_cidr="10.1.2.0/24", mtu=1400, ip_masq=False)
    found = network_config(config, PATHS)
    assert (found.bridge, found.bip) == ("sampan0", IPv4Interface("10.1.0.1/16"))
    assert found.fixed_cidr == IPv4Network("10.1.2.0/24")
    assert (found.mtu, found.ip_masq, found.ip_forward) == (1400, False, True)
