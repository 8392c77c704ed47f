"""Verifies how network devices are given back: each for itself."""

from __future__ import annotations

import errno
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any, ClassVar, Self

import pytest

from sampan.linux import constants as c
from sampan.linux.netlink import rtnl
from sampan.linux.netlink.messages import Address
from sampan.runtime.netdevices import _Device, _give_back
from tests.fakes.kernel import RecordingKernel

HOME, PLACE = 50, 51


class Links:
    """A socket to links whose index is the number in their name; those of `stuck` do not move."""

    stuck: ClassVar[set[int]] = set()
    calls: ClassVar[list[tuple[Any, ...]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def link(self, name: str) -> Any:
        return SimpleNamespace(index=int(name[-1]))

    def add_address(self, index: int, address: Any, prefix: int) -> None:
        self.calls.append(("address", index, str(address), prefix))

    def set_link(self, index: int, **what: Any) -> None:
        if "netns_fd" in what and index in self.stuck:
            raise OSError(errno.EEXIST, f"link {index}")
        self.calls.append(("set", index, what))


def test_one_that_stays_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first error is told at the end; what has the name of one that stayed is not touched."""
    monkeypatch.setattr(rtnl, "Rtnl", Links)
    monkeypatch.setattr(Links, "stuck", {1, 3})
    monkeypatch.setattr(Links, "calls", [])
    address = Address(index=2, address=ip_address("198.51.100.7"), prefix=24)
    devices = [_Device(f"eth{n}", f"in{n}", True, [address], moved=n != 4) for n in (1, 2, 3, 4)]
    fake = RecordingKernel()
    with pytest.raises(OSError, match="link 1"):
        _give_back(fake.kernel, HOME, PLACE, devices)
    assert Links.calls == [
        ("set", 2, {"netns_fd": HOME, "name": "eth2"}),
        ("address", 2, "198.51.100.7", 24),
        ("set", 2, {"up": True}),
    ]
    assert fake.calls == [("setns", (PLACE, c.CLONE_NEWNET)), ("setns", (HOME, c.CLONE_NEWNET))]
