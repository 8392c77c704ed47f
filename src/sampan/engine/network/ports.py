"""Published ports: from what was asked to what the host holds, and how it is shown. Pure, but for the last part.

`PublishedPort` (in the container's record, while it runs) is a run of ports, so that ten thousand are one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import ip_address

from sampan.engine.records import ContainerRecord, PublishedPort
from sampan.engine.services import Services
from sampan.errors import InvalidParameter, SampanError
from sampan.network.warden.holds import Held, Refused, Wanted
from sampan.spec.container import ContainerConfig, HostConfig, PortBinding

PROTOCOLS = ("tcp", "udp", "sctp")
MAX_PORT = 65535


def parse_port(text: str) -> tuple[int, str]:
    """`80/tcp` → (80, "tcp"). Raises InvalidParameter."""
    number, _, protocol = text.partition("/")
    protocol = protocol or "tcp"
    if not number.isascii() or not number.isdigit() or not 0 < int(number[:6]) <= MAX_PORT:
        raise InvalidParameter(f'invalid port specification: "{text}"')
    if protocol not in PROTOCOLS:
        raise InvalidParameter(f'invalid port specification: "{text}"')
    return int(number), protocol


def exposed_ports(config: ContainerConfig) -> Iterator[tuple[int, str]]:
    """The ranges of an image's EXPOSE as single ports."""
    for text in config.exposed_ports or {}:
        number, _, protocol = text.partition("/")
        first, _, last = number.partition("-")
        if not first.isdigit() or not (last or first).isdigit():
            continue
        for port in range(int(first), int(last or first) + 1):
            yield port, protocol or "tcp"


def wishes(config: ContainerConfig, host: HostConfig) -> list[Wanted]:
    """Fixed ports first, so that no free one is chosen that a later wish names. Raises InvalidParameter."""
    single = []
    bindings = host.port_bindings or {}
    for text, wanted in bindings.items():
        port, protocol = parse_port(text)
        single += [_wish(port, protocol, binding) for binding in wanted or [PortBinding()]]
    if host.publish_all_ports:
        bound = {parse_port(text) for text in bindings}
        single += [
            Wanted(protocol, port)
            for port, protocol in exposed_ports(config)
            if (port, protocol) not in bound
        ]
    single.sort(key=_order)
    return list(_runs(single))


def _order(wish: Wanted) -> tuple[int, str, tuple[str, ...], int, int]:
    kind = 0 if wish.first and wish.first == wish.last else 1 if wish.first else 2
    return kind, wish.protocol, wish.addresses, wish.first, wish.container_port


def _wish(port: int, protocol: str, binding: PortBinding) -> Wanted:
    text = binding.host_port.strip()
    first, _, last = text.partition("-")
    for word in text.split("-") if text else ():
        if not word.isascii() or not word.isdigit() or int(word[:6]) > MAX_PORT:
            raise InvalidParameter(f'invalid port specification: "{text}"')
    low, high = int(first or 0), int(last or first or 0)
    if high < low:
        raise InvalidParameter(f"invalid range specified for port: {text}")
    addresses = (_host_address(binding.host_ip),) if binding.host_ip else ()
    return Wanted(protocol, port, addresses, low, high)


def _host_address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise InvalidParameter(f"invalid IP address: {text}") from None


def _runs(single: list[Wanted]) -> Iterator[Wanted]:
    """Neighbours, fixed and in order, as one. What is asked for twice counts once."""
    current: Wanted | None = None
    for wish in single:
        if current is not None and wish.first == wish.last != 0 and _follows(current, wish):
            current = Wanted(
                current.protocol,
                current.container_port,
                current.addresses,
                current.first,
                wish.first,
                current.count + 1,
            )
            continue
        if wish == current:
            continue
        if current is not None:
            yield current
        current = wish
    if current is not None:
        yield current


def _follows(current: Wanted, wish: Wanted) -> bool:
    return (
        current.first != 0
        and current.last - current.first == current.count - 1
        and (current.protocol, current.addresses) == (wish.protocol, wish.addresses)
        and wish.first == current.first + current.count
        and wish.container_port == current.container_port + current.count
    )


def to_held(ports: tuple[PublishedPort, ...]) -> list[Held]:
    return [Held(p.protocol, p.address, p.host_port, p.container_port, p.count) for p in ports]


def from_held(held: list[Held]) -> tuple[PublishedPort, ...]:
    return tuple(
        PublishedPort(
            protocol=item.protocol,
            address=item.address,
            host_port=item.host_port,
            container_port=item.container_port,
            count=item.count,
        )
        for item in held
    )


def bindings(ports: tuple[PublishedPort, ...]) -> dict[str, list[tuple[str, int]]]:
    """{"80/tcp": [("0.0.0.0", 8080), …]}"""
    found: dict[str, list[tuple[str, int]]] = {}
    for item in ports:
        for offset in range(item.count):
            key = f"{item.container_port + offset}/{item.protocol}"
            found.setdefault(key, []).append((item.address, item.host_port + offset))
    return found


def refusal(record: ContainerRecord, refused: Refused) -> SampanError:
    """Docker's words."""
    address = f"[{refused.address}]" if ":" in refused.address else refused.address
    if refused.allocated:
        reason = f"Bind for {address}:{refused.port} failed: port is already allocated"
    else:
        place = f"{address}:{refused.port}/{refused.protocol}"
        text = os.strerror(refused.errno).lower()
        reason = f"failed to bind host port {place}: {text}"
    return SampanError(
        "failed to set up container networking: driver failed programming external connectivity "
        f"on endpoint {record.name} ({os.urandom(32).hex()}): {reason}"
    )


async def reserve(services: Services, record: ContainerRecord) -> tuple[PublishedPort, ...]:
    """Held from now on, all or none. Raises SampanError."""
    wanted = wishes(record.config, record.host_config)
    if not wanted:
        return ()
    try:
        return from_held(await services.networks.reserve_ports(record.id, wanted))
    except Refused as refused:
        raise refusal(record, refused) from None
