"""What does this node know of its overlay networks, and what did a message change in that?

Whoever makes something of it (routes, balancing, names) is told what was touched, and looks at the state
for what is so now: it may hear of several changes at once, or of one twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from swarm.api.v1.overlay_pb2 import (
    OverlayChanges,
    OverlayEndpoint,
    OverlayNetwork,
    OverlayPeer,
    OverlayService,
)


@dataclass(slots=True)
class NetworkState:
    """One network. The messages in it are values: they are replaced, never changed."""

    network: OverlayNetwork
    peers: dict[str, OverlayPeer] = field(default_factory=dict)  # by node id
    endpoints: dict[str, OverlayEndpoint] = field(default_factory=dict)  # by task id
    services: dict[str, OverlayService] = field(default_factory=dict)  # by service id


@dataclass(frozen=True, slots=True)
class Touched:
    """What differs in one network. Ids that are not in the state any more have gone."""

    network_id: str
    network: bool = False  # new, gone, or different as a whole
    node_ids: frozenset[str] = frozenset()
    task_ids: frozenset[str] = frozenset()
    service_ids: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return self.network or bool(self.node_ids or self.task_ids or self.service_ids)


class OverlayState:
    """Every overlay network of this node."""

    def __init__(self) -> None:
        self.networks: dict[str, NetworkState] = {}

    def apply(self, changes: Iterable[OverlayChanges], *, complete: bool = False) -> tuple[Touched, ...]:
        """Take in what a manager says; return what differs now, one item for each network.

        With `complete` it is everything: what is not said is gone. Pieces of one network add up. A network
        that is named without a word of it has gone from the cluster while tasks in it stop: it stays.
        """
        by_network: dict[str, list[OverlayChanges]] = {}
        for change in changes:
            by_network.setdefault(change.network_id, []).append(change)
        touched = [self._apply(network_id, parts, complete) for network_id, parts in by_network.items()]
        if complete:
            gone = [network_id for network_id in self.networks if network_id not in by_network]
            for network_id in gone:
                del self.networks[network_id]
            touched += [Touched(network_id, network=True) for network_id in gone]
        return tuple(one for one in touched if one)

    def everything(self) -> tuple[OverlayChanges, ...]:
        """Return the messages that make this state out of nothing, one for each network."""
        return tuple(
            OverlayChanges(
                network_id=network_id,
                network=state.network,
                peers=state.peers.values(),
                endpoints=state.endpoints.values(),
                services=state.services.values(),
            )
            for network_id, state in self.networks.items()
        )

    def _apply(self, network_id: str, parts: list[OverlayChanges], complete: bool) -> Touched:
        before = self.networks.get(network_id)
        if complete and not any(part.HasField("network") for part in parts):
            return Touched(network_id)
        after = None if complete else before
        for part in parts:
            after = _fold(after, part)
        if after is None:
            self.networks.pop(network_id, None)
            return Touched(network_id, network=before is not None)
        self.networks[network_id] = after
        if before is None or before.endpoints is not after.endpoints:
            return _difference(network_id, before, after)
        return _named(network_id, parts, network=before.network != after.network)


def _fold(state: NetworkState | None, part: OverlayChanges) -> NetworkState | None:
    """Return the network as it is after one message; in place where it was there before."""
    if part.removed:
        return None
    if state is None:
        if not part.HasField("network"):
            return None  # of a network that has gone meanwhile
        state = NetworkState(part.network)
    elif part.HasField("network"):
        state = NetworkState(part.network, state.peers, state.endpoints, state.services)
    for node_id in part.removed_node_ids:
        state.peers.pop(node_id, None)
    for task_id in part.removed_task_ids:
        state.endpoints.pop(task_id, None)
    for service_id in part.removed_service_ids:
        state.services.pop(service_id, None)
    state.peers.update((one.node_id, one) for one in part.peers)
    state.endpoints.update((one.task_id, one) for one in part.endpoints)
    state.services.update((one.service_id, one) for one in part.services)
    return state


def _named(network_id: str, parts: Iterable[OverlayChanges], network: bool) -> Touched:
    def ids(removed: str, items: str, key: str) -> Iterator[str]:
        for part in parts:
            yield from getattr(part, removed)
            yield from (getattr(one, key) for one in getattr(part, items))

    return Touched(
        network_id,
        network=network,
        node_ids=frozenset(ids("removed_node_ids", "peers", "node_id")),
        task_ids=frozenset(ids("removed_task_ids", "endpoints", "task_id")),
        service_ids=frozenset(ids("removed_service_ids", "services", "service_id")),
    )


def _difference(network_id: str, before: NetworkState | None, after: NetworkState) -> Touched:
    if before is None:
        before = NetworkState(OverlayNetwork())
    return Touched(
        network_id,
        network=before.network != after.network,
        node_ids=_differing(before.peers, after.peers),
        task_ids=_differing(before.endpoints, after.endpoints),
        service_ids=_differing(before.services, after.services),
    )


def _differing(
    before: dict[str, OverlayPeer] | dict[str, OverlayEndpoint] | dict[str, OverlayService],
    after: dict[str, OverlayPeer] | dict[str, OverlayEndpoint] | dict[str, OverlayService],
) -> frozenset[str]:
    return frozenset(one for one in before.keys() | after.keys() if before.get(one) != after.get(one))
