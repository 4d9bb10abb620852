"""A manager, put together: store, Raft, the services for other nodes, and the loops of the leader."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc
import structlog

from swarm.api.status import ErrorInterceptor
from swarm.api.v1.ca_pb2_grpc import add_NodeCAServicer_to_server
from swarm.api.v1.containers_pb2_grpc import add_ContainersServicer_to_server
from swarm.api.v1.control_pb2_grpc import add_ControlServicer_to_server
from swarm.api.v1.dispatcher_pb2_grpc import add_DispatcherServicer_to_server, add_LeaderServicer_to_server
from swarm.api.v1.images_pb2_grpc import add_ImagesServicer_to_server
from swarm.api.v1.logs_pb2_grpc import add_LogsServicer_to_server
from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.api.v1.users_pb2_grpc import add_AuditServicer_to_server
from swarm.clock import Clock
from swarm.config import Settings
from swarm.endings import endless
from swarm.errors import FailedPrecondition, SwarmError, Unavailable
from swarm.ids import new_id
from swarm.manager.acme.loop import AcmeLoop
from swarm.manager.allocator.attachments import attachments_of, settle_attachments
from swarm.manager.allocator.loop import AllocatorLoop
from swarm.manager.allocator.overlay_keys import OverlayKeyLoop
from swarm.manager.audit.files import AuditFiles
from swarm.manager.audit.reading import AuditReading
from swarm.manager.audit.servicer import AuditServicer
from swarm.manager.audit.trail import AuditTrail
from swarm.manager.ca.issue import standing
from swarm.manager.ca.loop import RoleLoop
from swarm.manager.ca.rights import RightsLoop
from swarm.manager.ca.rotation import RotationLoop
from swarm.manager.ca.self_renewal import SelfRenewal
from swarm.manager.ca.servicer import NodeCAServicer
from swarm.manager.collector import tame_collector
from swarm.manager.containers.calls import ContainerCalls
from swarm.manager.containers.control import ContainerControl
from swarm.manager.containers.servicer import ContainersServicer
from swarm.manager.controlapi.ports import Dial, ReadAudit
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.manager.dispatcher.attaching import AttachRules
from swarm.manager.dispatcher.main import Dispatcher
from swarm.manager.founding import Foundation, found_cluster
from swarm.manager.images.main import ManagerImages
from swarm.manager.images.resolve import RegistryDigests
from swarm.manager.leading import Leading, Loop, reason_of
from swarm.manager.lock import LockKeeper
from swarm.manager.logs.broker import LogBroker
from swarm.manager.logs.control import LogControl
from swarm.manager.logs.servicer import LogsServicer
from swarm.manager.orchestrator.autoscale.loop import AutoscaleLoop
from swarm.manager.orchestrator.autoscale.prometheus import Prometheus
from swarm.manager.orchestrator.loop import OrchestratorLoop
from swarm.manager.planning.balance_loop import BalanceLoop
from swarm.manager.planning.forecaster import Forecaster
from swarm.manager.raft.config import RaftConfig
from swarm.manager.raft.node import RaftNode
from swarm.manager.raft.servicer import RaftServicer
from swarm.manager.raft.servicer import add_to_server as add_raft_to_server
from swarm.manager.sample import sample_manager
from swarm.manager.scheduler.loop import SchedulerLoop
from swarm.manager.scheduler.why import judge_nodes
from swarm.manager.secrets.values import DriverSecrets
from swarm.manager.store.proposer import Proposer
from swarm.manager.store.store import Store
from swarm.manager.store.watch import WatchOverflow
from swarm.manager.volumes.loop import VolumeLoop
from swarm.manager.volumes.plugins import PluginCalls
from swarm.manager.volumes.work import Worker
from swarm.model.compatibility import level_of
from swarm.runtime.images.registry import RegistryClient
from swarm.runtime.images.store import LocalImageStore
from swarm.security.authorization import AuthorizationInterceptor, TlsCaller
from swarm.security.keyring import Keyring
from swarm.security.live_calls import LiveCalls
from swarm.security.rotation import trusted_roots
from swarm.security.tls import SERVER_OPTIONS, NodeCredentials
from swarm.telemetry.metrics import Metrics
from swarm.telemetry.samples import ManagerSample
from swarm.telemetry.server import Health

log = structlog.get_logger(__name__)

FOUNDING_TIMEOUT_S = 10.0
STOP_GRACE_S = 1.0
HAND_OVER_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Seat:
    """This manager's place in the Raft group; members are the voters that the answer to Join named."""

    member: RaftMember
    members: Sequence[RaftMember] = ()


class Manager:
    """The manager half of a node."""

    def __init__(  # noqa: PLR0913 - the parts of a manager
        self,
        settings: Settings,
        credentials: NodeCredentials,
        images: LocalImageStore,
        clock: Clock,
        metrics: Metrics,
        seat: Seat,
        keyring: Keyring,
        *,
        foundation: Foundation | None = None,
        on_fatal: Callable[[str], None],
        on_removed: Callable[[], None],
        on_exposed: Callable[[], None],
    ) -> None:
        """`foundation` is given by the node that starts a cluster.

        `on_fatal(reason)` and `on_removed()` (from Raft) ask to be stopped, the first one also when a part
        ended by a bug; `on_exposed()` asks for a new private key of the node.
        """
        self._credentials = credentials
        self._clock = clock
        self._snapshot_interval = settings.raft_snapshot_interval
        self._listen_addr = settings.listen_addr
        self._on_fatal = on_fatal
        self._foundation, self._metrics = foundation, metrics
        self._node_id = credentials.identity.node_id
        self.store = Store(clock, new_id())
        self._leading = Leading(self._prepare_term, self._loops, self._give_up)
        self.raft = RaftNode(
            _raft_config(settings, credentials.identity.cluster_id, seat, keyring),
            self.store,
            credentials.channel,
            self._leading.on_leadership,
            on_fatal,
            on_removed,
        )
        self.store.attach(_TimedProposer(self.raft, clock, metrics))
        dial = credentials.channel
        self._secrets = DriverSecrets(self.store, clock)
        self._dispatcher = self._make_dispatcher(clock)
        self._images = ManagerImages(self.store, images, self._node_id, self.raft, dial)
        self._registry = RegistryClient(settings.insecure_registries, rules=settings.registry_rules)
        self._logs = LogBroker(self.store, self._dispatcher.sessions)
        calls = ContainerCalls(
            self._node_id, self.store, self._dispatcher.sessions, lambda: self.raft.members, dial
        )
        self.audit = AuditTrail(AuditFiles(settings.audit_dir), self._node_id, clock)
        self._volume_worker = Worker(self.store, PluginCalls(self.store, calls.converse))
        self.containers = self._make_containers(calls)
        self.control = ControlServicer(
            self.store,
            clock,
            self.raft,
            self._images.control,
            LogControl(self._node_id, self.store, self._logs, lambda: self.raft.members, dial, clock),
            self._node_id,
            dial,
            resolve_image=RegistryDigests(self._registry),
            bundle=lambda: credentials.bundle,
            judge_nodes=judge_nodes,
            planner=Forecaster(self.store, clock),
            audit=_audit_reading(self, dial, calls),
        )
        self._live = LiveCalls()
        self._self_renewal = SelfRenewal(self.store, credentials, clock)
        self.lock = LockKeeper(self.store, self.raft, keyring, credentials, on_exposed)
        self._server = self._make_server()
        self._running: asyncio.Task[None] | None = None
        self.knows_cluster = asyncio.Event()  # the store has the cluster object

    def _make_containers(self, calls: ContainerCalls) -> ContainersServicer:
        load = self._images.control.load
        control = ContainerControl(self.store, calls, self._clock, judge_nodes, load)
        return ContainersServicer(control, calls)

    def _make_dispatcher(self, clock: Clock) -> Dispatcher:
        return Dispatcher(
            self._node_id,
            self.store,
            clock,
            self.raft,
            self._credentials.channel,
            attach_rules=AttachRules(settle_attachments, attachments_of),
            secret_values=self._secrets.of_session,
        )

    async def start(self) -> None:
        """Listen and take part in Raft; raises FailedPrecondition when the address is taken."""
        listen(self._server, self._listen_addr, self._credentials)
        await self._server.start()
        await self.raft.start()
        tame_collector()  # now that the store holds what the snapshot has
        self._running = asyncio.create_task(self._run(), name="manager")
        self._running.add_done_callback(lambda task: tell_end(task, self._on_fatal))
        log.info("manager.started", node_id=self._node_id, addr=self._listen_addr)

    async def stop(self) -> None:
        """Stop serving and leave Raft's log as it is."""
        self.control.end_streams()
        self.containers.end_streams()
        await self._hand_over()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self.raft.stop()  # first: its streams would hold the server until the grace is over
        await self._server.stop(STOP_GRACE_S)
        await self.audit.stop()
        await self.control.close()
        await self._registry.close()
        await self._secrets.close()
        self._credentials.trust_tokens("", "")
        log.info("manager.stopped", node_id=self._node_id)

    async def _hand_over(self) -> None:
        """Let another manager lead from now on: without an election that nobody has called for yet."""
        if self.raft.is_leader and len(self.raft.members) > 1:
            with contextlib.suppress(SwarmError):  # too few are left, or none has caught up
                await self.raft.transfer_leadership(HAND_OVER_TIMEOUT_S)

    async def wait_ready(self, timeout_s: float) -> Cluster:
        """Return the cluster object once this manager has it; raises Unavailable."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.knows_cluster.wait()
        except TimeoutError:
            raise Unavailable(f"this manager did not catch up within {timeout_s:g} s") from None
        cluster = self.store.view.cluster
        assert cluster is not None
        return cluster

    @property
    def is_ready(self) -> bool:
        """Whether this manager knows its cluster, and its files are sealed if the cluster wants that."""
        return self.knows_cluster.is_set() and self.lock.settled.is_set()

    async def sample(self) -> ManagerSample:
        """Return the numbers for a scrape."""
        return await sample_manager(self.store.view, self.raft)

    def health(self) -> Health:
        """Tell whether this manager can take part in decisions."""
        leader = self.raft.leader
        if leader is None:
            return Health(healthy=False, reason="this manager knows no leader: too few managers reachable?")
        where = "it leads" if self.raft.is_leader else f"the leader is at {leader.addr}"
        return Health(healthy=True, reason=f"one of {len(self.raft.members)} managers; {where}")

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name, run in {
                "cluster": self._follow_cluster,
                "lock": self.lock.run,
                "audit": self.audit.run,
                "rights": RightsLoop(self.store, self._live).run,
                "self-renewal": self._self_renewal.run,
                "dispatcher": self._dispatcher.run,
                "images": self._images.replicator.run,
                "leading": self._leading.run,
            }.items():
                group.create_task(endless(run, f"the manager's {name}"), name=f"manager-{name}")

    async def _follow_cluster(self) -> None:
        """Keep the roots and join tokens that count here equal to those in the store."""
        with self.store.watch(Cluster) as watch:
            while True:
                cluster = self.store.view.cluster
                if cluster is not None:
                    root = cluster.root_ca
                    self._credentials.trust_roots(trusted_roots(root), root.trust_version)
                    self._credentials.trust_tokens(root.worker_secret, root.manager_secret, root.cert_pem)
                    self._live.recheck()
                    self.raft.set_snapshot_policy(*self._snapshot_policy(cluster.spec))
                    self.knows_cluster.set()
                with contextlib.suppress(WatchOverflow):
                    await anext(watch)
                    watch.drain()

    def _snapshot_policy(self, spec: ClusterSpec) -> tuple[int, int]:
        """Return after how many entries to take a snapshot, and how many old ones to keep for people."""
        given = spec.HasField("snapshot_interval")
        return spec.snapshot_interval if given else self._snapshot_interval, spec.keep_old_snapshots

    async def _prepare_term(self) -> None:
        foundation = self._foundation
        if foundation is not None:
            await self.store.update(lambda tx: found_cluster(tx, foundation), FOUNDING_TIMEOUT_S)
            self._foundation = None

    def _loops(self) -> Mapping[str, Loop]:
        """Return the leader's loops, new in each term: none carries anything over but the store."""
        return {
            "roles": RoleLoop(self.store, self._clock, self.raft),
            "rotation": RotationLoop(self.store),
            "liveness": self._dispatcher.leader_loop(),
            "withdrawal": self._dispatcher.withdrawal_loop(),
            "orchestrator": OrchestratorLoop(self.store, self._clock),
            "autoscale": AutoscaleLoop(
                self.store,
                self._clock,
                self._dispatcher.usage_table(),
                Prometheus(),
                self._metrics.scaled,
            ),
            "allocator": AllocatorLoop(
                self.store, self._clock, settled=self._dispatcher.leader_servicer.is_settled
            ),
            "overlay keys": OverlayKeyLoop(self.store, self._clock),
            "balance": BalanceLoop(self.store, self._clock),
            "scheduler": SchedulerLoop(self.store, self._clock),
            "certificates": AcmeLoop(self.store, self._clock),
            "volumes": VolumeLoop(self.store, self._clock, self._volume_worker),
        }

    async def _give_up(self, timeout_s: float) -> None:
        await self.raft.transfer_leadership(timeout_s)

    def _make_server(self) -> grpc.aio.Server:
        caller = TlsCaller(
            self._credentials,
            self._clock,
            lambda identity, method: standing(self.store.view, identity, method),
        )
        authorization = AuthorizationInterceptor(caller, self._live, self.audit.note)
        server = grpc.aio.server(interceptors=[ErrorInterceptor(), authorization], options=SERVER_OPTIONS)
        add_ControlServicer_to_server(self.control, server)
        add_DispatcherServicer_to_server(self._dispatcher.servicer, server)
        add_LeaderServicer_to_server(self._dispatcher.leader_servicer, server)
        ca = NodeCAServicer(
            self.store, self._clock, self.raft, self._credentials.channel, lambda: self._credentials.bundle
        )
        add_NodeCAServicer_to_server(ca, server)
        add_LogsServicer_to_server(LogsServicer(self._logs), server)
        add_ContainersServicer_to_server(self.containers, server)
        add_ImagesServicer_to_server(self._images.servicer, server)
        add_AuditServicer_to_server(AuditServicer(self.audit), server)
        raft = RaftServicer(self.raft, level=lambda: level_of(self.store.view.cluster))
        add_raft_to_server(raft, server)
        return server


def _audit_reading(manager: Manager, dial: Dial, calls: ContainerCalls) -> ReadAudit:
    trail, raft = manager.audit, manager.raft
    return AuditReading(trail.manager_id, trail, lambda: raft.members, dial, calls.name).stream


def tell_end(parts: "asyncio.Task[None]", on_fatal: Callable[[str], None]) -> None:
    """Ask to be stopped when the parts of a manager ended by themselves: it must not lead and do nothing."""
    error = None if parts.cancelled() else parts.exception()
    if error is not None:
        log.error("manager.part_failed", reason=reason_of(error), exc_info=error)
        on_fatal(f"a part of it failed: {reason_of(error)}")


def listen(server: grpc.aio.Server, addr: str, credentials: NodeCredentials) -> None:
    """Make `server` listen for other nodes; raises FailedPrecondition when the address cannot be had."""
    try:
        port = server.add_secure_port(addr, credentials.server_credentials())
    except RuntimeError as error:
        raise FailedPrecondition(
            f"cannot listen on {addr}: is the address this machine's, and free?"
        ) from error
    if port == 0:
        raise FailedPrecondition(f"cannot listen on {addr}: is the address this machine's, and free?")


class _TimedProposer:
    """Measures how long commits take."""

    def __init__(self, inner: Proposer, clock: Clock, metrics: Metrics) -> None:
        self._inner = inner
        self._clock = clock
        self._seconds = metrics.raft_commit_seconds

    async def propose(self, entry: bytes, timeout_s: float) -> int:
        started_s = self._clock.monotonic_s()
        index = await self._inner.propose(entry, timeout_s)
        self._seconds.observe(self._clock.monotonic_s() - started_s)
        return index


def _raft_config(settings: Settings, cluster_id: str, seat: Seat, keyring: Keyring) -> RaftConfig:
    timeout_s = settings.raft_election_timeout_s
    return RaftConfig(
        directory=settings.raft_dir,
        cluster_id=cluster_id,
        self_member=seat.member,
        keys=keyring,
        members=seat.members,
        election_timeout_s=(timeout_s, 2 * timeout_s),
        heartbeat_s=settings.raft_heartbeat_s,
        snapshot_interval=settings.raft_snapshot_interval,
    )
