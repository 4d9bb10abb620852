"""Images for people who may only see and change what has certain labels.

Everybody may run every image of the cluster, so all may be looked at. What somebody with a scope pulls
gets their label, and only what has it may get other content, or go. An image is what its name says to
everybody, and only a registry stands for that: they load content, and give names, only under the names that
an administrator set apart for them. Pure.
"""

from collections.abc import Iterable, Mapping, MutableMapping

from swarm.api.v1.objects_pb2 import Image
from swarm.errors import NotPermitted
from swarm.manager.store.scope import Scope
from swarm.model.labels import has_label
from swarm.model.reference import parse_reference


def is_theirs(scope: Scope, labels: Mapping[str, str]) -> bool:
    """Whether somebody of this scope may change an image that has these labels."""
    return not scope or any(has_label(labels, one) for one in scope)


def check_theirs(scope: Scope, image: Image) -> None:
    """Raise NotPermitted unless somebody of this scope may change what an image is."""
    if not is_theirs(scope, image.annotations.labels):
        raise NotPermitted(
            f"image {image.annotations.name} has not {' or '.join(scope)}: you change only what has, so ask"
            " an administrator"
        )


def check_names(scope: Scope, image_names: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise NotPermitted unless somebody of this scope may say what images of the names `wanted` are.

    `image_names` are those set apart for them: a registry, or a path in one and all below.
    """
    apart = tuple(image_names)
    for reference in wanted if scope else ():
        parsed = parse_reference(reference)
        if not parsed.tag or not any(_is_below(parsed.name, one) for one in apart):
            theirs = f"below {' or '.join(apart)} only" if apart else "of no name yet"
            raise NotPermitted(
                f"image {parsed.familiar}: what a name means counts for everybody, and you decide that"
                f" {theirs}: push it to its registry and pull it from there, or ask an administrator for"
                " names of your own (swarmctl user update NAME --image-name-add REGISTRY/PATH)"
            )


def _is_below(name: str, apart: str) -> bool:
    return name == apart or name.startswith(f"{apart}/")


def mark(scope: Scope, labels: MutableMapping[str, str]) -> None:
    """Give a new image the label of who brings it in, the first of several."""
    if scope:
        key, _, value = scope[0].partition("=")
        labels[key] = value
