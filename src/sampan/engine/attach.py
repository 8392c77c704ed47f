"""`docker attach`: check, then hand the client's connection to the monitor, or keep it until the start."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sampan.engine import logs, transitions
from sampan.engine.actor import Actor
from sampan.engine.create import attributes_of
from sampan.engine.doors import Monitor
from sampan.engine.logs import LogOptions
from sampan.engine.services import Services
from sampan.engine.streams import ClientStream
from sampan.errors import InvalidParameter, SampanError
from sampan.monitor import messages
from sampan.wire import detach, stdcopy

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AttachOptions:
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    stream: bool = False
    logs: bool = False
    detach_keys: str | None = None  # None: the default, ctrl-p,ctrl-q
    plain: bool = False  # no frames, whatever the container is


class Attachment:
    """An attach that was found possible. The API answers the upgrade, then calls `connect`."""

    def __init__(self, services: Services, actor: Actor, options: AttachOptions) -> None:
        self._services = services
        self._actor = actor
        self._options = options
        self.multiplexed = not (actor.record.tty or options.plain)  # 8-byte frames

    async def connect(self, client: ClientStream) -> None:
        """Take `client` over, in success and failure; returns when it is handed over or held.

        Never raises for the container's sake: a failure is written to the client.
        """
        try:
            if self._options.logs:
                await self._write_logs(client)
            if not self._options.stream:
                client.close()
                return
            said = attributes_of(self._actor.record)
            self._services.events.emit("container", "attach", self._actor.record.id, said)
            held = HeldClient(client, self._message(client.prefetched))
            await self._actor.do(lambda: self._join(held))
        except (SampanError, OSError, TimeoutError) as error:
            await client.say(str(error), multiplexed=self.multiplexed)
            client.close()
        except BaseException:
            client.close()
            raise

    async def _join(self, client: HeldClient) -> None:
        """A job: between two states of the container, so that the start is never missed."""
        actor = self._actor
        if actor.gone:
            client.close()
        elif actor.monitor is not None and actor.record.state.alive:
            await client.hand_over(actor.monitor)
        else:
            actor.hold(client)

    def _message(self, prefetched: bytes) -> messages.AttachOptions:
        options, config = self._options, self._actor.record.config
        keys = (options.detach_keys or detach.DEFAULT) if config.tty else None
        return messages.AttachOptions(
            stdin=options.stdin and config.open_stdin,
            stdout=options.stdout,
            stderr=options.stderr,
            multiplexed=self.multiplexed,
            detach_keys=keys,
            prefetched=prefetched,
        )

    async def _write_logs(self, client: ClientStream) -> None:
        wanted = LogOptions(stdout=self._options.stdout, stderr=self._options.stderr)
        if not (wanted.stdout or wanted.stderr):
            return
        stream = await logs.read_logs(self._services, self._actor.record.id, wanted)
        async for kind, data in stream.chunks:
            await client.write(stdcopy.frame(kind, data) if self.multiplexed else data)


@dataclass(slots=True)
class HeldClient:
    """A client with what it wants, until there is a monitor for it."""

    client: ClientStream
    options: messages.AttachOptions

    def abandoned(self) -> bool:
        return self.client.abandoned()

    async def hand_over(self, monitor: Monitor) -> None:
        """The client is the monitor's then; after a failure it is still here."""
        await monitor.attach(self.options, self.client.fd)
        self.client.close()

    def close(self) -> None:
        self.client.close()


def attach_container(services: Services, ref: str, options: AttachOptions) -> Attachment:
    """Raises NotFound, Conflict (paused, restarting), InvalidParameter (detach keys)."""
    actor = services.containers.actor(ref)
    transitions.check_attach(actor.record, ref)
    check_detach_keys(options.detach_keys, "Invalid detach keys ({}) provided")
    return Attachment(services, actor, options)


def check_detach_keys(keys: str | None, complaint: str) -> None:
    try:
        detach.parse(keys or "")
    except ValueError:
        raise InvalidParameter(complaint.format(keys)) from None
