"""Which cluster volumes are there, who has them, and can a task on a node have those that it wants?

Kept up to date from events and placements, as the nodes are; asked by a filter.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Task, Volume
from swarm.api.v1.specs_pb2 import VolumeSpec
from swarm.api.v1.types_pb2 import NodeDescription
from swarm.model.cluster_volumes import (
    WantedVolume,
    has_volumes,
    is_reachable,
    plugin_of,
    sharing_problem,
)


@dataclass(frozen=True, slots=True)
class Given:
    """A volume that a task has for one of its mounts."""

    volume_id: str
    wanted: WantedVolume


class VolumeBook:
    """All cluster volumes and their users."""

    def __init__(self) -> None:
        self._volumes: dict[str, Volume] = {}
        self._users: dict[str, dict[str, tuple[str, bool]]] = {}  # volume → task → (node, read only)

    def __iter__(self) -> Iterator[Volume]:
        """Iterate over the volumes."""
        return iter(self._volumes.values())

    def put(self, volume: Volume) -> None:
        """Add a volume, or take over its new state."""
        self._volumes[volume.id] = volume

    def drop(self, volume_id: str) -> None:
        """Forget a volume; whoever has it still counts, should it come back."""
        self._volumes.pop(volume_id, None)

    def count(self, task_id: str, node_id: str, given: Iterable[Given], sign: int) -> None:
        """Add (1) or take away (-1) a task that has volumes."""
        for one in given:
            users = self._users.setdefault(one.volume_id, {})
            if sign > 0:
                users[task_id] = node_id, one.wanted.read_only and users.get(task_id, ("", True))[1]
            else:
                users.pop(task_id, None)
            if not users:
                del self._users[one.volume_id]

    def choose(
        self, node_id: str, description: NodeDescription, wanted: Sequence[WantedVolume]
    ) -> tuple[Given, ...] | None:
        """Return a volume for each mount of a task on a node, None when one of them finds none."""
        chosen: list[Given] = []
        for mount in wanted:
            found = self._find(node_id, description, mount, chosen)
            if isinstance(found, str):
                return None
            chosen.append(Given(found.id, mount))
        return tuple(chosen)

    def problem(self, node_id: str, description: NodeDescription, wanted: Sequence[WantedVolume]) -> str:
        """Return why a task on a node cannot have what it wants; empty when it can."""
        chosen: list[Given] = []
        for mount in wanted:
            found = self._find(node_id, description, mount, chosen)
            if isinstance(found, str):
                return found
            chosen.append(Given(found.id, mount))
        return ""

    def _find(
        self, node_id: str, description: NodeDescription, mount: WantedVolume, chosen: Sequence[Given]
    ) -> Volume | str:
        taken = {one.volume_id for one in chosen}
        meant = sorted((one for one in self if mount.means(one)), key=lambda one: one.spec.annotations.name)
        if not meant:
            kind = f"volume of group {mount.group}" if mount.group else f"cluster volume {mount.source}"
            return f"no {kind}"
        problems: list[str] = []
        for volume in meant:
            if volume.id in taken and mount.group:
                continue  # two mounts of a group are two volumes
            problem = self._obstacle(volume, node_id, description, mount)
            if not problem:
                return volume
            problems.append(problem)
        return problems[0] if problems else f"too few volumes of group {mount.group}"

    def _obstacle(
        self, volume: Volume, node_id: str, description: NodeDescription, mount: WantedVolume
    ) -> str:
        name = volume.spec.annotations.name
        if volume.pending_delete:
            return f"volume {name} is being removed"
        if volume.spec.availability != VolumeSpec.AVAILABILITY_ACTIVE:
            return f"volume {name} is not available for new tasks"
        if not volume.plugin_volume_id:
            return f"volume {name} is not made yet"
        plugin = plugin_of(description, volume.spec.driver)
        if plugin is None:
            return f"no plugin {volume.spec.driver}"
        if not is_reachable(volume, plugin):
            return f"volume {name} is not reachable"
        users = self._users.get(volume.id, {})
        there = self._on(node_id, plugin.name) if plugin.volumes_max else set[str]()
        if volume.id not in there and len(there) >= plugin.volumes_max > 0:
            return f"plugin {plugin.name} takes no more volumes"
        return sharing_problem(volume, node_id, mount.read_only, users.values())

    def _on(self, node_id: str, driver: str) -> set[str]:
        """Return the volumes of a plugin that tasks on a node have."""
        return {
            volume_id
            for volume_id, users in self._users.items()
            if any(where == node_id for where, _ in users.values())
            and (known := self._volumes.get(volume_id)) is not None
            and known.spec.driver == driver
        }


def given_to(task: Task) -> tuple[Given, ...]:
    """Return what a task has, as its object says."""
    if not has_volumes(task):
        return ()
    return tuple(
        Given(one.volume_id, WantedVolume(one.source, one.target, one.read_only)) for one in task.volumes
    )
