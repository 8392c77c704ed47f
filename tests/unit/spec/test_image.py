"""Documents of images: what is relied on is checked, nulls are zero values, two meanings are refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from sampan.errors import InvalidParameter
from sampan.spec import image

D1, D2, D3 = (f"sha256:{character * 64}" for character in "123")
MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": image.OCI_MANIFEST,
    "config": {"mediaType": image.OCI_CONFIG, "digest": D1, "size": 3},
    "layers": [{"mediaType": image.OCI_LAYER, "digest": D2, "size": 4, "annotations": None}],
}


def raw(document: object) -> bytes:
    return json.dumps(document).encode()


def test_manifest_round_trip() -> None:
    """What is written can be read, and means the same."""
    manifest = image.parse_manifest(raw(MANIFEST))
    assert (manifest.config.digest, manifest.layers[0].size) == (D1, 4)
    assert image.parse_manifest(image.encode(manifest)) == manifest


@pytest.mark.parametrize(
    "change",
    [
        {"manifests": []},
        {"fsLayers": []},
        {"config": None},
        {"config": {"digest": "sha256:../x", "size": 1}},
        {"config": {"digest": D1, "size": -1}},
        {"config": {"digest": D1, "size": "1"}},
        {"layers": "x"},
        {"layers": [{"digest": D1.upper(), "size": 1}]},
        {"layers": [{"digest": D1, "size": 1}] * 513},
    ],
)
def test_bad_manifests_are_refused(change: dict[str, Any]) -> None:
    """Ambiguity (CVE-2021-41190), foreign digests, sizes, counts."""
    with pytest.raises(InvalidParameter):
        image.parse_manifest(raw(MANIFEST | change))


def test_bad_indexes_are_refused() -> None:
    """The same for indexes, and a good one passes."""
    index = {"manifests": [{"digest": D1, "size": 1, "platform": {"os": "linux"}}]}
    assert image.parse_index(raw(index)).manifests[0].platform is not None
    for change in ({"layers": []}, {"config": {}}, {"manifests": [{"digest": "x", "size": 1}]}):
        with pytest.raises(InvalidParameter):
            image.parse_index(raw(index | change))
    with pytest.raises(InvalidParameter):
        image.parse_index(raw({"manifests": index["manifests"] * 257}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"rootfs":{"diff_ids":[1]}}',
        b'{"rootfs":{"type":"other"}}',
        b'{"rootfs":{"diff_ids":["sha256:1"]}}',
        b'{"config":{"Env":"A=B"}}',
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"a":"' + b"x" * (4 << 20) + b'"}',
        b'{"os":"\xff"}',
    ],
)
def test_bad_configs_are_refused(data: bytes) -> None:
    """Wrong types, foreign DiffIDs, deep nesting, size, encoding: one kind of error."""
    with pytest.raises(InvalidParameter):
        image.parse_config(data)


def test_nulls_of_docker_are_zero_values() -> None:
    """Configs of old engines are full of them, lists included."""
    config = image.parse_config(
        raw(
            {
                "os": None,
                "config": {"Env": None, "Cmd": ["sh"], "Hostname": None, "Volumes": {"/a": {}}},
                "history": [{"created": None, "empty_layer": True}],
                "rootfs": {"type": "layers", "diff_ids": [D1]},
                "unknown": [1],
            }
        )
    )
    assert config.config.cmd == ["sh"]
    assert config.config.env is None
    assert config.history[0].empty_layer


def test_chain_ids_follow_the_specification() -> None:
    """ChainID(n) = sha256(ChainID(n-1) + " " + DiffID(n))."""
    second = "sha256:" + hashlib.sha256(f"{D1} {D2}".encode()).hexdigest()
    third = "sha256:" + hashlib.sha256(f"{second} {D3}".encode()).hexdigest()
    assert image.chain_ids([D1, D2, D3]) == [D1, second, third]
    assert image.chain_ids([]) == []
