"""Images travel through ssh: `save | ssh host load` and `export | ssh host import -`, between engines, both ways.

An sshd of the test's own runs in the engines' network namespace, on loopback, with keys of its own.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.engines import Driver, Engine, wait_until

PORT = 2222
CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile {folder}/pid
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
"""


class Ssh(NamedTuple):
    """Words that run a command on the other side."""

    argv: list[str]

    def run(self, driver: Driver, *words: str) -> list[str]:
        home = f"HOME={driver.engine.root}/home"
        command = ["env", home, "DOCKER_CLI_HINTS=false", *driver.argv(*words)]
        return [*self.argv, shlex.join(command)]


ACCOUNTS = """\
root:x:0:0:root:/root:/bin/sh
sshd:x:65534:65534::/run/sshd:/usr/sbin/nologin
"""


def with_accounts(folder: Path) -> list[str]:
    """Words that run a command where these are the accounts, whatever the machine's are."""
    (folder / "passwd").write_text(ACCOUNTS)
    mount = f"mount --bind {shlex.quote(str(folder / 'passwd'))} /etc/passwd"
    return ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]


@pytest.fixture
def ssh(sampand: Engine, tmp_path: Path) -> Iterator[Ssh]:
    """The host of sampand as it is reached through ssh."""
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(sshd).exists():
        pytest.skip("sshd is not installed (Debian package openssh-server)")
    for name in "host", "user":
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(command, check=True, capture_output=True)
    (tmp_path / "config").write_text(CONFIG.format(folder=tmp_path, port=PORT))
    os.makedirs("/run/sshd", exist_ok=True)  # where it separates its privileges
    enter = sampand.host.enter()
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(
            [*enter, *with_accounts(tmp_path), sshd, "-D", "-e", "-f", str(tmp_path / "config")],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    options = ("StrictHostKeyChecking=no", f"UserKnownHostsFile={tmp_path}/known", "BatchMode=yes")
    flags = [word for option in options for word in ("-o", option)]
    key = ["-i", str(tmp_path / "user"), "-p", str(PORT), "-F", "none", "-q"]
    argv = [*enter, "ssh", *flags, *key, "root@127.0.0.1"]
    try:
        wait_until(
            lambda: subprocess.run([*argv, "true"], check=False).returncode == 0,
            "sshd to answer",
            30,
        )
        yield Ssh(argv)
    finally:
        server.terminate()
        server.wait(10)


def pipe(first: list[str], second: list[str], environment: dict[str, str]) -> str:
    """What the second of two commands in a pipe prints; both must succeed."""
    source = subprocess.Popen(first, stdout=subprocess.PIPE, env=environment)
    done = subprocess.run(
        second, stdin=source.stdout, capture_output=True, text=True, timeout=120, env=environment
    )
    assert source.stdout
    source.stdout.close()
    assert source.wait(30) == 0
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def pairs(sampand: Engine, dockerd: Engine) -> list[tuple[Driver, Driver]]:
    """Who sends to whom."""
    reference = Driver(dockerd, "docker")
    mine, own = Driver(sampand, "docker"), Driver(sampand, "sampan")
    return [(reference, mine), (mine, reference), (reference, own), (own, reference), (own, mine)]


def test_save_and_load_through_ssh(sampand: Engine, dockerd: Engine, ssh: Ssh) -> None:
    """The image that comes out is the one that went in, whoever saves and whoever loads."""
    for number, (source, target) in enumerate(pairs(sampand, dockerd)):
        name = f"shipped:{number}"
        source.ok("run", "--name", "box", "busybox", "sh", "-c", f"echo {number} > /number")
        identifier = source.ok("commit", "-c", 'CMD ["cat", "/number"]', "box", name)
        source.ok("rm", "box")
        out = pipe(source.argv("save", name), ssh.run(target, "load"), source.environment())
        assert out.splitlines()[-1] == f"Loaded image: {name}"
        assert target.inspect(name)["Id"] == identifier
        assert target.ok("run", "--rm", name) == str(number)
        for engine in {id(each.engine): each for each in (source, target)}.values():
            engine.ok("rmi", name)


def test_export_and_import_through_ssh(sampand: Engine, dockerd: Engine, ssh: Ssh) -> None:
    """A container's file system becomes an image on the other side."""
    for source, target in pairs(sampand, dockerd):
        source.ok("run", "--name", "box", "busybox", "sh", "-c", "echo moved > /moved")
        words = ("import", "-c", 'CMD ["cat", "/moved"]', "-", "moved:1")
        out = pipe(source.argv("export", "box"), ssh.run(target, *words), source.environment())
        assert out.startswith("sha256:")
        assert target.ok("run", "--rm", "moved:1") == "moved"
        source.ok("rm", "box")
        target.ok("rmi", "moved:1")
