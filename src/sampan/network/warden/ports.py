"""All holds of the warden, and where each of them is relayed to."""

from __future__ import annotations

import errno
from ipaddress import ip_address

from sampan.network.warden.holds import ANY, BOTH, Hold, Refused, Wanted, hold
from sampan.network.warden.loop import Loop
from sampan.network.warden.relay import TcpPort, UdpPort


class Ports:
    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._holds: dict[str, Hold] = {}
        self._relays: dict[str, list[tuple[TcpPort | UdpPort, str, int]]] = {}

    @property
    def owners(self) -> list[str]:
        return list(self._holds)

    def hold(self, owner: str, wishes: list[Wanted]) -> Hold:
        """Instead of what it held. Raises Refused, which says whether another container is in the way."""
        self.release(owner)
        try:
            made = hold(owner, wishes)
        except Refused as refused:
            refused.allocated = refused.errno == errno.EADDRINUSE and self._is_ours(refused)
            raise
        self._holds[owner] = made
        return made

    def aim(self, owner: str, addresses: list[str]) -> None:
        """The container's addresses; a port is relayed to the one of its family, else to the first."""
        made = self._holds.get(owner)
        if made is None or not addresses:
            return
        if owner not in self._relays:
            self._relays[owner] = [
                (kind(self._loop, item.sock), item.address, item.container_port)
                for item in made.bound
                if item.sock is not None and (kind := _RELAYS.get(item.protocol))
            ]
        for relay, address, port in self._relays[owner]:
            version = ip_address(address or ANY[0]).version
            same = [each for each in addresses if ip_address(each).version == version]
            relay.target = ((same or addresses)[0], port)

    def release(self, owner: str) -> None:
        for relay, _, _ in self._relays.pop(owner, ()):
            relay.close()
        made = self._holds.pop(owner, None)
        if made is not None:
            made.close()

    def _is_ours(self, refused: Refused) -> bool:
        for made in self._holds.values():
            for item in made.bound:
                if (item.protocol, item.host_port) == (refused.protocol, refused.port) and (
                    item.address == refused.address
                    or {item.address, refused.address} & {*ANY, BOTH}
                ):
                    return True
        return False


_RELAYS: dict[str, type[TcpPort] | type[UdpPort]] = {"tcp": TcpPort, "udp": UdpPort}
