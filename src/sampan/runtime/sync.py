"""What parent and init say to each other, over one socket pair. Anything else is an error; EOF is death.

    parent                                        init
      │ ── clone3 ──────────────────────────────▶ │
      │ ── mapped ──────────────────────────────▶ │  only with a user namespace: its ids are in force
      │    makes and limits the cgroup            │  makes its root, mounts, devices
      │ ◀───────────────────────────── mounted ── │  only where hooks of the parent wait for it
      │ ── limited ─────────────────────────────▶ │
      │                                           │  enters the cgroup, pivots, takes its identity,
      │                                           │  finds the command
      │ ◀─────────────── ready [+ terminal] ────  │  or failed
      │ ── start ───────────────────────────────▶ │
      │ ◀─────────────── EOF (execve) ──────────  │  or failed

Where the seccomp filter has a listener, init says `filter` with the number that the descriptor will have, and loads it.
The parent takes it out of init (pidfd_getfd(2)), since any call of init may have to wait for the listener's answer by
then, and `start` again lets init go on. Who may not take it says `send`, and gets `listener` with the descriptor.

A container that outlives its creator gets `leave` instead of `start`: from then on init waits at its gate, the
listening socket of `Request.gate`, and says the rest to the first that says `start` there.

An exec'd process is the same with only `start`, and `ready` only where it has a terminal.
"""

from __future__ import annotations

import os

from sampan.errors import ProtocolError
from sampan.linux.channel import Channel, Message
from sampan.runtime.failure import RuntimeFailure
from sampan.spec.typing import Any, Protocol

MAPPED = "mapped"
MOUNTED = "mounted"
LIMITED = "limited"
READY = "ready"
START = "start"
LEAVE = "leave"
FILTER = "filter"
SEND = "send"
LISTENER = "listener"
FAILED = "failed"


class Listening(Protocol):
    """Of the parent: where the listener's descriptor goes."""

    def take(self, channel: Channel, number: int) -> int | None:
        """It, or None when it has to be sent, or there is something to be heard instead."""

    def give(self, fd: int) -> None:
        """Hand it on."""


def tell(channel: Channel, word: str, fds: tuple[int, ...] = (), **more: int) -> None:
    """When the other side is gone nobody hears it; the next `expect` brings what it said last."""
    try:
        channel.send({"is": word, **more}, fds)
    except (BrokenPipeError, ConnectionResetError):
        pass


def tell_failure(channel: Channel, failure: RuntimeFailure) -> None:
    channel.send({"is": FAILED, **failure.to_message()})


def expect(channel: Channel, word: str) -> list[int] | None:
    """The descriptors that came with `word`; None when the other side is gone.

    Raises the other side's RuntimeFailure, or ProtocolError for a word out of turn.
    """
    received = _receive(channel)
    if received is None:
        return None
    message, fds = received
    if message.get("is") == word:
        return fds
    raise _unexpected(message, word)


def expect_alive(channel: Channel, word: str) -> None:
    """Like `expect`, for init, which cannot do without its parent."""
    if expect(channel, word) is None:
        raise RuntimeFailure("the parent is gone", step=f"wait for {word!r}")


def expect_listened(channel: Channel, listener: int) -> None:
    """In init: until the descriptor of its listener is in the right hands."""
    received = _receive(channel)
    if received is not None and received[0].get("is") == SEND:
        tell(channel, LISTENER, (listener,))
        received = _receive(channel)
    if received is None:
        raise RuntimeFailure("the parent is gone", step="wait for the listener")
    if received[0].get("is") != START:
        raise _unexpected(received[0], START)


def expect_end(channel: Channel, listening: Listening | None = None) -> None:
    """Wait until the other side is gone, or has become another program."""
    received = _receive(channel)
    if received is not None and received[0].get("is") == FILTER and listening is not None:
        fd = listening.take(channel, int(received[0]["at"]))
        if fd is None:
            tell(channel, SEND)
            fds = expect(channel, LISTENER)
            if not fds:
                raise RuntimeFailure("error during container init: init died", step="listener")
            fd = fds[0]
        listening.give(fd)
        tell(channel, START)
        received = _receive(channel)
    if received is not None:
        raise _unexpected(received[0], "the end")


def last_words(channel: Channel) -> RuntimeFailure | None:
    """The failure that the other side has told already: why what was done about it here did not work."""
    import select  # in the parent, and seldom

    while select.select([channel.sock], [], [], 0)[0]:
        received = _receive(channel)
        if received is None:
            return None
        message, fds = received
        for fd in fds:
            os.close(fd)
        if message.get("is") == FAILED:
            return RuntimeFailure.from_message(message)
    return None


def _receive(channel: Channel) -> tuple[Message, list[int]] | None:
    try:
        return channel.receive()
    except ConnectionResetError:
        # It went without reading all that we sent, unix(7); what it had sent itself comes after.
        return channel.receive()


def _unexpected(message: dict[str, Any], word: str) -> Exception:
    if message.get("is") == FAILED:
        return RuntimeFailure.from_message(message)
    return ProtocolError(f"expected {word!r}, got {message!r}")
