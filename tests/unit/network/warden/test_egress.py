"""Verifies what is told of refusals, how logged packets are read, and how addresses of names are kept."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from sampan.linux.nft import NftError
from sampan.network.egress import Egress, Link
from sampan.network.warden import egress, flowlog
from sampan.network.warden.egress import BURST, Policies, Teller
from sampan.network.warden.flowlog import Packet, read_packet
from sampan.network.warden.loop import Loop

OWNER = "a" * 64
LINK = Link("sv1", "02:00:00:00:00:01", ("10.0.0.2",), ("10.0.0.0/24",), ("10.0.0.1",), True)
V4 = bytes.fromhex("4500002800010000400600000a000002c0000201") + struct.pack(">HH", 4000, 443)
V6 = (
    bytes.fromhex("6000000000000040")
    + ip_address("fd00::2").packed
    + ip_address("2001:db8::1").packed
    + bytes((17, 0, 0, 0, 0, 0, 0, 0))
    + struct.pack(">HH", 1, 53)
)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (V4, Packet("p", "10.0.0.2", "192.0.2.1", "tcp", 443)),
        (V4[:20], Packet("p", "10.0.0.2", "192.0.2.1", "tcp", 0)),
        (V4[:9] + b"\x2f" + V4[10:], Packet("p", "10.0.0.2", "192.0.2.1", "47", 0)),
        (V6[:6] + b"\x00" + V6[7:], Packet("p", "fd00::2", "2001:db8::1", "udp", 53)),
        (V4[:19], None),
        (V6[:39], None),
        (b"", None),
        (b"\x00" * 60, None),
    ],
)
def test_packets(data: bytes, found: Packet | None) -> None:
    """Both families, extension headers too; what is cut off is read as far as it goes."""
    assert read_packet("p", data) == found


def test_what_is_told_is_bounded() -> None:
    """The same once in ten seconds; of many only so many, and then how many were left out."""
    teller = Teller()
    assert teller.take({"address": "a"}, 100.0) == 0
    assert teller.take({"address": "a"}, 101.0) is None
    assert teller.take({"address": "a"}, 111.0) == 0
    told = [teller.take({"address": str(n)}, 112.0) for n in range(100)]
    assert told.count(0) == int(BURST)
    assert teller.take({"address": "z"}, 113.0) == 100 - int(BURST)
    assert len(teller.last) <= 100


class RecordingNft:
    """Refuses what begins with a text of `refuse`, once each."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.refuse: list[str] = []
        self.earlier = False  # whether there is a table of an earlier warden

    def run(self, commands: str) -> str:
        if commands.startswith("list table"):
            if not self.earlier:
                raise NftError("no such table")
            return ""
        for text in self.refuse:
            if text in commands:
                self.refuse.remove(text)
                raise NftError("no")
        self.ran.append(commands)
        return ""

    def made_by(self, thread_id: int) -> bool:
        return False

    def close(self) -> None:
        self.ran.append("closed")


class FakeLog:
    number = 7

    def __init__(self, loop: Loop, told: object) -> None:
        self.told = told

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def nft(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingNft]:
    monkeypatch.setattr(egress, "FlowLog", FakeLog)
    monkeypatch.setattr(egress.conntrack, "forget_flows_from", lambda source: 0)
    return RecordingNft()


def make(nft: RecordingNft, told: list[tuple[str, dict[str, str]]]) -> Policies:
    return Policies(Loop(), lambda owner, refusal: told.append((owner, refusal)), lambda: nft)


def test_a_policy_comes_and_goes(nft: RecordingNft) -> None:
    """The link first, then the rules; the same again is nothing; the last one takes the table along."""
    policies = make(nft, [])
    wanted = Egress("allow=a.example", (LINK,))
    policies.put(OWNER, "t-egress", wanted)
    assert [("netdev" in text, "sources4" in text) for text in nft.ran] == [
        (True, False),
        (False, True),
    ]
    count = len(nft.ran)
    policies.put(OWNER, "t-egress", wanted)
    assert len(nft.ran) == count
    policies.drop(OWNER)
    policies.drop(OWNER)
    assert "delete table inet t-egress" in nft.ran[-2]
    assert nft.ran[-1] == "closed"
    assert policies.policy(OWNER) is None


def test_an_heir(nft: RecordingNft) -> None:
    """Where an earlier warden's table stands, nothing of it goes before all are known whose policies count: not
    when the kernel refuses a change, not with the last that is known; then all else does, at once."""
    nft.earlier = True
    policies = make(nft, [])
    nft.refuse = ["sources4 { 10.0.0.2 : goto"]
    policies.put(OWNER, "t-egress", Egress("none", (LINK,)))
    assert "delete element inet t-egress sources4 { 10.0.0.2 }\n" in nft.ran
    policies.drop(OWNER)
    policies.settle([OWNER, "b" * 64])
    policies.mend()
    policies.put(OWNER, "t-egress", Egress("none", (LINK,)))
    assert not any("delete table" in text for text in nft.ran)
    other = replace(LINK, interface="sv2", addresses=("10.0.0.3",))
    policies.put("b" * 64, "t-egress", Egress("none", (other,)))
    [whole] = [text for text in nft.ran if "delete table inet" in text]
    assert "10.0.0.2 : goto" in whole
    assert "10.0.0.3 : goto" in whole
    [links] = [text for text in nft.ran if "delete table netdev" in text]
    assert '"sv1"' in links
    assert '"sv2"' in links


def test_an_heir_of_nobody(nft: RecordingNft) -> None:
    """Everything goes when there is nobody whose policy counts, or the last of them ends."""
    nft.earlier = True
    policies = make(nft, [])
    policies.put(OWNER, "t-egress", Egress("none", (LINK,)))
    policies.settle([OWNER, "b" * 64])
    policies.drop(OWNER)
    assert not any("delete table" in text for text in nft.ran)
    policies.drop("b" * 64)
    assert "delete table inet t-egress" in nft.ran[-2]
    assert nft.ran[-1] == "closed"


def test_a_policy_that_cannot_be_leaves_nothing(nft: RecordingNft) -> None:
    """When the link refuses the rules nobody has the policy, and the table goes."""
    policies = make(nft, [])
    nft.refuse = ["netdev"]
    with pytest.raises(NftError):
        policies.put(OWNER, "t-egress", Egress("none", (LINK,)))
    assert policies.policy(OWNER) is None
    assert "delete table inet t-egress" in nft.ran[0]


def test_addresses_of_names(nft: RecordingNft) -> None:
    """At least the floor; refreshed when it would end sooner; a table that is gone is written anew with them;
    too many are refused."""
    policies = make(nft, [])
    policies.put(OWNER, "t-egress", Egress("allow=a.example", (LINK,)))
    address = ip_address("203.0.113.1")
    assert policies.open_for(OWNER, frozenset((0,)), [(address, 1)])
    assert "{ 203.0.113.1 timeout 6s }" in nft.ran[-1]
    count = len(nft.ran)
    assert policies.open_for(OWNER, frozenset((0,)), [(address, 900)])
    assert "{ 203.0.113.1 timeout 901s }" in nft.ran[-1]
    assert policies.open_for(OWNER, frozenset((0,)), [(address, 60)])
    for _ in range(100):  # who asks all the time
        assert policies.open_for(OWNER, frozenset((0,)), [(address, 900)])
    assert len(nft.ran) == count + 1
    nft.refuse = ["a4_"]
    assert policies.open_for(OWNER, frozenset((443,)), [(address, 60)])
    nft.refuse = ["p4_"]
    other = ip_address("203.0.113.2")
    assert policies.open_for(OWNER, frozenset((443,)), [(other, 60)])
    again = next(text for text in reversed(nft.ran) if "delete table inet" in text)
    assert "203.0.113.1 timeout " in again
    assert "203.0.113.2 . udp . 443 timeout " in again
    many = [(ip_address((10 << 24) + n), 60) for n in range(3000)]
    assert not policies.open_for(OWNER, frozenset((0,)), many)


def test_whose_refusal(nft: RecordingNft) -> None:
    """By the rule's prefix; a forged source is said to be one; nobody's is passed over."""
    told: list[tuple[str, dict[str, str]]] = []
    policies = make(nft, told)
    policies.put(OWNER, "t-egress", Egress("none", (LINK,)))
    policies._on_packet(Packet(OWNER[:12], "10.0.0.2", "192.0.2.1", "udp", 53))
    policies._on_packet(Packet(f"{OWNER[:12]} source", "10.0.0.9", "192.0.2.1", "icmp", 0))
    policies._on_packet(Packet("b" * 12, "10.0.0.2", "192.0.2.1", "udp", 53))
    assert told == [
        (OWNER, {"address": "192.0.2.1", "protocol": "udp", "port": "53"}),
        (
            OWNER,
            {
                "address": "192.0.2.1",
                "protocol": "icmp",
                "reason": "not its own source",
                "source": "10.0.0.9",
            },
        ),
    ]


def test_constants_of_the_log() -> None:
    """What the rules copy is what is read."""
    assert flowlog.COPIED == 128
