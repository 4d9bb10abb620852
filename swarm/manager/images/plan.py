"""What must this manager do about the images of the cluster? Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Image


@dataclass(frozen=True, slots=True)
class ReplicationPlan:
    """What to copy here, what to report as held, and which local names the cluster does not have."""

    copy: Sequence[Image] = ()
    report: Sequence[Image] = ()
    unknown: Sequence[tuple[str, str]] = ()  # (reference, digest)


def plan_replication(
    images: Iterable[Image],
    node_id: str,
    pinned: Mapping[str, str],
    has: Callable[[Sequence[str]], bool],
) -> ReplicationPlan:
    """Compare the cluster's images with what this manager holds (`pinned`: digest by reference)."""
    copy: list[Image] = []
    report: list[Image] = []
    known: set[str] = set()
    for image in images:
        name = image.annotations.name
        known.add(name)
        if pinned.get(name) != image.digest or not has(image.blobs):
            copy.append(image)
        elif node_id not in image.holders:
            report.append(image)
    unknown = [(name, digest) for name, digest in pinned.items() if name not in known]
    return ReplicationPlan(copy, report, unknown)


def places_to_ask(image: Image, peers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the other managers (node id, address), those known to hold the image first."""
    return sorted(peers, key=lambda peer: peer[0] not in image.holders)
