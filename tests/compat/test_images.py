"""Images: import, load, list, inspect, tag, remove."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, Engine, wait_until
from tests.rootfs import TarBuilder, busybox_tar, debian_tar


@pytest.fixture
def images(driver: Driver) -> Iterator[Driver]:
    """A driver whose images other than busybox are removed after the test."""
    yield driver
    driver.engine.remove_containers()
    for image in driver.engine.request("GET", "/images/json")[1]:
        for tag in image["RepoTags"] or [image["Id"]]:
            if tag not in ("busybox:latest", "hello-world:latest"):
                driver.engine.request("DELETE", f"/images/{tag}?force=1")


def test_import_list_inspect_tag_remove(images: Driver) -> None:
    """The life of an imported image, with its names."""
    identifier = images.load_image(
        busybox_tar(),
        "box:one",
        'CMD ["sh", "-c", "echo $GREETING"]',
        "ENV GREETING=hi",
        "LABEL a=b",
        "EXPOSE 80/tcp",
        "USER www",
        "WORKDIR /tmp",
    )
    assert re.fullmatch("sha256:[0-9a-f]{64}", identifier)
    assert images.ok("run", "--rm", "box:one") == "hi"
    facts = json.loads(images.ok("inspect", "box:one"))[0]
    assert facts["Id"] == identifier
    assert facts["RepoTags"] == ["box:one"]
    assert facts["Os"] == "linux"
    assert facts["Config"]["Cmd"] == ["sh", "-c", "echo $GREETING"]
    assert facts["Config"]["Labels"] == {"a": "b"}
    assert facts["Config"]["ExposedPorts"] == {"80/tcp": {}}
    assert (facts["Config"]["User"], facts["Config"]["WorkingDir"]) == ("www", "/tmp")
    assert len(facts["RootFS"]["Layers"]) == 1
    assert images.ok("inspect", "-f", "{{.Architecture}}", identifier[7:19]) in ("amd64", "arm64")
    images.ok("tag", "box:one", "other/name:two")
    table = images.ok("images").splitlines()
    assert re.fullmatch(r"REPOSITORY\s+TAG\s+IMAGE ID\s+CREATED\s+SIZE", table[0].strip())
    assert any(
        re.match(rf"other/name\s+two\s+{identifier[7:19]}\s+.* ago\s+[\d.]+MB", line)
        for line in table
    )
    assert images.ok("rmi", "other/name:two").splitlines() == ["Untagged: other/name:two"]
    removed = images.ok("rmi", "box:one").splitlines()
    assert removed[0] == "Untagged: box:one"
    assert removed[1] == f"Deleted: {identifier}"
    missing = images("rmi", "box:one")
    assert missing.code == 1
    assert re.search("No such image: box:one", missing.err)


def test_rmi_of_an_image_in_use(images: Driver) -> None:
    """An image that a container uses is kept, and the text says by which."""
    identifier = images.load_image(busybox_tar(), "used:1", 'CMD ["sleep", "100"]')
    container = images.ok("run", "-d", "used:1")
    refused = images("rmi", "used:1")
    assert refused.code == 1
    assert re.search(
        rf"conflict: unable to (remove repository reference \"used:1\" \(must force\) - container {container[:12]} is using its referenced image {identifier[7:19]}"
        rf"|delete used:1 \(must be forced\) - container {container[:12]} is using)",
        refused.err,
    )
    forced = images("rmi", "-f", identifier[7:19])
    assert forced.code == 1
    assert re.search("(cannot be forced)", forced.err)


@pytest.mark.parametrize("compression", ["none", "gzip", "xz", "zstd", "bzip2"])
def test_import_of_a_compressed_tar(images: Driver, compression: str) -> None:
    """Any compression, recognised by its first bytes."""
    if compression == "zstd" and images.engine.kind == "dockerd":
        pytest.skip("the reference is too old for zstd")
    tar = (
        TarBuilder()
        .directory("bin")
        .add("bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755)
        .finish()
    )
    commands = {"gzip": ["gzip"], "xz": ["xz", "-0"], "zstd": ["zstd", "-q"], "bzip2": ["bzip2"]}
    if compression in commands:
        tar = subprocess.run(
            commands[compression], input=tar, capture_output=True, check=True
        ).stdout
    images.load_image(tar, "squeezed:1")
    assert images.ok("run", "--rm", "squeezed:1", "/bin/busybox", "echo", "fine") == "fine"


def test_import_from_a_file(images: Driver, tmp_path: Path) -> None:
    """`import FILE`, and a message."""
    (tmp_path / "root.tar").write_bytes(busybox_tar())
    images.ok("import", "-m", "a message", str(tmp_path / "root.tar"), "filed:1")
    assert images.ok("run", "--rm", "filed:1", "echo", "ok") == "ok"
    assert json.loads(images.ok("inspect", "filed:1"))[0]["Comment"] == "a message"


def docker_archive(layers: list[bytes], *, tags: list[str], gzipped: bool = False) -> bytes:
    """What `docker save` writes, made by hand: manifest last, layers before it."""
    import hashlib

    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {
            "type": "layers",
            "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers],
        },
        "history": [{"created_by": f"layer {n}"} for n in range(len(layers))],
    }
    raw = json.dumps(config).encode()
    name = hashlib.sha256(raw).hexdigest()
    tar = TarBuilder()
    for n, layer in enumerate(layers):
        tar.add(f"{n}/layer.tar", gzip.compress(layer, 1) if gzipped else layer, mode=0o644)
    tar.add(f"{name}.json", raw, mode=0o644)
    manifest = [
        {
            "Config": f"{name}.json",
            "RepoTags": tags,
            "Layers": [f"{n}/layer.tar" for n in range(len(layers))],
        }
    ]
    tar.add("manifest.json", json.dumps(manifest).encode(), mode=0o644)
    return tar.finish()


def test_load_of_layers_with_whiteouts(images: Driver) -> None:
    """Files and folders that upper layers delete are gone, opaque folders hide what is below, links work."""
    lower = (
        TarBuilder()
        .directory("d")
        .add("d/kept", b"1")
        .add("d/gone", b"2")
        .directory("o")
        .add("o/hidden", b"3")
        .add("f", b"4")
    )
    upper = (
        TarBuilder()
        .add("d/.wh.gone", b"")
        .directory("o")
        .add("o/.wh..wh..opq", b"")
        .add("o/shown", b"5")
        .add("f", b"42")
        .add("hard", type=tarfile.LNKTYPE, linkname="f")
        .add(".wh.nothing", b"")
    )
    archive = docker_archive(
        [busybox_tar(), lower.finish(), upper.finish()], tags=["layered:1", "layered:2"]
    )
    assert images.ok("load", input=archive).splitlines() == [
        "Loaded image: layered:1",
        "Loaded image: layered:2",
    ]
    out = images.ok("run", "--rm", "layered:2", "sh", "-c", "ls d o; cat hard; stat -c %h hard")
    assert out.split() == ["d:", "kept", "o:", "shown", "422"]


def test_load_of_gzipped_layers(images: Driver) -> None:
    """Layers may be compressed inside the archive, and the archive as a whole as well."""
    archive = docker_archive([busybox_tar()], tags=["zipped:1"], gzipped=True)
    assert images.ok("load", "-q", input=gzip.compress(archive, 1)) == "Loaded image: zipped:1"
    assert images.ok("run", "--rm", "zipped:1", "echo", "ok") == "ok"
    images.ok("load", input=lzma.compress(archive, preset=0))


def test_load_of_an_oci_layout(ours: Driver, tmp_path: Path) -> None:
    """An OCI layout, as skopeo writes it, in a tar."""
    archive = tmp_path / "docker.tar"
    archive.write_bytes(docker_archive([busybox_tar()], tags=["layout:1"]))
    subprocess.run(
        [
            "skopeo",
            "--insecure-policy",
            "copy",
            "-q",
            f"docker-archive:{archive}",
            f"oci-archive:{tmp_path}/oci.tar:layout:1",
        ],
        check=True,
    )
    out = ours.ok("load", "-i", str(tmp_path / "oci.tar"))
    assert out == "Loaded image: layout:1"
    assert ours.ok("run", "--rm", "layout:1", "echo", "ok") == "ok"
    ours.ok("rmi", "layout:1")


def test_what_the_reference_saves_we_load(sampand: object, dockerd: object, tmp_path: Path) -> None:
    """`docker save` of dockerd's loads here with the same id."""
    theirs, mine = Driver(dockerd, "docker"), Driver(sampand, "docker")  # type: ignore[arg-type]
    identifier = theirs.load_image(busybox_tar(), "moved:1", 'CMD ["echo", "moved"]')
    theirs.ok("save", "-o", str(tmp_path / "image.tar"), "moved:1")
    assert mine.ok("load", "-i", str(tmp_path / "image.tar")) == "Loaded image: moved:1"
    assert mine.ok("inspect", "-f", "{{.Id}}", "moved:1") == identifier
    assert mine.ok("run", "--rm", "moved:1") == "moved"
    for driver in theirs, mine:
        driver.ok("rmi", "moved:1")


def test_debian(images: Driver) -> None:
    """A real distribution: its shell, its package tool, its users."""
    with debian_tar().open("rb") as tar:
        done = subprocess.run(
            images.argv("import", "-c", 'CMD ["bash"]', "-", "debian:test"),
            stdin=tar,
            capture_output=True,
            timeout=200,
            env=images.environment(),
        )
    assert done.returncode == 0, done.stderr
    assert images.ok("run", "--rm", "debian:test", "cat", "/etc/debian_version").startswith("12")
    assert "apt" in images.ok(
        "run", "--rm", "debian:test", "dpkg-query", "-W", "-f", "${Package}\\n", "apt"
    )
    out = images.ok(
        "run", "--rm", "-u", "daemon", "debian:test", "bash", "-c", "id -un; perl -e 'print 6*7'"
    )
    assert out == "daemon\n42"


def hostile(kind: str) -> bytes:
    tar = TarBuilder()
    if kind == "dotdot":
        tar.add("../../../../escaped", b"x")
    elif kind == "absolute link":
        tar.add("link", type=tarfile.SYMTYPE, linkname="/").add("link/escaped", b"x")
    elif kind == "hard link out":
        tar.add("link", type=tarfile.LNKTYPE, linkname="../../../../etc/passwd")
    elif kind == "truncated":
        return busybox_tar()[:100_000]
    elif kind == "not a tar":
        return b"this is not a tar archive, whatever it claims" * 100
    return tar.finish()


@pytest.mark.parametrize(
    "kind", ["dotdot", "absolute link", "hard link out", "truncated", "not a tar"]
)
def test_hostile_archives_change_nothing_outside(ours: Driver, kind: str) -> None:
    """Contained or refused, never written outside; what was refused leaves no image and no data."""
    before = {image["Id"] for image in ours.engine.request("GET", "/images/json?all=1")[1]}
    result = ours("import", "-", "hostile:1", input=hostile(kind))
    assert not Path("/escaped").exists()
    if kind in ("truncated", "not a tar", "hard link out"):
        assert result.code == 1, result
    if result.code:
        assert {
            image["Id"] for image in ours.engine.request("GET", "/images/json?all=1")[1]
        } == before
        for place in "content/ingest", "trash":
            folder = ours.engine.data_root / place
            wait_until(lambda: not list(folder.iterdir()), f"{place} to be empty")  # noqa: B023
    else:
        ours.ok("rmi", "hostile:1")


def test_tar_builder_is_readable() -> None:
    """The tests' own archives are what they claim to be."""
    with tarfile.open(fileobj=io.BytesIO(busybox_tar())) as tar:
        assert "bin/sh" in tar.getnames()


CONTROLLING = {
    "io.kubernetes.cri-o.Devices": "/dev/sda",
    "io.podman.annotations.privileged": "TRUE",
    "org.opencontainers.image.seccomp": "unconfined",
    "run.oci.handler": "krun",
    "run.oci.hooks.stdout": "/tmp/hooked",
}


def _hostile_config(name: str, **config: object) -> bytes:
    """A docker-archive of busybox with a config as nobody's builder writes it."""
    layer = busybox_tar()
    diff = "sha256:" + hashlib.sha256(layer).hexdigest()
    document = {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Cmd": ["sleep", "1000"], **config},
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    tar = TarBuilder().add("layer.tar", layer).add("config.json", json.dumps(document).encode())
    return tar.add("manifest.json", json.dumps(manifest).encode()).finish()


def _control(engine: Engine, container: str) -> dict[str, object]:
    """What of a container's config.json decides what it may do."""
    found = json.loads((engine.exec_root / "containers" / container / "config.json").read_text())
    process, linux = found["process"], found["linux"]
    return {
        "keys": sorted(found),
        "hooks": found.get("hooks"),
        "annotations": found.get("annotations"),
        "capabilities": process["capabilities"],
        "mounts": sorted(mount["destination"] for mount in found["mounts"]),
        "namespaces": sorted(each["type"] for each in linux["namespaces"]),
        "seccomp": linux.get("seccomp"),
        "devices": (linux.get("devices"), linux["resources"].get("devices")),
    }


def test_an_images_labels_control_nothing(ours: Driver) -> None:
    """The container is the same as without them, in everything but the labels themselves."""
    found = []
    for number, labels in enumerate(({}, CONTROLLING)):
        ours.ok("load", input=_hostile_config(f"labelled:{number}", Labels=labels))
        identifier = ours.ok("run", "-d", "--network", "none", f"labelled:{number}")
        found.append(_control(ours.engine, identifier))
        ours.ok("rm", "-f", identifier)
    assert found[0] == found[1]
    privileged = ours.ok("run", "-d", "--network", "none", "--privileged", "labelled:1")
    assert _control(ours.engine, privileged) != found[0]  # the control: it would be seen
    ours.ok("rm", "-f", privileged)


def test_an_images_variables_take_nothing_of_the_host(ours: Driver) -> None:
    """Names without a value, a star and an empty one are no question for the daemon's own environment."""
    assert ours.engine.process is not None
    environ = Path(f"/proc/{ours.engine.process.pid}/environ").read_bytes().split(b"\0")
    host = dict(entry.decode().split("=", 1) for entry in environ if b"=" in entry)
    names = [name for name in host if name not in ("PATH", "HOME", "HOSTNAME", "TERM")]
    assert names
    variables = [*names, "*", "*=x", "=", "", "LONG=" + "x" * 100_000]
    ours.ok("load", input=_hostile_config("variables:1", Env=variables))
    said = ours("run", "--rm", "--network", "none", "variables:1", "env")
    assert not [name for name in names if f"{name}={host[name]}" in said.out.split("\n")], said
    named = ours.ok("run", "--rm", "--network", "none", "-e", "SHOWN=yes", "busybox", "env")
    assert "SHOWN=yes" in named  # the control: what is given is seen


@pytest.mark.parametrize("place", ["/", "/proc", "/proc/self", "relative", "/a/../.."])
def test_an_image_cannot_put_a_volume_everywhere(ours: Driver, place: str) -> None:
    """Refused, and nothing is left of the container."""
    before = ours.engine.request("GET", "/volumes")[1]["Volumes"] or []
    ours.ok("load", input=_hostile_config("volumes:1", Volumes={place: {}}))
    result = ours("run", "--rm", "--network", "none", "volumes:1", "true")
    assert result.code in (125, 126, 127), result
    ours.engine.remove_containers()
    assert (ours.engine.request("GET", "/volumes")[1]["Volumes"] or []) == before
