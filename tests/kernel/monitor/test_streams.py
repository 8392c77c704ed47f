"""Standard streams of real containers: stdin, terminals, slow and vanishing clients, the log."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import time

import pytest

from sampan.monitor.attach import LIMIT
from sampan.monitor.client import Spawner
from sampan.monitor.messages import AttachOptions, ExecOptions, LogOptions
from sampan.runtime.failure import RuntimeFailure
from sampan.wire.stdcopy import Decoder
from tests.kernel.monitor.house import Box, children_of, readable, until

BIG = 8 << 20


async def test_half_closed_stdin_ends_the_containers_and_output_still_comes(
    box: Box, spawner: Spawner
) -> None:
    """`docker run -i`: all of it goes in, EOF after it, and all of it comes back."""
    data = os.urandom(BIG)
    await box.create(spawner, ["cat"], open_stdin=True, stdin_once=True, log=LogOptions())
    peer = await box.attach(stdin=True, multiplexed=True)
    await box.door.start()

    async def feed() -> None:
        await peer.send(data)
        peer.half_close()

    _, frames = await asyncio.gather(feed(), peer.frames())
    assert hashlib.sha256(frames[1]).digest() == hashlib.sha256(data).digest()
    assert await box.exit_code() == 0
    await box.leave()


async def test_stdin_without_stdin_once_stays_open(box: Box, spawner: Spawner) -> None:
    """A client that half-closes gets output on; the next one types on."""
    await box.run(spawner, "read a; echo 1 $a; read b; echo 2 $b", open_stdin=True)
    first = await box.attach(stdin=True)
    await first.send(b"one\n")
    first.half_close()
    assert await first.until(b"1 one\n")
    second = await box.attach(stdin=True)
    await second.send(b"two\n")
    assert await box.exit_code() == 0
    assert await first.rest() == await second.rest() == b"2 two\n"
    await box.leave()


async def test_without_open_stdin_it_is_dev_null(box: Box, spawner: Spawner) -> None:
    """And what a client types is nobody's."""
    await box.create(spawner, "ls -l /proc/self/fd/0; cat; echo end")
    peer = await box.attach(stdin=True)
    await peer.send(b"ignored\n")
    await box.door.start()
    output = await peer.rest()
    assert b"/dev/null" in output
    assert output.endswith(b"end\n")
    assert b"ignored" not in output
    await box.leave()


async def test_prefetched_bytes_are_typed_first(box: Box, spawner: Spawner) -> None:
    """What the daemon had already read of the connection."""
    await box.create(spawner, ["cat"], open_stdin=True, stdin_once=True)
    peer = await box.attach(stdin=True, prefetched=b"before ")
    await peer.send(b"after\n")
    peer.half_close()
    await box.door.start()
    assert await peer.rest() == b"before after\n"
    assert await box.exit_code() == 0
    await box.leave()


async def test_a_client_that_dies_ends_the_stdin_that_was_its_own(
    box: Box, spawner: Spawner
) -> None:
    """What it had sent is read first, though it is gone."""
    await box.create(spawner, "sleep 0.1; cat", open_stdin=True, stdin_once=True)
    peer = await box.attach(stdin=True, stdout=False, stderr=False)
    await peer.send(b"x" * 150_000)
    await peer.close()
    await box.door.start()
    assert await box.exit_code() == 0
    assert box.output() == "x" * 150_000
    await box.leave()


async def test_a_command_that_does_not_read_its_stdin(box: Box, spawner: Spawner) -> None:
    """`yes | docker run -i busybox true`: the end comes, and is no reset."""
    await box.create(spawner, "echo done", open_stdin=True, stdin_once=True)
    peer = await box.attach(stdin=True)
    peer.writer.write(b"y\n" * 500_000)
    await box.door.start()
    assert await peer.rest() == b"done\n"
    assert await box.exit_code() == 0
    await peer.close()
    await box.leave()


async def test_a_terminal_echoes_resizes_and_hangs_up(box: Box, spawner: Spawner) -> None:
    """Prompt, size, Ctrl-C, Ctrl-D, exit code; the log holds what was shown."""
    await box.create(spawner, ["sh"], terminal=True, open_stdin=True, console_size=(24, 80))
    peer = await box.attach(stdin=True)
    await box.door.start()
    await peer.send(b"stty size\n")
    await peer.until(b"24 80\r\n")
    await box.door.resize(40, 132)
    await peer.send(b"stty size; echo 'a''b'\n")
    await peer.until(b"40 132\r\nab\r\n")
    await peer.send(b"sleep 1000\n")
    await until(lambda: "sleep" in commands(box), "sleep in the foreground")
    await peer.send(b"\x03")
    await peer.until(b"^C\r\n")
    await peer.send(b"exit 3\n")
    assert await box.exit_code() == 3
    assert b"exit 3" in await peer.rest()
    assert {line["stream"] for line in box.log()} == {"stdout"}
    assert "24 80\r\n" in box.output()
    await box.leave()


def commands(box: Box) -> list[str]:
    """What runs in the container; a shell's child has its own name only after execve."""
    found = []
    for pid in box.cgroup().processes():
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                found.append(file.read().split("\0")[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


async def test_detach_keys_leave_a_terminal_and_its_container(box: Box, spawner: Spawner) -> None:
    """The client's connection ends, the event is told, the container runs on."""
    await box.run(spawner, "read line; exit 2", terminal=True, open_stdin=True)
    peer = await box.attach(stdin=True)
    await peer.send(b"\x10\x11")
    await box.event("detached")
    await peer.rest()
    other = await box.attach(stdin=True, detach_keys="ctrl-a,x")
    await other.send(b"\x10\x11\x01x")
    await other.rest()
    assert (await box.door.state())["phase"] == "running"
    third = await box.attach(stdin=True)
    await third.send(b"\n")
    assert await box.exit_code() == 2
    await box.leave()


async def test_a_slow_client_blocks_the_container_and_loses_nothing(
    box: Box, spawner: Spawner
) -> None:
    """At most 1 MiB waits for it; when it reads again, everything comes, in order."""
    script = f"seq 2000000 | head -c {BIG}"
    await box.create(spawner, script, log=LogOptions())
    peer = await box.attach(multiplexed=True)
    await box.door.start()
    peer.writer.transport.pause_reading()
    pid = box.door.pid
    before = rss(pid)
    await until(lambda: blocked_on_pipe(box), "the container to block on its output")
    assert rss(pid) - before < 3 * LIMIT
    assert (await box.door.state())["phase"] == "running"
    peer.writer.transport.resume_reading()
    frames = await peer.frames()
    expected = "".join(f"{n}\n" for n in range(1, 1400000)).encode()[:BIG]
    assert frames[1] == expected
    assert await box.exit_code() == 0
    await box.leave()


def rss(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def blocked_on_pipe(box: Box) -> bool:
    """Some process of the container sleeps in a write to a pipe, twice in a row."""
    for pid in box.cgroup().processes():
        try:
            with open(f"/proc/{pid}/syscall") as file:
                fields = file.read().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] in ("1", "64") and fields[1] == "0x1":
            return True
    return False


async def test_a_client_that_vanishes_frees_the_container_at_once(
    box: Box, spawner: Spawner
) -> None:
    """Within a second of its death, however much waited for it."""
    await box.create(spawner, f"head -c {BIG} /dev/zero; exit 5", log=LogOptions())
    peer = await box.attach()
    peer.writer.transport.pause_reading()
    await box.door.start()
    await until(lambda: blocked_on_pipe(box), "the container to block on its output")
    begin = time.monotonic()
    peer.writer.transport.abort()
    assert await box.exit_code() == 5
    assert time.monotonic() - begin < 1
    await box.leave()


async def test_a_stalled_client_is_cut_when_that_is_wanted(box: Box, spawner: Spawner) -> None:
    """`stall_timeout`: the container goes on, another client has lost nothing."""
    await box.create(spawner, f"head -c {BIG} /dev/zero | tr '\\0' z", log=LogOptions())
    stalled = await box.attach(stall_timeout=0.2)
    stalled.writer.transport.pause_reading()
    other = await box.attach()
    await box.door.start()
    assert await other.rest() == b"z" * BIG
    assert await box.exit_code() == 0
    await box.leave()


async def test_a_slow_client_gets_the_rest_after_the_monitor_was_deleted(
    box: Box, spawner: Spawner
) -> None:
    """`docker run --rm … | slow`: the daemon is told at once, the client loses nothing."""
    size = LIMIT // 2
    await box.create(spawner, f"head -c {size} /dev/zero | tr '\\0' z", log=LogOptions())
    peer = await box.attach()
    peer.writer.transport.pause_reading()
    await box.door.start()
    assert await box.exit_code() == 0
    await box.door.delete()
    peer.writer.transport.resume_reading()
    assert await peer.rest() == b"z" * size
    await peer.close()
    await readable(box.door.pidfd)


async def test_several_clients_get_the_streams_that_they_want(box: Box, spawner: Spawner) -> None:
    """Raw or framed, one stream or both, each all of it."""
    await box.create(spawner, "echo out; echo err >&2", log=LogOptions("none"))
    both = await box.attach(multiplexed=True)
    out = await box.attach(stderr=False)
    err = await box.attach(stdout=False)
    await box.door.start()
    assert await both.frames() == {1: b"out\n", 2: b"err\n"}
    assert (await out.rest(), await err.rest()) == (b"out\n", b"err\n")
    assert not box.log_path.exists()
    await box.event("exit")
    await box.leave()


async def test_attach_after_the_exit_gets_an_empty_end(box: Box, spawner: Spawner) -> None:
    """Not a hanging connection."""
    await box.run(spawner, ["true"])
    await box.event("exit")
    peer = await box.attach()
    assert await peer.rest() == b""
    await box.leave()


async def test_the_log_is_rotated_and_no_record_is_lost(box: Box, spawner: Spawner) -> None:
    """200,000 lines through files of 1 MiB: all records of all files are whole, and in order."""
    count = 200_000
    options = LogOptions("json-file", str(box.log_path), max_size=1 << 20, max_file=100)
    await box.run(spawner, f"seq {count}", log=options)
    assert await box.exit_code() == 0
    old = sorted(box.folder.glob("*-json.log.*"), key=lambda path: -int(path.suffix[1:]))
    assert len(old) > 5
    numbers: list[int] = []
    for path in [*old, box.log_path]:
        assert path.stat().st_size < (1 << 20) + 200
        numbers += [int(json.loads(line)["log"]) for line in path.read_bytes().splitlines()]
    assert numbers == list(range(1, count + 1))
    await box.leave()


async def test_a_full_disk_drops_lines_and_stops_nobody(box: Box, spawner: Spawner) -> None:
    """The container ends as it wants, the client gets everything, what was lost is counted."""
    options = LogOptions("json-file", "/dev/full")
    await box.create(spawner, "seq 50000; exit 3", log=options)
    peer = await box.attach(multiplexed=True)
    await box.door.start()
    frames = await peer.frames()
    assert frames[1].count(b"\n") == 50000
    message = await box.event("exit")
    assert (message["exit_code"], message["log_dropped"]) == (3, 50000)
    await box.leave()


async def test_log_throughput(box: Box, spawner: Spawner) -> None:
    """64 MB of lines flow in seconds; a quarter of the machine would do (> 8 MB/s here)."""
    size = 64 << 20
    begin = time.monotonic()
    await box.run(
        spawner, f"yes 'a line of ordinary length, as programs print them' | head -c {size}"
    )
    async with asyncio.timeout(30):
        assert await box.exit_code() == 0
    assert size / (time.monotonic() - begin) > 8e6
    await box.leave()


# -- exec ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"), [("exit 0", 0), ("exit 9", 9), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
)
async def test_exec_reports_its_code(box: Box, spawner: Spawner, command: str, code: int) -> None:
    """128 and the signal when one ended it; the client's end comes after the message."""
    await box.run(spawner, ["sleep", "1000"])
    peer = await box.exec("e1", f"echo in; echo err >&2; {command}")
    assert peer is not None
    assert await peer.frames() == {1: b"in\n", 2: b"err\n"}
    assert (await box.event("exec_exit", exec_id="e1"))["exit_code"] == code
    await box.door.kill(9)
    await box.event("exit")
    await box.leave()


async def test_exec_reads_its_stdin_and_has_a_terminal(box: Box, spawner: Spawner) -> None:
    """Half-close ends `cat`; a terminal has a size and can be resized and killed by its id."""
    await box.run(spawner, ["sleep", "1000"])
    peer = await box.exec("cat", "cat; echo end", open_stdin=True)
    assert peer is not None
    await peer.send(b"typed\n")
    peer.half_close()
    assert await peer.frames() == {1: b"typed\nend\n"}
    terminal = await box.exec(
        "tty",
        "stty size; read x; stty size; exec sleep 1000",
        terminal=True,
        open_stdin=True,
        console_size=(10, 20),
    )
    assert terminal is not None
    await terminal.until(b"10 20\r\n")
    await box.door.resize(33, 44, exec_id="tty")
    await terminal.send(b"\n")
    await terminal.until(b"33 44\r\n")
    assert [each["exec_id"] for each in (await box.door.state())["execs"]] == ["tty"]
    await box.door.kill(9, exec_id="tty")
    assert (await box.event("exec_exit", exec_id="tty"))["exit_code"] == 137
    await terminal.rest()
    await box.door.kill(9)
    await box.event("exit")
    await box.leave()


async def test_exec_of_nothing_fails_and_leaves_its_client_alone(
    box: Box, spawner: Spawner
) -> None:
    """The daemon has something to say to it: it is neither closed nor shut down."""
    await box.run(spawner, ["sleep", "1000"])
    ours, theirs = socket.socketpair()
    process = {**box.config(["nosuch"])["process"]}
    with pytest.raises(RuntimeFailure) as caught:
        await box.door.exec(
            ExecOptions("e", process, attach=AttachOptions(stdout=True)), theirs.fileno()
        )
    assert caught.value.exit_code == 127
    theirs.sendall(b"OCI runtime exec failed")
    assert ours.recv(100) == b"OCI runtime exec failed"
    ours.close()
    theirs.close()
    await box.door.kill(9)
    await box.event("exit")
    await box.leave()


async def test_a_background_child_does_not_hold_an_exec(box: Box, spawner: Spawner) -> None:
    """Its exit is told within the drain's bound, though the child has its stdout."""
    await box.run(spawner, ["sleep", "1000"])
    begin = time.monotonic()
    peer = await box.exec("e", "sleep 900 & echo hi")
    assert peer is not None
    assert await peer.frames() == {1: b"hi\n"}
    assert (await box.event("exec_exit"))["exit_code"] == 0
    assert 1.5 < time.monotonic() - begin < 4
    await box.door.kill(9)
    await box.event("exit")
    await box.leave()


async def test_many_execs_at_once_and_no_zombie(box: Box, spawner: Spawner) -> None:
    """100 execs with and without clients; the monitor has one child afterwards, init."""
    await box.run(spawner, ["sleep", "1000"])

    async def one(number: int) -> None:
        peer = await box.exec(
            f"e{number}", f"sleep 0.01 & echo {number}; exit {number}", client=number % 2 == 0
        )
        assert (await box.event("exec_exit", exec_id=f"e{number}"))["exit_code"] == number
        if peer is not None:
            assert await peer.frames() == {1: f"{number}\n".encode()}

    await asyncio.gather(*(one(number) for number in range(100)))
    init = (await box.door.state())["pid"]
    await until(lambda: children_of(box.door.pid) == [init], "orphans and execs to be reaped")
    assert (await box.door.state())["execs"] == []
    await box.door.kill(9)
    await box.event("exit")
    await box.leave()


async def test_an_exec_that_is_expected(box: Box, spawner: Spawner) -> None:
    """A helper is there before it, at most one, serves it whatever it wants, and goes when it is not needed."""
    await box.run(spawner, ["sleep", "1000"])
    init = (await box.door.state())["pid"]

    def helpers() -> list[int]:
        return [pid for pid in children_of(box.door.pid) if pid != init]

    for _ in range(2):
        await box.door.expect_exec()
    await until(lambda: len(helpers()) == 1, "the helper")
    assert (await box.door.state())["execs"] == []  # both messages have been dealt with
    (ready,) = helpers()
    size = (31, 71)
    peer = await box.exec("e1", "stty size; exit 4", terminal=True, console_size=size)
    assert peer is not None
    assert await peer.until(b"31 71\r\n")
    assert (await box.event("exec_exit", exec_id="e1"))["exit_code"] == 4
    await until(lambda: helpers() == [], f"helper {ready} to be reaped")
    await box.door.expect_exec()
    await until(lambda: len(helpers()) == 1, "another helper")
    with pytest.raises(RuntimeFailure, match="nosuch"):
        await box.door.exec(ExecOptions("e2", {**box.config(["nosuch"])["process"]}))
    await until(lambda: helpers() == [], "the helper of what failed to be reaped")
    await box.door.expect_exec()
    await until(lambda: len(helpers()) == 1, "one that nobody will need")
    await until(lambda: helpers() == [], "it to be let go")
    await box.door.expect_exec()
    await until(lambda: len(helpers()) == 1, "the last one")
    await box.door.kill(9)
    await box.event("exit")
    await until(lambda: children_of(box.door.pid) == [], "it to end with the container")
    await box.leave()


async def test_execs_end_with_their_container(box: Box, spawner: Spawner) -> None:
    """Their exits are told before the container's."""
    await box.run(spawner, ["sleep", "1000"])
    await box.exec("e", "sleep 1000", client=False)
    await box.door.kill(9)
    await box.event("exit")
    kinds = [message["type"] for message in box.events]
    assert kinds == ["exec_exit", "exit"]
    assert box.events[0]["exit_code"] == 137
    await box.leave()


async def test_frames_are_never_torn(box: Box, spawner: Spawner) -> None:
    """Both streams at full speed to a client that reads in odd pieces."""
    await box.create(
        spawner,
        f"(yes out | head -c {BIG // 4}) & (yes err | head -c {BIG // 4} >&2); wait",
        log=LogOptions(),
    )
    peer = await box.attach(multiplexed=True)
    await box.door.start()
    decoder = Decoder()
    sums = {1: 0, 2: 0}
    while data := await peer.reader.read(7777):
        for stream, payload in decoder.feed(data):
            sums[stream] += len(payload)
    assert decoder.complete
    assert sums == {1: BIG // 4, 2: BIG // 4}
    await box.event("exit")
    await box.leave()
