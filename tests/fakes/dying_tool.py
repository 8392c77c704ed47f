"""`sampan-runtime` that is killed at a message: python -m tests.fakes.dying_tool WHO N ARGUMENTS…

WHO is "parent" (the command) or "child" (the init, or the process of an exec); N counts what that process sends
and receives, from 0. Before the message and after it are both places to die: odd N kill after it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from sampan.linux.channel import Channel
from sampan.runtime.main import entry


def main() -> None:
    who, at = sys.argv[1], int(sys.argv[2])
    parent = os.getpid()
    place = 0

    def point() -> None:
        nonlocal place
        # In a pid namespace of its own the child's pid is another number, never the parent's by accident: 1.
        if ("parent" if os.getpid() == parent else "child") == who:
            if place == at:
                os.kill(os.getpid(), signal.SIGKILL)
                os._exit(99)  # the first process of a pid namespace cannot kill itself
            place += 1

    def around(method: Any) -> Any:
        def call(*args: Any) -> Any:
            point()
            result = method(*args)
            point()
            return result

        return call

    Channel.send = around(Channel.send)  # type: ignore[method-assign]
    Channel.receive = around(Channel.receive)  # type: ignore[method-assign]
    sys.argv = ["sampan-runtime", *sys.argv[3:]]
    entry()


if __name__ == "__main__":
    main()
