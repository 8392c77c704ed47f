"""Networks, their long form, and which flags go to the first one."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.cli.container.flags import CREATE_FLAGS
from sampan.cli.container.networks import build_endpoints, check_mac, is_user_defined
from sampan.cli.flags import parse


def endpoints(*arguments: str) -> tuple[str, dict[str, Any]]:
    return build_endpoints(parse(CREATE_FLAGS, list(arguments))[0])


def test_the_first_network_gets_the_flags() -> None:
    mode, found = endpoints(
        "--network",
        "a",
        "--network",
        "name=b,alias=y,ip6=::2",
        "--ip",
        "1.2.3.4",
        "--network-alias",
        "x",
    )
    assert mode == "a"
    assert list(found) == ["a", "b"]
    assert (found["a"]["IPAMConfig"], found["a"]["Aliases"]) == ({"IPv4Address": "1.2.3.4"}, ["x"])
    assert (found["b"]["IPAMConfig"], found["b"]["Aliases"]) == ({"IPv6Address": "::2"}, ["y"])


def test_a_network_without_options_is_left_to_the_daemon() -> None:
    assert endpoints("--network", "host") == ("host", {})
    assert list(endpoints()[1]) == ["default"]
    assert list(endpoints("--network", "host", "--mac-address", "02:00:00:00:00:01")[1]) == ["host"]


def test_links_are_endpoints_on_networks_of_the_user_only() -> None:
    assert endpoints("--network", "mine", "--link", "a:b")[1]["mine"]["Links"] == ["a:b"]
    assert endpoints("--network", "bridge", "--link", "a:b")[1] == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("default", False),
        ("bridge", False),
        ("host", False),
        ("none", False),
        ("container:x", False),
        ("mine", True),
    ],
)
def test_which_networks_are_the_users(name: str, expected: bool) -> None:
    assert is_user_defined(name) is expected


@pytest.mark.parametrize(
    "text",
    [
        "02:42:ac:11:00:02",
        "02-42-AC-11-00-02",
        "0242.ac11.0002",
        "02:42:ac:11:00:02:03:04",
        " 02:42:ac:11:00:02 ",
    ],
)
def test_hardware_addresses(text: str) -> None:
    check_mac(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "02:42",
        "02:42:ac:11:00:0g",
        "02:42:ac:11:00:02:03",
        "2:42:ac:11:00:02",
        "02:42-ac:11:00:02",
    ],
)
def test_not_hardware_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid mac address"):
        check_mac(text)
