"""The role `program`: one program of the host is run to its end, for what only it can tell (`ps`).

    args: path, arguments; fds: channel, output, errors          {"status"} | {"error", "kind", "errno"}

Standard input is /dev/null, the environment a bare minimum. Out of scope: what is run and why.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from sampan.linux.channel import Channel, Message

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "COLUMNS": "1000000",  # nothing is cut
}


def run(args: dict[str, Any], fds: list[int]) -> None:
    channel = Channel.adopt(fds[0])
    try:
        answer = _run(str(args["path"]), [str(word) for word in args["arguments"]], fds[1:3])
    except OSError as error:
        answer = {"error": error.strerror or str(error), "kind": "os", "errno": error.errno or 0}
    try:
        channel.send(answer)
    except OSError:
        pass  # nobody wants it any more


def _run(path: str, arguments: list[str], outputs: Sequence[int]) -> Message:
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, outputs[0], 1),
        (os.POSIX_SPAWN_DUP2, outputs[1], 2),
    ]
    pid = os.posix_spawnp(path, [path, *arguments], _ENVIRONMENT, file_actions=actions)
    return {"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
