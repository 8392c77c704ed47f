"""Streams: attach, exec, half-close, binary data, many clients, slow and vanished ones."""

from __future__ import annotations

import hashlib
import os
import time

import pytest

from tests.engines import Driver, wait_until

LOOP = "while [ ! -e /go ]; do sleep 0.05; done; "


def test_binary_data_comes_through_unchanged(driver: Driver) -> None:
    """20 MB through stdin and back by stdout, and the end of stdin is seen."""
    data = os.urandom(20 << 20)
    process = driver.popen("run", "--rm", "-i", "busybox", "cat")
    out, _ = process.communicate(data, timeout=100)
    assert process.returncode == 0
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_output_after_the_end_of_input(driver: Driver) -> None:
    """Half-close: what is written after the client closed its stdin still arrives."""
    script = "cat >/dev/null; sleep 0.3; echo after; echo late >&2"
    result = driver("run", "--rm", "-i", "busybox", "sh", "-c", script, input="x")
    assert (result.code, result.out, result.err) == (0, "after\n", "late\n")


def test_attach_to_a_running_container(driver: Driver) -> None:
    """Two clients attached at once see the same output, and get the exit code."""
    driver.ok("run", "-d", "--name", "c1", "busybox", "sh", "-c", LOOP + "echo shared; exit 7")
    clients = [driver.popen("attach", "--no-stdin", "c1") for _ in range(2)]
    time.sleep(0.5)  # an attached client cannot be seen from outside
    driver.ok("exec", "c1", "touch", "/go")
    for client in clients:
        assert client.communicate(timeout=20)[0] == b"shared\n"
        assert client.returncode == 7


def test_attach_feeds_stdin(ours: Driver) -> None:
    """`attach` to a container with an open stdin feeds it, and the answer comes after the input's end.

    Not run on the reference: there the end of input ends the output too (moby's `stream/attach.go`).
    """
    ours.ok(
        "run",
        "-d",
        "-i",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "read line; sleep 0.3; echo got $line",
    )
    result = ours("attach", "c1", input="words\n")
    assert (result.code, result.out) == (0, "got words\n")


EXECS = [
    ([], ["echo", "hi"], 0, "hi\n", ""),
    ([], ["sh", "-c", "echo o; echo e >&2; exit 9"], 9, "o\n", "e\n"),
    (["-i"], ["cat"], 0, "from stdin\n", ""),
    (["-u", "www"], ["id", "-un"], 0, "www\n", ""),
    (["-w", "/etc"], ["pwd"], 0, "/etc\n", ""),
    (["-e", "A=b"], ["sh", "-c", "echo $A $HOME"], 0, "b /root\n", ""),
    ([], ["sh", "-c", "kill -9 $$"], 137, "", ""),
    (["-t"], ["sh", "-c", "test -t 1 && echo tty"], 0, "tty\r\n", ""),
    ([], ["sh", "-c", "grep -E 'Cap(Inh|Eff|Bnd)|Seccomp:' /proc/self/status | tr -d '\\n'"], 0,
     "CapInh:\t0000000000000000CapEff:\t00000000a80425fbCapBnd:\t00000000a80425fbSeccomp:\t2", ""),
]  # fmt: skip


@pytest.mark.parametrize("case", EXECS, ids=lambda case: " ".join(case[0] + case[1])[:50])
def test_exec(driver: Driver, case: tuple[list[str], list[str], int, str, str]) -> None:
    """A second process: user, folder, environment, streams, exit code, the same limits as the first."""
    flags, command, code, out, err = case
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    result = driver("exec", *flags, "c1", *command, input="from stdin\n")
    assert (result.code, result.out, result.err) == (code, out, err)


def test_exec_that_cannot_start(driver: Driver) -> None:
    """126 and 127, with the reason."""
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    missing = driver("exec", "c1", "nosuch")
    assert missing.code in (126, 127)  # 126 before Docker 23
    assert 'exec: "nosuch": executable file not found in $PATH' in missing.out + missing.err
    denied = driver("exec", "c1", "/etc/passwd")
    assert denied.code == 126
    assert "permission denied" in denied.out + denied.err
    driver.ok("stop", "-t", "0", "c1")
    stopped = driver("exec", "c1", "true")
    assert stopped.code == 1
    assert "is not running" in stopped.err


def test_detached_exec(driver: Driver) -> None:
    """`exec -d` returns at once and the process lives on."""
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    assert driver.ok("exec", "-d", "c1", "sh", "-c", "echo x > /made") == ""
    wait_until(
        lambda: driver("exec", "c1", "cat", "/made").out == "x\n", "the detached process to write"
    )


def test_many_execs_at_once(driver: Driver) -> None:
    """Twelve at a time, each with its own output."""
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    running = [
        driver.popen("exec", "c1", "sh", "-c", f"sleep 0.2; echo {n}; exit {n}") for n in range(12)
    ]
    for n, process in enumerate(running):
        assert process.communicate(timeout=60)[0] == f"{n}\n".encode()
        assert process.returncode == n
    assert (
        driver.ok("exec", "c1", "sh", "-c", "ps | grep -c '[Z]ombie' || true").splitlines()[-1]
        == "0"
    )


def test_a_slow_reader_loses_nothing(driver: Driver) -> None:
    """`run … | slow`: the container is held back, and every byte arrives."""
    process = driver.popen("run", "--rm", "busybox", "sh", "-c", "seq 1 600000")
    assert process.stdout is not None
    time.sleep(1.0)  # long enough for every buffer on the way to be full
    digest, total = hashlib.sha256(), 0
    while chunk := process.stdout.read(1 << 16):
        digest.update(chunk)
        total += len(chunk)
    expected = "".join(f"{n}\n" for n in range(1, 600001)).encode()
    assert total == len(expected)
    assert digest.digest() == hashlib.sha256(expected).digest()
    assert process.wait(20) == 0


def test_a_vanished_client_frees_the_container(ours: Driver) -> None:
    """A client that is killed while the container writes does not hold it back."""
    process = ours.popen(
        "run",
        "--name",
        "c1",
        "busybox",
        "sh",
        "-c",
        "yes | head -c 30000000; touch /done; sleep 100",
    )
    assert process.stdout is not None
    process.stdout.read(100)
    process.kill()
    process.wait()
    wait_until(
        lambda: ours("exec", "c1", "test", "-e", "/done").code == 0, "the container to go on", 20
    )
