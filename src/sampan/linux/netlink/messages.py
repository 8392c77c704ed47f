"""The rtnetlink requests sampan makes and the answers it reads: links, addresses, routes, forwarding. Pure.

A request is the triple (type, flags, body); `rtnl.py` gives it a sequence number and sends it.
Names are those of linux/rtnetlink.h, if_link.h, if_addr.h and veth.h (man 7 rtnetlink).
Only IPv4 and IPv6 addresses and unicast routes are made; everything the kernel tells is read.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from sampan.linux.netlink.codec import (
    NLA_F_NESTED,
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    Message,
    decode_attributes,
    decode_string,
    decode_u32,
    encode_attribute,
    encode_string,
    encode_u32,
)

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_OPERSTATE, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_NET_NS_FD, IFLA_EXT_MASK = 16, 18, 20, 28, 29
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
IFLA_PROTINFO, IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 12, 4, 33
IFA_F_NODAD = 0x02
VETH_INFO_PEER = 1
RTEXT_FILTER_SKIP_STATS = 1 << 3
IFF_UP = 1
IF_OPER_UP = 6

IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
RT_TABLE_MAIN = 254
RT_TABLE_LOCAL = 255
RTPROT_BOOT = 3
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTN_UNICAST = 1

# if_link.h, if_vlan.h; the modes of macvlan are bits, those of ipvlan numbers
IFLA_VXLAN_ID, IFLA_VXLAN_LINK, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING = 1, 3, 4, 7
IFLA_VXLAN_PORT, IFLA_VXLAN_LOCAL6 = 15, 17
IFLA_MACVLAN_MODE, IFLA_IPVLAN_MODE, IFLA_IPVLAN_FLAGS, IFLA_VLAN_ID = 1, 1, 2, 1
MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}
NDA_DST, NDA_LLADDR = 1, 2
NUD_NOARP, NUD_PERMANENT, NTF_SELF = 0x40, 0x80, 0x02
EVERYBODY = "00:00:00:00:00:00"  # frames to nobody that is known

IFINFOMSG = struct.Struct("=BxHiII")  # family, type, index, flags, change
IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst, src, tos, table, protocol, scope, type, flags
NDMSG = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
U16 = struct.Struct("=H")
BE16 = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Request:
    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """`peer` is the index of a veth's other end, in its own namespace; 0 where there is none.

    `up` is what the administrator wants, `operational` whether packets pass (RFC 2863).
    """

    index: int
    name: str
    flags: int
    mtu: int
    mac: str
    kind: str
    master: int
    peer: int
    alias: str
    operstate: int

    @property
    def operational(self) -> bool:
        return self.operstate == IF_OPER_UP

    @property
    def up(self) -> bool:
        return bool(self.flags & IFF_UP)


@dataclass(frozen=True, slots=True)
class Address:
    index: int
    address: IPAddress
    prefix: int

    @property
    def network(self) -> IPNetwork:
        return ip_network(f"{self.address}/{self.prefix}", strict=False)


@dataclass(frozen=True, slots=True)
class Route:
    """`destination` None is a default route. `index` is 0 for routes with several next hops."""

    destination: IPNetwork | None
    gateway: IPAddress | None
    index: int
    table: int
    kind: int


def encode_mac(mac: str) -> bytes:
    octets = bytes.fromhex(mac.replace(":", ""))
    if len(octets) != 6:
        raise ValueError(f"not a MAC address: {mac}")
    return octets


def decode_mac(payload: bytes) -> str:
    return payload.hex(":")


def _family(address: IPAddress | IPNetwork) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _link_attributes(
    *,
    name: str | None = None,
    mac: str | None = None,
    mtu: int | None = None,
    master: int | None = None,
    alias: str | None = None,
    netns_fd: int | None = None,
) -> bytes:
    parts = []
    if name is not None:
        parts.append(encode_string(IFLA_IFNAME, name))
    if mac is not None:
        parts.append(encode_attribute(IFLA_ADDRESS, encode_mac(mac)))
    if mtu is not None:
        parts.append(encode_u32(IFLA_MTU, mtu))
    if master is not None:
        parts.append(encode_u32(IFLA_MASTER, master))
    if alias is not None:
        # No final zero: the kernel keeps every byte it gets.
        parts.append(encode_attribute(IFLA_IFALIAS, alias.encode()))
    if netns_fd is not None:
        parts.append(encode_u32(IFLA_NET_NS_FD, netns_fd))
    return b"".join(parts)


def _link_info(kind: str, data: bytes = b"") -> bytes:
    body = encode_attribute(IFLA_INFO_KIND, kind.encode())
    if data:
        body += encode_attribute(IFLA_INFO_DATA, data)
    return encode_attribute(IFLA_LINKINFO, body)


_CREATE = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
_CHANGE = NLM_F_REQUEST | NLM_F_ACK
_NEW_LINK = IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)


def add_bridge(name: str, *, mac: str | None = None, mtu: int | None = None) -> Request:
    attributes = _link_attributes(name=name, mac=mac, mtu=mtu)
    return Request(RTM_NEWLINK, _CREATE, _NEW_LINK + attributes + _link_info("bridge"))


def add_veth(
    name: str,
    *,
    peer_name: str,
    peer_netns_fd: int | None = None,
    mac: str | None = None,
    peer_mac: str | None = None,
    mtu: int | None = None,
    master: int | None = None,
) -> Request:
    """A pair, its second end made inside `peer_netns_fd`, so that it never shows in this one."""
    peer = _NEW_LINK + _link_attributes(
        name=peer_name, mac=peer_mac, mtu=mtu, netns_fd=peer_netns_fd
    )
    info = _link_info("veth", encode_attribute(VETH_INFO_PEER, peer))
    attributes = _link_attributes(name=name, mac=mac, mtu=mtu, master=master)
    return Request(RTM_NEWLINK, _CREATE, _NEW_LINK + attributes + info)


def add_vxlan(
    name: str, *, vni: int, port: int, local: IPAddress, mtu: int | None = None
) -> Request:
    """Without a group: where frames go is said by `flood`, and learnt from what comes."""
    local_kind = IFLA_VXLAN_LOCAL if local.version == 4 else IFLA_VXLAN_LOCAL6
    data = (
        encode_u32(IFLA_VXLAN_ID, vni)
        + encode_attribute(local_kind, local.packed)
        + encode_attribute(IFLA_VXLAN_PORT, BE16.pack(port))
        + encode_attribute(IFLA_VXLAN_LEARNING, b"\1")
    )
    attributes = _link_attributes(name=name, mtu=mtu)
    return Request(RTM_NEWLINK, _CREATE, _NEW_LINK + attributes + _link_info("vxlan", data))


def add_macvlan(
    name: str, *, parent: int, mode: str, netns_fd: int | None, mac: str | None = None
) -> Request:
    """Made inside the namespace; `parent` is an index of this one."""
    return _on_parent(
        "macvlan", encode_u32(IFLA_MACVLAN_MODE, MACVLAN_MODES[mode]), name, parent, netns_fd, mac
    )


def add_ipvlan(name: str, *, parent: int, mode: str, flag: str, netns_fd: int | None) -> Request:
    """As `add_macvlan`; it has its parent's MAC address."""
    data = encode_attribute(IFLA_IPVLAN_MODE, U16.pack(IPVLAN_MODES[mode]))
    data += encode_attribute(IFLA_IPVLAN_FLAGS, U16.pack(IPVLAN_FLAGS[flag]))
    return _on_parent("ipvlan", data, name, parent, netns_fd, None)


def add_vlan(name: str, *, parent: int, vlan: int) -> Request:
    """An 802.1Q sub-interface, beside its parent."""
    data = encode_attribute(IFLA_VLAN_ID, U16.pack(vlan))
    return _on_parent("vlan", data, name, parent, None, None)


def add_dummy(name: str) -> Request:
    return Request(
        RTM_NEWLINK, _CREATE, _NEW_LINK + _link_attributes(name=name) + _link_info("dummy")
    )


def probe_kind(kind: str) -> Request:
    """A link on no parent, which every kernel refuses: EOPNOTSUPP says that it has no such links."""
    return Request(
        RTM_NEWLINK, _CREATE, _NEW_LINK + _link_attributes(name="probe%d") + _link_info(kind)
    )


def _on_parent(
    kind: str, data: bytes, name: str, parent: int, netns_fd: int | None, mac: str | None
) -> Request:
    attributes = _link_attributes(name=name, mac=mac, netns_fd=netns_fd)
    attributes += encode_u32(IFLA_LINK, parent)
    return Request(RTM_NEWLINK, _CREATE, _NEW_LINK + attributes + _link_info(kind, data))


def flood(index: int, target: IPAddress, *, remove: bool = False) -> Request:
    """A VXLAN link sends frames for everybody, and for those it has not met, to this host as well."""
    header = NDMSG.pack(socket.AF_BRIDGE, index, NUD_NOARP | NUD_PERMANENT, NTF_SELF, 0)
    body = encode_attribute(NDA_LLADDR, encode_mac(EVERYBODY))
    body += encode_attribute(NDA_DST, target.packed)
    if remove:
        return Request(RTM_DELNEIGH, _CHANGE, header + body)
    flags = _CHANGE | NLM_F_CREATE | NLM_F_APPEND
    return Request(RTM_NEWNEIGH, flags, header + body)


def get_forwarding(index: int) -> Request:
    """All of a link's forwarding entries."""
    header = IFINFOMSG.pack(socket.AF_BRIDGE, 0, index, 0, 0)
    return Request(RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, header)


def decode_flood(message: Message) -> tuple[int, IPAddress] | None:
    """Index of the link and target; None for entries that are not of `flood`'s kind."""
    _, index, *_ = NDMSG.unpack_from(message.body)
    found = decode_attributes(message.body, NDMSG.size)
    if NDA_DST not in found or any(found.get(NDA_LLADDR, b"\1")):
        return None
    return index, ip_address(found[NDA_DST])


def set_link(
    index: int,
    *,
    up: bool | None = None,
    name: str | None = None,
    mac: str | None = None,
    mtu: int | None = None,
    master: int | None = None,
    alias: str | None = None,
    netns_fd: int | None = None,
) -> Request:
    """What is None stays. The kernel applies flags last, so a name and `up` can go together."""
    header = IFINFOMSG.pack(
        socket.AF_UNSPEC, 0, index, IFF_UP if up else 0, 0 if up is None else IFF_UP
    )
    attributes = _link_attributes(
        name=name, mac=mac, mtu=mtu, master=master, alias=alias, netns_fd=netns_fd
    )
    return Request(RTM_SETLINK, _CHANGE, header + attributes)


def isolate_port(index: int) -> Request:
    """A bridge's port that reaches only ports that are not isolated (Linux 4.18)."""
    header = IFINFOMSG.pack(socket.AF_BRIDGE, 0, index, 0, 0)
    flag = encode_attribute(IFLA_BRPORT_ISOLATED, b"\1")
    return Request(
        RTM_SETLINK, _CHANGE, header + encode_attribute(IFLA_PROTINFO | NLA_F_NESTED, flag)
    )


def reflect_port(index: int) -> Request:
    """A bridge's port that may send back what came in by it (hairpin mode)."""
    header = IFINFOMSG.pack(socket.AF_BRIDGE, 0, index, 0, 0)
    flag = encode_attribute(IFLA_BRPORT_MODE, b"\1")
    return Request(
        RTM_SETLINK, _CHANGE, header + encode_attribute(IFLA_PROTINFO | NLA_F_NESTED, flag)
    )


def delete_link(index: int) -> Request:
    return Request(RTM_DELLINK, _CHANGE, IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, 0, 0))


def get_link(link: int | str) -> Request:
    index = link if isinstance(link, int) else 0
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, 0, 0)
    body += encode_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    if isinstance(link, str):
        body += encode_string(IFLA_IFNAME, link)
    return Request(RTM_GETLINK, NLM_F_REQUEST, body)


def get_links() -> Request:
    body = IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    body += encode_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    return Request(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, body)


def _address_body(index: int, address: IPAddress, prefix: int, *, broadcast: bool) -> bytes:
    # We give each address once: waiting for another to claim it (DAD) would only cost a second.
    flags = IFA_F_NODAD if address.version == 6 else 0
    body = IFADDRMSG.pack(_family(address), prefix, flags, RT_SCOPE_UNIVERSE, index)
    body += encode_attribute(IFA_LOCAL, address.packed)
    body += encode_attribute(IFA_ADDRESS, address.packed)
    if broadcast and address.version == 4 and prefix < 31:
        last = ip_network(f"{address}/{prefix}", strict=False).broadcast_address
        body += encode_attribute(IFA_BROADCAST, last.packed)
    return body


def add_address(index: int, address: IPAddress, prefix: int) -> Request:
    body = _address_body(index, address, prefix, broadcast=True)
    return Request(RTM_NEWADDR, _CREATE, body)


def delete_address(index: int, address: IPAddress, prefix: int) -> Request:
    body = _address_body(index, address, prefix, broadcast=False)
    return Request(RTM_DELADDR, _CHANGE, body)


def get_addresses() -> Request:
    body = IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return Request(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, body)


def _route_body(
    destination: IPNetwork | None, gateway: IPAddress | None, index: int | None
) -> bytes:
    known = gateway if gateway is not None else destination
    family = socket.AF_INET if known is None else _family(known)
    scope = RT_SCOPE_UNIVERSE if gateway is not None else RT_SCOPE_LINK
    length = 0 if destination is None else destination.prefixlen
    body = RTMSG.pack(family, length, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0)
    if destination is not None:
        body += encode_attribute(RTA_DST, destination.network_address.packed)
    if gateway is not None:
        body += encode_attribute(RTA_GATEWAY, gateway.packed)
    if index is not None:
        body += encode_u32(RTA_OIF, index)
    return body


def add_route(
    destination: IPNetwork | None,
    *,
    gateway: IPAddress | None = None,
    index: int | None = None,
    replace: bool = False,
) -> Request:
    """`destination` None is the default route."""
    flags = _CHANGE | NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    return Request(RTM_NEWROUTE, flags, _route_body(destination, gateway, index))


def delete_route(
    destination: IPNetwork | None, *, gateway: IPAddress | None = None, index: int | None = None
) -> Request:
    return Request(RTM_DELROUTE, _CHANGE, _route_body(destination, gateway, index))


def get_routes(family: int = socket.AF_UNSPEC) -> Request:
    body = RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
    return Request(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, body)


def decode_link(message: Message) -> Link:
    _, _, index, flags, _ = IFINFOMSG.unpack_from(message.body)
    found = decode_attributes(message.body, IFINFOMSG.size)
    info = decode_attributes(found.get(IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=decode_string(found.get(IFLA_IFNAME, b"")),
        flags=flags,
        mtu=decode_u32(found[IFLA_MTU]) if IFLA_MTU in found else 0,
        mac=decode_mac(found.get(IFLA_ADDRESS, b"")),
        kind=decode_string(info.get(IFLA_INFO_KIND, b"")),
        master=decode_u32(found[IFLA_MASTER]) if IFLA_MASTER in found else 0,
        peer=decode_u32(found[IFLA_LINK]) if IFLA_LINK in found else 0,
        alias=decode_string(found.get(IFLA_IFALIAS, b"")),
        operstate=found.get(IFLA_OPERSTATE, b"\0")[0],
    )


def decode_address(message: Message) -> Address | None:
    """None for families that are not IP."""
    family, prefix, _, _, index = IFADDRMSG.unpack_from(message.body)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    found = decode_attributes(message.body, IFADDRMSG.size)
    # On a point-to-point link IFA_ADDRESS is the other side; IFA_LOCAL, where given, is ours.
    own = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
    return None if own is None else Address(index, ip_address(own), prefix)


def decode_route(message: Message) -> Route | None:
    """None for families that are not IP."""
    family, length, _, _, table, _, _, kind, _ = RTMSG.unpack_from(message.body)
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    found = decode_attributes(message.body, RTMSG.size)
    destination = None
    if RTA_DST in found:
        destination = ip_network((found[RTA_DST], length))
    return Route(
        destination=destination,
        gateway=ip_address(found[RTA_GATEWAY]) if RTA_GATEWAY in found else None,
        index=decode_u32(found[RTA_OIF]) if RTA_OIF in found else 0,
        table=decode_u32(found[RTA_TABLE]) if RTA_TABLE in found else table,
        kind=kind,
    )
