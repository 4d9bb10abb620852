"""The raft thread's side of the transport: messages wait here until they may go out."""

from collections.abc import Sequence

from pysyncobj.node import Node
from pysyncobj.transport import Transport

from swarm.api.v1.raft_pb2 import RaftMessage
from swarm.manager.raft.codec import Message, WireError, decode, encode


class Outbox(Transport):
    """Collects what the core sends; `release` hands it to `deliver`, which a subclass provides."""

    def __init__(self, cluster_id: str, raft_id: str) -> None:
        super().__init__(None, None, ())
        self._cluster_id = cluster_id
        self._raft_id = raft_id
        self._queue: list[tuple[str, Message]] = []

    @property
    def ready(self) -> bool:
        """Whether the core may start; there is nothing to wait for."""
        return True

    def deliver(self, recipient: str, messages: Sequence[RaftMessage]) -> None:
        """Send to a member, in order, or drop everything until it is connected again."""
        raise NotImplementedError

    def is_congested(self, node: Node) -> bool:  # a subclass knows better
        """Tell whether so much waits for this member already that it should get no entries now."""
        return False

    # What the core calls.

    def send(self, node: Node, message: Message) -> bool:
        """Queue a message until `release`."""
        self._queue.append((node.id, message))
        return True

    def addNode(self, node: Node) -> None:  # noqa: N802  # pysyncobj's name
        """Do nothing: members are set as a whole."""

    def dropNode(self, node: Node) -> None:  # noqa: N802
        """Do nothing: members are set as a whole."""

    def destroy(self) -> None:
        """Do nothing: the owner closes connections."""

    # What the raft thread calls.

    def release(self, *, appends_only: bool = False) -> None:
        """Let queued messages go out; `appends_only` keeps back those that promise something."""
        if not self._queue:
            return
        held: list[tuple[str, Message]] = []
        outgoing: dict[str, list[RaftMessage]] = {}
        for recipient, message in self._queue:
            if appends_only and message["type"] != "append_entries":
                held.append((recipient, message))
                continue
            wire = encode(message, self._raft_id, recipient, self._cluster_id)
            outgoing.setdefault(recipient, []).append(wire)
        self._queue = held
        for recipient, messages in outgoing.items():
            self.deliver(recipient, messages)

    def received(self, sender: str, messages: Sequence[RaftMessage]) -> None:
        """Pass messages from a member to the core, up to the first that no correct member sends.

        Raises WireError for that one.
        """
        for wire in messages:
            self._onMessageReceived(Node(sender), self._checked(sender, wire))

    def _checked(self, sender: str, wire: RaftMessage) -> Message:
        if (wire.cluster_id, wire.sender, wire.recipient) != (self._cluster_id, sender, self._raft_id):
            raise WireError(f"a message from {wire.sender} to {wire.recipient} in cluster {wire.cluster_id}")
        return decode(wire)

    def connected(self, raft_id: str) -> None:
        """Tell the core that messages to this member go out from now on."""
        self._onNodeConnected(Node(raft_id))

    def disconnected(self, raft_id: str) -> None:
        """Tell the core that what it sent to this member may be lost."""
        self._onNodeDisconnected(Node(raft_id))
