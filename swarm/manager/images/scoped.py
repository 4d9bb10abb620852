"""Images for people who may only see and change what has certain labels.

Everybody may run every image of the cluster, so all may be looked at. What somebody with a scope pulls
gets their label, and only what has it may get other content, or go. They load nothing, and give no names:
an image is what its name says to everybody, and only a registry stands for that. Pure.
"""

from collections.abc import Mapping, MutableMapping

from swarm.api.v1.objects_pb2 import Image
from swarm.errors import NotPermitted
from swarm.manager.store.scope import Scope
from swarm.model.labels import has_label


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


def mark(scope: Scope, labels: MutableMapping[str, str]) -> None:
    """Give a new image the label of who brings it in, the first of several."""
    if scope:
        key, _, value = scope[0].partition("=")
        labels[key] = value
