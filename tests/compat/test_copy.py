"""cp: files into and out of containers, with both clients on both engines, and what must not get through."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.engines import Driver, Engine

SETUP = """
mkdir -p /t/dir/sub /t/other; echo file > /t/file; echo deep > /t/dir/sub/deep; chmod 4711 /t/file
ln -s dir /t/relative; ln -s /t/dir /t/absolute; ln -s file /t/tofile; ln -s nowhere /t/dangling
ln -s ../../../../t/file /t/up; ln /t/file /t/hard; mkfifo /t/fifo
"""


@pytest.fixture(params=["running", "stopped"])
def box(driver: Driver, request: pytest.FixtureRequest) -> Driver:
    """A container `c1` with files in /t."""
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
    driver.ok("exec", "c1", "sh", "-c", SETUP)
    if request.param == "stopped":
        driver.ok("stop", "-t", "0", "c1")
    return driver


def listing(driver: Driver, path: str, *flags: str) -> dict[str, str]:
    """Names in the archive of a path of c1, and the type of each (a link's target behind it)."""
    done = subprocess.run(
        driver.argv("cp", *flags, f"c1:{path}", "-"),
        capture_output=True,
        env=driver.environment(),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return {
            member.name: member.type.decode() + (f" {member.linkname}" if member.linkname else "")
            for member in archive
        }


OUT: list[tuple[str, list[str], dict[str, str]]] = [
    ("/t/file", [], {"file": "0"}),
    ("t/file", [], {"file": "0"}),
    ("/t/dir", [], {"dir": "5", "dir/sub": "5", "dir/sub/deep": "0"}),
    ("/t/dir/.", [], {".": "5", "./sub": "5", "./sub/deep": "0"}),
    ("/t/relative", [], {"relative": "2 dir"}),
    ("/t/relative/", [], {"relative": "5", "relative/sub": "5", "relative/sub/deep": "0"}),
    ("/t/absolute/", [], {"absolute": "5", "absolute/sub": "5", "absolute/sub/deep": "0"}),
    ("/t/relative", ["-L"], {"dir": "5", "dir/sub": "5", "dir/sub/deep": "0"}),
    ("/t/tofile", [], {"tofile": "2 file"}),
    ("/t/up", ["-L"], {"file": "0"}),
    ("/t/dangling", [], {"dangling": "2 nowhere"}),
    ("/t/fifo", [], {"fifo": "6"}),
    ("/t/../t/file", [], {"file": "0"}),
    ("/t/relative/sub/deep", [], {"deep": "0"}),
]


def test_out_to_a_stream(box: Driver) -> None:
    """What is in the archive, and what it is called, for every kind of path."""
    assert [(p, f, listing(box, p, *f)) for p, f, _ in OUT] == OUT


def tree(root: Path) -> list[str]:
    return sorted(
        f"{path.relative_to(root)}{'/' if path.is_dir() and not path.is_symlink() else ''}"
        for path in root.rglob("*")
    )


def test_out_to_files(box: Driver, tmp_path: Path) -> None:
    """File and folder to what exists and what does not, contents only, over a file, through -L."""
    target = tmp_path / "target"

    def fresh(*folders: str) -> Path:
        subprocess.run(["rm", "-rf", target], check=True)
        for folder in ("", *folders):
            (target / folder).mkdir()
        return target

    box.ok("cp", "c1:/t/file", str(fresh() / "new"))
    assert (target / "new").read_text() == "file\n"
    assert (target / "new").stat().st_mode & 0o777 == 0o711
    box.ok("cp", "c1:/t/dir/sub/deep", str(target / "new"))
    assert (target / "new").read_text() == "deep\n"
    for source, end, expected in (
        ("/t/dir", "new", ["new/", "new/sub/", "new/sub/deep"]),
        ("/t/dir", "", ["dir/", "dir/sub/", "dir/sub/deep"]),
        ("/t/dir/.", "", ["sub/", "sub/deep"]),
        ("/t/dir/.", "new", ["new/", "new/sub/", "new/sub/deep"]),
        ("/t/file", "", ["file"]),
        ("/t/relative/", "", ["relative/", "relative/sub/", "relative/sub/deep"]),
    ):
        box.ok("cp", f"c1:{source}", f"{fresh()}/{end}" if end else str(fresh()))
        assert tree(target) == expected, source
    box.ok("cp", "-L", "c1:/t/tofile", str(fresh()))
    assert tree(target) == ["tofile"]
    assert (target / "tofile").read_text() == "file\n"
    (fresh() / "f").write_text("f")
    for source, end, text in (
        ("/t/dir", "f", "cannot copy directory"),
        ("/t/file", "no/", "no such directory"),
        ("/t/nosuch", "x", "Could not find the file /t/nosuch in container c1"),
        ("/t/file", "no/where/x", "does not exist"),
    ):
        refused = box("cp", f"c1:{source}", f"{target}/{end}")
        assert (refused.code, text in refused.err) == (1, True), refused
    assert tree(target) == ["f"]


def test_in(box: Driver, tmp_path: Path) -> None:
    """The same into the container, from files, a folder, its contents, standard input; -L; what is refused."""
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "x").write_text("x")
    (source / "file").write_text("new")
    (source / "link").symlink_to("file")
    for what, where, expected in (
        ("file", "/t/other", {"other", "other/file"}),
        ("file", "/t/other/named", {"other", "other/file", "other/named"}),
        ("inner", "/t/made", {"made", "made/x"}),
        ("inner", "/t/made", {"made", "made/x", "made/inner", "made/inner/x"}),
        ("inner/.", "/t/relative", {"dir", "dir/sub", "dir/sub/deep", "dir/x"}),
        ("link", "/t/aslink", {"aslink"}),
    ):
        box.ok("cp", str(source / what) + ("/." if what.endswith("/.") else ""), f"c1:{where}")
        top = sorted(expected)[0]
        assert set(listing(box, f"/t/{top}")) == expected, what
    assert listing(box, "/t/aslink") == {"aslink": "2 file"}
    box.ok("cp", "-L", str(source / "link"), "c1:/t/followed")
    assert listing(box, "/t/followed") == {"followed": "0"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(source, "packed")
    box.ok("cp", "-", "c1:/t/other", input=packed.getvalue())
    assert "other/packed/inner/x" in listing(box, "/t/other")
    for what, where, text in (
        ("inner", "/t/file", "cannot copy directory"),
        ("file", "/t/no/where", "Could not find the file /t/no in container c1"),
        ("file", "/t/no/", "no such directory"),
        ("nosuch", "/t", "no such file or directory"),
    ):
        refused = box("cp", str(source / what), f"c1:{where}")
        assert (refused.code, text in refused.err) == (1, True), refused
    refused = box("cp", "-", "c1:/t/file", input=packed.getvalue())
    assert 'destination "c1:/t/file" must be a directory' in refused.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["a", "b"], "must specify at least one container source"),
        (["c1:/a", "c2:/b"], "copying between containers is not supported"),
        (["nosuch:/a", "-"], "No such container: nosuch"),
        (["c1:", "-"], "path"),
    ],
)
def test_refused(driver: Driver, arguments: list[str], text: str) -> None:
    """Command lines that make no sense."""
    driver.ok("create", "--name", "c1", "busybox")
    refused = driver("cp", *arguments)
    assert (refused.code, text in refused.err) == (1, True), refused


def test_volumes(driver: Driver, tmp_path: Path) -> None:
    """Through a volume and a bind mount, of what was never started and of what runs; read-only stays so."""
    (tmp_path / "bound").mkdir()
    (tmp_path / "bound" / "x").write_text("bound")
    (tmp_path / "f").write_text("f")
    mounts = ["-v", "vol1:/vol", "-v", f"{tmp_path}/bound:/vol/in/bound:ro"]
    driver.ok("create", "--name", "c1", *mounts, "busybox", "sleep", "1000")
    for state in ("created", "running"):
        driver.ok("cp", str(tmp_path / "f"), f"c1:/vol/{state}")
        assert f"vol/{state}" in listing(driver, "/vol")
        assert "vol/in/bound/x" in listing(driver, "/vol")
        refused = driver("cp", str(tmp_path / "f"), "c1:/vol/in/bound")
        assert "read-only" in refused.err
        assert os.listdir(tmp_path / "bound") == ["x"]
        if state == "created":
            driver.ok("start", "c1")
    assert driver.ok("exec", "c1", "cat", "/vol/created", "/vol/running") == "ff"


def test_read_only_root(driver: Driver, tmp_path: Path) -> None:
    """Nothing is put into it, running or not."""
    (tmp_path / "f").write_text("f")
    driver.ok("create", "--name", "c1", "--read-only", "busybox", "sleep", "1000")
    for _ in range(2):
        refused = driver("cp", str(tmp_path / "f"), "c1:/etc")
        assert "container rootfs is marked read-only" in refused.err
        driver.ok("start", "c1")


def test_tmpfs(ours: Driver, tmp_path: Path) -> None:
    """What a container that runs has in a tmpfs can be taken out and put in, even with a read-only root."""
    (tmp_path / "f").write_text("f")
    ours.ok(
        "run", "-d", "--name", "c1", "--read-only", "--tmpfs", "/tt", "busybox", "sleep", "1000"
    )
    ours.ok("cp", str(tmp_path / "f"), "c1:/tt")
    assert ours.ok("exec", "c1", "cat", "/tt/f") == "f"
    assert set(listing(ours, "/tt")) == {"tt", "tt/f"}


def test_archive_mode(ours: Driver, tmp_path: Path) -> None:
    """With -a what comes in belongs to the container's user; without, to whom it belonged. (dockerd asks its host who that is.)"""
    (tmp_path / "f").write_text("f")
    os.chown(tmp_path / "f", 1234, 1235)
    ours.ok("run", "-d", "--name", "c1", "-u", "daemon", "busybox", "sleep", "1000")
    ours.ok("cp", str(tmp_path / "f"), "c1:/tmp/plain")
    ours.ok("cp", "-a", str(tmp_path / "f"), "c1:/tmp/archive")
    owners = ours.ok("exec", "c1", "stat", "-c", "%u:%g", "/tmp/plain", "/tmp/archive").split()
    user = ours.ok("exec", "c1", "sh", "-c", "id -u; id -g").split()
    assert owners == ["1234:1235", ":".join(user)]


def test_pseudo_file_systems_are_left_out(ours: Driver) -> None:
    """A copy of / holds no file of the kernel's, and cannot be sent into them."""
    ours.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
    names = listing(ours, "/")
    assert not [n for n in names if n.strip("/").startswith(("proc/", "sys/", "dev/"))]
    assert "bin/busybox" in {name.strip("/") for name in names}
    for path in ("/proc/1/environ", "/proc/self/root/etc/passwd", "/sys/kernel"):
        assert "Could not find the file" in ours("cp", f"c1:{path}", "-").err


FLIPPER = """
import ctypes, os, sys
root, outside = sys.argv[1:]
os.chdir(root)
os.symlink(outside, "link"); os.mkdir("flip"); open("flip/f", "w").write("inside")
exchange = ctypes.CDLL(None, use_errno=True).renameat2
print("ready", flush=True)
while exchange(-100, b"flip", -100, b"link", 2) == 0:  # AT_FDCWD, RENAME_EXCHANGE
    pass
"""


def flipping(engine: Engine, outside: Path, folder: str) -> subprocess.Popen[bytes]:
    """A process that exchanges a folder of c1 with a link to `outside`, as fast as it can."""
    pid = Driver(engine, "docker").inspect("c1")["State"]["Pid"]
    process = subprocess.Popen(
        [sys.executable, "-c", FLIPPER, f"/proc/{pid}/root{folder}", str(outside)], stdout=-1
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def _reads(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


@pytest.mark.parametrize("folder", ["/tmp", "/v"])
def test_a_flipped_folder_never_leads_out(sampand: Engine, tmp_path: Path, folder: str) -> None:
    """C1, C3, C4: while a folder becomes a link to the host's and back, nothing of the host is read or changed."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "f").write_text("canary")
    (outside / "f").chmod(0o600)
    driver = Driver(sampand, "docker")
    driver.ok("run", "-d", "--name", "c1", "-v", "flipped:/v", "busybox", "sleep", "1000")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("f")
        member.mode, member.size = 0o777, 3
        archive.addfile(member, io.BytesIO(b"new"))
    process = flipping(sampand, outside, folder)
    statuses: dict[str, set[int]] = {"GET": set(), "PUT": set()}
    naive = f"/proc/{driver.inspect('c1')['State']['Pid']}/root{folder}/flip/f"
    led_out = 0
    deadline = time.monotonic() + 20
    tries = 0
    try:
        while tries < 2000 and time.monotonic() < deadline:
            tries += 1
            led_out += _reads(naive) == "canary"
            path = f"/containers/c1/archive?path={folder}/flip"
            status, body = sampand.request("GET", f"{path}/f")
            statuses["GET"].add(status)
            assert "canary" not in str(body)
            statuses["PUT"].add(_put(sampand, path, packed.getvalue()))
        assert process.poll() is None, "it flips no more"
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        driver.close()
        driver("volume", "rm", "flipped")
    assert tries >= 200
    assert led_out, "the control: who looks up by path is led out"
    assert 200 in statuses["GET"]
    assert 200 in statuses["PUT"]
    assert statuses["GET"] | statuses["PUT"] <= {200, 400, 404}
    assert os.listdir(outside) == ["f"]
    assert (outside / "f").read_text() == "canary"
    assert (outside / "f").stat().st_mode & 0o777 == 0o600
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(outside) not in mounts
    assert str(sampand.root) not in mounts


def _put(engine: Engine, path: str, body: bytes) -> int:
    return engine.request("PUT", path, body)[0]


TRAP = b"#!/bin/busybox sh\ntouch /tmp/trapped\n"
MODULE = b"open('/tmp/trapped', 'w')\n"


def traps() -> bytes:
    """An archive of programs and modules that whoever works inside the container might run."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("xz", "gzip", "unpigz", "pigz", "bzip2", "zstd", "tar", "python3"):
            for folder in ("bin", "usr/bin", "usr/local/bin"):
                _add(archive, f"{folder}/{name}", TRAP)
        for name in ("encodings/__init__.py", "tarfile.py", "lzma.py", "usercustomize.py"):
            _add(archive, name, MODULE)
    return packed.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.mode, member.size = 0o755, len(content)
    archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("compression", ["", "gz", "xz", "bz2"])
def test_nothing_of_the_container_is_executed(
    sampand: Engine, tmp_path: Path, compression: str
) -> None:
    """C2: decompressors, libraries and Python modules that lie in the image are never used."""
    driver = Driver(sampand, "docker")
    driver.ok("run", "-d", "--name", "c1", "busybox", "sleep", "1000")
    driver.ok("cp", "-", "c1:/", input=traps())
    assert "touch /tmp/trapped" in driver.ok("exec", "c1", "/bin/busybox", "cat", "/usr/bin/xz")
    packed = io.BytesIO()
    mode: Any = f"w:{compression}"
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        archive.addfile(tarfile.TarInfo("x"), io.BytesIO())
    before = os.path.exists("/tmp/trapped")
    try:
        for _ in range(2):
            driver.ok("cp", "-", "c1:/", input=packed.getvalue())
            assert listing(driver, "/x") == {"x": "0"}
            assert "Could not find" in driver("cp", "c1:/tmp/trapped", "-").err
            driver.ok("stop", "-t", "0", "c1")
        assert os.path.exists("/tmp/trapped") == before
    finally:
        driver.close()
