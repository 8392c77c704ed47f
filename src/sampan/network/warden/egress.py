"""Egress policies in force: the table, what names have opened in it, and who is told of refusals.

The warden is the only writer of the table, by the library: the daemon knows its changes from others' by the
process that made them (`healing.py`). Where the kernel refuses a change (somebody flushed it), it is written
anew, with what names have opened and is not over yet.

A warden that finds an earlier one's table is its heir: what stands there holds containers that it has not been
told of yet, and so it takes nothing away that is not its own, until `settle` says that it knows them all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from sampan.linux import conntrack
from sampan.linux.nft import LibraryNft, Nft, NftError
from sampan.network import egress as rules
from sampan.network.egress import CEILING, FLOOR, KEY, MAX_ADDRESSES, Egress, Opened
from sampan.network.warden.flowlog import FlowLog, Packet
from sampan.network.warden.loop import Loop
from sampan.spec.egress import Policy, parse

log = logging.getLogger(__name__)

AGAIN = 10.0  # seconds until the same refusal is told of again
SPARE = 1  # seconds more than was said: who asks all the time costs one change a second
BURST, RATE = 20.0, 2.0  # refusals that a container is told of at once, and each second

IPAddress = IPv4Address | IPv6Address
Refusal = dict[str, str]


@dataclass(slots=True)
class Held:
    egress: Egress
    policy: Policy
    opened: dict[Opened, float] = field(default_factory=dict)  # until when, by the monotonic clock


@dataclass(slots=True)
class Teller:
    """Bounds what is told of one container."""

    last: dict[tuple[tuple[str, str], ...], float] = field(default_factory=dict)
    tokens: float = BURST
    at: float = 0.0
    left_out: int = 0

    def take(self, refusal: Refusal, now: float) -> int | None:
        """None: not now; else how many were left out since the last one."""
        key = tuple(sorted(refusal.items()))
        self.last = {k: at for k, at in self.last.items() if now - at < AGAIN}
        if key in self.last:
            return None
        self.tokens, self.at = min(BURST, self.tokens + (now - self.at) * RATE), now
        if self.tokens < 1:
            self.left_out += 1
            return None
        self.tokens -= 1
        self.last[key] = now
        left_out, self.left_out = self.left_out, 0
        return left_out


class Policies:
    """In the network namespace of the thread that makes it. `tell(owner, refusal)`: `address`, `port`
    and `protocol` of what was refused, or the `host` that was asked for, and a `reason`."""

    def __init__(
        self,
        loop: Loop,
        tell: Callable[[str, Refusal], None],
        make_nft: Callable[[], Nft] = LibraryNft,
    ) -> None:
        self._loop = loop
        self._tell = tell
        self._make_nft = make_nft
        self._nft: Nft | None = None
        self._log: FlowLog | None = None
        self._table = ""
        self._heir = False
        self._awaited: set[str] | None = None  # by an heir: who is to be known
        self._held: dict[str, Held] = {}
        self._tellers: dict[str, Teller] = {}

    @property
    def owners(self) -> list[str]:
        return list(self._held)

    def policy(self, owner: str) -> Policy | None:
        held = self._held.get(owner)
        return held.policy if held is not None else None

    def put(self, owner: str, table: str, egress: Egress) -> None:
        """In force when this returns. All or nothing. Raises OSError, ValueError."""
        before = self._held.get(owner)
        if before is not None and before.egress == egress:
            return
        self._open(table)
        opened = before.opened if before is not None else {}
        self._held[owner] = Held(egress, parse(egress.policy), opened)
        try:
            self._write(owner, before)
        except BaseException:
            if before is None:
                self.drop(owner)
            else:
                self._held[owner] = before
            raise
        fresh = set(rules.addresses(egress))
        if before is not None:
            fresh -= set(rules.addresses(before.egress))
        # A flow that is under way passes: none of whoever had the address before.
        for text in fresh:
            conntrack.forget_flows_from(ip_address(text))
        self._inherit()

    def drop(self, owner: str) -> None:
        """Done twice, it does nothing."""
        held = self._held.pop(owner, None)
        self._tellers.pop(owner, None)
        if self._awaited is not None:
            self._awaited.discard(owner)
        if self._nft is None:
            return
        if held is None:
            self._inherit()
            return
        if not self._held and not self._heir:
            self._try(rules.removal(self._table))
            self._close()
            return
        if not self._try(rules.forget(self._table, owner, held.egress)):
            self._rewrite_quietly()
        for link in held.egress.links:
            self._try(rules.unbind(self._table, link))
        self._inherit()

    def settle(self, owners: Collection[str]) -> None:
        """These are all whose policies are to be in force. An heir that knows them all writes what it knows
        and nothing else; until it does it leaves what is there."""
        self._awaited = set(owners)
        self._inherit()

    def mend(self) -> None:
        """Somebody changed the table. Raises OSError."""
        if self._held:
            self._rewrite()

    def open_for(
        self, owner: str, ports: frozenset[int], addresses: Sequence[tuple[IPAddress, int]]
    ) -> bool:
        """A name has these addresses, for as many seconds. False: there are too many. Raises OSError."""
        held = self._held[owner]
        now = time.monotonic()
        opened = {item: until for item, until in held.opened.items() if until > now}
        wanted: dict[int, list[Opened]] = {}
        for address, ttl in addresses:
            seconds = min(max(ttl, FLOOR), CEILING)
            for port in ports:
                item = Opened(address, port)
                if opened.get(item, 0.0) < now + seconds:
                    wanted.setdefault(seconds + SPARE, []).append(item)
                    opened[item] = now + seconds + SPARE
        if len(opened) > MAX_ADDRESSES // 2:  # a port is two elements
            return False
        held.opened = opened
        commands = "".join(
            rules.opening(self._table, owner, items, seconds) for seconds, items in wanted.items()
        )
        if commands and not self._try(commands):
            self._rewrite()
        return True

    def refused_name(self, owner: str, host: str, reason: str) -> None:
        self._refuse(owner, {"host": host, "reason": reason})

    # The table

    def _open(self, table: str) -> None:
        self._table = table
        if self._nft is None:
            self._nft = self._make_nft()
            self._heir = self._try(f"list table inet {table}")
        if self._log is None:
            self._log = FlowLog(self._loop, self._on_packet)

    def _close(self) -> None:
        if self._nft is not None:
            self._nft.close()
            self._nft = None
        if self._log is not None:
            self._log.close()
            self._log = None

    @property
    def _group(self) -> int:
        assert self._log is not None
        return self._log.number

    def _inherit(self) -> None:
        if not self._heir or self._awaited is None or not self._held.keys() >= self._awaited:
            return
        self._heir, self._awaited = False, None
        if self._held:
            self._rewrite_quietly()
        else:
            self._try(rules.removal(self._table))
            self._close()

    def _write(self, owner: str, before: Held | None) -> None:
        egress = self._held[owner].egress
        had = rules.addresses(before.egress) if before is not None else []
        gone = [address for address in had if address not in rules.addresses(egress)]
        text = rules.frame(self._table) + rules.judge(self._table, owner, egress, gone, self._group)
        # The link first: a source that can be forged is none to judge by.
        for link in egress.links:
            self._run(rules.bind(self._table, owner, egress, link, self._group))
        if not self._try(text):
            if self._heir:
                self._take_addresses(egress)
                self._run(text)
            else:
                self._rewrite()
        for link in before.egress.links if before is not None else ():
            if link.interface not in {each.interface for each in egress.links}:
                self._try(rules.unbind(self._table, link))

    def _take_addresses(self, egress: Egress) -> None:
        """From whoever had them, and ended while there was no warden."""
        for address in rules.addresses(egress):
            self._try(rules.unjudge(self._table, address))

    def _rewrite(self) -> None:
        """The whole of it, in one transaction but for the links, each of which may just have gone."""
        text = "" if self._heir else rules.removal(self._table, ("inet",))
        text += rules.frame(self._table)
        for owner, held in self._held.items():
            text += rules.judge(self._table, owner, held.egress, (), self._group)
            text += "".join(self._reopened(owner, held))
        self._run(text)
        bound = [
            text
            for owner, held in self._held.items()
            for link in held.egress.links
            if self._try(text := rules.bind(self._table, owner, held.egress, link, self._group))
        ]
        if not self._heir:
            self._try(rules.removal(self._table, ("netdev", "bridge")) + "".join(bound))

    def _reopened(self, owner: str, held: Held) -> Iterator[str]:
        now = time.monotonic()
        for item, until in held.opened.items():
            if until > now + 1:
                yield rules.opening(self._table, owner, [item], int(until - now))

    def _rewrite_quietly(self) -> None:
        try:
            self._rewrite()
        except OSError as error:
            log.error("the egress policies could not be written: %s", error)

    def _run(self, commands: str) -> None:
        assert self._nft is not None
        self._nft.run(commands)

    def _try(self, commands: str) -> bool:
        try:
            self._run(commands)
        except NftError as error:
            log.info("%s: %s", self._table, error)
            return False
        return True

    # Refusals

    def _on_packet(self, packet: Packet) -> None:
        key, _, reason = packet.prefix.partition(" ")
        owner = next((each for each in self._held if each[:KEY] == key), None)
        if owner is None:
            return
        refusal = {"address": packet.destination, "protocol": packet.protocol}
        if packet.port:
            refusal["port"] = str(packet.port)
        if reason:
            refusal |= {"reason": f"not its own {reason}", "source": packet.source}
        self._refuse(owner, refusal)

    def _refuse(self, owner: str, refusal: Refusal) -> None:
        teller = self._tellers.setdefault(owner, Teller())
        left_out = teller.take(refusal, time.monotonic())
        if left_out is not None:
            self._tell(owner, {**refusal, "leftOut": str(left_out)} if left_out else refusal)
