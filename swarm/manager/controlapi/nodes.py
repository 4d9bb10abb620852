"""What a request about nodes does: functions of a transaction or view and the request."""

from google.protobuf.timestamp_pb2 import Timestamp

from swarm.api.v1.control_pb2 import Filters, UpdateNodeRequest
from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.specs_pb2 import NodeSpec
from swarm.api.v1.types_pb2 import NodeAvailability, NodeRole, NodeState, TaskStatus
from swarm.clock import SECOND, nanoseconds, timestamp
from swarm.errors import FailedPrecondition, StaleVersion
from swarm.manager.controlapi.ports import RaftStatus
from swarm.manager.controlapi.quorum import called, check_demotion, member_of, with_manager_status
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.controlapi.stepwise import selected
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import task_state
from swarm.model.defaults import node_cert_expiry_ns
from swarm.model.history import record_status
from swarm.model.selectors import node_selected, read_filters
from swarm.model.validate import validate_node
from swarm.steps import Steps

# A certificate issued by a manager whose clock runs behind may outlive the date that we know.
REVOCATION_MARGIN_NS = 7 * 24 * 3600 * SECOND
ORPHANED_BYTES_MAX = 2 * 1024 * 1024  # of tasks in one change, which may have 4 MiB in all


def list_nodes(view: ReadView, raft: RaftStatus, filters: Filters) -> Steps[list[Node]]:
    """Return the nodes asked for, by hostname."""
    wanted = read_filters(filters)
    nodes = yield from selected(view.nodes, lambda node: node_selected(wanted, node))
    nodes.sort(key=lambda node: (node.description.hostname, node.id))
    return [with_manager_status(node, raft) for node in nodes]


def update_node(transaction: Transaction, raft: RaftStatus, request: UpdateNodeRequest, now_ns: int) -> Node:
    """Give a node another spec: role, availability, labels.

    Raises NotFound, StaleVersion, InvalidArgument, and FailedPrecondition for a demotion that would leave
    the cluster without managers or without a majority of them.
    """
    current = resolve(transaction.nodes, "node", request.id)
    if request.version != current.meta.version.index:
        raise StaleVersion(
            f"update out of sequence: node {current.id} changed since version {request.version} was read; "
            "read it again and repeat the change"
        )
    validate_node(request.spec)
    spec = _with_drain_start(request.spec, current.spec, now_ns)
    if spec == current.spec:
        return current
    manager = NodeRole.NODE_ROLE_MANAGER
    if current.spec.desired_role == manager and request.spec.desired_role != manager:
        check_demotion(transaction, raft, current)
    node = copy_of(current)
    node.spec.CopyFrom(spec)
    return transaction.update(node)


def _with_drain_start(wanted: NodeSpec, before: NodeSpec, now_ns: int) -> NodeSpec:
    """Return `wanted`, saying since when the node is drained; one that is not drained waits for nothing."""
    spec = NodeSpec()
    spec.CopyFrom(wanted)
    spec.ClearField("drain_started_at")
    if spec.availability != NodeAvailability.NODE_AVAILABILITY_DRAIN:
        spec.ClearField("drain_timeout_ns")
    elif before.availability != spec.availability:
        spec.drain_started_at.CopyFrom(timestamp(now_ns))
    elif before.HasField("drain_started_at"):
        spec.drain_started_at.CopyFrom(before.drain_started_at)
    return spec


async def move_manager(view: ReadView, raft: RaftStatus, ref: str, addr: str, timeout_s: float) -> Node:
    """Have the other managers reach a manager at `addr` (HOST:PORT) from now on; return its node.

    Raises NotFound, and FailedPrecondition for a worker or when the manager does not answer there.
    """
    node = resolve(view.nodes, "node", ref)
    member = member_of(raft.members, node.id)
    if member is None:
        raise FailedPrecondition(
            f"node {called(node)} is not a manager: only managers have an address that others connect to"
        )
    await raft.move_member(member.raft_id, addr, timeout_s)
    return node


def remove_node(
    transaction: Transaction, raft: RaftStatus, ref: str, *, force: bool, now_ns: int
) -> tuple[str, bool]:
    """Remove a node, orphan its live tasks and refuse its certificate from now on.

    Return its id and whether that was all: of a node with more tasks than fit into one change only a part
    is orphaned, and the same call has to be made again. Raises NotFound, and FailedPrecondition for a
    manager, or for a node that is up unless forced.
    """
    node = resolve(transaction.nodes, "node", ref)
    _check_removable(node, raft, force=force)
    if not _orphan_tasks(transaction, node.id, now_ns):
        return node.id, False
    if transaction.cluster is not None:
        transaction.update(_with_revocation(transaction.cluster, node, now_ns))
    for attachment in transaction.attachments.indexed("node", node.id):
        transaction.remove(attachment)
    transaction.remove(node)
    return node.id, True


def _check_removable(node: Node, raft: RaftStatus, *, force: bool) -> None:
    manager = NodeRole.NODE_ROLE_MANAGER
    if node.spec.desired_role == manager:
        raise FailedPrecondition(
            f"node {called(node)} is a manager and cannot be removed: demote it first (swarmctl node demote)"
        )
    if node.role == manager or member_of(raft.members, node.id):
        raise FailedPrecondition(
            f"node {called(node)} is still one of the managers, its demotion is under way: demote it first, "
            "that is, wait until swarmctl node ls shows no manager status for it"
        )
    if node.status.state == NodeState.NODE_STATE_READY and not force:
        raise FailedPrecondition(
            f"node {called(node)} is up and cannot be removed: let it leave the cluster first "
            "(swarmctl leave, there), or use --force"
        )


def _orphan_tasks(transaction: Transaction, node_id: str, now_ns: int) -> bool:
    """Orphan live tasks of a node; return False if there are more than fit into one change."""
    status = TaskStatus(
        state=task_state.ORPHANED,
        timestamp=timestamp(now_ns),
        message="node removed",
        err="the node was removed from the cluster",
    )
    room = ORPHANED_BYTES_MAX
    for current in transaction.tasks.by_node(node_id):
        if not task_state.is_done(current):
            if room < 0:
                return False
            room -= current.ByteSize()
            task_state.check_transition(current, task_state.ORPHANED, task_state.Owner.CONTROL_API)
            task = copy_of(current)
            record_status(task, status)
            transaction.update(task)
    return True


def _with_revocation(cluster: Cluster, node: Node, now_ns: int) -> Cluster:
    """Return the cluster that refuses the node's certificate; certificates expired long ago are dropped."""
    changed = copy_of(cluster)
    for node_id, revoked in cluster.removed_nodes.items():
        if nanoseconds(revoked.expires_at) + REVOCATION_MARGIN_NS < now_ns:
            del changed.removed_nodes[node_id]
    changed.removed_nodes[node.id].expires_at.CopyFrom(_expiry(cluster, node, now_ns))
    return changed


def _expiry(cluster: Cluster, node: Node, now_ns: int) -> Timestamp:
    # A renewal may have been issued and its date not written down yet: assume the newest possible one.
    newest = now_ns + node_cert_expiry_ns(cluster.spec)
    return timestamp(max(newest, nanoseconds(node.certificate_expires_at)))
