"""Small parsers and texts: times, signals, names, filters, mounts, merging with the image."""

from __future__ import annotations

import pytest

from sampan.engine import filters, merge, mounts, names, signals, times
from sampan.engine.records import MountPoint
from sampan.errors import InvalidParameter
from sampan.spec.container import (
    BindOptions,
    ContainerConfig,
    HealthConfig,
    HostConfig,
    ImageOptions,
    Mount,
    TmpfsOptions,
    VolumeOptions,
)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0001-01-01T00:00:00Z"),
        (1_000_000_000, "1970-01-01T00:00:01Z"),
        (1_795_498_700_100_000_000, "2026-11-24T05:38:20.1Z"),
        (1_795_498_700_123_456_789, "2026-11-24T05:38:20.123456789Z"),
    ],
)
def test_times(nanoseconds: int, text: str) -> None:
    """Go's RFC3339Nano, there and back."""
    assert times.to_text(nanoseconds) == text
    assert times.from_text(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("", 0),
        ("0", 0),
        ("1795498700", 1_795_498_700_000_000_000),
        ("1795498700.5", 1_795_498_700_500_000_000),
        ("-1.5", -1_500_000_000),
        ("2026-11-24T05:38:20+01:00", 1_795_495_100_000_000_000),
        ("2026-11-24", 1_795_478_400_000_000_000),
        ("2026-11-24T05:38", 1_795_498_680_000_000_000),
    ],
)
def test_since_and_until(text: str, nanoseconds: int) -> None:
    """Seconds with a fraction, or a time."""
    assert times.from_parameter(text, name="since") == nanoseconds


@pytest.mark.parametrize("text", ["y", "2026-13-01", "2026-02-30T00:00:00Z", "1e9", "１"])
def test_what_is_no_time(text: str) -> None:
    """400."""
    with pytest.raises(InvalidParameter):
        times.from_parameter(text, name="since")


@pytest.mark.parametrize(
    ("text", "number"),
    [("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("9", 9), ("RTMIN+3", 37), ("SIGRTMAX", 64), ("99", 99)],
)  # fmt: skip
def test_signals(text: str, number: int) -> None:
    """Names with and without SIG, numbers."""
    assert signals.parse(text) == number


@pytest.mark.parametrize("text", ["FOO", "0", "", "-9", "SIG", "9 ", "999999999"])
def test_what_is_no_signal(text: str) -> None:
    """400 in dockerd's words."""
    with pytest.raises(InvalidParameter) as caught:
        signals.parse(text)
    assert str(caught.value) == f"Invalid signal: {text}"


@pytest.mark.parametrize("name", ["ab", "/ab", "a.b_c-d", "0a", "A" * 255])
def test_names(name: str) -> None:
    """moby's grammar; the slash is taken off."""
    assert names.check_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["", "a", "-a", ".a", "a/b", "a b", "ä1", "a\n", "A" * 256])
def test_what_is_no_name(name: str) -> None:
    """400 in dockerd's words."""
    with pytest.raises(InvalidParameter) as caught:
        names.check_name(name)
    assert str(caught.value) == (
        f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )


def test_made_up_names() -> None:
    """Legal, and a digit helps when words run out."""
    for attempt in range(6):
        name = names.generate(attempt)
        assert names.check_name(name) == name
        assert name[-1].isdigit() == (attempt >= 3)
    assert len(set(names.ADJECTIVES)) == len(names.ADJECTIVES)
    assert len(set(names.NOUNS)) == len(names.NOUNS)


def test_filters() -> None:
    """Alternatives within a key, all labels, booleans."""
    given = {"status": ["a", "b"], "label": ["x", "y=1"], "yes": ["true"], "bad": ["maybe"]}
    assert filters.exact(given, "status", "b")
    assert not filters.exact(given, "status", "c")
    assert filters.exact(given, "absent", "c")
    assert filters.prefix({"id": ["ab"]}, "id", "abc", "x")
    assert filters.labels_hold(given, "label", {"x": "anything", "y": "1"})
    assert not filters.labels_hold(given, "label", {"x": "", "y": "2"})
    assert filters.boolean(given, "yes") is True
    assert filters.boolean(given, "absent") is None
    with pytest.raises(InvalidParameter, match=r"invalid filter 'bad=\[maybe\]'"):
        filters.boolean(given, "bad")
    with pytest.raises(InvalidParameter, match="invalid filter 'bad'"):
        filters.check_filters(given, ("status", "label", "yes"))


# -- mounts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("/a:/b", MountPoint(type="bind", source="/a", destination="/b", propagation="rprivate", create_source=True)),
        ("/a/../c:/b/:ro", MountPoint(type="bind", source="/c", destination="/b", mode="ro", read_write=False, propagation="rprivate", create_source=True)),
        ("/a:/b:rshared,rw,z", MountPoint(type="bind", source="/a", destination="/b", mode="rshared,rw,z", propagation="rshared", create_source=True)),
        ("vol:/b", MountPoint(type="volume", name="vol", destination="/b", driver="local", copy_up=True)),
        ("vol:/b:nocopy", MountPoint(type="volume", name="vol", destination="/b", driver="local", mode="nocopy")),
        ("/b", MountPoint(type="volume", destination="/b", driver="local", copy_up=True, anonymous=True)),
    ],
)  # fmt: skip
def test_binds(text: str, point: MountPoint) -> None:
    """`-v` in all its forms."""
    assert mounts.parse_bind(text) == point


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("/a:/b:zzz", "invalid mode: zzz"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:/", "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'"),
        ("a:b:c:d", "invalid volume specification: 'a:b:c:d'"),
        (":/x", "invalid volume specification: ':/x'"),
        ("../a:/x", 'create ../a: "../a" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'),
    ],
)  # fmt: skip
def test_binds_refused(text: str, complaint: str) -> None:
    """dockerd's words."""
    with pytest.raises(InvalidParameter) as caught:
        mounts.parse_bind(text)
    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("mount", "complaint"),
    [
        (Mount(type="zzz", target="/x"), 'invalid mount config for type "zzz": mount type unknown'),
        (Mount(type="bind", source="/a"), 'invalid mount config for type "bind": field Target must not be empty'),
        (Mount(type="bind", target="/x"), 'invalid mount config for type "bind": field Source must not be empty'),
        (Mount(type="bind", source="a", target="/x"), "invalid mount config for type \"bind\": invalid mount path: 'a' mount path must be absolute"),
        (Mount(type="bind", source="/a", target="x"), "invalid mount config for type \"bind\": invalid mount path: 'x' mount path must be absolute"),
        (Mount(type="tmpfs", source="/a", target="/x"), 'invalid mount config for type "tmpfs": field Source must not be specified'),
        (Mount(type="bind", source="/a", target="/x", volume_options=VolumeOptions()), 'invalid mount config for type "bind": field VolumeOptions must not be specified'),
        (Mount(type="bind", source="/a", target="/x", bind_options=BindOptions(propagation="up")), 'invalid mount config for type "bind": invalid propagation mode: up'),
        (Mount(type="volume", target="/x", read_only=True), 'invalid mount config for type "volume": must not set ReadOnly mode when using anonymous volumes'),
    ],
)  # fmt: skip
def test_mounts_refused(mount: Mount, complaint: str) -> None:
    """dockerd's words."""
    with pytest.raises(InvalidParameter) as caught:
        mounts.parse_mount(mount)
    assert str(caught.value) == complaint


@pytest.mark.parametrize("subpath", ["..", "a/../..", "/a", "../a", "a\0"])
def test_a_subpath_that_leaves_its_volume(subpath: str) -> None:
    """It is refused as a text already."""
    for mount in (
        Mount(
            type="volume",
            source="vol",
            target="/x",
            volume_options=VolumeOptions(subpath=subpath),
        ),
        Mount(type="image", source="a", target="/x", image_options=ImageOptions(subpath=subpath)),
    ):
        with pytest.raises(InvalidParameter) as caught:
            mounts.parse_mount(mount)
        assert str(caught.value) == (
            f'invalid mount config for type "{mount.type}": '
            "subpath must be a relative path within the volume"
        )


@pytest.mark.parametrize(
    ("read_only", "own", "deep", "depth"),
    [
        (True, False, False, ""),
        (True, True, False, "own"),
        (True, False, True, "all"),
        (False, True, False, None),
        (False, False, True, None),
        (True, True, True, None),
    ],
)
def test_how_deep_read_only_goes(read_only: bool, own: bool, deep: bool, depth: str | None) -> None:
    """`bind-recursive`: below it too if the host can, never, or always; what contradicts itself is refused."""
    options = BindOptions(read_only_non_recursive=own, read_only_force_recursive=deep)
    mount = Mount(type="bind", source="/a", target="/x", read_only=read_only, bind_options=options)
    if depth is not None:
        assert mounts.parse_mount(mount).read_only_depth == depth
        return
    with pytest.raises(InvalidParameter, match="mount options conflict"):
        mounts.parse_mount(mount)


def test_mounts() -> None:
    """`--mount` of every type."""
    bind = mounts.parse_mount(Mount(type="bind", source="/a", target="/x", read_only=True))
    assert (bind.source, bind.read_write, bind.create_source) == ("/a", False, False)
    volume = mounts.parse_mount(Mount(type="volume", source="vol", target="/x"))
    assert (volume.name, volume.copy_up) == ("vol", True)
    tmpfs = mounts.parse_mount(
        Mount(type="tmpfs", target="/x", tmpfs_options=TmpfsOptions(size_bytes=4096, mode=0o700))
    )
    assert {"mode=700", "size=4k", "nosuid"} <= set(tmpfs.options)


def test_all_mounts_of_a_container() -> None:
    """The user's hide the inherited ones and the image's; what lies below comes after."""
    planned = mounts.plan_mounts(
        ContainerConfig(volumes={"/a/b": {}, "/c": {}}),
        HostConfig(binds=["/host:/c/d"], tmpfs={"/a": ""}),
        (MountPoint(type="bind", source="/old", destination="/a"),),
    )
    assert [(point.destination, point.type) for point in planned] == [
        ("/a", "tmpfs"),
        ("/c", "volume"),
        ("/c/d", "bind"),
        ("/a/b", "volume"),
    ]


# -- merging with the image ------------------------------------------------------------------------

IMAGE = ContainerConfig(
    cmd=["image-cmd"],
    entrypoint=["image-entry"],
    env=["A=image", "B=image"],
    labels={"l": "image", "m": "image"},
    user="bob",
    working_dir="/w",
    stop_signal="SIGINT",
    exposed_ports={"80/tcp": {}},
    volumes={"/v": {}},
    healthcheck=HealthConfig(test=["CMD", "x"], interval=5),
)


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "line"),
    [
        (None, None, ["image-entry", "image-cmd"]),
        (None, ["mine"], ["image-entry", "mine"]),
        (["e"], None, ["e"]),
        (["e"], ["mine"], ["e", "mine"]),
        ([""], ["mine"], ["mine"]),
        ([], ["mine"], ["mine"]),
        ([], None, ["image-cmd"]),
    ],
)
def test_command_lines(
    entrypoint: list[str] | None, cmd: list[str] | None, line: list[str]
) -> None:
    """A new entrypoint resets the command; an empty one resets the image's."""
    merged = merge.merge(ContainerConfig(entrypoint=entrypoint, cmd=cmd), IMAGE)
    path, arguments = merge.command_line(merged)
    assert [path, *arguments] == line


def test_no_command() -> None:
    """Neither says what to run."""
    for user in (ContainerConfig(), ContainerConfig(entrypoint=[""])):
        with pytest.raises(InvalidParameter, match="No command specified"):
            merge.merge(user, ContainerConfig())


def test_the_rest_of_the_image() -> None:
    """Lists by key, the user's win; single values only where the user left them open."""
    user = ContainerConfig(
        env=["B=mine", "C"], labels={"l": "mine"}, exposed_ports={"81/tcp": {}}, working_dir="/u"
    )
    merged = merge.merge(user, IMAGE)
    assert merged.env == ["B=mine", "C", "A=image"]
    assert merged.labels == {"l": "mine", "m": "image"}
    assert set(merged.exposed_ports or {}) == {"80/tcp", "81/tcp"}
    assert set(merged.volumes or {}) == {"/v"}
    assert (merged.user, merged.working_dir, merged.stop_signal) == ("bob", "/u", "SIGINT")
    assert merged.healthcheck == IMAGE.healthcheck
    health = merge.merge(ContainerConfig(healthcheck=HealthConfig(interval=9)), IMAGE).healthcheck
    assert health == HealthConfig(test=["CMD", "x"], interval=9)
    assert user.env == ["B=mine", "C"]
