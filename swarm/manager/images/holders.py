"""Which manager holds which image? What a report changes, and what nobody needs any more. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from swarm.api.v1.images_pb2 import HeldImage
from swarm.api.v1.objects_pb2 import Image, Service
from swarm.api.v1.specs_pb2 import ContainerSpec, ServiceSpec
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.manager.images.scoped import check_theirs, mark
from swarm.manager.store.scope import Scope, ScopedView
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.reference import parse_reference
from swarm.model.task import task_name
from swarm.model.task_state import is_done
from swarm.runtime.images.digests import check_digest

USERS_SHOWN = 3


def check_report(images: Sequence[HeldImage], *, loaded: bool) -> None:
    """Raise InvalidArgument unless a report makes sense; it comes from another manager."""
    for image in images:
        if str(parse_reference(image.reference)) != image.reference:
            raise InvalidArgument(f"{image.reference} is not a complete reference")
        check_digest(image.digest)
        for digest in image.blobs:
            check_digest(digest)
        if loaded and image.digest not in image.blobs:
            raise InvalidArgument(f"the blobs of {image.reference} lack its manifest")


def record_held(
    transaction: Transaction,
    images: Sequence[HeldImage],
    node_id: str,
    new_ids: Sequence[str],
    *,
    loaded: bool,
    scope: Scope = (),
) -> None:
    """Write down that manager `node_id` holds `images`; `new_ids`: two for each, for objects to be made.

    `scope` is that of who loaded them; raises NotPermitted when a name is another's.
    """
    for position, held in enumerate(images):
        current = transaction.images.by_name(held.reference)
        if current is not None and current.digest == held.digest:
            if loaded and set(held.blobs) > set(current.blobs):
                _put(transaction, current, held, node_id)  # further platforms of the same image
            else:
                _add_holder(transaction, current, node_id)
        elif loaded and current is not None:
            check_theirs(scope, current)
            _retain(transaction, current, new_ids[2 * position])
            _put(transaction, current, held, node_id)
        elif loaded:
            made = Image(id=new_ids[2 * position + 1])
            mark(scope, made.annotations.labels)
            transaction.create(_filled(made, held, node_id))


def unused_retained(view: ReadView) -> list[Image]:
    """Return the images that were kept for services after their name moved on, and that none uses now."""
    retained = [image for image in view.images if is_retained(image)]
    if not retained:
        return []
    used = _used_digests(view)
    return [image for image in retained if image.digest not in used]


def is_retained(image: Image) -> bool:
    """Tell whether an image has no name of its own any more, only its digest."""
    return bool(parse_reference(image.annotations.name).digest)


def unused_images(view: ReadView) -> list[Image]:
    """Return the images that no service needs: not as it is now, not as any revision it can go back to.

    What a task runs that is not over counts as well, and a service without a digest needs what its image's
    name stands for.
    """
    specs = [spec for service in view.services for spec in _specs(service)]
    containers = [
        *(spec.task.container for spec in specs),
        *(task.spec.container for task in view.tasks if not is_done(task)),
    ]
    digests = {one.image_digest for one in containers}
    names = {_full_name(one.image) for one in containers if not one.image_digest}
    return [
        image for image in view.images if image.digest not in digests and image.annotations.name not in names
    ]


@dataclass(frozen=True, slots=True)
class ImageUsers:
    """Who needs an image, by names that people know."""

    services: Sequence[str]
    running: Sequence[str]  # tasks that are not over
    ended: Sequence[str]  # tasks whose containers are still there


def image_users(view: ReadView, image: Image) -> ImageUsers:
    """Return who needs an image by the name that it has; another name for the same content is enough.

    A service needs what it is now; that it can go back to an earlier revision keeps nothing from going.
    """
    if any(other.digest == image.digest and other.id != image.id for other in view.images):
        return ImageUsers((), (), ())
    name = image.annotations.name

    def needs(container: ContainerSpec) -> bool:
        if container.image_digest:
            return container.image_digest == image.digest
        return _full_name(container.image) == name

    using = [task for task in view.tasks if task.node_id and needs(task.spec.container)]
    return ImageUsers(
        sorted(one.spec.annotations.name for one in view.services if needs(one.spec.task.container)),
        sorted(task_name(task) for task in using if not is_done(task)),
        sorted(task_name(task) for task in using if is_done(task)),
    )


def check_unused(view: ReadView, image: Image, *, force: bool, scope: Scope = ()) -> None:
    """Raise FailedPrecondition when an image is needed; what ended containers need may be forced.

    What others need nobody with a scope takes away, and they are told of it by number only.
    """
    users = image_users(view, image)
    seen = image_users(cast("ReadView", ScopedView(view, scope)), image) if scope else users
    for what, all_names, names, may_force in (
        ("running tasks", users.running, seen.running, False),
        ("services", users.services, seen.services, True),
        ("ended tasks", users.ended, seen.ended, True),
    ):
        hidden = len(all_names) - len(names)
        forcible = may_force and not hidden
        if all_names and not (force and forcible):
            more = [f"{len(names) - USERS_SHOWN} more"] if len(names) > USERS_SHOWN else []
            more += [f"{hidden} that you do not see"] if hidden else []
            told = " and ".join([", ".join(names[:USERS_SHOWN]), *more] if names else more)
            hint = "remove those first" + (", or remove it by force" if forcible else "")
            raise FailedPrecondition(f"image {image.annotations.name} is used by {what} ({told}): {hint}")


def tag_image(
    transaction: Transaction, source: Image, target: str, new_ids: Sequence[str], scope: Scope = ()
) -> Image:
    """Let the name `target` (complete, with a tag) mean what `source` is; return the image of that name.

    `new_ids`: two. What the name meant before stays while services use it. `scope` is that of who asks;
    raises NotPermitted when the name is another's.
    """
    current = transaction.images.by_name(target)
    if current is not None and current.digest == source.digest and set(current.blobs) >= set(source.blobs):
        return current
    if current is not None and current.digest != source.digest:
        check_theirs(scope, current)
        _retain(transaction, current, new_ids[0])
    tagged = Image(id=new_ids[1]) if current is None else copy_of(current)
    if current is None:
        mark(scope, tagged.annotations.labels)
    tagged.annotations.name = target
    tagged.digest, tagged.size_bytes = source.digest, source.size_bytes
    tagged.blobs[:], tagged.holders[:] = source.blobs, source.holders
    return transaction.create(tagged) if current is None else transaction.update(tagged)


def _full_name(image: str) -> str:
    try:
        return str(parse_reference(image))
    except InvalidArgument:
        return image


def _add_holder(transaction: Transaction, current: Image, node_id: str) -> None:
    if node_id not in current.holders:
        changed = copy_of(current)
        changed.holders.append(node_id)
        transaction.update(changed)


def _retain(transaction: Transaction, current: Image, new_id: str) -> None:
    """Keep content that services are pinned to, under a name that cannot move."""
    name = parse_reference(current.annotations.name).name + f"@{current.digest}"
    if transaction.images.by_name(name) is not None or current.digest not in _used_digests(transaction):
        return
    kept = copy_of(current)
    kept.id = new_id
    kept.ClearField("meta")
    kept.annotations.name = name
    transaction.create(kept)


def _put(transaction: Transaction, current: Image, held: HeldImage, node_id: str) -> None:
    transaction.update(_filled(copy_of(current), held, node_id))


def _filled(image: Image, held: HeldImage, node_id: str) -> Image:
    image.annotations.name = held.reference
    image.digest = held.digest
    image.size_bytes = held.size_bytes
    image.blobs[:] = held.blobs
    image.holders[:] = [node_id]
    return image


def _used_digests(view: ReadView) -> set[str]:
    return {digest for service in view.services for digest in _digests(service)}


def _digests(service: Service) -> tuple[str, ...]:
    return tuple(_digest(spec) for spec in _specs(service))


def _specs(service: Service) -> tuple[ServiceSpec, ...]:
    # The earlier ones too: a rollback brings them back.
    return (
        service.spec,
        *([service.previous_spec] if service.HasField("previous_spec") else []),
        *(revision.spec for revision in service.revisions),
    )


def _digest(spec: ServiceSpec) -> str:
    return spec.task.container.image_digest
