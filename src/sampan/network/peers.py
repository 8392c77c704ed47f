"""The hosts of a network, found by name: asked again and again, told when they have changed. On the loop.

The name is looked up as every program of the host looks it up (/etc/hosts, then DNS), and is this host's
own as well, whose address is left out. When nobody answers, the last that were found stay.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

log = logging.getLogger(__name__)

INTERVAL = 5.0  # seconds between questions
DEADLINE = 20.0  # seconds for an answer

IPAddress = IPv4Address | IPv6Address


async def look_up(name: str) -> tuple[IPAddress, ...]:
    """Sorted. Raises OSError: nobody knows the name, or nobody answers."""
    loop = asyncio.get_running_loop()
    question = loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    try:
        answers = await asyncio.wait_for(question, DEADLINE)
    except UnicodeError:  # an empty label, or a long one
        raise OSError(errno.EINVAL, "not a host's name") from None
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, "no answer in time") from None
    found = {ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers}
    return tuple(sorted(found, key=lambda item: (item.version, int(item))))


async def follow(name: str, changed: Callable[[tuple[IPAddress, ...]], Awaitable[None]]) -> None:
    """Until cancelled. What `changed` raises is logged, and it is tried again."""
    known: tuple[IPAddress, ...] | None = None
    while True:
        with suppress(OSError):
            found = await look_up(name)
            if found != known:
                try:
                    await changed(found)
                    known = found
                except Exception as error:
                    log.error("the peers at %s are not told: %s", name, error)
        await asyncio.sleep(INTERVAL)
