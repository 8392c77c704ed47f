"""What daemon and warden say to each other (`linux.channel`, one request at a time on a connection).

    daemon → warden   hello {version}                      → {version, owners}
    daemon → warden   hold {owner, wanted: […]}            → {held: […]} | {refused: {…}}
    daemon → warden   aim {owner, addresses}               → {}     where what is relayed goes
    daemon → warden   resolver {owner, places, links, servers, external, egress, table} + [namespace]   → {}
                                                                    serve names there (`names.View`), and
                                                                    hold the container to its egress policy
    daemon → warden   mend                                 → {}     somebody changed the rules of policies
    daemon → warden   queue {wanted}                       → {number}   answer first packets, or no more
    daemon → warden   overlay {network, vni, local, port, peers}   → {}   other hosts are asked for names
    daemon → warden   leave {network}                      → {}     and no more
    daemon → warden   release {owner}                      → {}     ports, names and resolver
    daemon → warden   keep {owners, policed}               → {}     release all others; who has an egress policy
    daemon → warden   quit                                 → {}     and it ends
    daemon → warden   listen                               → {}     this connection gets events from now on
    warden → daemon   event {refused: {…}, owner}          what a policy did not allow

`owner` is a container's id. A question's number `n` comes back in its answer: a daemon that has not waited for one
knows it by that when it comes after all. An answer with `error` is a failure of the machine: {error, errno}.
"""

from __future__ import annotations

from typing import Any

from sampan.network.warden.holds import Held, Refused, Wanted

VERSION = 4

Message = dict[str, Any]


def wanted_to_list(wanted: Wanted) -> list[Any]:
    return [
        wanted.protocol,
        wanted.container_port,
        list(wanted.addresses),
        wanted.first,
        wanted.last,
        wanted.count,
    ]


def wanted_from_list(items: list[Any]) -> Wanted:
    protocol, port, addresses, first, last, count = items
    return Wanted(protocol, port, tuple(addresses), first, last, count)


def held_to_list(held: Held) -> list[Any]:
    return [held.protocol, held.address, held.host_port, held.container_port, held.count]


def held_from_list(items: list[Any]) -> Held:
    return Held(*items)


def refused_to_message(refused: Refused) -> Message:
    names = ("protocol", "address", "port", "container_port", "errno", "allocated")
    return {name: getattr(refused, name) for name in names}
