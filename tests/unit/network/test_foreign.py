"""Verifies whose forwarding rules are taken for a danger to what we allow."""

from __future__ import annotations

import pytest
from tests.fakes.links import FakeNft

from sampan.network import egress, foreign
from sampan.network.firewall import Rules, table_name, whole
from sampan.network.foreign import Danger


def chain(hook: str = "forward", policy: str = "accept", name: str = "FORWARD") -> str:
    return (
        f"\tchain {name} {{\n\t\ttype filter hook {hook} priority filter; policy {policy};\n\t}}\n"
    )


UFW = "\tchain ufw-before-forward {\n\t}\n"


@pytest.mark.parametrize(
    ("table", "chains", "danger"),
    [
        ("ip filter", chain(), Danger.FIRST),
        ("ip filter", chain(policy="drop"), Danger.EVERY),
        ("ip filter", UFW + chain(policy="drop"), Danger.FIRST),
        ("inet firewalld", chain(), Danger.FIRST),
        ("ip filter", chain("input", "drop"), Danger.NONE),
        ("bridge filter", chain(policy="drop"), Danger.NONE),
        ("inet sampan", chain(), Danger.NONE),
        ("inet sampan_br1", chain(), Danger.NONE),
    ],
)
def test_whose_rules(
    table: str, chains: str, danger: Danger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of bridged packets, of other hooks, or of a daemon like us."""
    monkeypatch.setattr(foreign, "uses_legacy", lambda: False)
    nft = FakeNft()
    listing = f"table {table} {{\n{chains}}}\n"
    monkeypatch.setattr(nft, "run", lambda commands: listing)
    assert foreign.look(nft) is danger


@pytest.mark.parametrize("bridge", ["sampan0", "br1", "a b-c", "é"])
def test_every_table_of_ours_is_known(bridge: str) -> None:
    """By the names that are really given; those that only look alike are another's."""
    own = table_name(bridge)
    assert foreign.is_own_kind(own)
    assert foreign.is_own_kind(egress.table_name(own))
    assert not foreign.is_own_kind(f"x{own}")
    assert not foreign.is_own_kind("sampanother")


def test_what_is_queued() -> None:
    """Nothing; first packets, where ours would accept them; answers too, before they are accepted."""
    plain, first = whole("sampan", Rules()), whole("sampan", Rules(queue=7))
    every = whole("sampan", Rules(queue=7, every=True))
    assert "queue" not in plain
    assert "VERDICT" not in plain + first + every
    assert "EVERY" not in plain + first + every
    assert "queue flags bypass to 7" in first
    assert "related oifname @bridges goto allowed" not in first
    assert every.index("related oifname @bridges goto allowed") < every.index("related accept")
    empty = whole("sampan", Rules(queue=7), queueing=False)
    assert "queue" not in empty.replace("add element", "")
