"""Which entries of which overlay networks may differ after a commit, and what is a node to be told of them?

A commit is looked at once; a session keeps ids only, and its messages are made of the newest state.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message

from swarm.api.v1.objects_pb2 import Attachment, Cluster, Network, Node, Service, Task
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayNetwork
from swarm.manager.dispatcher import overlay_facts as facts
from swarm.manager.dispatcher.http_facts import certificates_changed, proxy_of
from swarm.manager.store.tables import ReadView
from swarm.manager.store.watch import Action, Event
from swarm.model.acme import proofs_of
from swarm.model.health import is_sound
from swarm.model.networks import is_encrypted
from swarm.model.task_state import RUNNING

T = TypeVar("T")

PIECE_BYTES = 256 * 1024  # several go into one message


@dataclass(slots=True)
class News:
    """Ids of what may differ in one network."""

    network: bool = False
    node_ids: set[str] = field(default_factory=set)
    task_ids: set[str] = field(default_factory=set)
    service_ids: set[str] = field(default_factory=set)

    def add(self, other: "News") -> None:
        """Take in what differs besides."""
        self.network |= other.network
        self.node_ids |= other.node_ids
        self.task_ids |= other.task_ids
        self.service_ids |= other.service_ids


class Newspaper(dict[str, News]):
    """News by network id."""

    def __missing__(self, network_id: str) -> News:
        """Return where to write of a network that there was no news of."""
        news = self[network_id] = News()
        return news


def news_of(view: ReadView, events: Iterable[Event]) -> Newspaper:
    """Return what may differ after `events`, which `view` has seen."""
    paper = Newspaper()
    for event in events:
        before, after = event.previous, None if event.action is Action.REMOVE else event.object
        match event.object:
            case Task():
                _of_task(view, paper, _as(Task, before), _as(Task, after))
            case Node():
                _of_node(view, paper, _as(Node, before), _as(Node, after))
            case Service():
                _of_service(view, paper, _as(Service, before), _as(Service, after))
            case Attachment():
                _of_attachment(paper, _as(Attachment, before), _as(Attachment, after))
            case Network():
                _of_network(paper, _as(Network, before), _as(Network, after))
            case Cluster():
                _of_cluster(view, paper, _as(Cluster, before), _as(Cluster, after))
                _of_overlay_key(view, paper, _as(Cluster, before), _as(Cluster, after))
    return paper


def _as(kind: type[T], obj: object) -> T | None:
    return obj if isinstance(obj, kind) else None


def _of_task(view: ReadView, paper: Newspaper, before: Task | None, after: Task | None) -> None:
    task = after or before
    if task is None or not task.networks or _standing(before) == _standing(after):
        return
    service = view.services.get(task.service_id)
    for one in task.networks:
        paper[one.network_id].task_ids.add(task.id)
        # The first or last one of a service that is not meant to be there (any more).
        if service is not None and not facts.is_meant_for(service, one.network_id):
            paper[one.network_id].service_ids.add(task.service_id)


def _standing(task: Task | None) -> object:
    """Return what others see of a task; its addresses and names never change."""
    if task is None or not facts.is_placed(task):
        return None
    return task.node_id, task.status.state == RUNNING, task.desired_state, is_sound(task)


def _of_node(view: ReadView, paper: Newspaper, before: Node | None, after: Node | None) -> None:
    node = after or before
    if before is not None and after is not None and _proxy_side(view, before) != _proxy_side(view, after):
        for network in view.networks.indexed("ingress", key=True):
            paper[network.id].network = True
    seen, sees = _appearance(before), _appearance(after)
    if node is None or seen == sees:
        return
    # What a node says of its data path counts only while no other node has that address.
    for address in facts.addresses_of(before) ^ facts.addresses_of(after):
        for other in view.nodes.indexed("place", address):
            for one in other.networks:
                paper[one.network_id].node_ids.add(other.id)
    for one in (*(before.networks if before else ()), *(after.networks if after else ())):
        paper[one.network_id].node_ids.add(node.id)
    if facts.in_the_mesh(before) != facts.in_the_mesh(after):
        for task in view.tasks.by_node(node.id):
            for one in task.networks if facts.is_placed(task) else ():
                paper[one.network_id].task_ids.add(task.id)
        for attachment in view.attachments.indexed("node", node.id):
            _of_attachment(paper, attachment, attachment)


def _of_attachment(paper: Newspaper, before: Attachment | None, after: Attachment | None) -> None:
    for known in filter(None, (before, after)):
        for one in known.networks:
            paper[one.network_id].task_ids.add(known.id)


def _proxy_side(view: ReadView, node: Node) -> object:
    """Return what decides whether a node has an HTTP proxy."""
    cluster = view.cluster
    if cluster is None or not cluster.spec.http_ingress.constraints:
        return None
    return proxy_of(view, node)


def _of_cluster(view: ReadView, paper: Newspaper, before: Cluster | None, after: Cluster | None) -> None:
    if (
        before is None
        or after is None
        or before.spec.http_ingress != after.spec.http_ingress
        or (before.spec.HasField("http_ingress") != after.spec.HasField("http_ingress"))
        or proofs_of(before) != proofs_of(after)
    ):
        for network in view.networks.indexed("ingress", key=True):
            paper[network.id].network = True
    if before is not None and after is not None and certificates_changed(before, after):
        for network in view.networks.indexed("ingress", key=True):
            asking = view.services.indexed("acme", key=True)
            paper[network.id].service_ids.update(service.id for service in asking)


def _appearance(node: Node | None) -> object:
    if node is None:
        return None
    addresses = [(one.network_id, *one.addresses) for one in node.networks]
    where = node.status.addr, node.description.data_path_addr
    return facts.in_the_mesh(node), where, node.description.tunnel_key, addresses


def _of_service(view: ReadView, paper: Newspaper, before: Service | None, after: Service | None) -> None:
    service = after or before
    if service is None or _announcement(before) == _announcement(after):
        return
    ids = {one.network_id for task in view.tasks.by_service(service.id) for one in task.networks}
    for known in filter(None, (before, after)):
        for spec in (known.spec, known.previous_spec):
            ids.update(one.network_id for one in spec.task.networks)
        ids.update(one.network_id for one in known.virtual_addresses)
        if known.spec.endpoint.routes:
            ids.update(one.id for one in view.networks.indexed("ingress", key=True))
    for network_id in ids:
        paper[network_id].service_ids.add(service.id)


def _announcement(service: Service | None) -> object:
    """Return what others see of a service."""
    if service is None:
        return None
    return (
        service.spec.annotations.name,
        list(service.spec.task.networks),
        list(service.previous_spec.task.networks),
        list(service.virtual_addresses),
        list(service.spec.endpoint.ports),
        list(service.spec.endpoint.routes),
        service.spec.endpoint.affinity,
        service.spec.endpoint.snat,
        list(service.ingress_ports),
    )


def _of_network(paper: Newspaper, before: Network | None, after: Network | None) -> None:
    """Of a network that is gone nothing is said any more; nobody is in a new one."""
    if before is None or after is None:
        return
    if facts.description_of(before) != facts.description_of(after):
        paper[after.id].network = True


def _of_overlay_key(view: ReadView, paper: Newspaper, before: Cluster | None, after: Cluster | None) -> None:
    """Another key of encrypted networks is news of every pair of nodes in one."""
    if before is None or after is None or before.overlay_key == after.overlay_key:
        return
    for network in view.networks:
        if is_encrypted(network.spec):
            paper[network.id].node_ids.update(one.id for one in view.nodes.indexed("network", network.id))


class OverlaySet:
    """What one agent was told of its networks in one session."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        self._told: dict[str, OverlayNetwork] = {}
        self._news = Newspaper()

    def note(self, paper: Mapping[str, News]) -> bool:
        """Note what of the news is of interest here; whether anything is."""
        found = False
        for network_id, news in paper.items():
            if network_id in self._told or self._node_id in news.node_ids:
                self._news[network_id].add(news)
                found = True
        return found

    def complete(self, view: ReadView) -> Iterator[OverlayChanges]:
        """Yield everything: the agent has what an earlier session told it, or nothing."""
        self._told.clear()
        self._news.clear()
        for network_id in facts.joined(view, self._node_id):
            yield from self._all_of(view, network_id)

    def changes(self, view: ReadView) -> Iterator[OverlayChanges]:
        """Yield what is new of what was noted."""
        paper, self._news = self._news, Newspaper()
        joined = facts.joined(view, self._node_id)
        for network_id, news in paper.items():
            if network_id not in joined:
                if self._told.pop(network_id, None) is not None:
                    yield OverlayChanges(network_id=network_id, removed=True)
            elif network_id not in self._told:
                yield from self._all_of(view, network_id)
            else:
                yield from self._some_of(view, network_id, news)

    def _all_of(self, view: ReadView, network_id: str) -> Iterator[OverlayChanges]:
        everything = facts.everything_of(view, network_id, self._node_id)
        # Without a word of the network it is gone; what the agent knows of it goes on to be so.
        self._told[network_id] = everything.network if everything is not None else OverlayNetwork()
        yield from pieces(everything or OverlayChanges(network_id=network_id))

    def _some_of(self, view: ReadView, network_id: str, news: News) -> Iterator[OverlayChanges]:
        network = facts.network_of(view, network_id, self._node_id)
        if network is None:
            return
        changes = OverlayChanges(network_id=network_id)
        if network != self._told[network_id]:
            self._told[network_id] = network
            changes.network.CopyFrom(network)
        own = self._node_id
        for node_id in sorted(news.node_ids - {own}):
            peer = facts.peer_of(view, network_id, node_id, own)
            _put(changes.peers, changes.removed_node_ids, node_id, peer)
        for task_id in sorted(news.task_ids):
            endpoint = facts.endpoint_of(view, network_id, task_id, own)
            _put(changes.endpoints, changes.removed_task_ids, task_id, endpoint)
        for service_id in sorted(news.service_ids):
            service = facts.service_of(view, network_id, service_id)
            _put(changes.services, changes.removed_service_ids, service_id, service)
        if changes != OverlayChanges(network_id=network_id):
            yield from pieces(changes)


def _put(items: object, removed: object, one_id: str, item: Message | None) -> None:
    if item is not None:
        items.append(item)  # type: ignore[attr-defined]
    else:
        removed.append(one_id)  # type: ignore[attr-defined]


_ENTRIES = ("peers", "endpoints", "services")


def pieces(changes: OverlayChanges) -> Iterator[OverlayChanges]:
    """Yield messages of a bounded size that add up to `changes`."""
    if changes.ByteSize() <= PIECE_BYTES:
        yield changes
        return
    piece = OverlayChanges()
    piece.CopyFrom(changes)
    for name in _ENTRIES:
        piece.ClearField(name)
    size = piece.ByteSize()
    for name in _ENTRIES:
        for entry in getattr(changes, name):
            entry_bytes = entry.ByteSize() + 5  # with its tag and length
            if size + entry_bytes > PIECE_BYTES and _has_entries(piece):
                yield piece
                piece, size = OverlayChanges(network_id=changes.network_id), 0
            getattr(piece, name).append(entry)
            size += entry_bytes
    yield piece


def _has_entries(piece: OverlayChanges) -> Collection[object]:
    return piece.peers or piece.endpoints or piece.services
