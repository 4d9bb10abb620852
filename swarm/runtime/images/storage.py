"""What one image store has on its disk, opened as a whole for the parts that work on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from swarm.runtime.images.blobs import BlobDirectory
from swarm.runtime.images.holds import Holds
from swarm.runtime.images.layers import LayerDirectory
from swarm.runtime.images.leases import LeaseDirectory
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.local import LocalImages
from swarm.runtime.images.platforms import ImagePlatform
from swarm.runtime.images.records import ImageRecords, current_boot_id


@dataclass(frozen=True, slots=True)
class Storage:
    """Blobs, layers, records, leases, and what is held in memory against deletion."""

    blobs: BlobDirectory
    layers: LayerDirectory
    records: ImageRecords
    leases: LeaseDirectory
    images: LocalImages
    holds: Holds
    limits: Limits
    platform: ImagePlatform
    overlay: bool
    boot_id: str

    @classmethod
    def open(cls, directory: Path, limits: Limits, platform: ImagePlatform, *, overlay: bool) -> Self:
        """Open or make the store in `directory`."""
        boot_id = current_boot_id()
        blobs = BlobDirectory(directory / "blobs", limits)
        records = ImageRecords(directory / "records.json", boot_id, overlay=overlay)
        return cls(
            blobs=blobs,
            layers=LayerDirectory(directory, limits, overlay=overlay),
            records=records,
            leases=LeaseDirectory(directory / "leases"),
            images=LocalImages(blobs, records, limits, platform),
            holds=Holds(),
            limits=limits,
            platform=platform,
            overlay=overlay,
            boot_id=boot_id,
        )
