"""May this manager go on alone, and how does it (`swarmctl init --force-new-cluster`)?"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.types_pb2 import Peer
from swarm.clock import Clock
from swarm.config import Settings
from swarm.errors import FailedPrecondition, InvalidArgument, Unavailable
from swarm.node.addresses import choose_advertise, choose_listen, interface_addresses, interface_names
from swarm.node.membership import Membership
from swarm.node.state import NodeState
from swarm.node.waiting import until
from swarm.security.tokens import format_token

if TYPE_CHECKING:
    from swarm.manager.main import Manager
    from swarm.manager.recovery import Recovered
    from swarm.security.keyring import Keyring

START_PATIENCE_S = 5.0  # for a manager half that is just starting, or starting again
LOSS_PATIENCE_S = 5.0  # leader and followers notice a dead majority within two election timeouts
LEAD_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the recovered manager is."""

    addr: str
    listen_addr: str


def check_may_recover(voters: int, reachable: int, addrs: tuple[str, ...]) -> None:
    """Raise FailedPrecondition while a majority of the managers is there; counts include this one. Pure."""
    needed = voters // 2 + 1
    if reachable >= needed:
        raise FailedPrecondition(
            f"nothing is lost: {reachable} of {voters} managers are reachable from here"
            f" ({', '.join(addrs)}), and {needed} are enough to decide. Demote managers that are gone"
            " (swarmctl node demote), or stop swarmd on the others if this one is to go on alone"
        )


async def check_lost(member: Membership) -> None:
    """Return once it is sure that the managers have no majority; raises FailedPrecondition."""
    if not member.is_manager:
        raise FailedPrecondition(
            "this node is a worker: run the command on one of the managers that are left"
        )
    try:
        async with asyncio.timeout(START_PATIENCE_S):
            await until(lambda: member.manager is not None)
    except TimeoutError:
        return  # it does not run, so it is no part of a majority; what is wrong with it shows when it starts
    try:
        async with asyncio.timeout(LOSS_PATIENCE_S):
            await until(lambda: member.manager is None or not _has_majority(member.manager))
    except TimeoutError:
        assert member.manager is not None
        check_may_recover(*_count(member.manager))


def _count(manager: "Manager") -> tuple[int, int, tuple[str, ...]]:
    raft = manager.raft
    voters = [item for item in raft.members if not item.learner]
    there = [item for item in voters if item.raft_id == raft.raft_id or raft.reachable(item.raft_id)]
    return len(voters), len(there), tuple(item.addr for item in there)


def _has_majority(manager: "Manager") -> bool:
    voters, there, _ = _count(manager)
    return there >= voters // 2 + 1


def is_alone(member: Membership) -> bool:
    """Tell whether this node is the only manager and knows it: then nothing is left to be done."""
    manager = member.manager
    return manager is not None and [item.node_id for item in manager.raft.members] == [member.state.node_id]


def chosen_place(request: control.InitRequest, state: NodeState) -> Place:
    """Return the addresses of the recovered manager: those it had, unless others are asked for."""
    if request.data_path_addr:
        raise InvalidArgument(
            "the data path is no part of a recovery: start swarmd with another data_path_addr afterwards"
        )
    listen = choose_listen(request.listen_addr, state.listen_addr, interface_addresses())
    if not request.advertise_addr:
        return Place(state.addr, listen)
    addr = choose_advertise(request.advertise_addr, listen, interface_addresses(), interface_names())
    if not request.listen_addr and listen == state.addr:  # it listened where it advertised
        listen = addr
    return Place(addr, listen)


async def rewrite_log(
    settings: Settings, state: NodeState, place: Place, open_keys: Callable[[], "Keyring"], clock: Clock
) -> "Recovered":
    """Make this node the only manager in its own log; the manager must not run."""
    from swarm.manager.recovery import go_on_alone

    def work() -> "Recovered":
        return go_on_alone(settings.raft_dir, open_keys(), state.node_id, place.addr, clock)

    return await asyncio.to_thread(work)


def state_alone(state: NodeState, place: Place) -> NodeState:
    """Return what the node knows of its cluster afterwards."""
    return replace(
        state,
        addr=place.addr,
        listen_addr=place.listen_addr,
        managers=((state.node_id, place.addr),),
        moved=False,
    )


async def wait_leading(member: Membership) -> None:
    """Return once the manager leads; raises Unavailable."""
    try:
        async with asyncio.timeout(LEAD_TIMEOUT_S):
            await until(lambda: member.manager is not None and member.manager.raft.is_leader)
    except TimeoutError:
        reason = member.problems.get("manager", "it does not lead yet")
        raise Unavailable(
            f"this node is the only manager now, but not ready: {reason}; it goes on trying, swarmctl info "
            "says how it stands"
        ) from None


def answer(member: Membership, former: tuple[Peer, ...]) -> control.InitResponse:
    """Return what the operator is told."""
    assert member.manager is not None
    cluster = member.manager.store.view.cluster
    assert cluster is not None
    root = cluster.root_ca
    return control.InitResponse(
        node_id=member.state.node_id,
        cluster_id=member.state.cluster_id,
        worker_token=format_token(root.cert_pem, root.worker_secret),
        manager_token=format_token(root.cert_pem, root.manager_secret),
        addr=member.state.addr,
        former_managers=former,
    )
