"""What nodes say of their containers of no service in networks: any manager hears it, the leader decides."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from swarm.api.v1.dispatcher_pb2 import AttachRequest, AttachResponse, PassAttachRequest
from swarm.api.v1.objects_pb2 import Attachment
from swarm.errors import InvalidArgument, Unavailable
from swarm.manager.store.store import Store
from swarm.manager.store.tables import ReadView
from swarm.manager.store.transaction import Transaction

AT_ONCE = 200  # containers in one request; more come in the next


@dataclass(frozen=True, slots=True)
class AttachRules:
    """What becomes of a node's word; the allocator has them."""

    # Make it so: (transaction, node id, what is to be, ids of what is gone); raises what people are told.
    settle: Callable[[Transaction, str, Sequence[Attachment], Iterable[str]], None]
    # What the node is told of its attachments then.
    told: Callable[[ReadView, str, Sequence[Attachment]], Iterator[Attachment]]


async def settle(store: Store, rules: AttachRules | None, request: PassAttachRequest) -> AttachResponse:
    """Have the word of a node committed; raises what the rules raise, and NotLeader elsewhere."""
    if rules is None:
        raise Unavailable("this manager gives containers no networks")
    said: AttachRequest = request.request
    if len(said.set) + len(said.removed) > AT_ONCE:
        raise InvalidArgument(f"more than {AT_ONCE} containers in one request")
    node_id = request.node_id

    def commit(transaction: Transaction) -> list[Attachment]:
        rules.settle(transaction, node_id, said.set, said.removed)
        return list(rules.told(transaction, node_id, said.set))

    return AttachResponse(attachments=await store.update(commit))
