"""What images take on a disk, and what a collection of garbage brought back."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection deleted."""

    references: int = 0
    layers: int = 0
    blobs: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One name for an image."""

    name: str
    digest: str
    size_bytes: int  # with what it shares with others
    containers: Sequence[str]  # ids of those that are made of it
    pinned: bool  # the cluster keeps it


@dataclass(frozen=True, slots=True)
class ImageUsage:
    """All images of a node."""

    items: Sequence[ImageItem] = ()
    size_bytes: int = 0  # what is shared counts once
    reclaimable_bytes: int = 0  # no container needs it, nor does the cluster keep it
