"""Up to which entry of the log is what the store says of networks in force, and on which nodes?

Agents say which of a session's messages they have put in force. A manager knows of its sessions which
entries those messages were made of; the leader gathers that, and can so tell when no node leads clients to a
task, or knows an address, any more. All of it is in memory: whoever is new knows nothing, and is told soon.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from swarm.manager.dispatcher.overlay_facts import in_the_mesh
from swarm.manager.store.tables import ReadView

UNKNOWN = 0  # the index of what is in force on a node of which nobody has heard


class SessionProgress:
    """What one session was told of networks and what of that is in force."""

    def __init__(self) -> None:
        """The agent has rules of an earlier session, or none."""
        self._noted: int | None = UNKNOWN + 1  # the first entry with news that it has not been told
        self._told: deque[tuple[int, int]] = deque()  # message, and the first entry with news in it

    def note(self, index: int) -> None:
        """Note that this entry has news for the node."""
        if self._noted is None:
            self._noted = index

    def tell(self, sequence: int) -> None:
        """Note that the messages up to this one say all that was noted; 0: there was nothing to say."""
        if sequence and self._noted is not None:
            self._told.append((sequence, self._noted))
        self._noted = None

    def apply(self, sequence: int) -> None:
        """Note that the messages up to this one are in force."""
        while self._told and self._told[0][0] <= sequence:
            self._told.popleft()

    @property
    def lag(self) -> int | None:
        """The entry up to which all is in force; None: everything that there is."""
        first = self._told[0][1] if self._told else self._noted
        return None if first is None else first - 1


@dataclass(frozen=True, slots=True)
class Reached:
    """What one manager says: up to which entry all is in force on its nodes, and which are behind that."""

    index: int = UNKNOWN
    lag: Mapping[str, int] | None = None

    def of(self, node_id: str) -> int:
        """Return up to which entry all is in force on a node with a session there."""
        return min(self.index, (self.lag or {}).get(node_id, self.index))


class Progress:
    """What all managers say, in one term of the leader."""

    def __init__(self) -> None:
        self._by_manager: dict[str, Reached] = {}
        self.changed = asyncio.Event()

    def forget(self) -> None:
        """Begin another term."""
        self._by_manager.clear()

    def report(self, manager_id: str, reached: Reached) -> None:
        """Take the word of a manager."""
        if self._by_manager.get(manager_id) != reached:
            self._by_manager[manager_id] = reached
            self.changed.set()

    def of(self, node_id: str, manager_id: str | None) -> int:
        """Return up to which entry all is in force on a node that this manager has the session with."""
        return self._by_manager.get(manager_id or "", Reached()).of(node_id)


def is_settled(
    view: ReadView, network_ids: Iterable[str], index: int, reached: Callable[[str], int]
) -> bool:
    """Whether every node in these networks has in force what the store said of them at `index`.

    A node that is out of the mesh does not count: others send nothing there, and take nothing from it.
    """
    return all(
        reached(node.id) >= index
        for network_id in network_ids
        for node in view.nodes.indexed("network", network_id)
        if in_the_mesh(node)
    )
