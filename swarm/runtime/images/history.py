"""How was an image made? What its configuration tells of each step. Pure; nothing in it is believed."""

from collections.abc import Sequence
from dataclasses import dataclass

from swarm.errors import InvalidArgument
from swarm.runtime.images.documents import parse_json
from swarm.runtime.images.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a build, oldest first in lists; `layer` is empty when it changed no file."""

    created: str = ""  # RFC 3339, or whatever the builder wrote
    created_by: str = ""
    comment: str = ""
    layer: str = ""
    size_bytes: int = 0


def history(manifest: Manifest, configuration: bytes) -> Sequence[Step]:
    """Return the steps that made an image; layers that its history leaves out come last, without words."""
    document = parse_json(configuration, "configuration")
    told = document.get("history") if isinstance(document, dict) else None
    if told is not None and not isinstance(told, list):
        raise InvalidArgument("the configuration's `history` is not a list")
    layers = list(manifest.layers)
    steps: list[Step] = []
    for entry in told or []:
        if not isinstance(entry, dict):
            raise InvalidArgument("the configuration's `history` has an entry that is not an object")
        layer = None if entry.get("empty_layer") is True or not layers else layers.pop(0)
        steps.append(
            Step(
                created=str(entry.get("created") or ""),
                created_by=str(entry.get("created_by") or ""),
                comment=str(entry.get("comment") or ""),
                layer=layer.digest if layer else "",
                size_bytes=layer.size_bytes if layer else 0,
            )
        )
    return [*steps, *(Step(layer=layer.digest, size_bytes=layer.size_bytes) for layer in layers)]
