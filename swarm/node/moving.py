"""Which address does this node have after a restart, and do the other managers know it?

An address changes in two ways. Somebody starts the node with another setting: then the node tells the
leader. Or an operator changes it in the cluster (`swarmctl node update --addr`): then the node takes it
over. Which of the two it was, is kept in the node's state until the managers' record says the same.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import grpc
import structlog

from swarm.api.status import from_rpc_error
from swarm.api.v1.raft_pb2 import JoinRaftRequest, RaftMember
from swarm.config import Settings
from swarm.errors import InvalidArgument, Unavailable
from swarm.node.addresses import (
    InterfaceAddress,
    choose_advertise,
    interface_addresses,
    interface_names,
)
from swarm.node.data_path import data_path_after_restart
from swarm.node.state import NodeState, save_state

if TYPE_CHECKING:
    from swarm.security.tls import NodeCredentials

log = structlog.get_logger(__name__)

MOVE_TIMEOUT_S = 10.0


def settings_noted(state: NodeState, settings: Settings, addresses: Sequence[InterfaceAddress]) -> NodeState:
    """Return the state of a node that joins now, with what its settings come to."""
    given = settings.advertise_addr
    resolved = choose_advertise(given, state.listen_addr, addresses) if given else ""
    return replace(state, advertise_setting=resolved, listen_setting=settings.listen_addr)


def after_restart(
    state: NodeState,
    settings: Settings,
    addresses: Sequence[InterfaceAddress],
    interfaces: Collection[str] = (),
) -> NodeState:
    """Return the state with the addresses that the settings of this start ask for; pure.

    Settings that are what they were at the last start change nothing: what was chosen when joining holds.
    A node that listened at exactly the address that it advertised goes on doing so. Raises InvalidArgument.
    """
    listen = state.listen_addr
    if state.listen_setting and settings.listen_addr != state.listen_setting:
        listen = settings.listen_addr
    given = settings.advertise_addr
    resolved = choose_advertise(given, listen, addresses, interfaces) if given else ""
    addr = state.addr
    if resolved and resolved != state.advertise_setting:
        addr = resolved
        if listen == state.listen_addr == state.addr:
            listen = addr
    elif state.listen_addr == state.addr and listen != state.listen_addr:
        addr = choose_advertise("", listen, addresses)
    if addr != state.addr:
        managers = tuple((node, addr if node == state.node_id else at) for node, at in state.managers)
        state = replace(state, addr=addr, managers=managers, moved=True)
    return replace(
        state, listen_addr=listen, advertise_setting=resolved, listen_setting=settings.listen_addr
    )


def at_present(state: NodeState, settings: Settings) -> NodeState:
    """Return the state with the addresses that this start asks for, kept; raises OSError (disk full).

    What cannot be had now stays as it was, e.g. that of an interface that is not up yet.
    """
    now, names = state, interface_names()
    try:
        now = after_restart(now, settings, interface_addresses(), names)
    except InvalidArgument as error:
        log.warning("node.address_kept", addr=state.addr, reason=str(error))
    try:
        now = data_path_after_restart(now, settings, interface_addresses(), names)
    except InvalidArgument as error:
        log.warning("node.data_path_kept", addr=state.data_path_addr or state.addr, reason=str(error))
    if now != state:
        log.info(
            "node.address_chosen",
            addr=now.addr,
            listen_addr=now.listen_addr,
            data_path_addr=now.data_path_addr,
        )
        save_state(settings.node_file, now)
    return now


class Act(Enum):
    """What to do about the address of a running manager."""

    NOTHING = "nothing"
    TELL = "tell the leader"
    CONFIRMED = "confirmed"
    TAKE_OVER = "take over"


def plan_address(state: NodeState, recorded: str) -> Act:
    """Return what to do when the managers' record says `recorded` (empty: not known yet); pure."""
    if not recorded:
        return Act.NOTHING
    if recorded == state.addr:
        return Act.CONFIRMED if state.moved else Act.NOTHING
    return Act.TELL if state.moved else Act.TAKE_OVER


class Group(Protocol):
    """What is asked of Raft."""

    @property
    def raft_id(self) -> str:
        """This manager's id."""

    @property
    def is_leader(self) -> bool:
        """Whether this manager leads."""

    @property
    def leader(self) -> RaftMember | None:
        """The leader, None when none is known."""

    @property
    def members(self) -> Sequence[RaftMember]:
        """All members."""

    async def move_member(self, raft_id: str, addr: str, timeout_s: float) -> None:
        """Note where a member is."""


def recorded_address(raft: Group) -> str:
    """Return where the managers' record says that this one is, empty when it says nothing."""
    return next((member.addr for member in raft.members if member.raft_id == raft.raft_id), "")


async def tell_leader(raft: Group, addr: str, credentials: "NodeCredentials") -> None:
    """Have it noted that this manager is at `addr`; raises SwarmErrors, then to be tried again."""
    if raft.is_leader:
        await raft.move_member(raft.raft_id, addr, MOVE_TIMEOUT_S)
        return
    leader = raft.leader
    if leader is None:
        raise Unavailable("no leader is known")
    from swarm.api.v1.raft_pb2_grpc import RaftStub

    try:
        async with credentials.channel(leader.addr) as channel:
            request = JoinRaftRequest(addr=addr, raft_id=raft.raft_id)
            await RaftStub(channel).Join(request, timeout=MOVE_TIMEOUT_S)
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error
