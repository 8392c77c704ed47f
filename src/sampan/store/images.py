"""Images: what names mean, and what is behind them.

An image's id is the digest of its config blob, as in Docker; its manifest is kept as well, because push
sends what was pulled, bit for bit. Names are stored in canonical form: tags (`docker.io/library/x:latest`)
and digests (`docker.io/library/x@sha256:…`). Texts of errors are Docker's. Removal: `image_remove.py`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from sampan.errors import NotFound, SampanError
from sampan.spec.digest import Digest, digest_from_hex, hex_of, is_hex, is_hex_prefix, parse_digest
from sampan.spec.image import ImageConfig, chain_ids, parse_config
from sampan.spec.reference import Reference, parse
from sampan.store.content import Content
from sampan.store.metadata import Metadata


class Image(NamedTuple):
    """An image as it stands now; a snapshot of the facts, not a live object."""

    id: Digest
    config: ImageConfig
    raw_config: bytes
    manifest: Digest | None  # digest of the manifest blob
    names: tuple[str, ...]  # canonical, sorted
    chain: tuple[Digest, ...]  # ChainIDs, bottom first
    size: int  # bytes unpacked
    created: str  # the config's text; RFC 3339
    tagged: str  # when it was last tagged, RFC 3339 UTC, or ''
    parent: str = ""  # id of the image it was committed from, when that is known and here

    @property
    def top(self) -> Digest | None:
        """The chain to stand a container on; None for an image without layers."""
        return self.chain[-1] if self.chain else None

    @property
    def repo_tags(self) -> list[str]:
        """Familiar names with tags, as `docker inspect` has them."""
        return [parse(name).familiar() for name in self.names if "@" not in name]

    @property
    def repo_digests(self) -> list[str]:
        """Familiar names with digests."""
        return [parse(name).familiar() for name in self.names if "@" in name]

    @property
    def short_id(self) -> str:
        return hex_of(self.id)[:12]


_COLUMNS = "id, manifest, size, tagged, parent"


class HistoryEntry(NamedTuple):
    id: str  # the image's id for its top, `<missing>` below
    created: str  # RFC 3339
    created_by: str
    tags: tuple[str, ...]
    size: int
    comment: str


class Images:
    def __init__(self, metadata: Metadata, content: Content) -> None:
        self._metadata = metadata
        self._content = content
        self._configs: dict[str, tuple[bytes, ImageConfig]] = {}

    def get(self, image_id: str) -> Image | None:
        """By its whole id, with `sha256:`."""
        sql = f"SELECT {_COLUMNS} FROM images WHERE id = ?"
        row = self._metadata.execute(sql, image_id).fetchone()
        return self._image(*row) if row else None

    def list(self) -> list[Image]:
        """All of them, newest first."""
        sql = f"SELECT {_COLUMNS} FROM images ORDER BY created DESC, id"
        return [self._image(*row) for row in self._metadata.execute(sql).fetchall()]

    def resolve(self, ref: str) -> Image:
        """By name, digest, id or an unambiguous beginning of the id, in Docker's order.

        Raises NotFound (`No such image: x:latest`), InvalidParameter for what can be no reference.
        """
        if is_hex(ref) or (ref.startswith("sha256:") and is_hex(ref[7:])):
            digest = digest_from_hex(ref) if is_hex(ref) else parse_digest(ref)
            image = self.get(digest)
            if image is None:
                raise NotFound(f"No such image: {digest}")
            return image
        reference = parse(ref)
        image_id = self.find(reference) or self._by_prefix(ref.removeprefix("sha256:"))
        image = self.get(image_id) if image_id else None
        if image is None:
            raise NotFound(f"No such image: {reference.familiar()}")
        return image

    def find(self, reference: Reference) -> str | None:
        """The id that a complete reference names; a digest pin wins over a tag."""
        if reference.digest is not None:
            reference = reference.with_digest(reference.digest)
        sql = "SELECT image FROM names WHERE name = ?"
        for image_id in self._metadata.texts(sql, reference.canonical()):
            return image_id
        return None

    def add(
        self,
        raw_config: bytes,
        image_id: Digest,
        *,
        manifest: Digest | None,
        blobs: set[Digest],
        parent: str = "",
    ) -> Image:
        """Record an image whose blobs and layers are all here. Idempotent; a transaction of its own
        or part of the caller's."""
        config = parse_config(raw_config)
        chain = chain_ids(config.rootfs.diff_ids)
        with self._metadata.transaction():
            self._metadata.execute(
                "INSERT INTO images (id, manifest, size, created, parent) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET manifest = excluded.manifest",
                image_id,
                manifest or "",
                self._size(chain),
                config.created,
                parent,
            )
            for position, layer in enumerate(chain):
                self._metadata.execute(
                    "INSERT OR IGNORE INTO image_layers VALUES (?, ?, ?)", image_id, position, layer
                )
            for digest in blobs:
                self._metadata.execute(
                    "INSERT OR IGNORE INTO image_blobs VALUES (?, ?)", image_id, digest
                )
        image = self.get(image_id)
        assert image is not None
        return image

    def tag(self, image_id: str, reference: Reference) -> Digest | None:
        """Give a name, taking it from whichever image has it; that one's id is returned."""
        with self._metadata.transaction():
            previous = self.find(reference)
            self._metadata.execute(
                "INSERT INTO names VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET image = excluded.image",
                reference.canonical(),
                image_id,
            )
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._metadata.execute("UPDATE images SET tagged = ? WHERE id = ?", now, image_id)
        return Digest(previous) if previous and previous != image_id else None

    def untag(self, name: str) -> None:
        """Take a canonical name away; the image stays."""
        self._metadata.execute("DELETE FROM names WHERE name = ?", name)

    def forget(self, image_id: str) -> None:
        """Drop the image's rows, its names too. Layers and blobs are the collector's then."""
        self._metadata.execute("DELETE FROM images WHERE id = ?", image_id)
        self._metadata.execute("UPDATE images SET parent = '' WHERE parent = ?", image_id)
        self._configs.pop(image_id, None)

    def blobs(self, image_id: str) -> Sequence[Digest]:
        """Everything that was recorded with the image: config, manifest, layers, the indexes that led to it."""
        sql = "SELECT digest FROM image_blobs WHERE image = ? ORDER BY digest"
        return [Digest(digest) for digest in self._metadata.texts(sql, image_id)]

    def children(self, image_id: str) -> Sequence[str]:
        """Ids of images that were committed from this one."""
        return self._metadata.texts("SELECT id FROM images WHERE parent = ?", image_id)

    def history(self, image: Image) -> Sequence[HistoryEntry]:
        """Newest first, as `docker history` has it."""
        sizes = [self._layer_size(chain) for chain in image.chain]
        position = 0
        entries = []
        for step in image.config.history:
            size = 0
            if not step.empty_layer:
                size = sizes[position] if position < len(sizes) else 0
                position += 1
            entries.append(
                HistoryEntry("<missing>", step.created, step.created_by, (), size, step.comment)
            )
        entries.reverse()
        found: Image | None = image
        for number, entry in enumerate(
            entries
        ):  # as far down as the images are here that it grew from
            if found is None:
                break
            entries[number] = entry._replace(id=found.id, tags=tuple(found.repo_tags))
            found = self.get(found.parent) if found.parent else None
        return entries

    def broken(self) -> Sequence[str]:
        """Ids of images whose config cannot be read any more; nothing else can be said of them."""
        found = []
        for image_id in self._metadata.texts("SELECT id FROM images"):
            try:
                self._config(image_id)
            except SampanError:
                found.append(image_id)
        return found

    def _image(self, image_id: str, manifest: str, size: int, tagged: str, parent: str) -> Image:
        raw, config = self._config(image_id)
        names = self._metadata.texts(
            "SELECT name FROM names WHERE image = ? ORDER BY name", image_id
        )
        return Image(
            id=Digest(image_id),
            config=config,
            raw_config=raw,
            manifest=Digest(manifest) if manifest else None,
            names=tuple(names),
            chain=tuple(chain_ids(config.rootfs.diff_ids)),
            size=size,
            created=config.created,
            tagged=tagged,
            parent=parent,
        )

    def _config(self, image_id: str) -> tuple[bytes, ImageConfig]:
        found = self._configs.get(image_id)
        if found is None:
            raw = self._content.read(Digest(image_id))
            found = self._configs[image_id] = raw, parse_config(raw)
        return found

    def _by_prefix(self, prefix: str) -> str | None:
        if not is_hex_prefix(prefix):
            return None
        sql = "SELECT id FROM images WHERE id BETWEEN ?1 AND ?1 || 'g' LIMIT 2"
        found = self._metadata.texts(sql, f"sha256:{prefix}")
        return found[0] if len(found) == 1 else None

    def _size(self, chain: Sequence[Digest]) -> int:
        return sum(self._layer_size(layer) for layer in chain)

    def _layer_size(self, chain: Digest) -> int:
        rows = self._metadata.rows("SELECT size FROM layers WHERE chain = ?", chain)
        return int(str(rows[0][0])) if rows else 0
