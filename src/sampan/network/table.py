"""The daemon's nft table as an object of the network thread: what it should be, and every change of it.

Each change is one transaction of the elements that differ. Where the kernel refuses one, somebody has
changed the table (or flushed it), and it is written as a whole. Nothing is ever read back.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TypeVar

from sampan.linux.nfqueue_rule import add_queue_rule
from sampan.linux.nft import Nft, NftError
from sampan.network import egress, firewall, foreign
from sampan.network.firewall import Forward, NetworkRules, Rules

log = logging.getLogger(__name__)

T = TypeVar("T")


class Table:
    def __init__(self, nft: Nft, name: str) -> None:
        self.name = name
        self._nft = nft
        self._written = False
        self._deferred = self._exists()
        self._networks: dict[str, NetworkRules] = {}
        self._forwards: dict[str, tuple[Forward, ...]] = {}
        self._guarded: tuple[str, ...] = ()
        self._queue = 0
        self._every = False

    def _exists(self) -> bool:
        try:
            self._nft.run(f"list chain {firewall.FAMILY} {self.name} forward")
        except NftError:
            return False
        return True

    @property
    def deferred(self) -> bool:
        """An earlier daemon's table stands until all of ours is known and `write` is called."""
        return self._deferred

    @property
    def rules(self) -> Rules:
        forwards = tuple(item for items in self._forwards.values() for item in items)
        networks = tuple(self._networks.values())
        return Rules(networks, forwards, self._guarded, self._queue, self._every)

    @property
    def guarded(self) -> tuple[str, ...]:
        return self._guarded

    def network(self, bridge: str) -> NetworkRules | None:
        return self._networks.get(bridge)

    def set_network(self, bridge: str, rules: NetworkRules | None) -> None:
        """None: it is no more."""
        before = self._networks.get(bridge)
        if before == rules and self._written:
            return
        _put(self._networks, bridge, rules)
        try:
            self._change(Rules(networks=_some(before)), Rules(networks=_some(rules)))
        except BaseException:
            _put(self._networks, bridge, before)
            raise

    def set_forwards(self, owner: str, forwards: Iterable[Forward]) -> None:
        """The published ports of a container, instead of those it had."""
        before, after = self._forwards.get(owner, ()), tuple(forwards)
        if before == after:
            return
        _put(self._forwards, owner, after or None)
        try:
            self._change(Rules(forwards=before), Rules(forwards=after))
        except BaseException:
            _put(self._forwards, owner, before or None)
            raise

    def set_guarded(self, names: Iterable[str]) -> None:
        before, after = self._guarded, tuple(sorted(names))
        if before == after and self._written:
            return
        self._guarded = after
        try:
            self._change(Rules(guarded=before), Rules(guarded=after))
        except BaseException:
            self._guarded = before
            raise

    @property
    def queue(self) -> int:
        return self._queue

    def set_queue(self, number: int, *, every: bool) -> None:
        """0: none. The chains are other ones then, and everything is written."""
        before = (self._queue, self._every)
        if (number, every) == before:
            return
        self._queue, self._every = number, every
        try:
            if self._written:
                self.write()
        except BaseException:
            self._queue, self._every = before
            raise

    def listing(self) -> str:
        """All rules of the host, foreign ones too: to be shown, nothing is decided by it. Raises NftError."""
        return self._nft.run("list ruleset")

    def danger(self) -> foreign.Danger:
        """Whether a foreign firewall may drop what ours allows."""
        return foreign.look(self._nft)

    def write(self) -> None:
        """The whole of it, whatever is there."""
        try:
            self._nft.run(firewall.whole(self.name, self.rules))
        except NftError:
            if not self._queue:
                raise
            # A kernel without the statement; a chain that stays empty for a moment lets through.
            self._nft.run(firewall.whole(self.name, self.rules, queueing=False))
            add_queue_rule(self.name, "allowed", self._queue)
        self._written, self._deferred = True, False

    def mend(self) -> None:
        """As `write`, once this daemon's table is in force."""
        if not self._deferred:
            self.write()

    def remove(self) -> None:
        self._nft.run(firewall.removal(self.name))
        self._written = False

    def remove_beside(self, table: str) -> None:
        """Of egress policies that an earlier warden left, when nobody has any."""
        try:
            self._nft.run(f"list table {firewall.FAMILY} {table}")
        except NftError:
            return
        self._nft.run(egress.removal(table))

    def made_by(self, thread_id: int) -> bool:
        """Whether a transaction of this thread (or process) was one of ours."""
        return self._nft.made_by(thread_id)

    def close(self) -> None:
        self._nft.close()

    def _change(self, before: Rules, after: Rules) -> None:
        if self._deferred:
            return
        if not self._written:
            self.write()
            return
        commands = firewall.change(self.name, before, after)
        if not commands:
            return
        try:
            self._nft.run(commands)
        except NftError as error:
            log.warning("the table %s is not what it was, it is written anew: %s", self.name, error)
            self.write()


def _put(where: dict[str, T], key: str, value: T | None) -> None:
    if value is None:
        where.pop(key, None)
    else:
        where[key] = value


def _some(rules: NetworkRules | None) -> tuple[NetworkRules, ...]:
    return () if rules is None else (rules,)
