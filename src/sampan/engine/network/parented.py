"""Networks of the drivers macvlan and ipvlan: what their options say, in Docker's words. Pure."""

from __future__ import annotations

from ipaddress import IPv4Network

from sampan.engine.network.drivers import IPVLAN, MACVLAN, MTU, addressing, mtu_of
from sampan.engine.network.records import NetworkRecord
from sampan.errors import InvalidParameter
from sampan.network.config import ParentConfig, Pool

MODES = {MACVLAN: ("bridge", "private", "vepa", "passthru"), IPVLAN: ("l2", "l3", "l3s")}
FLAGS = ("bridge", "private", "vepa")


def parent_config(
    record: NetworkRecord,
    *,
    pools: tuple[Pool, ...] = (),
    avoid: tuple[IPv4Network, ...] = (),
) -> ParentConfig:
    """`pools`: as for bridges. Raises InvalidParameter."""
    kind, options = record.driver, record.options
    mode = options.get(f"{kind}_mode") or MODES[kind][0]
    if mode not in MODES[kind]:
        raise InvalidParameter(
            f"requested {kind} mode '{mode}' is not valid, '{MODES[kind][0]}' mode is the {kind} "
            "driver default"
        )
    flag = options.get("ipvlan_flag") or FLAGS[0]
    if kind == IPVLAN and flag not in FLAGS:
        raise InvalidParameter(
            f"requested ipvlan flag '{flag}' is not valid, 'bridge' flag is the ipvlan driver default"
        )
    parent = options.get("parent", "")
    if parent == "lo":
        raise InvalidParameter(f"loopback interface is not a valid {kind} parent link")
    place = addressing(record)
    return ParentConfig(
        network_id=record.id,
        name=record.name,
        kind=kind,
        parent=parent_of(record),
        mode=mode,
        flag=flag,
        gateway=place.gateway,
        gateway6=place.gateway6,
        allocation=place.allocation,
        allocation6=place.allocation6,
        reserved=place.reserved,
        mtu=mtu_of(options, 0) if options.get(MTU) else None,
        # Without a parent there is nobody outside.
        internal=record.internal or not parent,
        pools=pools,
        avoid=avoid,
        ipv4=record.ipv4,
    )


def parent_of(record: NetworkRecord) -> str:
    return record.options.get("parent") or f"dm-{record.id[:12]}"


def check_shared(config: ParentConfig, others: list[ParentConfig]) -> None:
    """Several networks may stand on one parent, but in the mode that takes it whole. InvalidParameter."""
    for other in others:
        if other.parent != config.parent or other.network_id == config.network_id:
            continue
        if config.kind != other.kind:
            raise InvalidParameter(
                f"network {other.name} is already using parent interface {config.parent}"
            )
        if config.mode == "passthru":
            raise InvalidParameter(
                f"cannot use mode passthru, {config.kind} network {other.network_id} is already using "
                f"parent interface {config.parent}"
            )
        if other.mode == "passthru":
            raise InvalidParameter(
                f"{config.kind} network {other.network_id} is already using parent interface "
                f"{config.parent} in mode passthru"
            )
