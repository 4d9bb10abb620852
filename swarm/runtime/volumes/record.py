"""What a node knows of a volume, as it stands on its disk."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from swarm.runtime.images.durable import write_durably

FORMAT = 1


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """How a volume was made."""

    name: str
    driver: str = ""  # of what is wanted: whichever; of what is there: local, or a plugin
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    created_at_ns: int = 0
    anonymous: bool = False  # goes with the task that it was made for


def write_volume(path: Path, record: VolumeRecord) -> None:
    """Write the record of a volume, durably. Blocks."""
    write_durably(path, json.dumps({"format": FORMAT, **asdict(record)}).encode())


def read_volume(path: Path) -> VolumeRecord | None:
    """Return the record of a volume, None when there is none that makes sense. Blocks."""
    try:
        document = json.loads(path.read_bytes())
        if document.pop("format") != FORMAT:
            return None
        return VolumeRecord(**document)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None
