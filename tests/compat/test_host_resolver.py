"""The host's resolv.conf changes while containers run: their questions follow it, with dnsmasq as name servers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.engines import Driver, Host, running_engine, wait_until
from tests.rootfs import busybox_tar

NAME = "where.example"
FIRST, SECOND = "192.0.2.1", "192.0.2.3"

pytestmark = pytest.mark.skipif(
    shutil.which("dnsmasq") is None, reason="not installed (Debian package dnsmasq-base)"
)


class OwnEtc(Host):
    """A host whose /etc is a copy: for every command that is run on it the copy is mounted over the machine's."""

    def __init__(self, etc: Path) -> None:
        self.etc = etc
        subprocess.run(["cp", "-a", "/etc", etc], check=True)
        (etc / "resolv.conf").unlink(missing_ok=True)
        super().__init__()

    def enter(self, *, outside: bool = False) -> list[str]:
        script = f'mount --bind {self.etc} /etc; exec "$@"'
        words = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"]
        return [*super().enter(outside=outside), *words]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OwnEtc]:
    """Two name servers outside, and one behind the host's loopback, as systemd-resolved's stub is."""
    host = OwnEtc(tmp_path / "etc")
    with ExitStack() as stack:
        stack.callback(host.close)
        enter = host.enter(outside=True)
        subprocess.run([*enter, "ip", "addr", "add", f"{SECOND}/24", "dev", "eth0"], check=True)
        for address, answer, outside in (
            (FIRST, "203.0.113.1", True),
            (SECOND, "203.0.113.2", True),
            ("127.0.0.53", "203.0.113.53", False),
        ):
            command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts"]
            command += ["--no-resolv", "--bind-interfaces", "--user=root", "--pid-file="]
            command += [f"--listen-address={address}", f"--address=/{NAME}/{answer}"]
            server = subprocess.Popen([*host.enter(outside=outside), *command], stderr=-3)
            stack.callback(server.wait)
            stack.callback(server.kill)
        yield host


def replace(path: Path, text: str) -> None:
    """As tools do: another file takes the name."""
    path.with_suffix(".new").write_text(text)
    os.rename(path.with_suffix(".new"), path)


def test_questions_follow_the_host(host: OwnEtc, tmp_path: Path) -> None:
    """A file that is replaced, rewritten in place, made a link and linked elsewhere, or gone for a while; and a
    stub on the host's loopback, which no container reaches itself."""
    conf = host.etc / "resolv.conf"
    replace(conf, f"nameserver {FIRST}\n")
    with running_engine("sampand", tmp_path / "s", host=host) as engine:
        driver = Driver(engine, "docker")
        driver.load_image(busybox_tar(), "busybox")
        driver.ok("network", "create", "n1")
        driver.ok("run", "-d", "--name", "c1", "--network", "n1", "busybox", "sleep", "1000")

        def answers(expected: str) -> bool:
            result = driver("exec", "c1", "nslookup", "-type=a", NAME)
            return f"Address: {expected}\n" in result.out

        wait_until(lambda: answers("203.0.113.1"), "the first server")
        replace(conf, f"# another file\nnameserver {SECOND}\n")
        wait_until(lambda: answers("203.0.113.2"), "the second server, in another file")
        conf.write_text(f"nameserver {FIRST}\n")
        wait_until(lambda: answers("203.0.113.1"), "the first server, in the same file")
        conf.unlink()
        conf.symlink_to("one.conf")
        (host.etc / "one.conf").write_text(f"nameserver {SECOND}\n")
        wait_until(lambda: answers("203.0.113.2"), "the second server, by a link")
        replace(host.etc / "one.conf", f"nameserver {FIRST}\noptions edns0\n")
        wait_until(lambda: answers("203.0.113.1"), "the first server, where the link leads")
        (host.etc / "stub.conf").write_text("nameserver 127.0.0.53\noptions edns0 trust-ad\n")
        conf.unlink()
        conf.symlink_to("stub.conf")
        wait_until(lambda: answers("203.0.113.53"), "the stub on the host's loopback")
        pid = str(driver.inspect("c1")["State"]["Pid"])
        listening = subprocess.run(
            ["nsenter", "-t", pid, "-n", "ss", "-lun"], capture_output=True, text=True, check=True
        )
        assert (
            "127.0.0.53" not in listening.stdout
        )  # the control: it is not the container that asks it
        driver.ok("run", "-d", "--name", "c2", "--network", "n1", "busybox", "sleep", "1000")
        assert "127.0.0.53" not in driver.ok("exec", "c2", "cat", "/etc/resolv.conf")
