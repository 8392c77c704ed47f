"""`sampan system fsck`: whether everything in the store is whole, and what can be done where it is not.

    unreferenced   a blob, a layer or a folder that nothing needs       repair: taken away
    damaged        a blob that is not what its digest says, a layer     repair: a layer is made anew of its blob, and a
                   that holds something else than was unpacked          plain blob of its layer; other blobs are taken
    missing        what an image needs, and is not here                 away, so that the next pull or load brings them

Every blob is read and digested, two at a time; layers that are kept as folders only are packed and digested, the
others are unpacked once more and compared with that, byte by byte. What is in flight is nobody's fault. An image
without a config is forgotten, as at start.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from sampan.errors import InvalidParameter, NotFound, SampanError
from sampan.spec import image as spec
from sampan.spec.digest import PREFIX, Digest, parse_digest
from sampan.store import jobs
from sampan.store.content import Blob
from sampan.store.rebuild import layer_tar
from sampan.store.snapshots import Layer
from sampan.store.threads import in_thread

if TYPE_CHECKING:
    from sampan.store.store import Store

_PIECE = 1 << 20


class Problem(NamedTuple):
    kind: str  # "unreferenced", "damaged" or "missing"
    thing: str  # "blob sha256:…", "layer sha256:…", "folder …", "image sha256:…", "database"
    detail: str
    repaired: bool = False


class Report(NamedTuple):
    blobs: int
    layers: int
    images: int
    problems: list[Problem]


async def check(store: Store, *, repair: bool) -> Report:
    """Look at everything, and with `repair` do what can be done. Raises OSError."""
    checker = _Checker(store, repair=repair)
    await checker.blobs()
    await checker.layers()
    checker.images()
    checker.unreferenced()
    checker.database()
    return Report(
        len(store.content.digests()),
        len(store.snapshots.layers_top_first()),
        len(store.metadata.texts("SELECT id FROM images")),
        checker.problems,
    )


class _Checker:
    def __init__(self, store: Store, *, repair: bool) -> None:
        self._store = store
        self._repair = repair
        self.problems: list[Problem] = []

    def _add(self, kind: str, thing: str, detail: str, *, repaired: bool = False) -> None:
        self.problems.append(Problem(kind, thing, detail, repaired))

    async def blobs(self) -> None:
        """Those that are here, then those that should be."""
        slots = asyncio.Semaphore(os.cpu_count() or 1)

        async def one(digest: Digest) -> None:
            async with slots:
                found = await in_thread(_digest_of_file, self._store.content.path(digest))
            if found not in (digest, None):
                await self._bad_blob("damaged", digest, f"its content is {found}")

        await asyncio.gather(*(one(digest) for digest in self._store.content.digests()))
        packed = self._store.snapshots.packed()
        needed = self._store.metadata.texts("SELECT DISTINCT digest FROM image_blobs")
        for digest in map(Digest, needed):
            known = any(problem.thing == f"blob {digest}" for problem in self.problems)
            if not known and digest not in packed and not self._store.content.has(digest):
                await self._bad_blob("missing", digest, "it is not here")

    async def _bad_blob(self, kind: str, digest: Digest, detail: str) -> None:
        repaired = False
        if self._repair:
            if kind == "damaged":
                self._store.trash.discard(self._store.content.path(digest))
            repaired = await self._comes_back(digest)
        if not repaired:
            users = self._store.metadata.texts(
                "SELECT image FROM image_blobs WHERE digest = ?", digest
            )
            if users:
                shown = ", ".join(user[7:19] for user in users)
                detail += f"; pull or load image {shown} again"
            else:
                repaired = self._repair  # it is gone, and nobody misses it
        self._add(kind, f"blob {digest}", detail, repaired=repaired)

    async def _comes_back(self, digest: Digest) -> bool:
        """Whether a blob is the tar of a layer's folder, and can be made of it whenever it is wanted."""
        sql = "SELECT chain FROM layers WHERE diff = ?"
        for chain in self._store.metadata.texts(sql, digest):
            layer = self._store.snapshots.layer(Digest(chain))
            if layer is None:
                continue
            found, size = await self._pack(layer)
            if found == digest:
                self._store.snapshots.set_packed(layer.chain, size)
                return True
        return False

    async def layers(self) -> None:
        for chain in self._store.snapshots.layers_top_first():
            layer = self._store.snapshots.layer(chain)
            if layer is None:
                continue
            try:
                detail = await self._fault_of(layer)
            except FileNotFoundError:
                if self._store.snapshots.layer(chain) is None:
                    continue  # removed a moment ago
                self._add(
                    "missing",
                    f"layer {chain}",
                    "it has no folder",
                    repaired=await self._renew(layer),
                )
                continue
            if detail and self._store.snapshots.layer(chain) is not None:
                repaired = await self._renew(layer)
                self._add("damaged", f"layer {chain}", detail, repaired=repaired)

    async def _fault_of(self, layer: Layer) -> str:
        if layer.packed:
            found, _ = await self._pack(layer)
            return "" if found == layer.diff else f"its content is {found}"
        folder = self._store.snapshots.layer_path(layer.chain)
        size = (await self._store.snapshots.measure(folder)).size
        if size != layer.size:
            return f"it holds {size} bytes instead of {layer.size}"
        with self._store.unpacker.stage() as stage:
            try:
                anew = await self._unpack(layer, stage, sync=False)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return ""  # a full disk has to be looked at, too: then the size has to do
            if not anew or await self._print(folder) == await self._print(f"{stage}/fs"):
                return ""
        return "it holds something else than its blob"

    async def _print(self, folder: str) -> str:
        """A digest of everything in a folder but the times of folders, which a layer need not say."""
        args = {"folders": [folder], "layer": True, "sync": False, "folder_times": False}
        return str((await jobs.run(self._store.spawn, "pack", args, []))["diff_id"])

    async def _pack(self, layer: Layer) -> tuple[str, int]:
        """Digest and size of the tar that the layer's folder makes."""
        digest, size = hashlib.sha256(), 0
        try:
            async for piece in layer_tar(self._store, layer, verify=False):
                digest.update(piece)
                size += len(piece)
        except (InvalidParameter, SampanError) as error:
            return f"no layer: {error}", 0
        return f"{PREFIX}{digest.hexdigest()}", size

    async def _renew(self, layer: Layer) -> bool:
        """Unpack the layer's blob again, unless containers stand on what is there."""
        if not self._repair or self._store.snapshots.is_stood_on(layer.chain):
            return False
        with self._store.unpacker.stage() as stage:
            if not await self._unpack(layer, stage, sync=True):
                return False
            self._store.snapshots.replace(layer.chain, stage)
        return True

    async def _unpack(self, layer: Layer, stage: str, *, sync: bool) -> bool:
        """Fill a stage from the layer's blob; False when there is none that makes this layer. Raises OSError."""
        blob = self._blob_of(layer)
        if blob is None:
            return False
        fd = self._store.content.open(blob)
        try:
            job = self._store.unpacker.job(fd, stage, base=layer.parent is None, sync=sync)
            async with job:
                return (await job.result()).diff_id == layer.diff
        except InvalidParameter:
            return False
        finally:
            os.close(fd)

    def _blob_of(self, layer: Layer) -> Digest | None:
        """The blob that the layer was made of, as the manifest of some image has it."""
        sql = "SELECT image, position FROM image_layers WHERE chain = ?"
        for image_id, position in self._store.metadata.rows(sql, layer.chain):
            image = self._store.images.get(str(image_id))
            if image is None or image.manifest is None:
                continue
            try:
                manifest = spec.parse_manifest(self._store.content.read(image.manifest))
            except SampanError:
                continue
            descriptor = manifest.layers[int(str(position))]
            blob = Blob(parse_digest(descriptor.digest), descriptor.size)
            if self._store.content.is_whole(blob):
                return blob.digest
        return None

    def images(self) -> None:
        for image_id in self._store.images.broken():
            if self._repair:
                self._store.images.forget(image_id)
            self._add(
                "damaged", f"image {image_id}", "its config cannot be read", repaired=self._repair
            )
        for image in self._store.images.list():
            try:
                self._store.snapshots.layer_paths(image.top)
            except NotFound as error:
                self._add("missing", f"image {image.id}", str(error))

    def unreferenced(self) -> None:
        store = self._store
        blobs, layers = store.unreferenced()
        folders = store.snapshots.strays()
        if self._repair:
            store.collect()
            for folder in folders:
                store.snapshots.discard(folder)
        known = {problem.thing for problem in self.problems}
        for kind, found in (("blob", blobs), ("layer", layers), ("folder", folders)):
            for thing in found:
                if f"{kind} {thing}" not in known:
                    self._add(
                        "unreferenced", f"{kind} {thing}", "nothing needs it", repaired=self._repair
                    )

    def database(self) -> None:
        for row in self._store.metadata.rows("PRAGMA foreign_key_check"):
            self._add("damaged", "database", f"a row of {row[0]} refers to nothing in {row[2]}")
        for text in self._store.metadata.texts("PRAGMA integrity_check(5)"):
            if text != "ok":
                self._add("damaged", "database", text)


def _digest_of_file(path: str) -> str | None:
    """None when it has gone meanwhile."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except FileNotFoundError:
        return None
    return f"{PREFIX}{digest.hexdigest()}"
