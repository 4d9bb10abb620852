"""A member of the Raft group, for the event loop: propose, read consistently, change the membership.

Consensus itself runs on a thread of its own; the state machine is applied to on the event loop.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import grpc
import structlog

from swarm.api.v1.raft_pb2 import MembershipChange, RaftMember
from swarm.errors import (
    FailedPrecondition,
    NoQuorum,
    NotFound,
    NotLeader,
    Unavailable,
)
from swarm.ids import new_raft_id
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.core import Core
from swarm.manager.raft.disk import Disk
from swarm.manager.raft.entries import change_command, data_command
from swarm.manager.raft.files import keys_in_use, open_files, stored_raft_id
from swarm.manager.raft.handover import Handover
from swarm.manager.raft.journal import DurableJournal
from swarm.manager.raft.membership import Membership, describe_change
from swarm.manager.raft.reach import check_address, check_answers
from swarm.manager.raft.requests import Requests
from swarm.manager.raft.snapshots import SnapshotStore
from swarm.manager.raft.thread import RaftThread
from swarm.manager.raft.transport import PeerTransport, View
from swarm.manager.raft.turn import Turn
from swarm.manager.store.proposer import Proposer, StateMachine

log = structlog.get_logger(__name__)

__all__ = ["RaftConfig", "RaftNode", "stored_raft_id"]

SWITCH_INTERVAL_S = 0.0005  # a busy thread may hold the interpreter from the raft thread only so long
RETRY_CHANGE_S = 0.05


@dataclass(frozen=True, slots=True)
class _Parts:
    """What exists between start and stop."""

    disk: Disk
    journal: DurableJournal
    core: Core
    handover: Handover
    transport: PeerTransport
    thread: RaftThread
    requests: Requests


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"the disk with the Raft log failed: {error}"
    return f"consensus failed: {error}"


class RaftNode(Proposer):
    """One member of the group; everything on the event loop."""

    def __init__(
        self,
        config: RaftConfig,
        state_machine: StateMachine,
        dial: Callable[[str], grpc.aio.Channel],
        on_leadership: Callable[[int | None], None],
        on_fatal: Callable[[str], None],
        on_removed: Callable[[], None] | None = None,
    ) -> None:
        """Callbacks come on the event loop and must not block.

        `on_leadership(term)` comes once the first entry of the term is applied, `on_leadership(None)` when
        leadership is lost. After `on_fatal(reason)` nothing is promised any more: stop it. Another one may
        start from the files.
        `on_removed()` comes once when others say that this member was removed; without it, on_fatal.
        """
        self.config = config
        self.dial = dial
        self._state_machine = state_machine
        self._on_leadership = on_leadership
        self._on_fatal = on_fatal
        self._on_removed = on_removed
        self._leading_term: int | None = None
        self._removed = False
        self._failed = False
        self._view = View()
        self._changing = asyncio.Lock()
        self._change_under_way = ""
        self._parts: _Parts | None = None

    # Life.

    async def start(self) -> None:
        """Read log and snapshot, restore the state machine, and take part from now on.

        Raises InvariantBroken for damaged files, FailedPrecondition if another process uses them or the disk
        fails.
        """
        try:
            journal, snapshots, disk = await asyncio.to_thread(open_files, self.config)
        except OSError as error:
            raise FailedPrecondition(_reason(error)) from error
        try:
            self._parts = self._assemble(journal, snapshots, disk)
        except BaseException:
            journal._destroy()
            disk.unlock()
            raise
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._parts.thread.start()
        log.info("raft.started", raft_id=self.raft_id, term=self.term, raft_index=self.commit_index)

    def _assemble(self, journal: DurableJournal, snapshots: SnapshotStore, disk: Disk) -> "_Parts":
        handover = Handover(
            self._state_machine,
            on_leadership=self._leadership,
            on_membership=self._membership,
            on_removed=self._was_removed,
            on_fatal=self._fatal,
        )
        if snapshots.latest is not None:
            handover.start_at(snapshots.latest)
        transport = PeerTransport(
            self.config.cluster_id, self.config.self_member, self.dial, self._was_removed
        )
        core = Core(journal, snapshots, transport, handover, self.config.timing)
        turn = Turn(core, journal, transport, handover.hand_over)
        thread = RaftThread(turn, self._thread_ended(asyncio.get_running_loop()))
        transport.attach(thread.put)
        handover.attach(thread.put)
        handover.hand_over()
        requests = Requests(core, thread.put, self.config.inflight_bytes_max)
        return _Parts(disk, journal, core, handover, transport, thread, requests)

    async def stop(self) -> None:
        """Take part no longer; what still waits is told so."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        await asyncio.to_thread(parts.thread.stop)
        parts.handover.close()
        parts.requests.fail_all()
        await parts.transport.stop()
        await asyncio.to_thread(parts.handover.stop_worker)
        with contextlib.suppress(OSError):  # after a failure of the disk
            parts.journal._destroy()
        parts.disk.unlock()
        self._leadership(None)
        log.info("raft.stopped", raft_id=self.raft_id)

    def _thread_ended(self, loop: asyncio.AbstractEventLoop) -> Callable[[BaseException], None]:
        def ended(error: BaseException) -> None:
            log.critical("raft.thread_failed", reason=str(error), exc_info=error)
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(self._fatal, _reason(error))

        return ended

    def _fatal(self, reason: str) -> None:
        if self._failed or self._parts is None:
            return
        self._failed = True
        self._parts.thread.halt()  # whoever cannot apply must not lead, either
        self._parts.handover.close()
        self._parts.requests.fail_all()
        self._leadership(None)
        self._on_fatal(reason)

    def _leadership(self, term: int | None) -> None:
        if term != self._leading_term:
            self._leading_term = term
            self._on_leadership(term)

    def _membership(self, current: Membership, contacts: Sequence[RaftMember], committed: bool) -> None:
        by_id = {contact.raft_id: contact for contact in contacts}
        self._view = View(current, current if committed else self._view.committed, by_id)
        if self._parts is not None:
            self._parts.transport.set_members(self._view)

    def _was_removed(self) -> None:
        if self._removed:
            return
        self._removed = True
        log.warning("raft.removed", raft_id=self.raft_id)
        if self._on_removed is not None:
            self._on_removed()
        else:
            self._on_fatal("this manager was removed from the group of managers")

    # What is known.

    @property
    def raft_id(self) -> str:
        """This member's id in the group."""
        return self.config.self_member.raft_id

    @property
    def is_leader(self) -> bool:
        """Whether this member leads and has applied the first entry of its term."""
        parts = self._parts
        return (
            parts is not None
            and not self._failed
            and self._leading_term is not None
            and parts.core.is_leader
        )

    @property
    def term(self) -> int:
        """The current term; 0 before the start."""
        return self._parts.core.term if self._parts else 0

    @property
    def commit_index(self) -> int:
        """Last index known to be committed; 0 before the start."""
        return self._parts.core.commit_index if self._parts else 0

    @property
    def delays_s(self) -> tuple[float, float]:
        """The longest delays lately, in seconds: of the Raft thread, and of the event loop."""
        parts, now_s = self._parts, time.monotonic()
        if parts is None:
            return 0.0, 0.0
        loop_s = max(parts.handover.delay.read(now_s), parts.requests.delay.read(now_s))
        return parts.thread.delay.read(now_s), loop_s

    @property
    def leader(self) -> RaftMember | None:
        """The leader, as far as known."""
        leader_id = self._parts.core.leader_id if self._parts else None
        return self._view.known.get(leader_id) if leader_id else None

    @property
    def members(self) -> tuple[RaftMember, ...]:
        """All members, learners too, in the order of their ids."""
        members = self._view.current.members
        return tuple(members[raft_id] for raft_id in sorted(members))

    @property
    def removed(self) -> bool:
        """Whether others said that this member was removed."""
        return self._removed

    def is_removed_node(self, node_id: str) -> bool:
        """Tell whether a node was a member and is no more."""
        return self._view.committed.node_was_removed(node_id)

    def reachable(self, raft_id: str) -> bool:
        """Tell whether a member answers: seen from the leader lately, from others as a connection."""
        parts = self._parts
        if parts is None or raft_id == self.raft_id:
            return parts is not None and not self._failed
        if not parts.transport.is_connected(raft_id):
            return False
        return not parts.core.is_leader or raft_id in parts.core.reachable()

    # Incoming streams, for the servicer.

    def refusal(self, member: RaftMember) -> str:
        """Return why this manager may not open a stream as `member`, empty if it may."""
        if self._parts is None:
            raise Unavailable("this manager is not ready")
        return self._parts.transport.refusal(member)

    async def serve(self, member: RaftMember, frames: AsyncIterator[bytes]) -> str:
        """Take what `member` sends until its stream ends; returns why it was ended here, if it was."""
        return await self._parts.transport.serve(member, frames) if self._parts else ""

    # Writing and reading.

    async def propose(self, entry: bytes, timeout_s: float) -> int:
        """Append `entry` and return its index once it is committed by a majority and applied here.

        Raises NotLeader when nothing was appended, NoQuorum when no majority answered before `timeout_s`
        (the entry may still be committed later), OutcomeUnknown when leadership was lost.
        """
        return await self._leading().requests.propose(data_command(entry), timeout_s)

    async def barrier(self, timeout_s: float) -> int:
        """Return an applied index once everything committed by now is applied here (a consistent read).

        Costs one round trip to a majority, shared by all who ask at the same time, and nothing in the log.
        Raises NotLeader or NoQuorum.
        """
        return await self._leading().requests.read(timeout_s)

    def _leading(self) -> "_Parts":
        parts = self._parts
        if parts is not None and self.is_leader:
            return parts
        if parts is None or self._failed:
            raise NotLeader
        addr = parts.core.leader_addr
        if not addr and not parts.core.is_leader:
            self._check_quorum(parts)
        raise NotLeader(addr)

    def _check_quorum(self, parts: "_Parts") -> None:
        current = self._view.current
        connected = [raft_id for raft_id in current.voters if parts.transport.is_connected(raft_id)]
        alive = len(connected) + (self.raft_id in current.voters)
        if alive < current.quorum:
            raise NoQuorum(
                f"{alive} of {len(current.voters)} managers can be reached, and {current.quorum} are needed "
                "to change anything"
            )

    # The files.

    def set_snapshot_policy(self, interval: int, extra_snapshots: int) -> None:
        """Take a snapshot every `interval` entries from now on, and keep more old ones than are needed."""
        parts = self._parts
        if parts is not None:
            parts.thread.put(parts.core.compactor.set_policy, interval, extra_snapshots)

    async def rekey(self) -> frozenset[bytes]:
        """Encrypt what needs another data key than the current one anew; returns which keys are needed then.

        Raises OSError when the disk is full, InvariantBroken for a damaged snapshot; may be tried again.
        """
        parts = self._parts
        if parts is None:
            raise Unavailable("this manager is not ready")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def finish(problem: Exception | None) -> None:
            if not done.done():
                done.set_result(None) if problem is None else done.set_exception(problem)

        def finish_soon(problem: Exception | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(finish, problem)

        parts.thread.put(parts.core.compactor.rekey, finish_soon)
        await done
        return await asyncio.to_thread(keys_in_use, parts.disk)

    # Changing the membership; on the leader.

    async def add_member(self, node_id: str, addr: str, timeout_s: float) -> RaftMember:
        """Add a node as a learner under a new raft id; it becomes a voter by itself once it has caught up.

        An earlier membership of the same node (its disk was wiped, or its first attempt failed) is removed.
        """
        async with self._change_of_members(timeout_s) as deadline:
            earlier = self._view.current.of_node(node_id)
            if earlier is not None and earlier.raft_id == self.raft_id:
                raise FailedPrecondition(f"node {node_id} leads the group already")
            if earlier is not None:
                log.info("raft.member_replaced", node_id=node_id, raft_id=earlier.raft_id)
                await self._change(MembershipChange.KIND_REMOVE, earlier, deadline)
            member = RaftMember(raft_id=new_raft_id(), node_id=node_id, addr=addr, learner=True)
            await self._change(MembershipChange.KIND_ADD, member, deadline)
            log.info("raft.member_added", node_id=node_id, raft_id=member.raft_id)
            return member

    async def remove_member(self, raft_id: str, timeout_s: float) -> None:
        """Remove a member, also one that does not answer.

        Raises FailedPrecondition if that would cost the majority, and NotLeader with the new leader's
        address when asked to remove the leader: leadership was handed over, ask there.
        """
        self._leading()
        if raft_id == self.raft_id:
            await self._leave_leadership(timeout_s)
        async with self._change_of_members(timeout_s) as deadline:
            member = self._view.current.members.get(raft_id)
            if member is not None:
                await self._change(MembershipChange.KIND_REMOVE, member, deadline)
                log.info("raft.member_removed", node_id=member.node_id, raft_id=raft_id)
            elif not self._view.current.is_removed(raft_id):
                raise NotFound(f"there is no manager with the raft id {raft_id}")

    async def move_member(self, raft_id: str, addr: str, timeout_s: float) -> None:
        """Note that a member is reached at `addr` (HOST:PORT) from now on.

        Raises InvalidArgument for what is no address, and FailedPrecondition when another member has it or
        when the member does not answer there.
        """
        self._leading()
        member = self._view.current.members.get(raft_id)
        if member is None:
            raise NotFound(f"there is no manager with the raft id {raft_id}")
        check_address(addr, member.node_id, self.members)
        await check_answers(self.dial, addr, raft_id)
        async with self._change_of_members(timeout_s) as deadline:
            member = self._view.current.members.get(raft_id)
            if member is not None and member.addr != addr:
                moved = RaftMember(raft_id=raft_id, addr=addr)
                await self._change(MembershipChange.KIND_UPDATE_ADDR, moved, deadline)

    async def transfer_leadership(self, timeout_s: float) -> None:
        """Hand leadership over to another voter; returns when that one leads, as far as seen from here."""
        parts = self._leading()
        if len(self._view.current.voters) < 2:
            raise FailedPrecondition("there is no other manager that could lead")
        parts.thread.put(parts.core.transfer, timeout_s)
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self._parts is not None and (self.leader is None or parts.core.leader_id == self.raft_id):
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(f"no other manager took over within {timeout_s:g} s")
            await asyncio.sleep(0.01)

    async def _leave_leadership(self, timeout_s: float) -> None:
        if len(self._view.current.voters) < 2:
            raise FailedPrecondition("this is the last manager; it cannot be removed")
        await self.transfer_leadership(timeout_s)
        leader = self.leader
        raise NotLeader(leader.addr if leader is not None else "")

    @contextlib.asynccontextmanager
    async def _change_of_members(self, timeout_s: float) -> AsyncIterator[float]:
        """Let one change be made at a time; yields the deadline."""
        self._leading()
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                await self._changing.acquire()
        except TimeoutError:
            raise Unavailable(
                f"another change of the managers is under way ({self._change_under_way}); "
                "try again when it is done"
            ) from None
        try:
            async with asyncio.timeout_at(deadline):
                yield deadline
        except TimeoutError:
            raise NoQuorum(f"the managers could not be changed within {timeout_s:g} s") from None
        finally:
            self._changing.release()

    async def _change(self, kind: "MembershipChange.Kind", member: RaftMember, deadline: float) -> None:
        change = MembershipChange(kind=kind, member=member)
        self._change_under_way = describe_change(change, self._view.current)
        command = change_command(change)
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self._leading().requests.propose(command, max(deadline - loop.time(), 0.001))
            except Unavailable:  # a learner is being promoted at this moment
                if loop.time() + RETRY_CHANGE_S > deadline:
                    raise
                await asyncio.sleep(RETRY_CHANGE_S)
            else:
                return
