"""Which container has which of the node's subordinate ids? Remembered as long as the container exists."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from swarm.errors import InvalidArgument, TaskRejected
from swarm.runtime.base import ContainerConfig
from swarm.runtime.oci.abilities import Abilities
from swarm.runtime.oci.own_users import USERS_FILE
from swarm.runtime.oci.user_namespaces import IdRange, free_range, parse_range

# Nobody's by the customs of systemd, useradd and container engines, and below 2^31.
SUBORDINATE_IDS = IdRange(1_879_048_192, 268_435_456)


class UserRanges:
    """The ranges of one driver's containers. Used by several threads."""

    def __init__(self, pool: IdRange, directory: Path) -> None:
        """`directory` has one directory for each container, with what it has written down."""
        self._pool = pool
        self._directory = directory
        self._taken: dict[str, IdRange] = {}
        self._lock = threading.Lock()

    def take(self, config: ContainerConfig, node: Abilities) -> IdRange | None:
        """Return the ids for a container, None when it wants none of its own; raises TaskRejected."""
        if not config.users:
            return None
        if node.no_users:
            raise TaskRejected(f"a user namespace is not possible on this node: {node.no_users}")
        known = self.of(config.id)
        if known is not None and known.size == config.users:
            return known  # of a container that is renewed: it keeps its files
        with self._lock:
            found = free_range(self._pool, [*self._written(), *self._taken.values()], config.users)
            self._taken[config.id] = found
        return found

    def give_back(self, container_id: str) -> None:
        """Let others have the ids of a container that is gone."""
        with self._lock:
            self._taken.pop(container_id, None)

    def of(self, container_id: str) -> IdRange | None:
        """Return the ids of a container, None when its users are the node's."""
        try:
            return parse_range((self._directory / container_id / USERS_FILE).read_text("ascii"))
        except (FileNotFoundError, InvalidArgument):
            return None

    def _written(self) -> Iterator[IdRange]:
        for path in self._directory.glob(f"*/{USERS_FILE}"):
            with suppress(FileNotFoundError, InvalidArgument):  # just removed
                yield parse_range(path.read_text("ascii"))
