"""What has to be done for a volume beside its folder: by its driver. Blocks."""

from pathlib import Path
from typing import Protocol

import structlog

from swarm.errors import NotFound, TaskRejected
from swarm.model.volumes import LOCAL
from swarm.runtime.volumes.mounting import is_mounted, mount_volume, unmount_volume
from swarm.runtime.volumes.plugins import Plugins
from swarm.runtime.volumes.record import VolumeRecord

log = structlog.get_logger(__name__)


class Driver(Protocol):
    """Makes and mounts volumes. Raises TaskRejected with the reason, Unavailable, OSError."""

    def create(self, record: VolumeRecord) -> None:
        """Make a volume, or find that it is there."""

    def mount(self, record: VolumeRecord, data: Path, user: str) -> Path:
        """Return where it is for one more task; `data` is the folder that the node has for it."""

    def unmount(self, record: VolumeRecord, user: str) -> None:
        """Hear that a task is done with it."""

    def rest(self, record: VolumeRecord, data: Path) -> None:
        """Hear that no task has it any more."""

    def remove(self, record: VolumeRecord) -> None:
        """Remove what is outside of the node's folder."""


class LocalDriver:
    """Folders, and what their options mount there."""

    def create(self, record: VolumeRecord) -> None:
        """Do nothing: the folder is all."""

    def mount(self, record: VolumeRecord, data: Path, user: str) -> Path:
        """Mount what the options say, unless that was done for another task."""
        if record.options and not is_mounted(data):
            mount_volume(record.name, record.options, data)
            log.info("volumes.mounted", volume=record.name, task_id=user)
        return data

    def unmount(self, record: VolumeRecord, user: str) -> None:
        """Do nothing: others may have it."""

    def rest(self, record: VolumeRecord, data: Path) -> None:
        """Unmount what the options mounted."""
        if record.options:
            unmount_volume(data)

    def remove(self, record: VolumeRecord) -> None:
        """Do nothing: the folder is all."""


class PluginDriver:
    """Volumes of a plugin."""

    def __init__(self, plugins: Plugins) -> None:
        """`plugins` finds it by the name of the driver."""
        self._plugins = plugins

    def create(self, record: VolumeRecord) -> None:
        """Make a volume where the plugin has none."""
        try:
            plugin = self._plugins.find(record.driver)
        except NotFound as problem:
            raise TaskRejected(str(problem)) from None
        plugin.check()
        plugin.ensure(record.name, record.options)

    def mount(self, record: VolumeRecord, data: Path, user: str) -> Path:
        """Have the plugin mount it for one more task."""
        try:
            return self._plugins.find(record.driver).mount(record.name, user)
        except NotFound as problem:
            raise TaskRejected(str(problem)) from None

    def unmount(self, record: VolumeRecord, user: str) -> None:
        """Tell the plugin; what it complains of, or one that is gone, keeps no task from ending."""
        try:
            self._plugins.find(record.driver).unmount(record.name, user)
        except (NotFound, TaskRejected) as problem:
            log.warning("volumes.not_unmounted", volume=record.name, task_id=user, reason=str(problem))

    def rest(self, record: VolumeRecord, data: Path) -> None:
        """Do nothing: the plugin counts for itself."""

    def remove(self, record: VolumeRecord) -> None:
        """Have the plugin remove it."""
        self._plugins.find(record.driver).remove(record.name)


def driver_of(record: VolumeRecord, plugins: Plugins) -> Driver:
    """Return who looks after a volume."""
    return LocalDriver() if record.driver in {"", LOCAL} else PluginDriver(plugins)
