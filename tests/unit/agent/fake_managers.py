"""Managers that give addresses as real ones do, without a network between them and the node."""

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.dispatcher_pb2 import AttachRequest, AttachResponse
from swarm.api.v1.objects_pb2 import Attachment, Network, Node
from swarm.errors import SwarmError
from swarm.manager.allocator.attachments import attachments_of, settle_attachments
from swarm.manager.store.tables import Tables
from swarm.manager.store.transaction import Transaction


class FakeManagers:
    """A store with node n1 and attachable networks."""

    def __init__(self, *networks: str, node_id: str = "n1") -> None:
        self.tables, self.node_id = Tables(), node_id
        self.broken: SwarmError | None = None
        self.asked: list[AttachRequest] = []
        node = Node(id=node_id)
        node.description.runtime_info["network_drivers"] = "overlay,bridge,host,none"
        self.tables.nodes.put(node)
        for number, name in enumerate(networks):
            self.tables.networks.put(attachable(name, number))

    async def attach(self, request: AttachRequest) -> AttachResponse:
        """Answer as managers do."""
        self.asked.append(request)
        if self.broken is not None:
            raise self.broken
        transaction = Transaction(self.tables, Timestamp())
        settle_attachments(transaction, self.node_id, request.set, request.removed)
        told = list(attachments_of(transaction, self.node_id, request.set))
        for write in transaction.writes:
            table = self.tables.of(type(write.object))
            if write.kind == 2:  # StoreAction.KIND_REMOVE
                table.delete(write.object.id)
            else:
                table.put(write.object)
        return AttachResponse(attachments=told)

    def all(self) -> list[Attachment]:
        """Return what the cluster knows."""
        return list(self.tables.attachments)


def attachable(name: str, number: int = 0, network_id: str = "") -> Network:
    """Return an attachable overlay 10.NUMBER.0.0/24."""
    network = Network(id=network_id or f"id-{name}", vxlan_id=5000 + number)
    network.spec.annotations.name = name
    network.spec.attachable = True
    network.subnets.add(subnet=f"10.{number}.0.0/24", gateway=f"10.{number}.0.1")
    return network
