"""The role `user-namespace`: a user namespace for one container, and a network namespace that belongs to it.

    args: uids, gids: [[inside, outside, how many], …]; network: whether one is wanted
    fds: channel, user namespace?: only a network namespace is wanted, that belongs to this one
    {} + [user namespace?, network namespace?]  |  {"error", "kind", "errno"}

The daemon has threads, and who has threads cannot change its user namespace (setns(2), unshare(2)).
"""

from __future__ import annotations

from typing import Any

from sampan.linux.channel import Channel, Message
from sampan.linux.kernel import LinuxKernel
from sampan.runtime.idmap import make_network_in, make_user_namespace


def run(args: dict[str, Any], fds: list[int]) -> None:
    channel = Channel.adopt(fds[0])
    try:
        made = _make(args, fds[1:])
        answer: Message = {}
    except OSError as error:
        text = error.strerror or str(error)
        answer, made = {"error": text, "kind": "os", "errno": error.errno or 0}, ()
    try:
        channel.send(answer, made)
    except OSError:
        pass  # nobody wants them any more


def _make(args: dict[str, Any], joined: list[int]) -> tuple[int, ...]:
    kernel = LinuxKernel()
    if joined:
        return (make_network_in(kernel, joined[0]),)
    uids, gids = ([tuple(entry) for entry in args[name]] for name in ("uids", "gids"))
    return make_user_namespace(kernel, uids, gids, network=bool(args["network"]))
