"""The life of images: commit, export, save and load, history, filters, prune, df; what every client prints."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Driver, Engine, wait_until
from tests.rootfs import TarBuilder

KEPT = ("busybox:latest", "hello-world:latest")


@pytest.fixture
def images(driver: Driver) -> Iterator[Driver]:
    """A driver whose images other than busybox are removed before and after the test."""
    _clear(driver)
    yield driver
    driver.engine.remove_containers()
    _clear(driver)


@pytest.fixture
def mine(ours: Driver) -> Iterator[Driver]:
    """The same on sampand only."""
    _clear(ours)
    yield ours
    ours.engine.remove_containers()
    _clear(ours)


def _clear(driver: Driver) -> None:
    for image in driver.engine.request("GET", "/images/json?all=1")[1]:
        tags = [tag for tag in image["RepoTags"] or [] if tag != "<none>:<none>"]
        for name in tags or [image["Id"]]:
            if name not in KEPT:
                driver.engine.request("DELETE", f"/images/{name}?force=1")


def _tiny(driver: Driver, name: str, *changes: str, text: str = "") -> str:
    """An image of one small file."""
    tar = TarBuilder().add("file", (text or name).encode()).finish()
    return driver.load_image(tar, name, *changes)


def test_commit(images: Driver) -> None:
    """What was written, deleted and replaced is in the image; author, message and changes are in its config."""
    script = "echo new > /new; rm /bin/ls; mkdir /d; echo 1 > /d/f; ln /d/f /d/g; ln -s f /d/s; chmod 4755 /d/f"
    images.ok(
        *("run", "--name", "box", "-e", "KEPT=1", "-w", "/tmp", "-l", "own=1"),
        *("busybox", "sh", "-c", script),
    )
    flags = ["-m", "a message", "-a", "An Author <a@example.com>"]
    changes = ("ENV A=1 B=$KEPT", 'CMD ["cat", "/new"]', "LABEL c=d", "EXPOSE 80", "USER www")
    for change in changes:
        flags += ["-c", change]
    identifier = images.ok("commit", *flags, "box", "made:1")
    assert re.fullmatch("sha256:[0-9a-f]{64}", identifier)
    assert images.ok("run", "--rm", "made:1") == "new"
    out = images.ok(
        *("run", "--rm", "-u", "root", "made:1", "sh", "-c"),
        "echo $A $B $KEPT; pwd; test -e /bin/ls || echo gone; stat -c '%h %a' /d/g; readlink /d/s",
    )
    assert out.splitlines() == ["1 1 1", "/tmp", "gone", "2 4755", "f"]
    facts = images.inspect("made:1")
    assert facts["Id"] == identifier
    assert (facts["Author"], facts["Comment"]) == ("An Author <a@example.com>", "a message")
    config = facts["Config"]
    assert (config["User"], config["Labels"]) == ("www", {"own": "1", "c": "d"})
    assert config["ExposedPorts"] == {"80/tcp": {}}
    base = images.inspect("busybox")
    assert facts["Parent"] == base["Id"]
    assert facts["RootFS"]["Layers"][:-1] == base["RootFS"]["Layers"]
    assert images.ok("diff", "box").splitlines() == [
        *("C /bin", "D /bin/ls", "A /d", "A /d/f", "A /d/g", "A /d/s", "A /new")
    ] or set(images.ok("diff", "box").splitlines()) >= {"D /bin/ls", "A /new"}


def test_commit_of_nothing_and_twice(images: Driver) -> None:
    """Without a change no layer is made; a container can be committed again and started after it."""
    images.ok("run", "--name", "box", "busybox", "true")
    images.ok("commit", "box", "same:1")
    base = images.inspect("busybox")["RootFS"]["Layers"]
    assert images.inspect("same:1")["RootFS"]["Layers"] == base
    images.ok("run", "--name", "writer", "busybox", "sh", "-c", "echo $$ >> /log; wc -l < /log")
    first = images.ok("commit", "writer", "log:1")
    assert images.ok("start", "-a", "writer") == "2"
    second = images.ok("commit", "writer", "log:2")
    assert first != second
    for tag, lines in (("log:1", "1"), ("log:2", "2")):
        assert images.ok("run", "--rm", tag, "sh", "-c", "wc -l < /log") == lines
    assert len(images.inspect("log:2")["RootFS"]["Layers"]) == len(base) + 1


@pytest.mark.parametrize("pause", ["--pause=true", "--pause=false"])
def test_commit_of_a_running_container(images: Driver, pause: str) -> None:
    """It goes on; the image has what was there, and is not changed by what comes later."""
    script = "echo before > /f; touch /ready; while :; do sleep 1; done"
    images.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", script)
    wait_until(lambda: images("exec", "box", "test", "-e", "/ready").code == 0, "the file")
    images.ok("commit", pause, "box", "live:1")
    assert images.ok("inspect", "-f", "{{.State.Status}}", "box") == "running"
    images.ok("exec", "box", "sh", "-c", "echo after > /f")
    assert images.ok("run", "--rm", "live:1", "cat", "/f") == "before"
    images.ok("pause", "box")
    images.ok("commit", "box", "live:2")
    assert images.ok("inspect", "-f", "{{.State.Status}}", "box") == "paused"
    images.ok("unpause", "box")
    assert images.ok("run", "--rm", "live:2", "cat", "/f") == "after"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["commit", "nosuch"], "No such container: nosuch"),
        (["commit", "-c", "RUN x", "box"], "run is not a valid change command"),
        (["commit", "-c", "NOSUCH x", "box"], "NOSUCH|nosuch"),
        (["commit", "-c", "EXPOSE 99999", "box"], "99999"),
        (["commit", "box", "Upper:1"], "must be lowercase"),
        (["export", "nosuch"], "No such container: nosuch"),
        (["save", "nosuch"], "nosuch|reference does not exist"),
        (["save", "nosuch:1"], "nosuch|reference does not exist"),
        (["history", "nosuch"], "No such image: nosuch:latest"),
        (["load"], "unexpected EOF|invalid archive|no such file or directory"),
        (["tag", "nosuch", "x"], "No such image: nosuch:latest"),
        (["images", "--filter", "nosuch=1"], "[Ii]nvalid filter"),
        (["images", "--filter", "dangling=maybe"], "[Ii]nvalid filter"),
        (["images", "--filter", "before=nosuch"], "No such image: nosuch:latest"),
        (["images", "--filter", "reference=["], "syntax error in pattern"),
        (["image", "prune", "-f", "--filter", "nosuch=1"], "[Ii]nvalid filter"),
    ],
)
def test_refusals(images: Driver, words: list[str], text: str) -> None:
    """Docker's words, on standard error, and a failure."""
    images.ok("create", "--name", "box", "busybox", "true")
    result = images(*words)
    assert result.code != 0, result
    assert re.search(text, result.err), result.err


def test_export_and_import(images: Driver, tmp_path: Path) -> None:
    """Running and stopped containers as a tar, without what is mounted; imported again it is one layer."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "secret").write_text("x")
    script = "echo 1 > /made; rm -r /bin/ls; chown 5:6 /made; touch /ready; sleep 1000"
    images.ok(
        *("run", "-d", "--name", "box", "-v", f"{tmp_path / 'host'}:/mnt/data"),
        *("busybox", "sh", "-c", script),
    )
    wait_until(lambda: images("exec", "box", "test", "-e", "/ready").code == 0, "the file")
    images.ok("export", "-o", str(tmp_path / "running.tar"), "box")
    images.ok("kill", "box")
    images.ok("wait", "box")
    raw = subprocess.run(
        images.argv("export", "box"), capture_output=True, check=True, timeout=60
    ).stdout
    for data in ((tmp_path / "running.tar").read_bytes(), raw):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            names = {name.removeprefix("./").rstrip("/") for name in tar.getnames()}
            made = tar.getmember("made")
            assert (made.uid, made.gid) == (5, 6)
        assert {"made", "bin/sh", "mnt/data", "etc/passwd"} <= names
        assert not {"bin/ls", "mnt/data/secret"} & names
    images.load_image(raw, "exported:1", 'CMD ["cat", "/made"]')
    assert images.ok("run", "--rm", "exported:1") == "1"
    assert len(images.inspect("exported:1")["RootFS"]["Layers"]) == 1


def test_history(images: Driver) -> None:
    """A line a step, the images it grew from with their ids, sizes as people read them or as numbers."""
    _tiny(images, "step:1")
    images.ok("run", "--name", "box", "busybox", "sh", "-c", "echo 12345 > /five")
    identifier = images.ok("commit", "-m", "second", "box", "step:2")
    lines = images.ok("history", "step:2").splitlines()
    assert re.fullmatch(r"IMAGE\s+CREATED\s+CREATED BY\s+SIZE\s+COMMENT", lines[0].strip())
    assert re.match(
        rf"{identifier[7:19]}   .* ago\s+sh -c echo 12345 > /five\s+6B\s+second", lines[1]
    )
    base = images.inspect("busybox")["Id"]
    assert lines[2].startswith(base[7:19])
    assert "Imported from -" in lines[2]
    assert images.ok("history", "-q", "--no-trunc", "step:2").splitlines() == [identifier, base]
    out = images.ok("history", "-H=false", "--format", "{{.Size}} {{.Comment}}", "step:2")
    assert out.splitlines()[0] == "6 second"
    entry = json.loads(images.ok("history", "--format", "json", "step:2").splitlines()[0])
    assert (entry["Comment"], entry["ID"]) == ("second", identifier[7:19])


def test_save_and_load_of_many(images: Driver, tmp_path: Path) -> None:
    """Several images and names in one archive: both forms in it, ids stay, a repository means all of its tags."""
    one, two = _tiny(images, "many/one:a"), _tiny(images, "two:1")
    images.ok("tag", "many/one:a", "many/one:b")
    images.ok("run", "--name", "box", "busybox", "sh", "-c", "echo x > /x")
    three = images.ok("commit", "box")
    path = tmp_path / "images.tar"
    images.ok("save", "-o", str(path), "many/one", "two:1", three)
    with tarfile.open(path) as tar:
        names = tar.getnames()
        manifest = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
    assert [sorted(entry["RepoTags"] or []) for entry in manifest if entry["RepoTags"]] == [
        ["many/one:a", "many/one:b"],
        ["two:1"],
    ] or images.engine.kind == "dockerd"
    if images.engine.kind == "sampand":
        assert {"index.json", "oci-layout"} <= set(names)
    images.ok("rm", "box")
    images.ok("rmi", "many/one:a", "many/one:b", "two:1", three)
    out = set(images.ok("load", "-i", str(path)).splitlines())
    expected = {
        *("Loaded image: many/one:a", "Loaded image: many/one:b", "Loaded image: two:1"),
        f"Loaded image ID: {three}",
    }
    # The reference saves what an image was committed from, too, and may name the committed one no more.
    named = {line for line in expected if "ID" not in line}
    assert out == expected if images.engine.kind == "sampand" else out >= named
    for name, identifier in (("many/one:b", one), ("two:1", two), (three, three)):
        assert images.inspect(name)["Id"] == identifier
    assert images.ok("run", "--rm", three, "cat", "/x") == "x"
    again = tmp_path / "again.tar"
    images.ok("save", "-o", str(again), "many/one", "two:1", three)
    if images.engine.kind == "sampand":
        assert again.read_bytes() == path.read_bytes()


def test_filters_and_flags_of_images(images: Driver) -> None:
    """dangling, label, before, since, reference, until; -a -q --digests --no-trunc --format."""
    first = _tiny(images, "f/one:1", "LABEL k=v only=1")
    second = _tiny(images, "f/two:1", "LABEL k=v")
    images.ok("tag", "f/two:1", "other:2")
    loose = _tiny(images, "f/loose:1")
    _tiny(images, "f/loose:1", text="instead")
    everything = {first, second, loose}

    def listed(*words: str) -> list[str]:
        found = images.ok("images", "-q", "--no-trunc", *words).splitlines()
        return [each for each in dict.fromkeys(found) if each in everything]

    for words, expected in (
        (["--filter", "dangling=true"], [loose]),
        (["--filter", "dangling=false"], [second, first]),
        (["--filter", "label=k=v"], [second, first]),
        (["--filter", "label=k", "--filter", "label=only=1"], [first]),
        (["--filter", "before=f/two:1"], [first]),
        (["--filter", "since=f/one:1"], [loose, second]),
        (["--filter", "reference=f/*"], [second, first]),
        (["--filter", "reference=f/o*:1"], [first]),
        (["--filter", "reference=*"], [second]),
        (["--filter", "reference=*/*:2"], []),
        (["f/two"], [second]),
        (["other:2"], [second]),
        (["nosuch"], []),
        (["-a"], [loose, second, first]),
    ):
        found = listed(*words)
        # The reference orders by seconds only.
        assert (
            found == expected if images.engine.kind == "sampand" else set(found) == set(expected)
        ), words
    assert images.ok("images", "--format", "{{.Repository}}:{{.Tag}}", "f/two") == "f/two:1"
    table = images.ok("images", "--digests", "--no-trunc", "f/one")
    assert re.search(rf"f/one\s+1\s+<none>\s+{first}\s+.* ago", table)
    if images.engine.kind == "sampand":
        assert listed("--filter", "until=1h") == []
        assert listed("--filter", "until=2100-01-01") == [loose, second, first]


def test_rmi_words_and_conflicts(images: Driver) -> None:
    """Names go one by one, the image with the last; ids with several repositories, children and users are refused."""
    base = _tiny(images, "base:1")
    images.ok("tag", "base:1", "else:1")
    result = images("rmi", base)
    assert result.code == 1
    assert "must be forced) - image is referenced in multiple repositories" in result.err
    out = images("rmi", "base:1", "nosuch:1", "else:1")
    assert out.code == 1
    assert "No such image: nosuch:1" in out.err
    assert out.lines[:3] == ["Untagged: base:1", "Untagged: else:1", f"Deleted: {base}"]
    images.ok("create", "--name", "box", "busybox", "true")
    images.ok("cp", "-", "box:/tmp", input=TarBuilder().add("grown", b"1").finish())
    parent = images.ok("commit", "box", "parent:1")
    images.ok("rm", "box")
    images.ok("run", "--name", "box", "parent:1", "sh", "-c", "echo 2 > /tmp/more")
    child = images.ok("commit", "box", "child:1")
    result = images("rmi", "-f", parent)
    assert result.code == 1
    assert f"unable to delete {parent[7:19]} (cannot be forced)" in result.err
    assert images.ok("rmi", "-f", "parent:1").splitlines() == ["Untagged: parent:1"]
    shown = images.ok("images", "-q", "--no-trunc").splitlines()
    assert child in shown
    assert parent not in shown
    assert parent in images.ok("images", "-aq", "--no-trunc").splitlines()
    images.ok("rm", "box")
    out = images.ok("rmi", "child:1").splitlines()
    assert out[:2] == ["Untagged: child:1", f"Deleted: {child}"]
    assert f"Deleted: {parent}" in out
    assert images("inspect", child).code == 1
    assert images("inspect", parent).code == 1, "a nameless parent goes with its last child"


def test_prune(images: Driver) -> None:
    """Dangling ones, or with -a all that no container uses; filters; what is freed is said."""
    _tiny(images, "p/loose:1", "LABEL keep=1")
    kept = images.inspect("p/loose:1")["Id"]
    _tiny(images, "p/loose:1", text="second")
    loose = images.inspect("p/loose:1")["Id"]
    _tiny(images, "p/loose:1", text="third")
    images.ok("create", "--name", "box", "busybox", "true")
    if images.client == "docker" or images.engine.kind == "sampand":
        asked = images("image", "prune", input="n\n")
        assert "WARNING! This will remove all dangling images." in asked.out
        assert "Are you sure you want to continue? [y/N]" in asked.out
    assert "Total reclaimed space: 0B" in images.ok(
        "image", "prune", "-f", "--filter", "until=2000-01-01"
    )
    out = images.ok("image", "prune", "-f", "--filter", "label!=keep=1").splitlines()
    assert out[0] == "Deleted Images:"
    assert f"deleted: {loose}" in out
    assert re.fullmatch(r"Total reclaimed space: [\d.]+[kM]?B", out[-1])
    assert kept in images.ok("images", "-q", "--no-trunc").splitlines()
    out = images.ok("image", "prune", "-a", "-f").splitlines()
    assert {"untagged: p/loose:1", f"deleted: {kept}"} <= set(out)
    assert "busybox" in images.ok("images", "--format", "{{.Repository}}")
    images.ok("run", "busybox", "true")
    out = images.ok("system", "prune", "-f").splitlines()
    assert out[0] == "Deleted Containers:"
    assert out[-1].startswith("Total reclaimed space: ")
    assert images.ok("ps", "-aq") == ""


def _disk_usage(*paths: Path) -> int:
    """What du(1) finds, in bytes."""
    out = subprocess.run(
        ["du", "-s", "--block-size=1", *map(str, paths)], capture_output=True, check=True, text=True
    ).stdout
    return sum(int(line.split()[0]) for line in out.splitlines())


def test_disk_usage_is_what_du_finds(mine: Driver) -> None:
    """Images, what containers wrote and volumes, each within one per cent; layers that are shared count once."""
    _tiny(mine, "du:1", text="x" * 3_000_000)
    mine.ok(
        *("run", "--name", "box", "-v", "duvol:/vol", "busybox", "sh", "-c"),
        "mkdir /many; for i in $(seq 300); do echo $i > /many/$i; done; head -c 2000000 /dev/zero > /vol/f",
    )
    mine.ok("run", "--name", "made", "busybox", "sh", "-c", "head -c 4000000 /dev/zero > /x")
    mine.ok("commit", "made", "du:2")
    mine.ok("image", "prune", "-f")
    data = mine.engine.data_root
    wait_until(lambda: not list((data / "trash").iterdir()), "the trash to be empty")
    body = mine.engine.request("GET", "/v1.51/system/df")[1]
    containers = {each["Names"][0][1:]: each for each in body["Containers"]}
    own = [data / "snapshots" / containers["box"]["Id"] / "fs"]
    snapshots = [
        path / "fs"
        for path in (data / "snapshots").iterdir()
        if path.name not in {each["Id"] for each in body["Containers"]}
    ]
    for said, found in (
        (body["LayersSize"], _disk_usage(*snapshots, data / "content" / "blobs")),
        (containers["box"]["SizeRw"], _disk_usage(*own)),
        (containers["made"]["SizeRw"], 0),
        (
            body["Volumes"][0]["UsageData"]["Size"],
            _disk_usage(data / "volumes" / "duvol" / "_data"),
        ),
    ):
        assert abs(said - found) <= found / 100 + 8192, (said, found)
    table = mine.ok("system", "df").splitlines()
    assert re.fullmatch(r"TYPE\s+TOTAL\s+ACTIVE\s+SIZE\s+RECLAIMABLE", table[0].strip())
    assert [line[:12].strip() for line in table[1:]] == [
        "Images",
        "Containers",
        "Local Volume",
        "Build Cache",
    ]
    verbose = mine.ok("system", "df", "-v")
    assert re.search(
        r"du\s+2\s+[0-9a-f]{12}\s+.* ago\s+[\d.]+MB\s+[\d.]+MB\s+[\d.]+MB\s+0", verbose
    )
    assert "duvol" in verbose
    row = json.loads(mine.ok("system", "df", "--format", "json").splitlines()[1])
    assert (row["Type"], row["TotalCount"]) == ("Containers", "2")
    mine.ok("rm", "-v", "box")
    mine.ok("volume", "rm", "duvol")


def test_fsck(mine: Driver) -> None:
    """Nothing to say of a store in order; what is broken is named, repaired where that can be, and told by the status."""
    sampan = Driver(mine.engine, "sampan")
    identifier = _tiny(mine, "fsck:1")
    out = sampan.ok("system", "fsck")
    assert re.fullmatch(r"Checked \d+ images, \d+ layers, \d+ blobs: everything is whole", out)
    layer = mine.inspect("fsck:1")["RootFS"]["Layers"][0]
    folder = mine.engine.data_root / "snapshots" / layer[7:] / "fs"
    (folder / "file").write_text("this is something else")
    broken = sampan("system", "fsck")
    assert broken.code == 1
    assert f"damaged: layer {layer}" in broken.out
    mended = sampan("system", "fsck", "--repair")
    assert mended.code == 0, mended
    assert "(repaired)" in mended.out
    assert (folder / "file").read_text() == "fsck:1"
    blob = mine.engine.data_root / "content" / "blobs" / "sha256" / layer[7:]
    blob.chmod(0o600)
    blob.write_bytes(b"damaged")
    stray = blob.with_name("0" * 64)
    stray.write_bytes(b"stray")
    result = sampan("system", "fsck", "--repair")
    assert f"damaged: blob {layer}" in result.out
    assert result.code == 1
    assert "pull or load image" in result.out
    assert not stray.exists()
    assert mine.ok("inspect", "-f", "{{.Id}}", "fsck:1") == identifier
    mine.ok("rmi", "fsck:1")
    assert sampan.ok("system", "fsck").endswith("everything is whole")


def test_what_we_save_the_reference_and_skopeo_load(
    sampand: Engine, dockerd: Engine, tmp_path: Path
) -> None:
    """A committed image goes to dockerd and back with the same id; skopeo reads both forms of the archive."""
    mine, theirs = Driver(sampand, "docker"), Driver(dockerd, "docker")
    mine.ok("run", "--name", "box", "busybox", "sh", "-c", "echo moved > /moved; rm /bin/ls")
    identifier = mine.ok("commit", "-c", 'CMD ["cat", "/moved"]', "box", "travel:1")
    mine.ok("rm", "box")
    path = tmp_path / "image.tar"
    mine.ok("save", "-o", str(path), "travel:1")
    assert theirs.ok("load", "-i", str(path)).splitlines()[-1] == "Loaded image: travel:1"
    assert theirs.inspect("travel:1")["Id"] == identifier
    assert theirs.ok("run", "--rm", "travel:1") == "moved"
    assert theirs("run", "--rm", "travel:1", "ls").code == 127
    for source in ("docker-archive", "oci-archive"):
        out = subprocess.run(
            ["skopeo", "inspect", "--config", f"{source}:{path}"],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        assert json.loads(out)["config"]["Cmd"] == ["cat", "/moved"]
    mine.ok("rmi", "travel:1")
    theirs.ok("save", "-o", str(path), "travel:1")
    mine.ok("load", "-i", str(path))
    assert mine.inspect("travel:1")["Id"] == identifier
    for driver in mine, theirs:
        driver.ok("rmi", "travel:1")


def test_events(mine: Driver) -> None:
    """commit, tag, save, load, untag, delete and prune are told."""
    since = mine.engine.request("GET", "/info")[1]["SystemTime"]
    mine.ok("create", "--name", "box", "busybox", "true")
    mine.ok("cp", "-", "box:/tmp", input=TarBuilder().add("grown", b"1").finish())
    mine.ok("commit", "box", "told:1")
    archive = subprocess.run(mine.argv("save", "told:1"), capture_output=True, check=True).stdout
    mine.ok("load", input=archive)
    mine.ok("rm", "box")
    mine.ok("rmi", "told:1")
    mine.ok("image", "prune", "-f")
    until = mine.engine.request("GET", "/info")[1]["SystemTime"]
    out = mine.ok(
        *("events", "--since", since, "--until", until, "--format", "{{.Type}} {{.Action}}")
    )
    told = [line for line in out.splitlines() if line.startswith("image") or "commit" in line]
    assert told == [
        *("image tag", "container commit", "image save", "image load"),
        *("image untag", "image delete", "image prune"),
    ]


def test_ten_at_once(mine: Driver, tmp_path: Path) -> None:
    """Loads, removals, commits, prunes and runs of overlapping images all at once: none breaks another, and the store
    is in order afterwards."""
    for number in range(3):
        mine.ok("run", "--name", "box", "busybox", "sh", "-c", f"echo {number} > /n{number}")
        mine.ok("commit", "-c", f'CMD ["cat", "/n{number}"]', "box", f"many:{number}")
        mine.ok("rm", "box")
    path = tmp_path / "many.tar"
    mine.ok("save", "-o", str(path), "many:0", "many:1", "many:2")
    words: list[list[str]] = []
    for number in range(3):
        words += [
            ["load", "-q", "-i", str(path)],
            ["rmi", "-f", f"many:{number}"],
            ["run", "--rm", f"many:{number}"],
        ]
    words.append(["image", "prune", "-f"])
    for _ in range(3):
        started = [(word, mine.popen(*word, stdin=subprocess.DEVNULL)) for word in words]
        for word, process in started:
            out, err = process.communicate(timeout=120)
            if word[0] in ("load", "image"):
                assert process.returncode == 0, (word, err)
            elif process.returncode:
                # It was removed a moment ago, or is used at this moment.
                assert re.search(rb"No such image|Unable to find image|is using|being used", err), (
                    err
                )
            elif word[0] == "run":
                assert out.decode().strip() == word[2][-1]
        result = Driver(mine.engine, "sampan")("system", "fsck")
        assert result.code == 0, result.out
    mine.ok("load", "-q", "-i", str(path))
    for number in range(3):
        assert mine.ok("run", "--rm", f"many:{number}") == str(number)
