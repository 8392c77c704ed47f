"""Capabilities are chosen as dockerd chooses them, within what the daemon holds."""

from __future__ import annotations

import pytest

from sampan.errors import InvalidParameter
from sampan.spec.capabilities import choose_capabilities
from sampan.spec.defaults import ALL_CAPABILITIES, CAPABILITIES

EVERYTHING = frozenset(ALL_CAPABILITIES)


def choose(
    add: str, drop: str, *, privileged: bool = False, held: frozenset[str] = EVERYTHING
) -> list[str]:
    return choose_capabilities(add.split(), drop.split(), privileged=privileged, held=held)


def test_defaults() -> None:
    """Fourteen, which are the mask that security scanners know: a80425fb."""
    assert choose("", "") == list(CAPABILITIES)
    assert sum(1 << ALL_CAPABILITIES.index(name) for name in CAPABILITIES) == 0xA80425FB
    assert choose_capabilities(None, None, privileged=False, held=EVERYTHING) == list(CAPABILITIES)


def test_add_and_drop() -> None:
    """With and without prefix, in any case; doubles once; ALL in either list."""
    assert choose("net_admin CAP_NET_ADMIN Sys_Time", "") == [
        *CAPABILITIES,
        "CAP_NET_ADMIN",
        "CAP_SYS_TIME",
    ]
    assert choose("chown", "") == list(CAPABILITIES)
    assert choose("", "net_raw CHOWN") == [
        c for c in CAPABILITIES if c not in ("CAP_NET_RAW", "CAP_CHOWN")
    ]
    assert choose("all", "") == list(ALL_CAPABILITIES)
    assert choose("ALL", "CAP_SYS_ADMIN") == [c for c in ALL_CAPABILITIES if c != "CAP_SYS_ADMIN"]
    assert choose("", "all") == []
    assert choose("net_admin", "ALL") == ["CAP_NET_ADMIN"]
    assert choose("all", "all") == list(ALL_CAPABILITIES)
    assert choose("chown", "chown") == [c for c in CAPABILITIES if c != "CAP_CHOWN"] + ["CAP_CHOWN"]


def test_privileged_and_held() -> None:
    """Everything that the daemon holds, and never more, however it is asked for."""
    held = EVERYTHING - {"CAP_SYS_RESOURCE", "CAP_CHOWN"}
    assert set(choose("", "", privileged=True, held=held)) == held
    assert set(choose("ALL", "", held=held)) == held
    assert "CAP_CHOWN" not in choose("chown", "", held=held)


@pytest.mark.parametrize(
    ("add", "drop", "text"),
    [
        ("FOO", "", 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        ("", "cap_bar", 'invalid CapDrop: unknown capability: "CAP_BAR"'),
        ("CAP_ALL", "", 'invalid CapAdd: unknown capability: "CAP_ALL"'),
    ],
)
def test_unknown(add: str, drop: str, text: str) -> None:
    """Docker's words for a capability that there is not, privileged or not."""
    for privileged in (False, True):
        with pytest.raises(InvalidParameter) as error:
            choose(add, drop, privileged=privileged)
        assert str(error.value) == text
