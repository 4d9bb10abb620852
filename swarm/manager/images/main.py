"""The images of a manager, put together: control, service for other nodes, replication."""

from swarm.manager.images.control import ImageControl
from swarm.manager.images.copying import ImageCopier
from swarm.manager.images.replicator import ImageReplicator
from swarm.manager.images.report import Consensus, Dial, HolderReports
from swarm.manager.images.servicer import ImagesServicer
from swarm.manager.store.store import Store
from swarm.runtime.images.store import LocalImageStore


class ManagerImages:
    """Everything a manager does with images.

    `control` is the delegate of the control API, `servicer` serves `Images` to other nodes, and
    `replicator.run()` must run as long as the node is a manager, whoever leads.
    """

    def __init__(
        self, store: Store, images: LocalImageStore, node_id: str, raft: Consensus, dial: Dial
    ) -> None:
        """`images` is the store that the node's agent uses too; `dial(addr)` connects to a manager."""

        def peers() -> list[tuple[str, str]]:
            return [(member.node_id, member.addr) for member in raft.members if member.node_id != node_id]

        reports = HolderReports(store, raft, node_id, dial)
        copier = ImageCopier(images, peers, dial)
        self.control = ImageControl(store, images, reports, copier)
        self.servicer = ImagesServicer(store, images, peers, dial, reports)
        self.replicator = ImageReplicator(store, images, node_id, copier, reports)
