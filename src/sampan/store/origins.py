"""Where blobs came from and went to, so that a push sends nothing that a registry can find by itself.

Two facts, both hints: a registry is asked before one is believed.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.spec.digest import Digest
from sampan.store.metadata import Metadata
from sampan.store.partial import Blob

LIMIT = 50  # repositories remembered a blob


class Origins:
    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def add(self, repository: str, digests: Iterable[Digest]) -> None:
        """The blobs are in `repository` ('docker.io/library/x'): pulled from there, or pushed."""
        with self._metadata.transaction():
            for digest in digests:
                self._metadata.execute(
                    "INSERT INTO origins (digest, repository) VALUES (?, ?)"
                    " ON CONFLICT DO UPDATE SET at = excluded.at",
                    digest,
                    repository,
                )
                self._metadata.execute(
                    "DELETE FROM origins WHERE digest = ?1 AND repository NOT IN (SELECT repository"
                    " FROM origins WHERE digest = ?1 ORDER BY at DESC, rowid DESC LIMIT ?2)",
                    digest,
                    LIMIT,
                )

    def of(self, digest: Digest) -> list[str]:
        """Repositories that have the blob, the latest first."""
        sql = "SELECT repository FROM origins WHERE digest = ? ORDER BY at DESC, rowid DESC"
        return self._metadata.texts(sql, digest)

    def remember_compressed(self, plain: Digest, blob: Blob) -> None:
        """What a plain layer became on its way to a registry."""
        self._metadata.execute("INSERT OR REPLACE INTO compressed VALUES (?, ?, ?)", plain, *blob)

    def compressed(self, plain: Digest) -> Blob | None:
        """The compressed form of a plain layer, when it has been pushed before."""
        row = self._metadata.execute(
            "SELECT blob, size FROM compressed WHERE plain = ?", plain
        ).fetchone()
        return Blob(Digest(row[0]), row[1]) if row else None

    def forget_unused(self) -> None:
        """Drop the facts about blobs that no image needs any more."""
        self._metadata.execute(
            "DELETE FROM compressed WHERE plain NOT IN (SELECT digest FROM image_blobs)"
        )
        self._metadata.execute(
            "DELETE FROM origins WHERE digest NOT IN (SELECT digest FROM image_blobs"
            " UNION SELECT blob FROM compressed)"
        )
