"""What a container did to the files of its image."""

from dataclasses import dataclass
from enum import StrEnum


class ChangeKind(StrEnum):
    """As people read it."""

    CHANGED = "C"
    ADDED = "A"
    DELETED = "D"


@dataclass(frozen=True, slots=True)
class Change:
    """A path that is not as in the image."""

    kind: ChangeKind
    path: str
