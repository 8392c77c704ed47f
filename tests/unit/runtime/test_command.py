"""Verifies identity, limits, look-up of the command: what is taken on, in which order, with which words."""

from __future__ import annotations

import errno
import os
import signal
import stat
from typing import Any

import pytest

from sampan.linux import constants as c
from sampan.linux.capabilities import CAP_SYS_ADMIN, CapabilitySets
from sampan.linux.channel import Channel
from sampan.runtime.command import (
    STREAMS,
    Command,
    become,
    enter_directory,
    give_stdio,
    launch,
    parse_capabilities,
    parse_command,
    take_stdio,
)
from sampan.runtime.failure import RuntimeFailure
from sampan.runtime.lookup import find_command
from sampan.runtime.rlimits import INFINITY, Limit, apply_limits, fit_limits, parse_limits
from tests.fakes.kernel import RecordingKernel, stat_result

ALL = (1 << 41) - 1


def command(process: dict[str, Any] | None = None, **more: Any) -> Command:
    return parse_command({"args": ["x"], **(process or {})}, held=ALL, **more)


def test_the_sets_are_cut_to_what_is_held_and_made_consistent() -> None:
    names = {
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_BPF"],
        "effective": ["CAP_CHOWN", "CAP_KILL"],
        "permitted": ["CAP_CHOWN", "CAP_BPF"],
        "inheritable": ["CAP_CHOWN", "CAP_KILL"],
        "ambient": ["CAP_CHOWN", "CAP_KILL"],
    }
    sets = parse_capabilities({"capabilities": names}, held=(1 << 0) | (1 << 5))
    chown, kill = 1, 1 << 5
    assert sets == CapabilitySets(chown | kill, chown, chown | kill, chown, chown)
    assert parse_capabilities({}, held=ALL) == CapabilitySets()
    with pytest.raises(ValueError, match="unknown capability"):
        parse_capabilities({"capabilities": {"bounding": ["CAP_X"]}}, held=ALL)


@pytest.mark.parametrize(
    ("process", "text"),
    [
        ({"args": []}, "args must not be empty"),
        ({"cwd": "a"}, "absolute path"),
        ({"user": {"uid": -1}}, "invalid uid"),
        ({"user": {"uid": 1 << 31}}, "invalid uid: 2147483648"),
        ({"user": {"gid": "0"}}, "invalid gid"),
        ({"user": {"additionalGids": [1 << 32]}}, "invalid gid"),
    ],
)
def test_nonsense_is_refused(process: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        command(process)


def _become(process: dict[str, Any], **more: Any) -> list[tuple[str, tuple[Any, ...]]]:
    # Every descriptor is /dev/null; capability 41 does not exist.
    null = stat_result(stat.S_IFCHR, rdev=os.makedev(1, 3))
    errors = {("prctl", 41): OSError(errno.EINVAL, "x")}
    fake = RecordingKernel(results={"fstat": null}, errors=errors)
    become(fake.kernel, command(process, **more))
    return [call for call in fake.calls if call[0] != "fstat"]


def _after_the_bounding_set(calls: list[tuple[str, tuple[Any, ...]]]) -> Any:
    last = max(i for i, call in enumerate(calls) if call[1][:1] == (c.PR_CAPBSET_DROP,))
    assert [call[0] for call in calls[:1]] == ["keyctl_join_session"]
    return calls[last + 1 :]


def test_another_user_without_a_filter() -> None:
    calls = _become({"user": {"uid": 5, "gid": 6, "additionalGids": [7, 7]}})
    assert _after_the_bounding_set(calls) == [
        ("setgroups", ([7],)),
        ("setresgid", (6, 6, 6)),
        ("prctl", (c.PR_SET_KEEPCAPS, 1)),
        ("setresuid", (5, 5, 5)),
        ("prctl", (c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_CLEAR_ALL)),
        ("capset", ((0, 0, 0),)),
        # Cleared by each change of credentials, so it is the last.
        ("prctl", (c.PR_SET_PDEATHSIG, signal.SIGKILL)),
        ("umask", (0o22,)),
    ]


@pytest.mark.parametrize(("no_new_privileges", "extra"), [(False, CAP_SYS_ADMIN), (True, 0)])
def test_the_right_to_load_a_filter_is_kept_only_where_it_is_needed(
    no_new_privileges: bool, extra: int
) -> None:
    calls = _become({"noNewPrivileges": no_new_privileges}, seccomp=b"12345678")
    assert ("capset", ((extra, extra, 0),)) in calls
    assert (("prctl", (c.PR_SET_NO_NEW_PRIVS, 1)) in calls) is no_new_privileges


def test_limits_come_while_they_can_still_be_raised() -> None:
    calls = _become(
        {"user": {"umask": 0o77}}, limits=[Limit("RLIMIT_NOFILE", 1, 2)], die_with_parent=False
    )
    names = [name for name, _ in calls]
    assert names.index("prlimit") < names.index("setresuid")
    assert calls[-1] == ("umask", (0o77,))
    assert ("prctl", (c.PR_SET_PDEATHSIG, signal.SIGKILL)) not in calls


@pytest.mark.parametrize(("number", "fatal"), [(errno.ENOSYS, False), (errno.EACCES, True)])
def test_a_keyring_that_cannot_be(number: int, fatal: bool) -> None:
    errors = {("keyctl_join_session", 0): OSError(number, "x")}
    fake = RecordingKernel(errors={**errors, ("prctl", 41): OSError(errno.EINVAL, "x")})
    if fatal:
        with pytest.raises(OSError):
            become(fake.kernel, command())
    else:
        become(fake.kernel, command())


@pytest.mark.parametrize(
    ("kind", "rdev", "given"),
    [
        (stat.S_IFIFO, 0, True),
        (stat.S_IFSOCK, 0, True),
        (stat.S_IFCHR, os.makedev(136, 0), True),
        (stat.S_IFCHR, os.makedev(1, 3), False),
        (stat.S_IFREG, 0, False),
        (stat.S_IFDIR, 0, False),
    ],
)
def test_stdio_becomes_the_users_unless_it_is_the_hosts(kind: int, rdev: int, given: bool) -> None:
    errors = {("prctl", 41): OSError(errno.EINVAL, "x")}
    fake = RecordingKernel(results={"fstat": stat_result(kind, rdev=rdev)}, errors=errors)
    become(fake.kernel, command({"user": {"uid": 5, "gid": 0}}))
    expected = [("fchown", (fd, 5, 0)) for fd in (0, 1, 2)] if given else []
    assert fake.named("fchown") == expected


@pytest.mark.parametrize(
    ("kind", "given"), [(stat.S_IFIFO, True), (stat.S_IFSOCK, True), (stat.S_IFCHR, False)]
)
def test_from_outside_a_user_namespace_no_terminal_is_given(kind: int, given: bool) -> None:
    fake = RecordingKernel(results={"fstat": stat_result(kind, rdev=os.makedev(136, 0))})
    give_stdio(fake.kernel, 100005, (7,), kinds=STREAMS)
    assert fake.named("fchown") == ([("fchown", (7, 100005, 0))] if given else [])


def test_the_filter_is_the_last_thing_before_execve() -> None:
    fake = RecordingKernel(errors={("execve", 0): OSError(errno.ENOEXEC, "refused")})
    process = {"args": ["a", "b"], "env": ["X=1"]}
    ours, theirs = Channel.pair()
    given = command(process, seccomp=b"12345678", seccomp_flags=4)
    with pytest.raises(OSError, match="refused"):
        launch(fake.kernel, given, "/bin/a", ours)
    ours.close()
    theirs.close()
    assert fake.calls == [
        ("close_range", (3, (1 << 32) - 1, c.CLOSE_RANGE_CLOEXEC)),
        ("reset_signals", ()),
        ("seccomp_set_filter", (b"12345678", 4)),
        ("execve", ("/bin/a", ["a", "b"], ["X=1"])),
    ]


def test_stdio_in_any_order_and_the_controlling_terminal() -> None:
    fake = RecordingKernel()
    take_stdio(fake.kernel, (2, 0, 1), terminal=True)
    assert fake.calls == [
        ("setsid", ()),
        *[("dup", (fd,)) for fd in (2, 0, 1)],
        *[("dup2", (100 + target, target)) for target in range(3)],
        ("ioctl", (0, c.TIOCSCTTY, 0)),
    ]


@pytest.mark.parametrize("current", ["(unreachable)/x", ""])
def test_a_working_directory_outside_is_seen(current: str) -> None:
    fake = RecordingKernel(results={"getcwd": current})
    with pytest.raises(RuntimeFailure, match="possible container breakout"):
        enter_directory(fake.kernel, 50, "/x")


def test_a_working_directory_that_is_not_there() -> None:
    fake = RecordingKernel(errors={("openat2", 0): FileNotFoundError(errno.ENOENT, "x")})
    with pytest.raises(RuntimeFailure) as caught:
        enter_directory(fake.kernel, 50, "/x")
    assert caught.value.message == (
        'chdir to cwd ("/x") set in config.json failed: no such file or directory'
    )


EXECUTABLE = stat_result(stat.S_IFREG | 0o755)


def _files(existing: dict[str, os.stat_result]) -> RecordingKernel:
    def look(path: str) -> os.stat_result:
        if path not in existing:
            raise FileNotFoundError(errno.ENOENT, "x", path)
        return existing[path]

    return RecordingKernel(results={"stat": look})


def test_the_search_goes_by_the_last_path_in_order() -> None:
    fake = _files({"/b/x": EXECUTABLE, "/c/x": EXECUTABLE, "/a/x": stat_result(stat.S_IFDIR)})
    environment = ["PATH=/none", "PATH=/a:/b:/c"]
    assert find_command(fake.kernel, "x", environment) == "/b/x"
    assert find_command(fake.kernel, "/c/x", []) == "/c/x"
    for empty in ([], ["PATH="], ["OTHER=/b"]):
        with pytest.raises(RuntimeFailure, match=r'exec: "x": executable file not found in \$PATH'):
            find_command(fake.kernel, "x", empty)


def test_a_file_that_may_not_be_run_is_passed_over_in_the_search_but_told_by_name() -> None:
    refusal = PermissionError(errno.EACCES, "x")
    for name, code in (("x", 127), ("/b/x", 126)):
        fake = _files({"/b/x": EXECUTABLE})
        fake._errors = {("faccessat", 0): refusal}
        with pytest.raises(RuntimeFailure) as caught:
            find_command(fake.kernel, name, ["PATH=/b"])
        assert caught.value.exit_code == code


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOENT, 127), (errno.ENOTDIR, 127), (errno.ELOOP, 126)]
)
def test_the_code_follows_the_reason(number: int, code: int) -> None:
    fake = RecordingKernel(errors={("stat", 0): OSError(number, "x")})
    with pytest.raises(RuntimeFailure) as caught:
        find_command(fake.kernel, "/x", [])
    assert caught.value.exit_code == code


def test_a_name_is_quoted() -> None:
    with pytest.raises(RuntimeFailure) as caught:
        find_command(_files({}).kernel, 'a"b\\c\n', [])
    assert caught.value.message.startswith('exec: "a\\"b\\\\c\\n": ')


CAP_SYS_RESOURCE = 1 << 24


@pytest.mark.parametrize(
    ("held", "limit", "fitted", "warned"),
    [
        # The fake's current limits are 1024 and 4096; fs.nr_open is 10000.
        (0, ("RLIMIT_CORE", 100, 4096), (100, 4096), False),
        (0, ("RLIMIT_CORE", 5000, 6000), (4096, 4096), True),
        (0, ("RLIMIT_CORE", 7, INFINITY), (7, 4096), True),
        (CAP_SYS_RESOURCE, ("RLIMIT_CORE", 5000, INFINITY), (5000, INFINITY), False),
        (CAP_SYS_RESOURCE, ("RLIMIT_NOFILE", 20000, 30000), (10000, 10000), True),
        (0, ("RLIMIT_NOFILE", 20000, 30000), (4096, 4096), True),
    ],
)
def test_limits_are_cut_to_what_may_be_set(
    held: int, limit: tuple[str, int, int], fitted: tuple[int, int], warned: bool
) -> None:
    limits, warnings = fit_limits(
        RecordingKernel().kernel, [Limit(*limit)], held=held, nr_open=10000
    )
    assert limits == [Limit(limit[0], *fitted)]
    assert len(warnings) == warned


def test_limits_are_parsed_and_set() -> None:
    entry = {"type": "RLIMIT_NOFILE", "soft": 5, "hard": -1}
    limits = parse_limits({"rlimits": [entry]})
    assert limits == [Limit("RLIMIT_NOFILE", 5, INFINITY)]
    fake = RecordingKernel()
    apply_limits(fake.kernel, limits)
    assert fake.calls == [("prlimit", (0, 7, (5, INFINITY)))]
    with pytest.raises(ValueError, match="invalid rlimit type: RLIMIT_FUN"):
        parse_limits({"rlimits": [{**entry, "type": "RLIMIT_FUN"}]})
