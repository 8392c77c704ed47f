"""`docker rmi`: untag or delete, with Docker's rules, words and results.

A name is untagged first, and the image goes with its last name. An id removes the image itself when all of
its names are of one repository. Running containers can never lose their image; stopped ones only by force.
What an image was committed from goes with it when it has no name, no other child and no container (`parents`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sampan.errors import Conflict
from sampan.spec.digest import hex_of
from sampan.spec.reference import Reference, parse
from sampan.store.images import Image, Images


class Use(NamedTuple):
    """A container that was made from an image."""

    container_id: str
    running: bool


Uses = Mapping[str, Sequence[Use]]  # by image id
Record = dict[str, str]  # {"Untagged": name} or {"Deleted": digest}


class Plan(NamedTuple):
    """What a removal comes to: names to take away, and whether the image goes too."""

    image: Image
    untag: list[Reference]
    delete: bool


def plan(images: Images, ref: str, uses: Uses, *, force: bool) -> Plan:
    """Raises NotFound, Conflict; changes nothing."""
    image = images.resolve(ref)
    users = uses.get(image.id, ())
    references = [parse(name) for name in image.names]
    children = bool(images.children(image.id))
    if image.id.startswith(ref) or hex_of(image.id).startswith(ref):
        return _plan_by_id(image, references, users, force=force, children=children)
    return _plan_by_name(image, references, ref, users, force=force, children=children)


def parents(images: Images, image: Image, uses: Uses) -> list[Image]:
    """What goes with `image`, nearest first: nameless, childless but for it, and used by no container."""
    found: list[Image] = []
    child, parent = image, images.get(image.parent) if image.parent else None
    while parent is not None and not parent.names and not uses.get(parent.id):
        if list(images.children(parent.id)) != [child.id]:
            break
        found.append(parent)
        child, parent = parent, images.get(parent.parent) if parent.parent else None
    return found


def _plan_by_name(
    image: Image,
    references: list[Reference],
    ref: str,
    users: Sequence[Use],
    *,
    force: bool,
    children: bool,
) -> Plan:
    if users and not force and _is_single(references):
        raise Conflict(
            f'conflict: unable to remove repository reference "{ref}" (must force) - container '
            f"{users[0].container_id[:12]} is using its referenced image {image.short_id}"
        )
    named = parse(ref)
    if named.digest is not None:
        named = named.with_digest(named.digest)
    rest = [other for other in references if other != named]
    untag = [named]
    if named.digest is None and not any(_same_tagged(named, other) for other in rest):
        # Digests of a repository that has no tag here any more say nothing to anybody.
        gone = [other for other in rest if other.name == named.name]
        untag += gone
        rest = [other for other in rest if other not in gone]
    # A running container keeps its image, dangling; a stopped one loses it, since that was forced.
    free = not children and (not users or (force and not any(use.running for use in users)))
    return Plan(image, untag, delete=free and not rest)


def _plan_by_id(
    image: Image, references: list[Reference], users: Sequence[Use], *, force: bool, children: bool
) -> Plan:
    if children:
        raise Conflict(
            f"conflict: unable to delete {image.short_id} (cannot be forced) - image has dependent "
            "child images"
        )
    for use in users:
        if use.running:
            raise _conflict(image, "cannot be forced", "running", use)
    if not force:
        if len(references) > 1 and not _is_single(references):
            raise Conflict(
                f"conflict: unable to delete {image.short_id} (must be forced) - image is "
                "referenced in multiple repositories"
            )
        for use in users:
            raise _conflict(image, "must be forced", "stopped", use)
    return Plan(image, references, delete=True)


def _conflict(image: Image, how: str, state: str, use: Use) -> Conflict:
    return Conflict(
        f"conflict: unable to delete {image.short_id} ({how}) - image is being used by "
        f"{state} container {use.container_id[:12]}"
    )


def _is_single(references: list[Reference]) -> bool:
    """Whether there is at most one tag and all names are of one repository."""
    tags = sum(1 for reference in references if reference.digest is None)
    return len(references) <= 1 or (
        tags <= 1 and len({reference.name for reference in references}) == 1
    )


def _same_tagged(named: Reference, other: Reference) -> bool:
    return other.digest is None and other.name == named.name
