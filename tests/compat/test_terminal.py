"""A person at a terminal: prompt, line editing, arrow keys, resize, Ctrl-C, Ctrl-D, detach, exit codes."""

from __future__ import annotations

import signal

from tests.engines import Driver, wait_until
from tests.terminal import Terminal


def terminal(driver: Driver, *args: str) -> Terminal:
    return Terminal(driver.argv(*args), driver.environment())


def test_shell_at_a_terminal(driver: Driver) -> None:
    """`run -ti` gives a prompt that edits lines, recalls history with an arrow key, and ends with `exit 3`."""
    with terminal(driver, "run", "--rm", "-ti", "busybox", "sh") as shell:
        shell.expect(r"/ # ")
        shell.type("echo a$((40+2))b\r")
        shell.expect(r"\r\na42b\r\n")
        shell.expect(r"/ # ")
        shell.type("\x1b[A\r")
        shell.expect(r"\r\na42b\r\n")
        shell.type("sh -c 'echo st''arted; sleep 100'\r")
        shell.expect(r"\r\nstarted\r\n")
        shell.type("\x03")
        shell.expect(r"\^C")
        shell.type("exit 3\r")
        assert shell.wait() == 3
        assert shell.restored


def test_end_of_input_ends_the_shell(driver: Driver) -> None:
    """Ctrl-D."""
    with terminal(driver, "run", "--rm", "-ti", "busybox", "sh") as shell:
        shell.expect(r"/ # ")
        shell.type("\x04")
        assert shell.wait() == 0


def test_size_follows_the_terminal(driver: Driver) -> None:
    """The container's terminal has the size of the client's, also after a resize."""
    with terminal(driver, "run", "--rm", "-ti", "busybox", "sh") as shell:
        shell.expect(r"/ # ")
        shell.type("stty size\r")
        shell.expect(r"\r\n24 80\r\n")
        shell.resize(40, 132)
        shell.process.send_signal(signal.SIGWINCH)

        def resized() -> bool:
            shell.type("stty size; echo =\r")
            return shell.expect(r"\r\n(\d+ \d+)\r\n=\r\n")[1] == "40 132"

        wait_until(resized, "the new size")
        shell.type("exit\r")
        assert shell.wait() == 0


def test_detach_and_attach_again(driver: Driver) -> None:
    """Ctrl-P Ctrl-Q leaves the container running; `attach` comes back to the same shell."""
    with terminal(driver, "run", "-ti", "--name", "c1", "busybox", "sh") as shell:
        shell.expect(r"/ # ")
        shell.type("X=remembered\r")
        shell.expect(r"/ # ")
        shell.type("\x10\x11")
        assert shell.wait() == 0
        assert shell.restored
    assert driver.ok("inspect", "-f", "{{.State.Running}}", "c1") == "true"
    with terminal(driver, "attach", "c1") as shell:
        shell.type("echo =$X=\r")
        shell.expect(r"=remembered=")
        shell.type("exit 4\r")
        assert shell.wait() == 4


def test_detach_keys_of_ones_own(driver: Driver) -> None:
    """`--detach-keys` replaces the default."""
    with terminal(
        driver, "run", "-ti", "--detach-keys", "ctrl-x,q", "--name", "c1", "busybox", "sh"
    ) as shell:
        shell.expect(r"/ # ")
        shell.type("\x18q")
        assert shell.wait() == 0
    assert driver.ok("inspect", "-f", "{{.State.Running}}", "c1") == "true"


def test_exec_at_a_terminal(driver: Driver) -> None:
    """`exec -ti` gives a second shell with its own terminal, size and exit code."""
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "100")
    with terminal(driver, "exec", "-ti", "c1", "sh") as shell:
        shell.expect(r"/ # ")
        shell.type("tty; stty size\r")
        shell.expect(r"/dev/pts/\d+\r\n24 80\r\n")
        shell.type("exit 5\r")
        assert shell.wait() == 5
        assert shell.restored


def test_interrupt_without_a_terminal_reaches_the_container(driver: Driver) -> None:
    """`--sig-proxy`: SIGINT of the client becomes SIGINT of the container."""
    client = driver.popen(
        "run",
        "--rm",
        "busybox",
        "sh",
        "-c",
        "trap 'echo caught; exit 8' INT; echo ready; while :; do sleep 0.1; done",
    )
    assert client.stdout is not None
    assert client.stdout.readline() == b"ready\n"
    client.send_signal(signal.SIGINT)
    assert client.communicate(timeout=20)[0] == b"caught\n"
    assert client.returncode == 8
