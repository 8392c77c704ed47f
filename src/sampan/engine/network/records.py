"""What the engine knows about a network: one immutable record, the row's body in the database (JSON)."""

from __future__ import annotations

import hashlib

import msgspec
from msgspec import Struct, field

BRIDGE, HOST, NONE = "bridge", "host", "none"
BUILT_IN = (BRIDGE, HOST, NONE)
VERSION = 1


class Subnet(Struct, frozen=True, kw_only=True):
    """One IPAM configuration; all texts, as the user gave them or as they were chosen."""

    subnet: str
    gateway: str = ""
    ip_range: str = ""
    auxiliary: dict[str, str] = field(default_factory=dict)
    chosen: bool = False  # from the pools, not by the user


class NetworkRecord(Struct, frozen=True, kw_only=True):
    version: int = VERSION
    id: str  # 64 hex digits
    name: str
    created: int  # nanoseconds since the epoch; 0 for the built-in ones
    driver: str = "bridge"
    internal: bool = False
    attachable: bool = False
    config_only: bool = False
    config_from: str = ""
    ipv4: bool = True
    ipv6: bool = False
    subnets: tuple[Subnet, ...] = ()
    ipam_driver: str = "default"
    ipam_options: dict[str, str] | None = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    local_address: str = ""  # of a network across hosts: this host's, when it was made

    @property
    def built_in(self) -> bool:
        return self.name in BUILT_IN


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(NetworkRecord)


def encode(record: NetworkRecord) -> bytes:
    return _encoder.encode(record)


def decode(body: bytes) -> NetworkRecord:
    """Raises msgspec.ValidationError or msgspec.DecodeError when the row is not a record."""
    return _decoder.decode(body)


def built_in_id(name: str) -> str:
    """Of `host` and `none`; the bridge's is the room's."""
    return hashlib.sha256(f"sampan network {name}".encode()).hexdigest()


def built_in(name: str) -> NetworkRecord:
    driver = "null" if name == NONE else name
    return NetworkRecord(
        id=built_in_id(name), name=name, created=0, driver=driver, ipam_options=None
    )
