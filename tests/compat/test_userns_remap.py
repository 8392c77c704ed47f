"""A daemon with `--userns-remap`: root in a container is nobody on the host. dockerd beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.compat.conftest import DRIVERS
from tests.engines import Driver, Engine, running_engine
from tests.rootfs import busybox_tar

FIRST = 231072  # of the ids that the user `daemon` may use, in these tests
PRIVILEGED = (
    "privileged mode is incompatible with user namespaces.  You must run the container in the host "
    "namespace when running privileged mode"
)


@contextmanager
def _ids_for_daemon(folder: Path) -> Iterator[None]:
    """Bind mounts over the host's files, in this mount namespace, while an engine starts."""
    places = ["/etc/subuid", "/etc/subgid"]
    file = folder / "subid"
    file.write_text(f"daemon:{FIRST}:65536\n")
    done: list[str] = []
    try:
        for place in places:
            subprocess.run(["mount", "--bind", str(file), place], check=True)
            done.append(place)
        yield
    finally:
        for place in done:
            subprocess.run(["umount", place], check=True)


def _engine(kind: str) -> Iterator[Engine]:
    # dockerd wants a place that everybody may pass through; pytest's folders are its user's own.
    with tempfile.TemporaryDirectory(prefix=f"u{kind[0]}", dir="/tmp") as folder:
        os.chmod(folder, 0o711)
        yield from _remapped(kind, Path(folder))


def _remapped(kind: str, root: Path) -> Iterator[Engine]:
    with _ids_for_daemon(root):
        started = running_engine(kind, root / "e", "--userns-remap=daemon")
        engine = started.__enter__()
    try:
        Driver(engine, "docker").load_image(busybox_tar(), "busybox:latest", 'CMD ["sh"]')
        yield engine
    finally:
        started.__exit__(None, None, None)


@pytest.fixture(scope="module")
def remapped_sampand() -> Iterator[Engine]:
    yield from _engine("sampand")


@pytest.fixture(scope="module")
def remapped_dockerd() -> Iterator[Engine]:
    if shutil.which("dockerd") is None:
        pytest.skip("the reference engine is not installed (Debian package docker.io)")
    yield from _engine("dockerd")


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    client, kind = request.param.split("-")
    driver = Driver(request.getfixturevalue(f"remapped_{kind}"), client)
    yield driver
    driver.close()


def _ran(driver: Driver, *words: str) -> str:
    done = driver("run", "--rm", *words)
    assert done.code == 0, done.err
    return done.out


def test_what_it_is_inside_and_outside(driver: Driver) -> None:
    """Its maps, its root's files, and who its process is on the host."""
    out = _ran(
        driver,
        "busybox",
        "sh",
        "-c",
        "cat /proc/self/uid_map; id -u; stat -c %u:%g /bin /etc/hosts /",
    )
    assert out.split() == ["0", str(FIRST), "65536", "0", "0:0", "0:0", "0:0"]
    name = driver("run", "-d", "busybox", "sleep", "1000").out.strip()
    pid = driver("inspect", "-f", "{{.State.Pid}}", name).out.strip()
    assert os.stat(f"/proc/{pid}").st_uid == FIRST
    assert os.stat(f"/proc/{pid}/root/bin").st_uid == FIRST
    assert driver("exec", name, "sh", "-c", "id -u; touch /made; stat -c %u /made").out.split() == [
        "0",
        "0",
    ]
    assert driver("exec", "-u", "1000:1001", name, "id").out.startswith("uid=1000 gid=1001")
    assert os.stat(f"/proc/{pid}/root/made").st_uid == FIRST
    assert "A /made" in driver("diff", name).out


def test_its_network_is_its_own(driver: Driver) -> None:
    """Sysctls, ports below 1024 and the loopback work without the host's rights."""
    script = "sysctl -n net.ipv4.ip_unprivileged_port_start; nc -l -p 80 & ip link set lo mtu 1400 && echo set"
    out = _ran(
        driver,
        "--cap-add",
        "NET_ADMIN",
        "--sysctl",
        "net.ipv4.ip_forward=1",
        "busybox",
        "sh",
        "-c",
        script,
    )
    assert sorted(out.split()) == ["0", "set"]
    script = "ping -c1 -W2 127.0.0.1 >/dev/null && cat /proc/sys/net/ipv4/ip_forward"
    assert _ran(driver, "--sysctl", "net.ipv4.ip_forward=1", "busybox", "sh", "-c", script) == "1\n"
    assert "127.0.0.1" in _ran(driver, "--network", "none", "busybox", "ip", "a")


def test_volumes_and_binds(driver: Driver, tmp_path: Path) -> None:
    """A volume belongs to the container's root, what is bound shows nobody for those who have no number in there."""
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("host\n")
    os.chmod(tmp_path / "file", 0o600)
    script = "stat -c %u /v /b/file; echo x > /v/a; stat -c %u /v/a; cat /b/file"
    done = driver(
        "run", "--rm", "-v", "vol:/v", "-v", f"{tmp_path}:/b", "busybox", "sh", "-c", script
    )
    assert done.out.split() == ["0", "65534", "0"]
    assert "Permission denied" in done.err
    assert _ran(driver, "-v", "vol:/v", "busybox", "stat", "-c", "%u", "/v/a") == "0\n"
    out = _ran(
        driver,
        "-v",
        "/etc/init.d",
        "--tmpfs",
        "/t",
        "busybox",
        "sh",
        "-c",
        "stat -c %u /etc/init.d /t",
    )
    assert out.split() == ["0", "0"]


def test_copies(driver: Driver, tmp_path: Path) -> None:
    """Files come in as the container's root's and go out as root's, whether it runs or not."""
    (tmp_path / "in").write_text("text\n")
    name = driver("run", "-d", "busybox", "sleep", "1000").out.strip()
    stopped = driver("create", "busybox", "stat", "-c", "%u:%g", "/in").out.strip()
    for container in (name, stopped):
        assert driver("cp", "-a", str(tmp_path / "in"), f"{container}:/in").code == 0
        out = tmp_path / container
        assert driver("cp", "-a", f"{container}:/in", str(out)).code == 0
        assert (out.read_text(), out.stat().st_uid) == ("text\n", 0)
    assert driver("exec", name, "stat", "-c", "%u:%g", "/in").out == "0:0\n"
    assert driver("start", "-a", stopped).out == "0:0\n"


def test_copies_into_binds(driver: Driver) -> None:
    """What the container's root may not write, a copy into the container does not either: not through its links,
    running or not. The reference writes as the host's root."""
    if driver.engine.kind == "dockerd":
        pytest.skip("the reference does")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        roots, own, source = (folder / word for word in ("roots", "own", "in"))
        for place, mode, owner in ((roots, 0o775, 0), (own, 0o755, FIRST)):
            place.mkdir()
            place.chmod(mode)
            os.chown(place, owner, owner)
        source.write_text("text\n")
        (own / "link").symlink_to("/roots")
        bound = ("-v", f"{roots}:/roots", "-v", f"{own}:/own", "-v", "vol:/v")
        running = driver("run", "-d", *bound, "busybox", "sleep", "1000").out.strip()
        stopped = driver("create", *bound, "busybox", "stat", "-c", "%u", "/own/2", "/v/2")
        for number, container in enumerate((running, stopped.out.strip()), 1):
            for place in (f"/roots/{number}", f"/own/link/{number}"):
                refused = driver("cp", str(source), f"{container}:{place}")
                assert refused.code == 1
                assert "permission denied" in refused.err.lower()
            for above in ("/own", "/v"):
                done = driver("cp", str(source), f"{container}:{above}/{number}")
                assert done.code == 0, done.err
            assert os.stat(own / str(number)).st_uid == FIRST
            assert driver("cp", f"{container}:/own/{number}", str(folder / "out")).code == 0
        assert os.listdir(roots) == []
        assert driver("start", "-a", stopped.out.strip()).out.split() == ["0", "0"]


def test_a_commit_is_as_the_container_saw_it(driver: Driver, tmp_path: Path) -> None:
    name = driver(
        "run", "-d", "busybox", "sh", "-c", "echo x > /x; chown 5:6 /x; sleep 1000"
    ).out.strip()
    assert driver("exec", name, "sh", "-c", "until [ $(stat -c %u /x) = 5 ]; do :; done").code == 0
    assert driver("commit", name, "made").code == 0
    assert _ran(driver, "made", "stat", "-c", "%u:%g", "/x") == "5:6\n"
    export = driver("export", name, "-o", str(tmp_path / "tar"))
    assert export.code == 0, export.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--privileged"], PRIVILEGED),
        (
            ["--network", "host"],
            "cannot share the host's network namespace when user namespaces are enabled",
        ),
        (["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled"),
    ],
)
def test_what_only_the_hosts_root_can_have(driver: Driver, flags: list[str], words: str) -> None:
    """Refused, and given with `--userns host`."""
    refused = driver("create", *flags, "busybox")
    assert refused.code == 1
    assert words in refused.err
    if driver.engine.kind == "dockerd" and "--privileged" in flags:
        return  # the reference wants every capability there is, which the host may not have
    script = "cat /proc/self/uid_map"
    out = _ran(driver, "--userns", "host", *flags, "busybox", "sh", "-c", script)
    assert out.split() == ["0", "0", "4294967295"]


def test_shared_namespaces(driver: Driver) -> None:
    """Who joins another's network or processes joins its user namespace too."""
    name = driver(
        "run", "-d", "--ipc", "shareable", "busybox", "sh", "-c", "echo 1 > /dev/shm/a; sleep 1000"
    ).out.strip()
    for kind in ("net", "pid", "ipc"):
        flag = {"net": "--network", "pid": "--pid", "ipc": "--ipc"}[kind]
        inside = f"readlink /proc/self/ns/user; readlink /proc/self/ns/{kind}"
        own = driver("exec", name, "sh", "-c", inside).out
        assert _ran(driver, flag, f"container:{name}", "busybox", "sh", "-c", inside) == own


def test_terminal_and_streams(driver: Driver) -> None:
    """/dev/stdout can be opened again by whoever the command runs as."""
    for user in ("0", "1000"):
        out = _ran(
            driver,
            "-u",
            user,
            "busybox",
            "sh",
            "-c",
            "echo a > /dev/stdout; echo b > /proc/self/fd/1",
        )
        assert out.split() == ["a", "b"]
    assert _ran(driver, "-t", "busybox", "sh", "-c", "stat -c %u /dev/console; tty").split() == [
        "0",
        "/dev/pts/0",
    ]


def test_the_hosts_queues(driver: Driver) -> None:
    """With its IPC namespace, as far as the host's root lets others look."""
    if driver.engine.kind == "sampand":
        out = _ran(driver, "--ipc", "host", "busybox", "sh", "-c", "readlink /proc/self/ns/ipc")
        assert out.strip() == os.readlink("/proc/self/ns/ipc")


def test_it_is_told(driver: Driver) -> None:
    assert "name=userns" in driver("info", "-f", "{{.SecurityOptions}}").out
