"""Volumes whose driver options name a file system (nfs, tmpfs, a bind): mounted while a container uses them.

As dockerd does it, at the volume's own folder, so that containers that share the volume share what is mounted.
A *holder* (a container's id) is written down in memory; after a restart of the daemon its owner holds again
what runs, and `sweep` takes off what nobody holds.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import defaultdict

from sampan.errors import SampanError
from sampan.store import jobs, volume_options
from sampan.store.volume_options import MountCall

DEADLINE = 120.0  # seconds, for a server that does not answer


class VolumeMounts:
    def __init__(self, root: str, spawn: jobs.Spawn) -> None:
        self._root = root
        self._spawn = spawn
        self._holders: dict[str, set[str]] = defaultdict(set)
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def hold(self, name: str, options: dict[str, str] | None, holder: str) -> None:
        """Mount it if its options say so and it is not. Raises SampanError, in moby's words."""
        call = volume_options.plan_mount(options or {})
        if call is None:
            return
        async with self._locks[name]:
            target = self.folder(name)
            if target not in self.mounted():
                await self._mount(call, target)
            self._holders[name].add(holder)

    async def release(self, name: str, holder: str) -> None:
        """The last holder takes the mount off. Raises OSError, SampanError."""
        if holder not in self._holders.get(name, ()):
            return
        async with self._locks[name]:
            self._holders[name].discard(holder)
            if not self._holders[name]:
                await self._unmount(self.folder(name))
                del self._holders[name]

    def hold_again(self, name: str, holder: str) -> None:
        """A container that an earlier daemon started: what it uses is mounted."""
        if self.folder(name) in self.mounted():
            self._holders[name].add(holder)

    async def take_off(self, name: str) -> None:
        """Before the volume's folder is removed: what is mounted there is not ours to empty."""
        async with self._locks[name]:
            if self.folder(name) in self.mounted():
                await self._unmount(self.folder(name))
        self._holders.pop(name, None)
        self._locks.pop(name, None)

    async def sweep(self) -> None:
        """After all that runs has been held again."""
        held = {self.folder(name) for name, holders in self._holders.items() if holders}
        for target in self.mounted() - held:
            await self._unmount(target)

    def folder(self, name: str) -> str:
        return os.path.join(self._root, name, "_data")

    def mounted(self) -> set[str]:
        """Places below our root at which something is mounted, as the kernel says."""
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            places = {line.split(" ", 5)[4] for line in file}
        return {place for place in places if place.startswith(self._root + "/")}

    async def _mount(self, call: MountCall, target: str) -> None:
        host = volume_options.host_to_resolve(call)
        if host:
            call = volume_options.with_address(call, await _resolve(host))
        arguments = {**call._asdict(), "target": target}
        try:
            async with asyncio.timeout(DEADLINE):
                await jobs.run(self._spawn, "mount-volume", arguments, [])
        except TimeoutError:
            raise _failure(call, target, "connection timed out") from None
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise _failure(call, target, reason) from None

    async def _unmount(self, target: str) -> None:
        await jobs.run(self._spawn, "unmount-volume", {"target": target}, [])


def _failure(call: MountCall, target: str, reason: str) -> SampanError:
    return SampanError(
        f"error while mounting volume '{target}': failed to mount local volume: "
        f"{call.describe(target)}: {reason}"
    )


async def _resolve(host: str) -> str:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SampanError(
            f"error resolving passed in network volume address: lookup {host}: {error.strerror}"
        ) from None
    return str(found[0][4][0])
