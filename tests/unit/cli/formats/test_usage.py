"""What `system df -v` shows."""

from __future__ import annotations

from sampan.cli.formats.usage import verbose_format, verbose_text


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


def test_every_thing_by_a_template() -> None:
    """Lists of all there is, in full length but in a table; what a builder kept, too."""
    cache = {
        "ID": "c" * 25,
        "Parents": ["p1", "p2"],
        "Type": "regular",
        "Description": "a step",
        "InUse": True,
        "Shared": False,
        "Size": 2000,
        "CreatedAt": "2026-11-24T06:08:52.5Z",
        "LastUsedAt": None,
        "UsageCount": 3,
    }
    usage = {"Images": None, "Containers": None, "Volumes": None, "BuildCache": [cache]}
    empty = {name: None for name in usage}
    assert (
        verbose_format(empty, "json")
        == '{"Images":[],"Containers":[],"Volumes":[],"BuildCache":[]}'
    )
    source = (
        "{{range .BuildCache}}{{.ID}} {{.Parent}} {{.Size}} {{.CreatedAt}} [{{.LastUsedAt}}]{{end}}"
    )
    moment = "2026-11-24 06:08:52.5 +0000 UTC"
    assert verbose_format(usage, source) == f"{'c' * 25}* p1, p2 2kB {moment} []"
    assert verbose_format(usage, f"table {source}") == f"{'c' * 12}* p1, p2 2kB {moment} []"
    assert "type: Build Cache\ncache_id: " in verbose_format(usage, "raw")
