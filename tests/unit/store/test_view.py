"""How a worker of `docker cp` gets at a container's file system: as what, and over which mounts."""

from __future__ import annotations

import errno
import os

import pytest

from sampan.linux import constants as c
from sampan.store import copy_roles, view
from sampan.store.view import Attached, View
from tests.fakes.kernel import RecordingKernel

WHOLE = c.AT_EMPTY_PATH | c.AT_RECURSIVE


def settings(recorded: RecordingKernel) -> list[dict[str, object]]:
    """The keywords of every mount_setattr(2)."""
    return [
        dict(pair for pair in args if isinstance(pair, tuple))
        for name, args in recorded.calls
        if name == "mount_setattr"
    ]


def test_no_group_of_the_host_comes_along() -> None:
    """They go before the container's user namespace is entered: in there they might be nobody's to give up."""
    recorded = RecordingKernel()
    root, other = (os.open("/", os.O_PATH), os.open("/dev/null", os.O_PATH))
    try:
        copy_roles._root(recorded.kernel, {}, [root, other], writable=True)
    finally:
        os.close(root)
        os.close(other)
    names = [name for name, _ in recorded.calls]
    assert names == ["setgroups", "setns", "setresgid", "setresuid"]
    assert recorded.calls[0] == ("setgroups", ([],))


def test_the_users_of_the_host_are_the_containers() -> None:
    """Of what is bound into a container with a user namespace; nothing else is touched."""
    recorded = RecordingKernel()
    view._clone(recorded.kernel, Attached("/b", "/b", read_write=True, host_ids=True), 7)
    assert settings(recorded) == [{"attr_set": c.MOUNT_ATTR_IDMAP, "userns_fd": 7}]
    recorded = RecordingKernel()
    view._clone(recorded.kernel, Attached("/b", "/b", read_write=True), -1)
    assert settings(recorded) == []


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EPERM])
def test_where_they_cannot_be_nothing_is_written(number: int) -> None:
    """By a file system that has no id-mapped mounts, or under a mount that is one already."""
    recorded = RecordingKernel(errors={("mount_setattr", 0): OSError(number, "")})
    view._clone(recorded.kernel, Attached("/b", "/b", read_write=True, host_ids=True), 7)
    assert settings(recorded)[-1] == {"attr_set": c.MOUNT_ATTR_RDONLY}


def test_a_view_survives_the_message() -> None:
    """Every field of it."""
    mounts = (Attached("/a", "/b", read_write=False, host_ids=True),)
    whole = View(("lowerdir=/l",), "/f", mounts, "/p", read_only=True)
    assert View.from_message(whole.to_message()) == whole
