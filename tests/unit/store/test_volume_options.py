"""The local driver's options: what is refused, and what mount(2) is asked."""

from __future__ import annotations

import pytest

from sampan.errors import InvalidParameter
from sampan.linux import constants as c
from sampan.store.volume_options import (
    MountCall,
    check_options,
    host_to_resolve,
    plan_mount,
    with_address,
)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"foo": "1"}, 'create v1: invalid option: "foo"'),
        ({"type": "tmpfs"}, 'create v1: missing required option: "device"'),
        ({"device": "x"}, 'create v1: missing required option: "type"'),
        ({"o": "ro"}, 'create v1: missing required option: "device"'),
        ({"size": "1m"}, "create v1: quota size requested but no quota support"),
    ],
)
def test_refused(options: dict[str, str], complaint: str) -> None:
    """In moby's words."""
    with pytest.raises(InvalidParameter) as caught:
        check_options("v1", options)
    assert str(caught.value) == complaint


def test_accepted() -> None:
    """None at all, and those that name a file system."""
    check_options("v1", {})
    check_options("v1", {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"})


@pytest.mark.parametrize(
    ("words", "flags", "propagation", "data"),
    [
        ("", 0, 0, ""),
        ("bind", c.MS_BIND, 0, ""),
        ("rbind,ro", c.MS_BIND | c.MS_REC | c.MS_RDONLY, 0, ""),
        ("ro,rw,noexec,nosuid,nodev", c.MS_NOEXEC | c.MS_NOSUID | c.MS_NODEV, 0, ""),
        ("size=10m,noatime,uid=3", c.MS_NOATIME, 0, "size=10m,uid=3"),
        ("bind,rslave", c.MS_BIND, c.MS_SLAVE | c.MS_REC, ""),
        ("defaults,,async", 0, 0, ""),
    ],
)
def test_words_of_o(words: str, flags: int, propagation: int, data: str) -> None:
    """Flags, propagation, and what the file system gets; of contradicting words the last counts."""
    call = plan_mount({"type": "t", "device": "d", "o": words})
    assert call == MountCall("d", "t", flags, propagation, data)


def test_a_plain_folder() -> None:
    """Without a device nothing is mounted."""
    assert plan_mount({}) is None


def test_what_was_tried() -> None:
    """As moby says it: flags and data only when there are some."""
    assert MountCall("d", "t", 0, 0, "").describe("/x") == "mount d:/x"
    call = MountCall("d", "t", c.MS_BIND, 0, "a=1")
    assert call.describe("/x") == "mount d:/x, flags: 0x1000, data: a=1"


@pytest.mark.parametrize(
    ("kind", "data", "host"),
    [
        ("nfs", "addr=server,rw", "server"),
        ("nfs4", "vers=4,addr=10.0.0.1", ""),
        ("nfs", "addr=::1", ""),
        ("nfs", "rw", ""),
        ("tmpfs", "addr=server", ""),
    ],
)
def test_names_that_are_looked_up(kind: str, data: str, host: str) -> None:
    """The kernel takes numbers only."""
    call = MountCall(":/x", kind, 0, 0, data)
    assert host_to_resolve(call) == host
    if host:
        assert with_address(call, "10.1.2.3").data == data.replace(host, "10.1.2.3")
