"""`docker pull`: from a name to an image, with dockerd's messages on the way.

HEAD says what the tag means now; when that is here already, nothing is fetched. Otherwise manifest (through
indexes, for the platform) → config and layers together → everything into the store in one transaction, the name with
it. A pull that fails or is interrupted leaves no trace but files that the next one resumes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import NamedTuple

from sampan.distribution import manifests
from sampan.distribution.client import Client
from sampan.distribution.credentials import Credentials
from sampan.distribution.failures import pull_error
from sampan.distribution.fetch import Source
from sampan.distribution.layers import Layers, Obtained, Place, short
from sampan.distribution.progress import Message, Progress, status
from sampan.distribution.registries import Registries
from sampan.distribution.remote import Remote
from sampan.distribution.resolve import Found, Lookup, get_config, platform_of
from sampan.errors import SampanError
from sampan.spec import image as spec
from sampan.spec.digest import Digest, parse_digest
from sampan.spec.image import Manifest
from sampan.spec.platform import Platform, host
from sampan.spec.reference import Reference
from sampan.store.batch import Batch
from sampan.store.content import Blob
from sampan.store.images import Image
from sampan.store.leases import Lease
from sampan.store.store import Store


class Pulled(NamedTuple):
    image: Image
    newer: bool  # the name means something else than before


@dataclass(frozen=True)
class Puller:
    """One operation: `pull` of a reference, or of all tags of its repository."""

    store: Store
    client: Client
    layers: Layers
    credentials: Credentials
    progress: Progress
    platform: Platform | None = None

    async def pull_all(self, reference: Reference) -> list[Image]:
        """Every tag. Raises SampanError, with dockerd's texts."""
        registries = Registries(self.client, reference, self.credentials)
        try:
            _, tags = await registries.first(lambda remote: remote.tags())
        except SampanError as error:
            raise pull_error(error, reference) from error
        pulled = [await self._pull(registries, reference.with_tag(tag)) for tag in tags]
        self._finish(reference.familiar_name, any(one.newer for one in pulled))
        return [one.image for one in pulled]

    async def pull(self, reference: Reference) -> Image:
        """Raises SampanError, with dockerd's texts."""
        if reference.tag is None and reference.digest is None:
            reference = reference.with_tag("latest")
        registries = Registries(self.client, reference, self.credentials)
        pulled = await self._pull(registries, reference)
        self._finish(reference.familiar(), pulled.newer)
        self._warn(reference, pulled.image)
        return pulled.image

    def _finish(self, name: str, newer: bool) -> None:
        what = "Downloaded newer image for" if newer else "Image is up to date for"
        self.progress(status(f"Status: {what} {name}"))

    def _warn(self, reference: Reference, image: Image) -> None:
        if self.platform is not None and not manifests.runs(
            self.platform, platform_of(image.config)
        ):
            self.progress(
                status(
                    f"WARNING: image with reference {reference.familiar_name} was found but does not match the "
                    f"specified platform: wanted {self.platform}, actual: {platform_of(image.config)}"
                )
            )

    async def _pull(self, registries: Registries, reference: Reference) -> Pulled:
        lookup = Lookup(self.store.images, reference, self.platform or host(), self.progress)
        try:
            endpoint, found = await registries.first(lookup.find)
        except SampanError as error:
            raise pull_error(error, reference) from error
        before = self.store.images.find(name_of(reference))
        if found.image is not None:
            image = found.image
            with self.store.metadata.transaction():
                _name(self.store, image, reference, found.digest)
        else:
            others = await registries.endpoints(mirrors=True)
            source = Source(registries, [endpoint, *(e for e in others if e != endpoint)])
            image = await self._fetch(reference, found, source)
        self.progress(status(f"Digest: {found.digest}"))
        return Pulled(self.store.images.get(image.id) or image, newer=before != image.id)

    async def _fetch(self, reference: Reference, found: Found, source: Source) -> Image:
        """Get what is not here and record the image."""
        manifest = found.path[-1].manifest
        assert manifest is not None
        with self.store.leases.open() as lease:
            for digest in manifests.blobs_of(manifest):
                lease.hold("blob", digest)
            known = self.store.images.get(manifest.config.digest)
            if known is not None:
                with self.store.metadata.transaction():
                    _name(self.store, known, reference, found.digest)
                return known
            async with AsyncExitStack() as stack:
                fetch = _Fetch(self, reference, found.remote, manifest, source, stack, lease)
                raw_config, obtained = await fetch.run()
                return await self._record(reference, found, raw_config, manifest, obtained)

    async def _record(
        self,
        reference: Reference,
        found: Found,
        raw_config: bytes,
        manifest: Manifest,
        obtained: Sequence[Obtained],
    ) -> Image:
        store = self.store
        with Batch(store.content, store.snapshots, store.metadata) as batch:
            documents = [await batch.add_document(document.raw) for document in found.path]
            config = await batch.add_document(raw_config)
            for layer in obtained:
                if layer.file is not None:
                    batch.add_blob(*layer.file)
                if layer.staged is not None:
                    batch.add_layer(layer.staged)
            digests = {*manifests.blobs_of(manifest), *(blob.digest for blob in documents)}

            def record() -> Image:
                image = store.images.add(
                    raw_config, config.digest, manifest=found.path[-1].digest, blobs=digests
                )
                store.origins.add(reference.name, digests)
                _name(store, image, reference, found.digest)
                return image

            return await batch.commit(record)


@dataclass(frozen=True)
class _Fetch:
    """The config and all layers of one image."""

    puller: Puller
    reference: Reference
    remote: Remote
    manifest: Manifest
    source: Source
    stack: AsyncExitStack
    lease: Lease

    async def run(self) -> tuple[bytes, Sequence[Obtained]]:
        blobs = [Blob(parse_digest(d.digest), d.size) for d in self.manifest.layers]
        self._announce(blobs)
        seen: set[Digest] = set()
        try:
            async with asyncio.TaskGroup() as group:
                config = group.create_task(self._config())
                tasks: list[asyncio.Task[Obtained]] = []
                for position, blob in enumerate(blobs):
                    below = tasks[-1] if tasks else None
                    # The same layer twice in an image is one to the user.
                    watch = self.puller.progress if blob.digest not in seen else _unseen
                    seen.add(blob.digest)
                    layer = self._layer(position, blob, config, below, watch)
                    tasks.append(group.create_task(layer))
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None
        return config.result()[0], [task.result() for task in tasks]

    def _announce(self, blobs: Sequence[Blob]) -> None:
        for blob in dict.fromkeys(blobs):
            here = self.puller.store.content.is_whole(blob)
            text = "Already exists" if here else "Pulling fs layer"
            self.puller.progress(status(text, short(blob.digest)))

    async def _config(self) -> tuple[bytes, list[Place]]:
        digest = parse_digest(self.manifest.config.digest)
        content = self.puller.store.content
        if content.is_whole(Blob(digest, self.manifest.config.size)):
            raw = content.read(digest)
        else:
            raw = await get_config(self.remote, self.manifest)
        config = spec.parse_config(raw)
        manifests.check_config(config, self.manifest, self.reference)
        chains = spec.chain_ids(config.rootfs.diff_ids)
        for chain in chains:
            self.lease.hold("layer", chain)
        diffs = [parse_digest(diff) for diff in config.rootfs.diff_ids]
        return raw, [Place(*place) for place in zip(diffs, chains, [None, *chains])]

    async def _layer(
        self,
        position: int,
        blob: Blob,
        config: asyncio.Task[tuple[bytes, list[Place]]],
        below: asyncio.Task[Obtained] | None,
        watch: Progress,
    ) -> Obtained:
        layers = self.puller.layers
        arrival = None
        if not self.puller.store.content.is_whole(blob):
            arrival = await layers.arrive(self.stack, blob, self.source, watch, base=position == 0)
        place = (await config)[1][position]
        obtained = await layers.place(self.stack, blob, arrival, place, watch)
        if below is not None:
            await asyncio.wait([below])  # completed in order, as they are stacked
        if obtained != (None, None):
            watch(status("Pull complete", short(blob.digest)))
        return obtained


def _unseen(message: Message) -> None:
    """For what is reported already."""


def first_failure(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure to tell of: what made the others be cancelled."""
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            return first_failure(failure)
        return failure
    raise AssertionError("a group without failures")


def name_of(reference: Reference) -> Reference:
    """What a pull of a reference is recorded as: a digest pin wins over a tag."""
    return reference if reference.digest is None else reference.with_digest(reference.digest)


def _name(store: Store, image: Image, reference: Reference, digest: Digest) -> None:
    store.images.tag(image.id, reference.with_digest(digest))
    if reference.digest is None:
        store.images.tag(image.id, reference)
