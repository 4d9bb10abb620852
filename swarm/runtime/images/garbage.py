"""What may be deleted? Pure.

Kept is what can be reached from a root: a reference, a lease, a pull under way, anything used or brought
lately. Deleting nothing is always safe, so a doubt keeps.
"""

from collections.abc import Callable, Iterable, Mapping

from swarm.errors import SwarmError
from swarm.runtime.images.manifest import Index, Manifest, parse_configuration, parse_manifest
from swarm.runtime.images.records import Reference


def expired_references(references: Mapping[str, Reference], now_ns: int, keep_unused_ns: int) -> list[str]:
    """Return the names that were pulled for tasks and that no task used for `keep_unused_ns`."""
    return [
        name
        for name, reference in references.items()
        if not reference.pinned and now_ns - reference.used_at_ns > keep_unused_ns
    ]


def reachable(roots: Iterable[str], read: Callable[[str], bytes | None], layers_max: int) -> set[str]:
    """Return the roots and all blob digests and diff ids below them, as far as they are here.

    `read` returns a manifest, index or configuration, None when it is not here. What cannot be parsed is
    kept itself and leads no further.
    """
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        digest = waiting.pop()
        if digest in found:
            continue
        found.add(digest)
        content = read(digest)
        if content is None:
            continue
        try:
            document = parse_manifest(content, layers_max)
        except SwarmError:
            continue
        if isinstance(document, Index):
            waiting.extend(entry.digest for entry in document.manifests)
        else:
            found.update(layer.digest for layer in document.layers)
            found.update(_diff_ids(document, read))
            found.add(document.config.digest)
    return found


def _diff_ids(manifest: Manifest, read: Callable[[str], bytes | None]) -> Iterable[str]:
    content = read(manifest.config.digest)
    if content is None:
        return ()
    try:
        return parse_configuration(content, "").diff_ids
    except SwarmError:
        return ()
