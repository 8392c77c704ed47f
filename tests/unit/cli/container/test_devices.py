"""Devices and GPUs."""

from __future__ import annotations

import pytest

from sampan.cli.container.devices import parse_gpus, split_devices


@pytest.mark.parametrize(
    ("text", "outside", "inside", "mode"),
    [
        ("/dev/a", "/dev/a", "/dev/a", "rwm"),
        ("/dev/a:r", "/dev/a", "/dev/a", "r"),
        ("/dev/a:/dev/b", "/dev/a", "/dev/b", "rwm"),
        ("/dev/a:/dev/b:wm", "/dev/a", "/dev/b", "wm"),
        ("/dev/x/../a", "/dev/a", "/dev/a", "rwm"),
        ("//dev//a", "/dev/a", "/dev/a", "rwm"),
    ],
)
def test_mappings(text: str, outside: str, inside: str, mode: str) -> None:
    mapping = {"PathOnHost": outside, "PathInContainer": inside, "CgroupPermissions": mode}
    assert split_devices([text]) == ([mapping], [])


@pytest.mark.parametrize("text", ["vendor.com/class=name", "a1/b-c=0", "v-x.y/c=a:b.c_d-e"])
def test_names_of_cdi_devices(text: str) -> None:
    assert split_devices([text]) == ([], [text])


@pytest.mark.parametrize(
    "text",
    ["", "dev", "/dev/a:x", "/dev/a:/b:rr", "/a:/b:r:w", ":/x", "1a/b=c", "a/b/c=d", "a/b=-"],
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError):
        split_devices([text])


def test_gpus() -> None:
    assert parse_gpus("all")["Count"] == -1
    assert parse_gpus("2")["Count"] == 2
    assert parse_gpus("driver=x")["Count"] == 1
    assert parse_gpus('"device=0,1"') | {"x": 1} == {
        "Driver": "",
        "Count": 0,
        "DeviceIDs": ["0", "1"],
        "Capabilities": [["gpu"]],
        "Options": {},
        "x": 1,
    }
    for text in ("x", "count=1,count=2", "what=1", "1.5"):
        with pytest.raises(ValueError):
            parse_gpus(text)
