"""Verifies failures, the words between parent and init, cloning, undoing, and the host's side of a child."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from sampan.errors import ProtocolError
from sampan.linux import constants as c
from sampan.linux.channel import Channel
from sampan.runtime import sync
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.filters import seccomp_filter
from sampan.runtime.host import write_id_maps, write_oom_score
from sampan.runtime.spawn import clone_child, fill_standard_descriptors, keep_only
from sampan.runtime.undo import Undo, kill_and_reap
from tests.fakes.kernel import RecordingKernel

PREFIX = "unable to start container process: "


@pytest.mark.parametrize(
    ("error", "text", "path", "number"),
    [
        (OSError(errno.ENOENT, os.strerror(errno.ENOENT), "/a"),
         "step (/a): no such file or directory", "/a", errno.ENOENT),
        (OSError(errno.EINVAL, "Bad value for 'x'"), "step: invalid argument: Bad value for 'x'", "",
         errno.EINVAL),
        (OSError("odd"), "step: odd", "", 0),
        (ValueError("why"), "step: why", "", 0),
    ],
)  # fmt: skip
def test_an_error_becomes_a_failure_with_step_path_and_number(
    error: Exception, text: str, path: str, number: int
) -> None:
    failure = RuntimeFailure.during("step", error)
    assert str(failure) == f"{PREFIX}error during container init: {text}"
    assert (failure.step, failure.path, failure.errno) == ("step", path, number)
    assert str(RuntimeFailure.during("step", error, init=False)) == PREFIX + text
    assert RuntimeFailure.during("other", failure) is failure


def test_a_path_that_the_step_names_is_not_said_twice() -> None:
    error = OSError(errno.ENOENT, os.strerror(errno.ENOENT), "/a")
    failure = RuntimeFailure.during('error mounting "/a"', error)
    assert failure.message.endswith('error mounting "/a": no such file or directory')


def test_a_failure_travels_unharmed() -> None:
    failure = RuntimeFailure("x\udcff", step="s", path="/p\udcff", errno=5, exit_code=126)
    ours, theirs = Channel.pair()
    sync.tell_failure(theirs, failure)
    with pytest.raises(RuntimeFailure) as caught:
        sync.expect(ours, sync.READY)
    assert caught.value.to_message() == failure.to_message()
    ours.close()
    theirs.close()


def test_words_in_turn_out_of_turn_and_the_end() -> None:
    ours, theirs = Channel.pair()
    reader, writer = os.pipe()
    sync.tell(theirs, sync.READY, (reader,))
    fds = sync.expect(ours, sync.READY)
    assert fds is not None
    assert len(fds) == 1
    sync.tell(theirs, sync.LIMITED)
    with pytest.raises(ProtocolError, match=r"expected 'start', got \{'is': 'limited'\}"):
        sync.expect(ours, sync.START)
    sync.tell(theirs, sync.READY)
    with pytest.raises(ProtocolError, match="expected 'the end'"):
        sync.expect_end(ours)
    theirs.close()
    assert sync.expect(ours, sync.START) is None
    sync.expect_end(ours)
    with pytest.raises(RuntimeFailure, match="the parent is gone"):
        sync.expect_alive(ours, sync.LIMITED)
    sync.tell(ours, sync.START)  # nobody hears it, and that is no error
    ours.close()
    for fd in (reader, writer, *fds):
        os.close(fd)


def test_the_last_words_of_one_who_left_our_words_unread_are_heard() -> None:
    ours, theirs = Channel.pair()
    sync.tell(ours, sync.START)
    sync.tell_failure(theirs, RuntimeFailure("last words", step="s"))
    theirs.close()
    with pytest.raises(RuntimeFailure, match="last words"):
        sync.expect_end(ours)
    ours.close()


def test_a_child_is_cloned_with_signals_blocked_and_undumpable() -> None:
    fake = RecordingKernel(results={"block_signals": {1}})
    assert clone_child(fake.kernel, 7, cgroup_fd=9)[0] == 4242
    assert fake.calls == [
        ("prctl", (c.PR_SET_DUMPABLE, 0)),
        ("block_signals", ()),
        ("clone3", (7, ("cgroup", 9))),
        ("restore_signals", ({1},)),
    ]


def test_a_pid_namespace_is_for_one_child_only() -> None:
    fake = RecordingKernel(results={"block_signals": {1}})
    clone_child(fake.kernel, 0, pid_namespace=30)
    home = 100
    assert fake.calls[1:] == [
        ("openat2", (c.AT_FDCWD, "/proc/self/ns/pid", os.O_RDONLY)),
        ("setns", (30, c.CLONE_NEWPID)),
        ("block_signals", ()),
        ("clone3", (0, ("cgroup", -1))),
        ("setns", (home, c.CLONE_NEWPID)),
        ("close", (home,)),
        ("restore_signals", ({1},)),
    ]


def test_when_cloning_fails_the_caller_is_as_before() -> None:
    errors = {("clone3", 0): OSError(errno.ENOSPC, "too deep")}
    fake = RecordingKernel(results={"block_signals": set()}, errors=errors)
    with pytest.raises(OSError, match="too deep"):
        clone_child(fake.kernel, 0, pid_namespace=30)
    assert fake.calls[-3:] == [
        ("setns", (100, c.CLONE_NEWPID)),
        ("close", (100,)),
        ("restore_signals", (set(),)),
    ]


def test_a_parent_that_cannot_come_home_kills_the_child() -> None:
    errors = {("setns", 1): OSError(errno.EPERM, "lost")}
    fake = RecordingKernel(results={"block_signals": set()}, errors=errors)
    with pytest.raises(OSError, match="lost"):
        clone_child(fake.kernel, 0, pid_namespace=30)
    assert "restore_signals" in fake.names()
    assert fake.calls[-3:] == [
        ("pidfd_send_signal", (101, 9)),
        ("waitid", (101, os.WEXITED)),
        ("close", (101,)),
    ]


@pytest.mark.parametrize(
    ("keep", "ranges"),
    [
        ([], [(3, None)]),
        ([0, 1, 2], [(3, None)]),
        ([3], [(4, None)]),
        ([7, 5, 5, 1], [(3, 4), (6, 6), (8, None)]),
    ],
)
def test_all_descriptors_but_the_wanted_are_closed(
    keep: list[int], ranges: list[tuple[int, int | None]]
) -> None:
    fake = RecordingKernel()
    keep_only(fake.kernel, keep)
    last = (1 << 32) - 1
    assert fake.calls == [
        ("close_range", (low, last if high is None else high, 0)) for low, high in ranges
    ]


def test_closed_standard_descriptors_are_filled() -> None:
    fake = RecordingKernel(errors={("fstat", 1): OSError(errno.EBADF, "closed")})
    fill_standard_descriptors(fake.kernel)
    assert fake.named("openat2") == [("openat2", (c.AT_FDCWD, "/dev/null", os.O_RDWR))]
    assert [arguments for _, arguments in fake.named("fstat")] == [(0,), (1,), (2,)]


def test_steps_are_undone_last_first_and_a_failing_one_is_a_note() -> None:
    done: list[str] = []

    def step(name: str) -> Callable[[], None]:
        def run() -> None:
            done.append(name)
            if name == "b":
                raise OSError(errno.EBUSY, "busy")

        return run

    undo = Undo()
    for name in "abc":
        undo.add(name, step(name))
    error = ValueError("first")
    undo.run(error)
    assert done == ["c", "b", "a"]
    assert error.__notes__ == ["while undoing (b): [Errno 16] busy"]
    undo.run()
    assert len(done) == 3


@pytest.mark.parametrize(
    "errors",
    [
        {("pidfd_send_signal", 0): ProcessLookupError(errno.ESRCH, "x")},
        {("waitid", 0): ChildProcessError(errno.ECHILD, "x")},
        {},
    ],
)
def test_killing_what_may_be_gone_already(errors: dict[tuple[str, int], OSError]) -> None:
    fake = RecordingKernel(errors=errors)
    kill_and_reap(fake.kernel, 7)
    assert fake.calls[0] == ("pidfd_send_signal", (7, 9))
    assert fake.calls[-1] == ("close", (7,))


def test_the_oom_score_is_written_or_reported() -> None:
    fake = RecordingKernel()
    assert write_oom_score(fake.kernel, 5, None) == []
    assert fake.calls == []
    assert write_oom_score(fake.kernel, 5, -3) == []
    assert fake.calls == [
        ("openat2", (c.AT_FDCWD, "/proc/5/oom_score_adj", os.O_WRONLY)),
        ("write", (100, b"-3")),
        ("close", (100,)),
    ]
    refused = RecordingKernel(errors={("write", 0): PermissionError(errno.EACCES, "x")})
    assert "-999" in write_oom_score(refused.kernel, 5, -999)[0]
    assert refused.open_descriptors() == set()
    broken = RecordingKernel(errors={("write", 0): OSError(errno.EINVAL, "x")})
    with pytest.raises(OSError):
        write_oom_score(broken.kernel, 5, 5000)


def test_id_maps_take_one_write_each() -> None:
    fake = RecordingKernel()
    entry = {"containerID": 0, "hostID": 1000, "size": 10}
    more = {"containerID": 10, "hostID": 5000, "size": 1}
    write_id_maps(fake.kernel, 5, {"uidMappings": [entry, more], "gidMappings": [entry]})
    assert fake.named("write") == [
        ("write", (100, b"0 1000 10\n10 5000 1\n")),
        ("write", (101, b"0 1000 10\n")),
    ]


PROFILE: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW"}


def test_which_filter_applies() -> None:
    assert seccomp_filter({}, None) == (None, 0)
    assert seccomp_filter({}, b"given") == (b"given", 0)
    flagged = {**PROFILE, "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]}
    assert seccomp_filter({"linux": {"seccomp": flagged}}, b"given") == (b"given", 2)
    program, flags = seccomp_filter({"linux": {"seccomp": PROFILE}}, None)
    assert program
    assert flags == 0
    with pytest.raises(ValueError, match="SECCOMP_FILTER_FLAG_ODD"):
        odd = {**PROFILE, "flags": ["SECCOMP_FILTER_FLAG_ODD"]}
        seccomp_filter({"linux": {"seccomp": odd}}, None)
