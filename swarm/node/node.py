"""This machine as a node: outside a cluster, becoming a member, being one, leaving."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.backup_pb2 import BackupPart, RejoinRequest, RejoinResponse, RestoreOptions
from swarm.api.v1.containers_pb2_grpc import ContainersServicer
from swarm.api.v1.control_pb2_grpc import ControlServicer
from swarm.api.v1.types_pb2 import Peer
from swarm.api.v1.users_pb2 import AuditRecord
from swarm.clock import Clock, timestamp
from swarm.config import Settings
from swarm.errors import FailedPrecondition, SwarmError, Unavailable
from swarm.model.compatibility import our_versions, swarm_version
from swarm.node.about import machine_info
from swarm.node.addresses import (
    check_known,
    choose_advertise,
    choose_listen,
    interface_addresses,
    interface_names,
    local_address_towards,
)
from swarm.node.data_path import choose_data_path, data_path_chosen
from swarm.node.joining import forget_pending_key, obtain_certificate, pending_key_file
from swarm.node.leaving import check_leave, leave_raft
from swarm.node.locked import LockedNode, Opened, open_node, unlocked
from swarm.node.machine import has_leftovers, remove_everything, wipe_membership
from swarm.node.membership import Membership
from swarm.node.moving import at_present, settings_noted
from swarm.node.ready import wait_machine, wait_manager, wait_ready
from swarm.node.report import health_of, info_of
from swarm.node.sample import agent_sample
from swarm.node.state import NodeState, forget_state, load_state, managers_of, save_state
from swarm.runtime.images.store import LocalImageStore
from swarm.security.identity import node_role
from swarm.security.keyring import Locked
from swarm.security.tls import NodeCredentials
from swarm.security.tokens import format_token, parse_token
from swarm.telemetry.samples import NodeSample
from swarm.telemetry.server import Health

if TYPE_CHECKING:
    from swarm.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

STOP_TASKS_TIMEOUT_S = 90.0

R = TypeVar("R")


class Node:
    """The life of this node: `resume`, then serve what people ask, at the end `stop`."""

    def __init__(self, settings: Settings, clock: Clock, metrics: Callable[[], "Metrics"]) -> None:
        """The folders of `settings` belong to this process alone; `metrics` is called by managers only."""
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._membership: Membership | None = None
        self._locked: LockedNode | None = None  # then there is no membership
        self._running: asyncio.Task[None] | None = None
        self._farewell = ""  # how the last membership ended, if this node did not leave by itself
        self._kept = False  # the state is on disk: from then on every change goes there
        self._busy = asyncio.Lock()
        self._operations: set[asyncio.Task[Any]] = set()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def resume(self) -> None:
        """Become what this node was before the restart; raises FailedPrecondition if its files are damaged.

        To be awaited before anybody can ask anything of the node.
        """
        state = load_state(self._settings.node_file)
        if state is None:
            await self._clear_leftovers()
            return
        try:
            opened = await asyncio.to_thread(open_node, self._settings)
        except Locked as error:
            self._locked = LockedNode(state, str(error))
            log.warning("node.locked", node_id=state.node_id, cluster_id=state.cluster_id)
        else:
            self._resume_as(state, opened)

    def _resume_as(self, state: NodeState, opened: Opened) -> None:
        credentials = opened.credentials
        if credentials is None or credentials.identity.node_id != state.node_id:
            raise FailedPrecondition(
                f"{self._settings.certificate_file} is missing or of another node than"
                f" {self._settings.node_file} says: restore it, or remove both and join again"
            )
        state = at_present(state, self._settings)
        self._start(state, credentials, keyring=opened.keyring)
        self._kept = True
        log.info("node.resumed", node_id=state.node_id, cluster_id=state.cluster_id)

    async def wait_broken(self) -> None:
        """Raise when a part of the node ended by a bug; returns never."""
        await self._broken

    def end_streams(self) -> None:
        """Tell those who follow something through this node that it is about to stop."""
        member = self._membership
        if member is not None and member.manager is not None:
            member.manager.control.end_streams()

    async def stop(self) -> None:
        """Let go of everything, leaving containers and files as they are."""
        for operation in tuple(self._operations):
            operation.cancel()
        await asyncio.gather(*self._operations, return_exceptions=True)
        await self._stop()

    # What people ask.

    async def init(self, request: control.InitRequest) -> control.InitResponse:
        """Start a cluster with this node as its first manager, or go on with its cluster as the only one."""
        return await self._alone(
            self._go_on_alone(request) if request.force_new_cluster else self._init(request)
        )

    async def join(self, request: control.JoinRequest) -> control.JoinResponse:
        """Join a cluster as what the token says."""
        return await self._alone(self._join(request))

    async def restore(self, options: RestoreOptions, parts: Sequence[BackupPart]) -> control.InitResponse:
        """Begin the cluster of a backup anew, with this node as its only manager."""
        return await self._alone(self._restore(options, parts))

    async def rejoin(self, request: RejoinRequest) -> RejoinResponse:
        """Turn to managers at these addresses; raises FailedPrecondition outside of a cluster."""
        from swarm.node.rejoining import find_managers

        member = self._membership
        if member is None:
            raise self._locked.refusal if self._locked is not None else self.control_refusal()
        await self._alone(find_managers(member, request.manager_addrs))
        return RejoinResponse(node_id=member.state.node_id, cluster_id=member.state.cluster_id)

    async def renew_certificate(self) -> control.RenewCertificateResponse:
        """Get a new key and certificate now; raises FailedPrecondition outside of a cluster."""
        member = self._membership
        if member is None:
            raise self._locked.refusal if self._locked is not None else self.control_refusal()
        await self._alone(member.renew_certificate())
        end_ns = member.credentials.validity_ns[1]
        return control.RenewCertificateResponse(node_id=member.state.node_id, expires_at=timestamp(end_ns))

    async def leave(self, *, force: bool) -> None:
        """Stop every task here and forget the cluster; a manager needs `force`."""
        await self._alone(self._leave(force=force))

    async def unlock(self, unlock_key: str) -> None:
        """Open a manager that is locked since its restart."""
        await self._alone(self._unlock(unlock_key))

    async def info(self) -> control.InfoResponse:
        """Say what this node is, has and knows."""
        answer = self._info()
        about = await machine_info(self._settings, self._membership, locked=self._locked is not None)
        answer.machine.CopyFrom(about)
        answer.hostname = self._settings.hostname
        return answer

    def _info(self) -> control.InfoResponse:
        if self._locked is not None:
            return self._locked.info(swarm_version())
        if self._membership is None:
            return control.InfoResponse(
                version=swarm_version(), error=self._farewell, compatibility=our_versions().message()
            )
        return info_of(self._membership, swarm_version())

    # What the daemon's listeners ask.

    def control_servicer(self) -> ControlServicer | None:
        """Return who answers Control here, None while this node is no manager."""
        member = self._membership
        return member.manager.control if member is not None and member.manager is not None else None

    def containers_servicer(self) -> ContainersServicer | None:
        """Return who answers Containers here, None while this node is no manager."""
        member = self._membership
        return member.manager.containers if member is not None and member.manager is not None else None

    def note_call(self, record: AuditRecord) -> None:
        """Write down a call, as long as this node is a manager and has an audit trail."""
        member = self._membership
        if member is not None and member.manager is not None:
            member.manager.audit.note(record)

    def control_refusal(self) -> SwarmError:
        """Return why Control is not answered here, and where it is."""
        if self._locked is not None:
            return self._locked.refusal
        member = self._membership
        if member is None:
            said = f" ({self._farewell})" if self._farewell else ""
            return FailedPrecondition(
                f"this node is not part of a cluster{said}: "
                "swarmctl init starts one, swarmctl join enters one"
            )
        if "manager" in member.problems:
            return Unavailable(f"the manager of this node does not run: {member.problems['manager']}")
        if member.is_manager:
            return Unavailable("the manager of this node is starting: try again in a moment")
        known = ", ".join(addr for _, addr in member.state.managers) or "none"
        trouble = member.problems.get("certificate", "")
        return FailedPrecondition(
            f"this node is not a manager: run the command on one (known managers: {known})"
            f"{trouble and f'. Besides, {trouble}'}"
        )

    async def sample(self) -> NodeSample:
        """Return the numbers for a scrape."""
        member = self._membership
        if member is None:
            return NodeSample()
        return NodeSample(
            manager=await member.manager.sample() if member.manager is not None else None,
            agent=await agent_sample(member.agent) if member.agent is not None else None,
            certificate_expires_at_s=member.credentials.validity_ns[1] / 1e9,
        )

    def health(self) -> Mapping[str, Health]:
        """Say whether every part of this node does its work."""
        if self._locked is not None:
            return {"node": Health(healthy=False, reason=self._locked.reason)}
        if self._membership is None:
            return {"node": Health(healthy=True, reason="not part of a cluster")}
        return health_of(self._membership)

    # Becoming a member.

    async def _init(self, request: control.InitRequest) -> control.InitResponse:
        from swarm.node.founding import found

        self._require_outside()
        addresses = interface_addresses()
        listen = choose_listen(request.listen_addr, self._settings.listen_addr, addresses)
        given = request.advertise_addr or self._settings.advertise_addr
        addr = choose_advertise(given, listen, addresses, interface_names())
        await check_known(addr)
        choose_data_path(request.data_path_addr or self._settings.data_path_addr, addresses)
        await self._clear_leftovers()
        foundation, bundle = found(request, self._clock)
        state = NodeState(foundation.node_id, foundation.cluster_id, addr, listen)
        state = settings_noted(
            replace(state, managers=((foundation.node_id, addr),)), self._settings, addresses
        )
        state = data_path_chosen(state, request.data_path_addr, self._settings, addresses)
        async with self._beginning():
            credentials = NodeCredentials.create(self._settings.certificate_file, bundle)
            member = self._start(state, credentials, foundation=foundation)
        member.founded()
        log.info("node.cluster_started", node_id=state.node_id, cluster_id=state.cluster_id, addr=addr)
        root = foundation.root.cert_pem
        return control.InitResponse(
            node_id=state.node_id,
            cluster_id=state.cluster_id,
            worker_token=format_token(root, foundation.worker_secret),
            manager_token=format_token(root, foundation.manager_secret),
            addr=addr,
            unlock_key=foundation.unlock_key,
        )

    @contextlib.asynccontextmanager
    async def _beginning(self) -> AsyncIterator[None]:
        """Make the first manager that is started inside a member for good, or leave nothing behind."""
        try:
            yield
            assert self._membership is not None
            await wait_manager(self._membership, 0.0, self._clock)
            await wait_machine(self._membership)
        except BaseException:
            await self._stop()
            try:
                await self._clear_leftovers()
            except (SwarmError, OSError) as error:  # the first reason is the one to tell
                log.warning("node.leftovers", reason=str(error))
            raise
        self._keep()

    async def _restore(self, options: RestoreOptions, parts: Sequence[BackupPart]) -> control.InitResponse:
        from swarm.node.restoring import restore_files

        self._require_outside()
        await self._clear_leftovers()
        async with self._beginning():
            made = await restore_files(self._settings, options, parts, self._clock)
            self._start(made.state, made.credentials, keyring=made.keyring)
        return made.answer

    async def _join(self, request: control.JoinRequest) -> control.JoinResponse:
        if self._membership is not None:
            return await self._rejoin(self._membership, request)
        self._require_outside()
        token = parse_token(request.token)
        addresses = interface_addresses()
        listen = choose_listen(request.listen_addr, self._settings.listen_addr, addresses)
        given = request.advertise_addr or self._settings.advertise_addr
        if not given and request.remote_addrs:
            given = await local_address_towards(request.remote_addrs[0], listen)
        addr = choose_advertise(given, listen, addresses, interface_names())
        await check_known(addr)
        choose_data_path(request.data_path_addr or self._settings.data_path_addr, addresses)
        await self._clear_leftovers()
        bundle, answer = await obtain_certificate(
            request.remote_addrs, token, request.availability, pending_key_file(self._settings), self._clock
        )
        state = NodeState(answer.node_id, answer.cluster_id, addr, listen, managers_of(answer.managers))
        state = settings_noted(state, self._settings, addresses)
        state = data_path_chosen(state, request.data_path_addr, self._settings, addresses)
        credentials = NodeCredentials.create(self._settings.certificate_file, bundle)
        member = self._start(state, credentials)
        self._keep()
        forget_pending_key(self._settings)
        log.info("node.joined", node_id=state.node_id, cluster_id=state.cluster_id, addr=addr)
        await wait_ready(member, self._clock)
        return control.JoinResponse(node_id=state.node_id, role=node_role(credentials.identity.role))

    async def _rejoin(self, member: Membership, request: control.JoinRequest) -> control.JoinResponse:
        from swarm.node.rejoining import come_back

        await come_back(member, request, self._clock)
        await wait_ready(member, self._clock)
        role = node_role(member.credentials.identity.role)
        return control.JoinResponse(node_id=member.state.node_id, role=role)

    async def _go_on_alone(self, request: control.InitRequest) -> control.InitResponse:
        """Become the only manager of a cluster that has lost its majority. Containers run on."""
        from swarm.node import recovery

        member = self._membership
        if self._locked is not None:
            raise self._locked.refusal
        if member is None:
            raise FailedPrecondition("this node is not part of a cluster: there is nothing to recover here")
        state = member.state
        place = recovery.chosen_place(request, state)
        if not recovery.is_alone(member):
            await recovery.check_lost(member)
        elif place == recovery.Place(state.addr, state.listen_addr):
            await recovery.wait_leading(member)
            return recovery.answer(member, ())
        await self._stop()
        try:
            done = await recovery.rewrite_log(self._settings, state, place, member.open_keyring, self._clock)
            state = recovery.state_alone(state, place)
            save_state(self._settings.node_file, state)
        finally:  # also when it failed: then as what it was
            alone = self._start(state, member.credentials, keyring=member.keyring)
        await recovery.wait_leading(alone)
        log.warning("node.goes_on_alone", node_id=state.node_id, cluster_id=state.cluster_id)
        former = tuple(Peer(node_id=one.node_id, addr=one.addr) for one in done.former)
        return recovery.answer(alone, former)

    def _require_outside(self) -> None:
        if self._membership is not None:
            raise FailedPrecondition(
                f"this node is part of cluster {self._membership.state.cluster_id} already:"
                " swarmctl leave takes it out"
            )

        if self._locked is not None:
            raise self._locked.refusal

    # Being one.

    async def _unlock(self, unlock_key: str) -> None:
        locked = self._locked
        if locked is None:
            raise FailedPrecondition("this node is not locked")
        opened = await asyncio.to_thread(unlocked, self._settings, unlock_key)
        self._resume_as(locked.state, opened)
        self._locked = None

    def _start(self, state: NodeState, credentials: NodeCredentials, **founding: Any) -> Membership:
        member = Membership(
            self._settings,
            state,
            credentials,
            self._open_images(),
            self._clock,
            self._metrics,
            on_state=self._state_changed,
            on_removed=self._removed,
            **founding,
        )
        self._membership = member
        self._running = asyncio.create_task(member.run(), name="node-membership")
        self._running.add_done_callback(self._ended)
        return member

    def _open_images(self) -> LocalImageStore:
        return LocalImageStore(
            self._settings.images_dir,
            clock=self._clock,
            insecure_registries=self._settings.insecure_registries,
            registry_rules=self._settings.registry_rules,
        )

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Bring the daemon down when a membership ends by a bug: its supervisor starts it again."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._broken.done():
            self._broken.set_exception(error)

    def _keep(self) -> None:
        """Make this node a member for good."""
        assert self._membership is not None
        save_state(self._settings.node_file, self._membership.state)
        self._kept = True

    def _state_changed(self, state: NodeState) -> None:
        if not self._kept:
            return
        try:
            save_state(self._settings.node_file, state)
        except OSError as error:  # disk full: the old list of managers serves as well for a while
            log.warning("node.state_not_saved", node_id=state.node_id, reason=str(error))

    # Leaving.

    async def _leave(self, *, force: bool) -> None:
        if self._locked is not None:
            self._locked.check_leave(force=force)
            self._locked = None
            await self._forget_cluster()
            return
        member = self._membership
        if member is None:
            raise FailedPrecondition("this node is not part of a cluster")
        check_leave(member.manager, force=force)
        if member.agent is not None:
            try:
                async with asyncio.timeout(STOP_TASKS_TIMEOUT_S):
                    await member.agent.shutdown_tasks()
            except TimeoutError:
                log.warning("node.tasks_not_stopped", reason="they are removed by force")
        if member.manager is not None:
            await leave_raft(member.manager, member.credentials)
        await self._forget_cluster()
        log.info("node.left", node_id=member.state.node_id, cluster_id=member.state.cluster_id)

    def _removed(self) -> None:
        """The cluster removed this node, and its agent has stopped everything."""
        operation = asyncio.create_task(self._after_removal())
        self._operations.add(operation)
        operation.add_done_callback(self._operations.discard)

    async def _after_removal(self) -> None:
        async with self._busy:
            if self._membership is not None:
                state = self._membership.state
                log.warning("node.removed", node_id=state.node_id)
                self._farewell = f"node {state.node_id} was removed from cluster {state.cluster_id}"
                try:
                    await self._forget_cluster()
                except (SwarmError, OSError) as error:  # what is left is cleared at the next start
                    log.warning("node.leftovers", reason=str(error))

    async def _forget_cluster(self) -> None:
        forget_state(self._settings.node_file)
        self._kept = False
        await self._stop()
        await self._clear_leftovers()

    async def _clear_leftovers(self) -> None:
        """Finish what an interrupted init, join or leave left behind."""
        if has_leftovers(self._settings):
            await remove_everything(self._settings)
            wipe_membership(self._settings)

    async def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        self._membership = None

    async def _alone(self, operation: Coroutine[Any, Any, R]) -> R:
        """Run an operation to its end, one at a time, also when whoever asked for it goes away."""

        async def guarded() -> R:
            async with self._busy:
                return await operation

        task = asyncio.create_task(guarded())
        self._operations.add(task)
        task.add_done_callback(self._operations.discard)
        return await asyncio.shield(task)
