"""Which images are in use by containers? A lease keeps an image's content while its container exists.

One small file per container, so that leases outlive this process like the containers do. They are not
synced: no container outlives the power either.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from swarm.errors import InvalidArgument

log = structlog.get_logger(__name__)

_CONTAINER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class Lease:
    """What one container needs."""

    manifest_digest: str
    digests: Sequence[str]  # blobs and diff ids
    layer_numbers: Sequence[int]


class LeaseDirectory:
    """The leases of this node, by container id."""

    def __init__(self, folder: Path) -> None:
        """Read the leases in `folder`, making it when it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._leases: dict[str, Lease] = {}
        for path in folder.iterdir():
            if path.suffix == ".new":
                path.unlink()
            elif (lease := _read(path)) is not None:
                self._leases[path.name] = lease

    @property
    def all(self) -> Mapping[str, Lease]:
        """Every lease by container id."""
        return self._leases

    def take(self, container_id: str, lease: Lease) -> None:
        """Keep what `lease` says until `give_back`; replaces an earlier lease of the container."""
        path = self._path(container_id)
        temporary = path.with_suffix(".new")
        content = {
            "manifest_digest": lease.manifest_digest,
            "digests": list(lease.digests),
            "layer_numbers": list(lease.layer_numbers),
        }
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.rename(path)
        self._leases[container_id] = lease

    def give_back(self, container_id: str) -> None:
        """End a lease; nothing happens when there is none."""
        self._path(container_id).unlink(missing_ok=True)
        self._leases.pop(container_id, None)

    def _path(self, container_id: str) -> Path:
        if not _CONTAINER_ID.fullmatch(container_id) or container_id.endswith(".new"):
            raise InvalidArgument(f"{container_id!r} cannot be the id of a container")
        return self._folder / container_id


def _read(path: Path) -> Lease | None:
    try:
        content = json.loads(path.read_bytes())
        return Lease(content["manifest_digest"], tuple(content["digests"]), tuple(content["layer_numbers"]))
    except (ValueError, KeyError, TypeError) as error:
        # Cut short by a power failure, which no container survived.
        log.warning("images.lease_unreadable", container_id=path.name, reason=str(error))
        path.unlink()
        return None
