"""The role `warden`: serves daemons at a socket in the run folder until nothing is left to do."""

from __future__ import annotations

import logging
import os
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sampan.errors import ProtocolError
from sampan.linux import process
from sampan.linux.channel import Channel
from sampan.network.egress import from_message
from sampan.network.warden.egress import Policies
from sampan.network.warden.holds import Refused
from sampan.network.warden.hosts import Neighbourhood
from sampan.network.warden.loop import Loop
from sampan.network.warden.messages import (
    VERSION,
    Message,
    held_to_list,
    refused_to_message,
    wanted_from_list,
)
from sampan.network.warden.names import Names, view_from_message
from sampan.network.warden.ports import Ports
from sampan.network.warden.queue import Queue
from sampan.network.warden.resolver import Servers

log = logging.getLogger(__name__)

TITLE = "sampan-network"
OOM_SCORE = b"-500"
GRACE = 5.0  # seconds without a daemon and without anything to hold


class Server:
    def __init__(self, listener: socket.socket) -> None:
        self.loop = Loop()
        self.ports = Ports(self.loop)
        self.names = Names()
        self.hosts = Neighbourhood(self.loop, self.names)
        self.policies = Policies(self.loop, self._tell_refusal)
        self.servers = Servers(self.loop, self.names, self.hosts, self.policies)
        self.queue: Queue | None = None
        self._listener = listener
        self._connections: set[Channel] = set()
        self._events: set[Channel] = set()
        self._verbs: dict[str, Callable[[Message, list[int]], Message]] = {
            "hello": self._hello,
            "hold": self._hold,
            "aim": self._aim,
            "resolver": self._resolver,
            "mend": self._mend,
            "queue": self._first_packets,
            "overlay": self._overlay,
            "leave": self._leave_network,
            "release": self._release,
            "keep": self._keep,
            "quit": self._quit,
        }
        self.loop.watch(listener.fileno(), self._on_connection)
        self.loop.after(GRACE, self._end_when_idle)

    def adopt(self, channel: Channel) -> None:
        channel.sock.setblocking(False)
        self._connections.add(channel)
        self.loop.watch(channel.fileno(), lambda: self._on_readable(channel))

    def tell(self, event: Message) -> None:
        for channel in list(self._events):
            with suppress(OSError):
                channel.send({"event": event})

    @property
    def owners(self) -> set[str]:
        return {*self.ports.owners, *self.names.owners, *self.policies.owners}

    def _on_connection(self) -> None:
        with suppress(BlockingIOError):
            self.adopt(Channel(self._listener.accept()[0]))

    def _on_readable(self, channel: Channel) -> None:
        try:
            received = channel.receive()
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            received = None
        if received is None:
            self._lose(channel)
            return
        message, fds = received
        try:
            answer = self._answer(channel, message, fds)
        finally:
            for fd in fds:
                os.close(fd)
        try:
            channel.send({**answer, "n": message.get("n")})
        except OSError:
            self._lose(channel)

    def _answer(self, channel: Channel, message: Message, fds: list[int]) -> Message:
        verb = str(message.get("verb"))
        if verb == "listen":
            self._events.add(channel)
            return {}
        try:
            return self._verbs[verb](message, fds)
        except Refused as refused:
            return {"refused": refused_to_message(refused)}
        except (OSError, LookupError, ValueError, TypeError) as error:
            log.exception("%s failed", verb)
            return {"error": f"{verb}: {error}", "errno": getattr(error, "errno", None) or 0}

    def _lose(self, channel: Channel) -> None:
        self._connections.discard(channel)
        self._events.discard(channel)
        self.loop.forget(channel.fileno())
        channel.close()
        if not self._connections:
            self.loop.after(GRACE if self.owners else 0, self._end_when_idle)

    def _end_when_idle(self) -> None:
        if not self._connections and not self.owners and self.queue is None:
            self.loop.running = False

    # Verbs

    def _hello(self, message: Message, fds: list[int]) -> Message:
        return {
            "version": VERSION,
            "owners": sorted(self.owners),
            "holding": self.ports.owners,
            "pid": os.getpid(),
        }

    def _hold(self, message: Message, fds: list[int]) -> Message:
        wishes = [wanted_from_list(item) for item in message["wanted"]]
        made = self.ports.hold(message["owner"], wishes)
        return {"held": [held_to_list(item) for item in made.held]}

    def _aim(self, message: Message, fds: list[int]) -> Message:
        self.ports.aim(message["owner"], list(message["addresses"]))
        return {}

    def _release(self, message: Message, fds: list[int]) -> Message:
        owner = message["owner"]
        self.ports.release(owner)
        self.servers.stop(owner)
        self.names.drop(owner)
        self.policies.drop(owner)
        return {}

    def _resolver(self, message: Message, fds: list[int]) -> Message:
        owner = message["owner"]
        view = view_from_message(message)
        egress = message["egress"]
        if egress is not None:  # before it can ask anything
            self.policies.put(owner, str(message["table"]), from_message(egress))
        if not self.servers.serves(owner):
            self.servers.serve(owner, fds[0])
        self.names.put(owner, view)
        return {}

    def _mend(self, message: Message, fds: list[int]) -> Message:
        self.policies.mend()
        return {}

    def _tell_refusal(self, owner: str, refusal: dict[str, str]) -> None:
        self.tell({"owner": owner, "refused": refusal})

    def _overlay(self, message: Message, fds: list[int]) -> Message:
        self.hosts.put(
            str(message["network"]),
            vni=int(message["vni"]),
            local=str(message["local"]),
            port=int(message["port"]),
            peers=[str(item) for item in message["peers"]],
        )
        return {}

    def _leave_network(self, message: Message, fds: list[int]) -> Message:
        self.hosts.drop(str(message["network"]))
        return {}

    def _first_packets(self, message: Message, fds: list[int]) -> Message:
        if message["wanted"] and self.queue is None:
            self.queue = Queue(self.loop)
        elif not message["wanted"] and self.queue is not None:
            self.queue.close()
            self.queue = None
        return {"number": self.queue.number if self.queue else 0}

    def _keep(self, message: Message, fds: list[int]) -> Message:
        for owner in self.owners - set(message["owners"]):
            self._release({"owner": owner}, [])
        self.policies.settle(message["policed"])
        return {}

    def _quit(self, message: Message, fds: list[int]) -> Message:
        self.loop.running = False
        return {}


def run(args: dict[str, Any], fds: list[int]) -> None:
    """`args`: path of the socket. `fds`: the control channel, on which one message says that it serves."""
    _leave_daemon()
    process.set_title(TITLE)
    channel = Channel.adopt(fds[0])
    path = str(args["path"])
    with suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(
        socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    )
    mask = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen(8)
    server = Server(listener)
    channel.send({"serving": path})
    channel.close()
    try:
        server.loop.run()
    finally:
        with suppress(OSError):
            os.unlink(path)


def _leave_daemon() -> None:
    """Away from the daemon's session, terminal and place in the OOM killer's list."""
    os.setsid()
    os.chdir("/")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        hard = max(hard, 1 << 20)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with suppress(PermissionError), open("/proc/self/oom_score_adj", "wb", buffering=0) as file:
        file.write(OOM_SCORE)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1):
        os.dup2(null, fd)
    os.close(null)
