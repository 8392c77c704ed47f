"""Volumes from outside: `volume …`, `-v`, `--mount` of every type, `--volumes-from`, what the local driver mounts."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archives import archive, directory, file
from tests.engines import Driver, Engine


@pytest.fixture
def volumes(driver: Driver) -> Iterator[Driver]:
    """A driver whose volumes are removed after the test."""
    yield driver
    _clear(driver)


@pytest.fixture
def ours_only(ours: Driver) -> Iterator[Driver]:
    yield ours
    _clear(ours)


def _clear(driver: Driver) -> None:
    driver.engine.remove_containers()
    found = driver.engine.request("GET", "/volumes")[1]["Volumes"] or []
    for volume in found:
        status, text = driver.engine.request("DELETE", f"/volumes/{volume['Name']}")
        assert status == 204, text


def sh(driver: Driver, script: str, *flags: str) -> str:
    return driver.ok("run", "--rm", *flags, "busybox", "sh", "-c", script)


def mounted(engine: Engine) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [place for line in lines if (place := line.split()[4]).endswith("/_data")]


def test_life_of_a_volume(volumes: Driver) -> None:
    """create, ls, inspect, use, in use, rm, and what is said of those that are not there."""
    assert volumes.ok("volume", "create", "--label", "a=1", "v1") == "v1"
    assert volumes.ok("volume", "create", "v1") == "v1"
    anonymous = volumes.ok("volume", "create")
    assert re.fullmatch("[0-9a-f]{64}", anonymous)
    assert sorted(volumes.ok("volume", "ls", "-q").split()) == sorted(["v1", anonymous])
    assert volumes.ok("volume", "ls", "-q", "-f", "label=a") == "v1"
    assert volumes.ok("volume", "ls", "-q", "-f", "name=v") == "v1"
    shown = json.loads(volumes.ok("volume", "inspect", "v1"))[0]
    assert (shown["Name"], shown["Driver"], shown["Labels"]) == ("v1", "local", {"a": "1"})
    sh(volumes, "echo kept > /x/f", "-v", "v1:/x")
    assert sh(volumes, "cat /x/f; touch /x/g 2>&1", "-v", "v1:/x") == "kept"
    assert (Path(shown["Mountpoint"]) / "f").read_text() == "kept\n"
    holder = volumes.ok("create", "-v", "v1:/x", "busybox", "true")
    refused = volumes("volume", "rm", "v1")
    assert (refused.code, refused.err) == (
        1,
        f"Error response from daemon: remove v1: volume is in use - [{holder}]\n",
    )
    assert volumes.ok("volume", "ls", "-q", "-f", "dangling=true") == anonymous
    volumes.ok("rm", holder)
    assert volumes.ok("volume", "rm", "v1", anonymous) == f"v1\n{anonymous}"
    missing = volumes("volume", "rm", "v1")
    assert (missing.code, missing.err) == (
        1,
        "Error response from daemon: get v1: no such volume\n",
    )
    assert volumes.ok("volume", "rm", "-f", "v1") == "v1"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-d", "nosuch", "v"], 'create v: error looking up volume plugin nosuch: plugin "nosuch"'),
        (["-o", "foo=bar", "vv"], 'create vv: invalid option: "foo"'),
        (["-o", "type=tmpfs", "vv"], 'create vv: missing required option: "device"'),
        (["-o", "device=tmpfs", "vv"], 'create vv: missing required option: "type"'),
        (["-o", "size=1m", "vv"], "create vv: quota size requested but no quota support"),
        (["v"], "create v: volume name is too short"),
        (["a/b"], 'create a/b: "a/b" includes invalid characters for a local volume name'),
    ],
)
def test_create_refuses(volumes: Driver, words: list[str], complaint: str) -> None:
    """Bad options and names, in dockerd's words; nothing is made."""
    refused = volumes("volume", "create", *words)
    assert refused.code == 1
    assert complaint in refused.err
    assert volumes.ok("volume", "ls", "-q") == ""


def test_what_the_local_driver_mounts(volumes: Driver, tmp_path: Path) -> None:
    """type=tmpfs is shared by all that use it and gone with the last; a bind; both leave no mount behind."""
    create = ["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs"]
    volumes.ok(*create, "-o", "o=size=1m,uid=1000", "mem")
    user = volumes.ok(
        "run", "-d", "-v", "mem:/x", "busybox", "sh", "-c", "touch /x/q; exec sleep 1000"
    )
    volumes.ok("exec", user, "sh", "-c", "until [ -e /x/q ]; do :; done")
    seen = sh(
        volumes, "ls /y; stat -c %u /y; df -k /y | tail -1 | awk '{print $2}'", "-v", "mem:/y"
    )
    assert seen.split() == ["q", "1000", "1024"]
    volumes.ok("rm", "-f", user)
    assert sh(volumes, "ls /y", "-v", "mem:/y") == ""
    (tmp_path / "hello").touch()
    options = ["type=none", f"device={tmp_path}", "o=bind,ro"]
    volumes.ok("volume", "create", *(word for text in options for word in ("-o", text)), "bound")
    assert sh(volumes, "ls /y; touch /y/z 2>/dev/null || echo refused", "-v", "bound:/y") == (
        "hello\nrefused"
    )
    assert mounted(volumes.engine) == []
    volumes.ok("volume", "rm", "bound")
    assert (tmp_path / "hello").exists()


def test_a_mount_that_fails(volumes: Driver) -> None:
    """What mount(2) said, with what it was asked; the container is not started and nothing stays mounted."""
    for name, device, option, tried in (
        ("b1", "/nosuchdir", "bind", "flags: 0x1000: no such file or directory"),
        ("n1", ":/nosuch", "addr=127.0.0.1,rw", "data: addr=127.0.0.1: "),
    ):
        kind = "none" if option == "bind" else "nfs"
        options = [f"type={kind}", f"device={device}", f"o={option}"]
        volumes.ok("volume", "create", *(w for text in options for w in ("-o", text)), name)
        failed = volumes("run", "--rm", "-v", f"{name}:/x", "busybox", "true")
        place = volumes.engine.data_root / "volumes" / name / "_data"
        assert failed.code in (125, 127)
        assert (
            f"error while mounting volume '{place}': failed to mount local volume: "
            f"mount {device}:{place}, {tried}"
        ) in failed.err
    assert mounted(volumes.engine) == []
    assert volumes.ok("ps", "-aq") == ""


def test_mount_of_a_volume(volumes: Driver) -> None:
    """`--mount` makes it with labels and options; nocopy leaves it empty, else it gets the image's."""
    made = "type=volume,src=v8,dst=/etc,volume-label=q=1,volume-nocopy"
    assert volumes.ok("run", "--rm", "--mount", made, "busybox", "ls", "/etc") == (
        volumes.ok("run", "--rm", "-v", "v7:/etc:nocopy", "busybox", "ls", "/etc")
    )
    filled = volumes.ok("run", "--rm", "-v", "v6:/etc", "busybox", "ls", "/etc").split()
    assert "passwd" in filled
    shown = json.loads(volumes.ok("volume", "inspect", "v8"))[0]
    assert shown["Labels"] == {"q": "1"}
    assert "passwd" not in [entry.name for entry in Path(shown["Mountpoint"]).iterdir()]


def test_anonymous_volumes(volumes: Driver) -> None:
    """They go with `--rm` and `rm -v`, and stay with `rm`; named ones always stay."""
    sh(volumes, "true", "-v", "/anon", "-v", "named:/n")
    assert volumes.ok("volume", "ls", "-q") == "named"
    one, two = (volumes.ok("create", "-v", "/anon", "-v", "named:/n", "busybox") for _ in "12")
    assert len(volumes.ok("volume", "ls", "-q").split()) == 3
    volumes.ok("rm", "-v", one)
    volumes.ok("rm", two)
    left = volumes.ok("volume", "ls", "-q").split()
    assert len(left) == 2
    assert "named" in left


def test_volumes_from(volumes: Driver) -> None:
    """Another container's mounts, as they are or read-only; a mode that is none and a name that is none."""
    volumes.ok("create", "--name", "cc", "-v", "s1:/v:ro", "-v", "/anon", "busybox")
    script = "for d in /v /anon; do touch $d/x 2>/dev/null && echo rw || echo ro; done"
    assert sh(volumes, script, "--volumes-from", "cc") == "ro\nrw"
    assert sh(volumes, script, "--volumes-from", "cc:ro") == "ro\nro"
    for text, complaint in (
        ("cc:foo", "invalid mode: foo"),
        ("nosuch", "No such container: nosuch"),
        ("", "volumes-from specification cannot be an empty string"),
    ):
        refused = volumes("run", "--rm", "--volumes-from", text, "busybox")
        assert (refused.code, complaint in refused.err) == (125, True), refused.err


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["-v", "/a:/b:nocopy"], "field VolumeOptions must not be specified"),
        (["-v", "s1:/b:shared"], "field BindOptions must not be specified"),
        (["-v", "s1:/b:ro,rw"], "invalid mode: ro,rw"),
        (["--mount", "type=npipe,src=/a,dst=/t"], 'config for type "npipe": mount type unknown'),
        (["--mount", "type=volume,dst=/t,ro"], "must not set ReadOnly mode when using anonymous"),
        (["--mount", "type=volume,src=s1,dst=t"], "invalid mount path: 't' mount path must be"),
        (["--mount", "type=volume,src=s1,dst=/"], "destination can't be '/'"),
        (["--mount", "type=bind,src=/nosuch,dst=/t"], "bind source path does not exist: /nosuch"),
        (["-v", "/proc/version:/t:shared"], "mounted on /proc but it is not a shared mount"),
        (["-v", "/proc/version:/t:rslave"], "but it is not a shared or slave mount"),
    ],
)
def test_run_refuses(volumes: Driver, flags: list[str], complaint: str) -> None:
    """Mounts that make no sense, in dockerd's words."""
    refused = volumes("run", "--rm", *flags, "busybox", "true")
    assert (refused.code, complaint in refused.err) == (125, True), refused.err


def test_a_part_of_a_volume(ours_only: Driver) -> None:
    """volume-subpath: a folder, a file, through a link inside; never out of the volume, never what is missing."""
    make = "mkdir -p /x/a/b; echo hi > /x/a/b/f; ln -s a /x/l; ln -s /etc /x/e; ln -s ../.. /x/up"
    sh(ours_only, make, "-v", "s1:/x")

    def run(part: str, script: str) -> tuple[int, str]:
        mount = f"type=volume,src=s1,dst=/y,volume-subpath={part}"
        done = ours_only("run", "--rm", "--mount", mount, "busybox", "sh", "-c", script)
        return done.code, done.out + done.err

    assert run("a/b", "ls /y; touch /y/new") == (0, "f\n")
    assert run("l/b", "ls /y") == (0, "f\nnew\n")
    assert run("a/b/f", "cat /y") == (0, "hi\n")
    for part in ("e", "up"):
        code, text = run(part, "ls /y")
        assert (code, "path concatenation escapes the base directory" in text) == (125, True)
    code, text = run("nosuch", "ls /y")
    assert code == 127
    assert "cannot access path" in text


def layered_archive() -> bytes:
    """A docker-archive of an image with two layers: the upper one changes a folder of the lower one."""
    lower = archive(directory("d"), file("d/old", b"1"), file("d/gone", b"2"))
    upper = archive(directory("d"), file("d/new", b"3"), file("d/.wh.gone"))
    names = [hashlib.sha256(layer).hexdigest() for layer in (lower, upper)]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{name}" for name in names]},
        }
    ).encode()
    manifest = [
        {"Config": "c.json", "RepoTags": ["two:latest"], "Layers": [f"{n}.tar" for n in names]}
    ]
    return archive(
        file("manifest.json", json.dumps(manifest).encode()),
        file("c.json", config),
        *(file(f"{name}.tar", layer) for name, layer in zip(names, (lower, upper), strict=True)),
    )


def test_mount_of_an_image(ours_only: Driver) -> None:
    """type=image: all of it or a part, of one layer or more, read-only; it is in use then."""
    ours_only.ok("load", input=layered_archive())
    mount = "type=image,src=two,dst=/i"
    script = "ls /i/d; touch /i/x 2>/dev/null || echo refused"
    assert sh(ours_only, script, "--mount", mount) == "new\nold\nrefused"
    for part, script, seen in (
        ("d", "ls /i; touch /i/x 2>/dev/null || echo refused", "new\nold\nrefused"),
        ("d/new", "cat /i", "3"),
    ):
        assert sh(ours_only, script, "--mount", f"{mount},image-subpath={part}") == seen
    one = "type=image,src=busybox,dst=/i,image-subpath=etc"
    assert "passwd" in sh(ours_only, "ls /i", "--mount", one)
    missing = ours_only("run", "--rm", "--mount", f"{mount},image-subpath=nosuch", "busybox")
    assert missing.code in (125, 127)
    holder = ours_only.ok("create", "--mount", mount, "busybox")
    refused = ours_only("rmi", "two")
    assert (refused.code, holder[:12] in refused.err) == (1, True)
    ours_only.ok("rm", holder)
    ours_only.ok("rmi", "two")
    unknown = ours_only("run", "--rm", "--mount", mount, "busybox")
    assert (unknown.code, "No such image: two" in unknown.err) == (125, True)


def test_how_deep_read_only_goes(ours_only: Driver, tmp_path: Path) -> None:
    """A read-only bind is so below it too, unless bind-recursive says writable or disabled."""
    subprocess.run(["mount", "-t", "tmpfs", "t", str(tmp_path)], check=True)
    try:
        (tmp_path / "sub").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "t", str(tmp_path / "sub")], check=True)
        script = "for d in /x /x/sub; do touch $d/f 2>/dev/null && echo rw || echo ro; done"
        base = f"type=bind,src={tmp_path},dst=/x,readonly"
        for more, expected in (
            ("", "ro\nro"),
            (",bind-propagation=rprivate,bind-recursive=readonly", "ro\nro"),
            (",bind-recursive=writable", "ro\nrw"),
            (",bind-recursive=disabled", "ro\nro"),
        ):
            assert sh(ours_only, script, "--mount", base + more) == expected, more
        assert sh(ours_only, script, "-v", f"{tmp_path}:/x:ro") == "ro\nro"
    finally:
        subprocess.run(["umount", "-R", str(tmp_path)], check=True)


def test_propagation(ours_only: Driver, tmp_path: Path) -> None:
    """What is mounted on the host below a slave shows inside, and not below a private one."""
    subprocess.run(["mount", "-t", "tmpfs", "t", str(tmp_path)], check=True)
    try:
        subprocess.run(["mount", "--make-shared", str(tmp_path)], check=True)
        (tmp_path / "sub").mkdir()
        binds = ["-v", f"{tmp_path}:/slave:rslave", "-v", f"{tmp_path}:/private"]
        name = ours_only.ok("run", "-d", *binds, "busybox", "sleep", "1000")
        subprocess.run(["mount", "-t", "tmpfs", "t", str(tmp_path / "sub")], check=True)
        (tmp_path / "sub" / "f").touch()
        assert ours_only.ok("exec", name, "ls", "/slave/sub") == "f"
        assert ours_only.ok("exec", name, "ls", "/private/sub") == ""
        ours_only.ok("rm", "-f", name)
    finally:
        subprocess.run(["umount", "-R", str(tmp_path)], check=True)


def test_prune(ours_only: Driver) -> None:
    """Anonymous ones that nobody uses; all of them with -a; never what is used, nor what the driver mounts."""
    anonymous = ours_only.ok("volume", "create")
    ours_only.ok("volume", "create", "--label", "keep", "named")
    ours_only.ok("volume", "create", "other")
    ours_only.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "mem")
    ours_only.ok("create", "-v", "used:/x", "busybox")
    sh(ours_only, "dd if=/dev/zero of=/x/f bs=1k count=64 2>/dev/null", "-v", f"{anonymous}:/x")
    assert ours_only("volume", "prune", input="n\n").code == 0
    said = ours_only.ok("volume", "prune", "-f")
    assert said.splitlines()[:2] == ["Deleted Volumes:", anonymous]
    assert float(said.split()[-1].removesuffix("kB")) >= 64
    said = ours_only.ok("volume", "prune", "-af", "--filter", "label!=keep")
    assert said.splitlines()[1] == "other"
    assert sorted(ours_only.ok("volume", "ls", "-q").split()) == ["mem", "named", "used"]


def test_a_mounted_volume_outlives_the_daemon(ours_only: Driver) -> None:
    """The mount of a container that runs stays through a restart of the daemon, and goes with the container."""
    ours_only.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "mem")
    name = ours_only.ok(
        "run", "-d", "-v", "mem:/x", "busybox", "sh", "-c", "touch /x/q; exec sleep 1000"
    )
    ours_only.ok("exec", name, "sh", "-c", "until [ -e /x/q ]; do :; done")
    ours_only.engine.kill()
    ours_only.engine.start()
    assert sh(ours_only, "ls /x", "-v", "mem:/x") == "q"
    assert len(mounted(ours_only.engine)) == 1
    ours_only.ok("rm", "-f", name)
    assert mounted(ours_only.engine) == []
