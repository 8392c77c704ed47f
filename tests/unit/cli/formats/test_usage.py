"""What `system df -v` shows."""

from __future__ import annotations

from sampan.cli.formats.usage import verbose_text


def test_an_image_with_several_names_is_one_row() -> None:
    """What it takes is listed once: by its first tag, or by a digest when it has none."""
    image = {"Id": "sha256:" + "1" * 64, "Created": 1, "Size": 10, "SharedSize": 4, "Containers": 0}
    digest = "@sha256:" + "2" * 64
    usage = {
        "Images": [
            {**image, "RepoTags": ["a:1", "b:2"], "RepoDigests": ["c" + digest]},
            {**image, "RepoTags": [], "RepoDigests": ["d" + digest, "e" + digest]},
        ]
    }
    rows = verbose_text(usage).splitlines()[3:5]
    assert [row.split()[:2] for row in rows] == [["a", "1"], ["d", "<none>"]]
    assert verbose_text(usage).splitlines()[5] == ""
