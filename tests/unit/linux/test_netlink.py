"""Verifies the rtnetlink codec: our bytes are iproute2's, and what we read is what `ip -j` reads."""

from __future__ import annotations

import errno
import json
import shutil
import socket
import struct
import subprocess
from ipaddress import ip_address, ip_network

import pytest

from sampan.errors import ProtocolError
from sampan.linux.netlink import Rtnl, codec, messages
from sampan.linux.netlink.codec import Message, decode_messages, encode_message

needs_ip = pytest.mark.skipif(shutil.which("ip") is None, reason="iproute2 is not installed")
little = pytest.mark.skipif(struct.pack("=H", 1) != b"\1\0", reason="bytes of little-endian")

SEQUENCE = 0x6B052655
ADDRESS = ip_address("172.17.0.2")

# What iproute2 6.1 sends for these commands (strace -e write=all), but for the type of the two
# changes: iproute2 says RTM_NEWLINK without NLM_F_CREATE, which is RTM_SETLINK (0x13).
IPROUTE2 = [
    (
        "ip link add b0 type bridge",
        messages.add_bridge("b0"),
        "38000000100005065526056b0000000000000000000000000000000000000000"
        "070003006230000010001200 0a0001006272696467650000",
    ),
    (
        "ip link add v0 type veth peer name eth0",
        messages.add_veth("v0", peer_name="eth0"),
        "58000000100005065526056b0000000000000000000000000000000000000000"
        "0700030076300000300012000800010076657468240002002000010000000000"
        "00000000000000000000000009000300 6574683000000000",
    ),
    (
        "ip link set v0 up",
        messages.set_link(4, up=True),
        "20000000130005005526056b0000000000000000040000000100000001000000",
    ),
    (
        "ip link set v0 master b0",
        messages.set_link(4, master=2),
        "28000000130005005526056b0000000000000000040000000000000000000000 08000a0002000000",
    ),
    (
        "ip addr add 172.17.0.2/32 dev b0",
        messages.add_address(2, ADDRESS, 32),
        "28000000140005065526056b00000000 0220000002000000 08000200ac110002 08000100ac110002",
    ),
    (
        "ip route add default via 172.17.0.1 dev b0",
        messages.add_route(None, gateway=ip_address("172.17.0.1"), index=2),
        "2c000000180005065526056b00000000 02000000fe03000100000000"
        "08000500ac110001 0800040002000000",
    ),
    (
        "ip link del v0",
        messages.delete_link(4),
        "20000000110005005526056b0000000000000000040000000000000000000000",
    ),
]


@little
@pytest.mark.parametrize(
    ("request_", "sent"), [case[1:] for case in IPROUTE2], ids=[case[0] for case in IPROUTE2]
)
def test_bytes_are_those_of_iproute2(request_: messages.Request, sent: str) -> None:
    """Byte by byte."""
    ours = encode_message(request_.kind, request_.flags, SEQUENCE, request_.body)
    assert ours.hex() == bytes.fromhex(sent).hex()


def attributes_of(request: messages.Request, header: int) -> dict[int, bytes]:
    return codec.decode_attributes(request.body, header)


def test_optional_attributes() -> None:
    """What iproute2's commands above do not carry: names, MACs, MTU, alias, namespace, broadcast."""
    veth = messages.add_veth(
        "sv1", peer_name="eth0", peer_netns_fd=9, peer_mac="02:42:ac:11:00:02", mtu=1400, master=7
    )
    outer = attributes_of(veth, messages.IFINFOMSG.size)
    assert outer[messages.IFLA_MTU] == struct.pack("=I", 1400)
    assert outer[messages.IFLA_MASTER] == struct.pack("=I", 7)
    info = codec.decode_attributes(outer[messages.IFLA_LINKINFO])
    peer = codec.decode_attributes(info[messages.IFLA_INFO_DATA])[messages.VETH_INFO_PEER]
    inner = codec.decode_attributes(peer, messages.IFINFOMSG.size)
    assert inner[messages.IFLA_NET_NS_FD] == struct.pack("=I", 9)
    assert inner[messages.IFLA_ADDRESS] == bytes.fromhex("0242ac110002")
    change = attributes_of(
        messages.set_link(3, name="x", alias="sampan:x", netns_fd=5), messages.IFINFOMSG.size
    )
    assert change == {
        messages.IFLA_IFNAME: b"x\0",
        messages.IFLA_IFALIAS: b"sampan:x",
        messages.IFLA_NET_NS_FD: struct.pack("=I", 5),
    }
    wide = attributes_of(messages.add_address(1, ADDRESS, 16), messages.IFADDRMSG.size)
    assert wide[messages.IFA_BROADCAST] == ip_address("172.17.255.255").packed


def test_a_mac_must_be_six_octets() -> None:
    """Never cut, never filled."""
    for text in ("02:42:ac", "02:42:ac:11:00:02:03", "zz:zz:zz:zz:zz:zz"):
        with pytest.raises(ValueError):
            messages.encode_mac(text)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("=IHHII", 15, 16, 0, 1, 0),  # shorter than its header
        struct.pack("=IHHII", 20, 16, 0, 1, 0),  # longer than the datagram
    ],
)
def test_lengths_that_do_not_fit(data: bytes) -> None:
    """A message or an attribute that claims what is not there is an error, not a guess."""
    with pytest.raises(ProtocolError):
        list(decode_messages(data))
    with pytest.raises(ProtocolError):
        codec.decode_attributes(struct.pack("=HH", 3, 1))
    with pytest.raises(ProtocolError):
        codec.decode_attributes(struct.pack("=HH", 9, 1) + b"abcd")


def test_messages_of_one_datagram() -> None:
    """Padding between messages belongs to none of them."""
    data = encode_message(16, 0, 7, b"abcde") + encode_message(3, 2, 7, b"")
    assert list(decode_messages(data)) == [Message(16, 0, 7, b"abcde"), Message(3, 2, 7, b"")]


def extended(text: str) -> bytes:
    return codec.encode_string(codec.NLMSGERR_ATTR_MSG, text)


@pytest.mark.parametrize(
    ("kind", "flags", "body", "expected"),
    [
        (2, 0, struct.pack("=i", 0) + bytes(16), (0, "")),
        (2, 0x100, struct.pack("=i", -17) + bytes(16), (errno.EEXIST, "")),
        (2, 0x300, struct.pack("=i", -22) + bytes(16) + extended("why"), (errno.EINVAL, "why")),
        (
            2,
            0x200,
            struct.pack("=iI", -22, 20) + bytes(16) + extended("quoted"),
            (errno.EINVAL, "quoted"),
        ),
        (3, 0x200, struct.pack("=i", -105) + extended("dump"), (errno.ENOBUFS, "dump")),
        (3, 0, b"", (0, "")),
    ],
)
def test_failures(kind: int, flags: int, body: bytes, expected: tuple[int, str]) -> None:
    """Acknowledgements, errors with and without explanation, capped and not, ends of dumps."""
    failure = codec.decode_failure(Message(kind, flags, 1, body))
    assert (failure.errno, failure.text) == expected


def ip_json(*command: str) -> list[dict]:
    return json.loads(subprocess.run(["ip", "-j", *command], capture_output=True).stdout)


@needs_ip
def test_links_are_those_of_ip() -> None:
    """Index, name, MTU, MAC and state of every link here."""
    expected = {
        link["ifname"]: (link["ifindex"], link["mtu"], link["address"], "UP" in link["flags"])
        for link in ip_json("link")
    }
    with Rtnl() as rtnl:
        found = {x.name: (x.index, x.mtu, x.mac, x.up) for x in rtnl.links() if x.name in expected}
        loopback = rtnl.link("lo")
        assert rtnl.link(loopback.index) == loopback
    assert found == expected


@needs_ip
def test_addresses_and_routes_are_those_of_ip() -> None:
    """Of both families; routes of the main table."""
    addresses = {
        (link["ifindex"], info["local"], info["prefixlen"])
        for link in ip_json("addr")
        for info in link["addr_info"]
        if "local" in info
    }
    routes = {
        (route["dst"], route.get("gateway"), route["dev"]) for route in ip_json("-4", "route")
    }
    with Rtnl() as rtnl:
        names = {link.index: link.name for link in rtnl.links()}
        found = {(x.index, str(x.address), x.prefix) for x in rtnl.addresses()}
        ways = {
            (
                "default" if x.destination is None else str(x.destination).removesuffix("/32"),
                str(x.gateway) if x.gateway else None,
                names[x.index],
            )
            for x in rtnl.routes(socket.AF_INET)
            if x.table == messages.RT_TABLE_MAIN
        }
    assert found == addresses
    assert ways == routes


def test_an_unknown_link_is_enodev() -> None:
    """By name and by index; the subject is in the error."""
    with Rtnl() as rtnl:
        for unknown in ("no-such-link", 2**31 - 1):
            with pytest.raises(OSError) as caught:
                rtnl.link(unknown)
            assert caught.value.errno == errno.ENODEV
            assert str(unknown) in str(caught.value.filename)


def test_a_network_of_an_address() -> None:
    """Host bits do not count."""
    address = messages.Address(1, ADDRESS, 16)
    assert address.network == ip_network("172.17.0.0/16")


# The same, of links that stand on others and of VXLAN; iproute2 has some attributes in another order.
ON_OTHERS = [
    (
        "ip link add name c0 link va type macvlan mode private",
        messages.add_macvlan("c0", parent=3, mode="private", netns_fd=None),
        "4c000000100005064ea4056b0000000000000000000000000000000000000000080005000300000007000300"
        "633000001c0012000b0001006d6163766c616e000c0002000800010001000000",
    ),
    (
        "ip link add name c0 link va type ipvlan mode l3 private",
        messages.add_ipvlan("c0", parent=3, mode="l3", flag="private", netns_fd=None),
        "54000000100005064ea4056b0000000000000000000000000000000000000000080005000300000007000300"
        "63300000240012000a0001006970766c616e00001400020006000100010000000600020001000000",
    ),
    (
        "ip link add name c0 link va type vlan id 10",
        messages.add_vlan("c0", parent=3, vlan=10),
        "48000000100005064ea4056b0000000000000000000000000000000000000000080005000300000007000300"
        "63300000180012000800010076 6c616e0c000200060001000a000000",
    ),
    (
        "ip link add name c0 type dummy",
        messages.add_dummy("c0"),
        "38000000100005064ea4056b0000000000000000000000000000000000000000070003006330000010001200"
        "0900010064756d6d79000000",
    ),
    (
        "ip link add name c0 type vxlan id 42 local 10.0.0.1 dstport 4789",
        messages.add_vxlan("c0", vni=42, port=4789, local=ip_address("10.0.0.1")),
        "5c000000100005064ea4056b0000000000000000000000000000000000000000070003006330000034001200"
        "0900010076786c616e00000024000200080001002a000000080004000a00000105000700010000000600"
        "0f0012b50000",
    ),
    (
        "bridge fdb append 00:00:00:00:00:00 dev c0 dst 10.0.0.2",
        messages.flood(5, ip_address("10.0.0.2")),
        "300000001c00050c4fa4056b000000000700000005000000c00002000a000200000000000000000008000100"
        "0a000002",
    ),
]


def _tree(data: bytes, *, depth: int = 0) -> object:
    """Attributes by type, those of IFLA_LINKINFO and IFLA_INFO_DATA taken apart as well."""
    nested = {0: (18,), 1: (2,)}.get(depth, ())
    found = codec.decode_attributes(data)
    return {k: _tree(v, depth=depth + 1) if k in nested else v for k, v in found.items()}


@little
@pytest.mark.parametrize(("command", "request_", "recorded"), ON_OTHERS, ids=lambda x: str(x)[:40])
def test_links_on_others(command: str, request_: messages.Request, recorded: str) -> None:
    """Type, flags, header and every attribute are those that iproute2 sends."""
    (message,) = decode_messages(bytes.fromhex(recorded))
    assert (request_.kind, request_.flags) == (message.kind, message.flags)
    size = 12 if message.kind == messages.RTM_NEWNEIGH else messages.IFINFOMSG.size
    assert request_.body[:size] == message.body[:size]
    depth = 9 if message.kind == messages.RTM_NEWNEIGH else 0
    assert _tree(request_.body[size:], depth=depth) == _tree(message.body[size:], depth=depth)
