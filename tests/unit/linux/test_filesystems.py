"""Which way an overlay is made, and every step of the old way undone when one fails."""

from __future__ import annotations

import pytest

from sampan.linux.filesystems import knows_single_layers, overlay_by_mount
from tests.fakes.kernel import RecordingKernel

OPTIONS = ["lowerdir=/b", "lowerdir=/a", "upperdir=/u", "workdir=/w", "volatile"]


@pytest.mark.parametrize(
    ("release", "known"),
    [
        ("6.1.0-56-cloud-amd64", False),
        ("6.6.9", False),
        ("6.7-rc1", True),
        ("6.12.3-arch1-1", True),
        ("5.15.0", False),
        ("10.0", True),
        ("unheard of", True),
    ],
)
def test_kernels(release: str, known: bool) -> None:
    """`lowerdir+` is Linux 6.7's; what cannot be read is taken for a new one."""
    assert knows_single_layers(release) is known


def test_old_way() -> None:
    """One text with descriptors for folders, in a namespace that is left again."""
    fake = RecordingKernel()
    made = overlay_by_mount(fake.kernel, OPTIONS, 2)
    text = "lowerdir=103:104,upperdir=105,workdir=106,volatile"
    assert ("mount", ("overlay", "/b", "overlay", 0, text)) in fake.calls
    assert fake.open_descriptors() == {made}
    assert [name for name in fake.names() if name in ("unshare", "setns", "chroot")] == [
        "unshare",
        "setns",
        "chroot",
    ]


@pytest.mark.parametrize("step", range(24))
def test_old_way_that_fails(step: int) -> None:
    """Whatever fails: no descriptor is left, and who has left the namespace goes back."""
    fake = RecordingKernel(fail_at=step)
    try:
        made = {overlay_by_mount(fake.kernel, OPTIONS, 2)}
    except OSError:
        made = set()
    names = fake.names()
    failed = names[step] if step < len(names) else ""
    if failed != "close":
        assert fake.open_descriptors() == made
    if "mount" in names:
        assert "setns" in names
