"""`docker push`: the very bytes that were pulled; what was made here is compressed on its way.

Layers go up several at a time, each after a question whether it is there already or can be mounted from a repository
of the same registry that is known to have it. Then the config, then the manifest, which makes all of it visible.
An image that came with an index takes all of the index along when all of it is here (`indexes.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.distribution import indexes, manifests
from sampan.distribution.client import Client, Request
from sampan.distribution.credentials import Credentials
from sampan.distribution.failures import AuthFailed, RegistryError, clean
from sampan.distribution.indexes import Listed
from sampan.distribution.layers import short
from sampan.distribution.options import Options
from sampan.distribution.progress import Message, Progress, status
from sampan.distribution.pull import first_failure
from sampan.distribution.registries import Registries
from sampan.distribution.remote import Remote
from sampan.distribution.upload import Compressed, Payload, Stored, Upload
from sampan.errors import InvalidParameter, NotFound, SampanError
from sampan.spec import image as spec
from sampan.spec.digest import Digest, digest_of, parse_digest
from sampan.spec.image import Descriptor, ImageConfig, Manifest
from sampan.spec.reference import Reference, parse
from sampan.store.content import Blob
from sampan.store.images import Image
from sampan.store.leases import Lease
from sampan.store.rebuild import keep_layer
from sampan.store.store import Store

MOUNT_TRIES = 3


class Uploads:
    """Shared by all pushes of a daemon."""

    def __init__(self, options: Options) -> None:
        self.slots = asyncio.Semaphore(options.max_uploads)
        # One uses all cores; the other goes on while the first waits for its registry.
        self.compressing = asyncio.Semaphore(2)

    def reconfigure(self, options: Options) -> None:
        """For the layers that are sent from now on."""
        self.slots = asyncio.Semaphore(options.max_uploads)


class Layer(NamedTuple):
    """A layer to be pushed: as it is, or compressed first."""

    diff: Digest
    descriptor: Descriptor
    compress: bool

    @property
    def blob(self) -> Blob:
        return Blob(parse_digest(self.descriptor.digest), self.descriptor.size)


class Plan(NamedTuple):
    """`raw` is the manifest to send as it is; empty when one has to be made of what the layers become."""

    config: Descriptor
    layers: Sequence[Layer]  # bottom first
    raw: bytes
    media_type: str


def plan(config: ImageConfig, raw: bytes, *, pulled: bool) -> Plan:
    """A manifest that came from a registry is sent unchanged; one that was made here, or came with an archive,
    with its plain layers compressed. Raises InvalidParameter."""
    manifest = spec.parse_manifest(raw)
    diffs = [parse_digest(diff) for diff in config.rootfs.diff_ids]
    if len(diffs) != len(manifest.layers):
        raise InvalidParameter("layers from manifest don't match image configuration")
    layers = [
        Layer(diff, descriptor, not pulled and descriptor.media_type in manifests.PLAIN_LAYERS)
        for diff, descriptor in zip(diffs, manifest.layers)
    ]
    if any(layer.compress for layer in layers):
        return Plan(manifest.config, layers, b"", "")
    media_type = manifest.media_type or spec.OCI_MANIFEST
    return Plan(manifest.config, layers, raw, media_type)


def make_manifest(config: Descriptor, layers: Sequence[Descriptor]) -> tuple[bytes, str]:
    """Docker's form, which every registry and engine takes, unless a layer needs OCI's (zstd, plain).

    `layers` are described as OCI's. Returns the bytes and their media type.
    """
    docker = all(layer.media_type == f"{spec.OCI_LAYER}+gzip" for layer in layers)
    if docker:
        layers = [_described(f"{spec.DOCKER_LAYER}.gzip", layer) for layer in layers]
    kind = spec.DOCKER_MANIFEST if docker else spec.OCI_MANIFEST
    own = _described(spec.DOCKER_CONFIG if docker else spec.OCI_CONFIG, config)
    manifest = Manifest(schema_version=2, media_type=kind, config=own, layers=list(layers))
    return spec.encode(manifest), kind


def _described(media_type: str, descriptor: Descriptor) -> Descriptor:
    return Descriptor(media_type=media_type, digest=descriptor.digest, size=descriptor.size)


def as_oci(descriptor: Descriptor) -> Descriptor:
    """Docker's media types of layers in OCI's words."""
    kind = descriptor.media_type
    if kind.startswith(spec.DOCKER_LAYER):
        suffix = kind.removeprefix(spec.DOCKER_LAYER).replace(".", "+")
        return _described(spec.OCI_LAYER + suffix, descriptor)
    return descriptor


@dataclass(frozen=True)
class Pusher:
    """One operation: `push` of a tag, or of all tags of a repository."""

    store: Store
    client: Client
    uploads: Uploads
    credentials: Credentials
    progress: Progress

    async def push(self, reference: Reference, *, all_tags: bool, with_index: bool = True) -> None:
        """Without `with_index` the one manifest goes. Raises NotFound, SampanError with dockerd's texts."""
        if reference.digest is not None:
            raise InvalidParameter("cannot push a digest reference")
        self.progress(status(f"The push refers to repository [{reference.name}]"))
        images = self._images(reference, all_tags=all_tags)
        registries = Registries(self.client, reference, self.credentials)
        (endpoint,) = await registries.endpoints(mirrors=False)
        remote = await registries.remote(endpoint, "pull,push")
        try:
            for tagged, image in images:
                index = await indexes.index_of(self.store, image) if with_index else None
                listed = await indexes.whole(self.store, index) if index is not None else None
                if listed is not None:
                    await self._push_index(remote, tagged, image, listed)
                else:
                    await self._push(remote, tagged, image, index)
        except AuthFailed as error:
            raise AuthFailed(error.reason) from error

    def _images(self, reference: Reference, *, all_tags: bool) -> list[tuple[Reference, Image]]:
        tagged = [
            (name, image)
            for image in self.store.images.list()
            for name in map(parse, image.names)
            if name.name == reference.name and name.tag is not None and name.digest is None
        ]
        if not tagged:
            raise NotFound(
                f"An image does not exist locally with the tag: {reference.familiar_name}"
            )
        if all_tags:
            return sorted(tagged, key=lambda pair: pair[0].tag or "")
        wanted = reference if reference.tag is not None else reference.with_tag("latest")
        found = [pair for pair in tagged if pair[0] == wanted]
        if not found:
            raise NotFound(f"tag does not exist: {wanted.familiar()}")
        return found

    async def _push(
        self, remote: Remote, reference: Reference, image: Image, index: Listed | None
    ) -> None:
        """The one manifest; who pulled an `index` is told that it is not what goes."""
        if image.manifest is None:
            raise SampanError(f"image {image.id} has no manifest")
        raw = self.store.content.read(image.manifest)
        planned = plan(image.config, raw, pulled=bool(self.store.origins.of(image.manifest)))
        with self.store.leases.open() as lease:
            descriptors = await self._blobs(remote, reference, planned, lease)
        manifest, kind = planned.raw, planned.media_type
        if not manifest:
            manifest, kind = make_manifest(planned.config, descriptors)
        sent = Listed(digest_of(manifest), kind, manifest)
        blobs = [image.id, *descriptors_of(descriptors)]
        await self._publish(remote, reference, image, sent, blobs)
        if index is not None:
            told = {"originalIndex": index.described(), "selectedManifest": sent.described()}
            aux = {"manifestPushedInsteadOfIndex": True, **told}
            self.progress({"progressDetail": {}, "aux": aux})

    async def _push_index(
        self, remote: Remote, reference: Reference, image: Image, listed: Sequence[Listed]
    ) -> None:
        """All manifests of an index with their blobs, then the index: registries want them in this order."""
        *below, index = listed
        blobs = [document.digest for document in below]
        with self.store.leases.open() as lease:
            for document in listed:
                lease.hold("blob", document.digest)
            for document in below:
                if document.manifest is not None:
                    config = parse_digest(document.manifest.config.digest)
                    parsed = spec.parse_config(self.store.content.read(config))
                    planned = plan(parsed, document.raw, pulled=True)
                    descriptors = await self._blobs(remote, reference, planned, lease)
                    blobs += [config, *descriptors_of(descriptors)]
                await put_manifest(remote, document.digest, document.raw, document.media_type)
            await self._publish(remote, reference, image, index, blobs)

    async def _blobs(
        self, remote: Remote, reference: Reference, planned: Plan, lease: Lease
    ) -> list[Descriptor]:
        """Layers and config of one manifest; what the layers are in the registry."""
        config = Blob(parse_digest(planned.config.digest), planned.config.size)
        for blob in (config, *(layer.blob for layer in planned.layers)):
            lease.hold("blob", blob.digest)
        pushing = _Pushing(self, remote, reference, lease)
        descriptors = await pushing.layers(planned.layers)
        await pushing.config(config)
        return descriptors

    async def _publish(
        self,
        remote: Remote,
        reference: Reference,
        image: Image,
        top: Listed,
        blobs: Sequence[Digest],
    ) -> None:
        """The document that the tag names."""
        tag = str(reference.tag)
        await put_manifest(remote, tag, top.raw, top.media_type)
        self._record(image, reference, top.digest, blobs)
        self.progress(status(f"{tag}: digest: {top.digest} size: {len(top.raw)}"))
        aux = {"Tag": tag, "Digest": top.digest, "Size": len(top.raw)}
        self.progress({"progressDetail": {}, "aux": aux})

    def _record(
        self, image: Image, reference: Reference, digest: Digest, blobs: Sequence[Digest]
    ) -> None:
        """What is where; and the image is known by the digest it has there."""
        with self.store.metadata.transaction():
            self.store.origins.add(reference.name, blobs)
            if self.store.images.get(image.id) is not None:  # else it was removed meanwhile
                self.store.images.tag(image.id, reference.with_digest(digest))


def descriptors_of(descriptors: Sequence[Descriptor]) -> list[Digest]:
    return [parse_digest(descriptor.digest) for descriptor in descriptors]


async def put_manifest(remote: Remote, name: str, raw: bytes, kind: str) -> None:
    """`name` is a tag or the digest. Raises RegistryError, also when the registry has understood something else."""
    url = remote.url(f"manifests/{name}")
    request = Request("PUT", url, remote.host, {"Content-Type": kind}, raw)
    response, _ = await remote.session.document(request, 1 << 16)
    digest = digest_of(raw)
    said = response.headers.get("Docker-Content-Digest")
    if said is not None and said != digest:
        raise RegistryError(f"the registry has stored {clean(said)[:80]} as {digest}")


@dataclass(frozen=True)
class _Pushing:
    """The blobs of one image to one repository."""

    pusher: Pusher
    remote: Remote
    reference: Reference
    lease: Lease
    tasks: dict[Digest, asyncio.Task[Descriptor]] = field(default_factory=dict)

    async def layers(self, layers: Sequence[Layer]) -> list[Descriptor]:
        """What they are in the registry, bottom first, in OCI's words."""
        for layer in reversed(layers):
            self.pusher.progress(status("Preparing", short(layer.diff)))
        try:
            async with asyncio.TaskGroup() as group:
                for layer in reversed(layers):
                    if layer.blob.digest not in self.tasks:
                        task = group.create_task(self._layer(layer))
                        self.tasks[layer.blob.digest] = task
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None
        return [self.tasks[layer.blob.digest].result() for layer in layers]

    async def config(self, blob: Blob) -> None:
        if not await self.remote.has_blob(blob.digest):
            payload = Stored(self.pusher.store.content, blob)
            await self._upload(payload, _untold, "").run()

    async def _layer(self, layer: Layer) -> Descriptor:
        progress, name = self.pusher.progress, short(layer.diff)
        slots = self.pusher.uploads.slots
        if slots.locked():
            progress(status("Waiting", name))
        async with slots:
            blob, text = await self._ensure(layer, name)
        progress(status(text, name))
        if layer.compress:
            return Descriptor(
                media_type=f"{spec.OCI_LAYER}+gzip", digest=blob.digest, size=blob.size
            )
        return as_oci(layer.descriptor)

    async def _ensure(self, layer: Layer, name: str) -> tuple[Blob, str]:
        """See to it that the layer is there; what it is there, and how that came to be."""
        store = self.pusher.store
        blob = layer.blob
        known = store.origins.compressed(blob.digest) if layer.compress else blob
        if known is not None and await self.remote.has_blob(known.digest):
            return known, "Layer already exists"
        await keep_layer(store, blob.digest, self.lease)
        payload: Payload = Stored(store.content, blob)
        if layer.compress:
            payload = Compressed(store.content, blob, self.pusher.uploads.compressing)
        upload = self._upload(payload, self.pusher.progress, name)
        if known is not None:
            for repository in self._elsewhere(known.digest):
                if await upload.mount(known.digest, repository):
                    return known, f"Mounted from {repository}"
        sent = await upload.run()
        if layer.compress:
            store.origins.remember_compressed(blob.digest, sent)
        return sent, "Pushed"

    def _upload(self, payload: Payload, report: Progress, name: str) -> Upload:
        return Upload(self.remote, payload, self.pusher.client.options, report, name)

    def _elsewhere(self, digest: Digest) -> list[str]:
        """Paths of other repositories of the same registry that have the blob."""
        domain = self.reference.domain
        found = [
            repository.removeprefix(f"{domain}/")
            for repository in self.pusher.store.origins.of(digest)
            if repository.startswith(f"{domain}/") and repository != self.reference.name
        ]
        return found[:MOUNT_TRIES]


def _untold(message: Message) -> None:
    """Nobody is told of the config."""
