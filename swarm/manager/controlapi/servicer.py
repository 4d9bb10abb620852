"""What people and tools ask of the cluster: find who answers, decide in a transaction, reply."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar

import grpc

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.objects_pb2 import Cluster, Task
from swarm.clock import Clock, timestamp
from swarm.errors import FailedPrecondition, NoQuorum, NotFound
from swarm.ids import new_id
from swarm.manager.controlapi import ca, cluster, level, lock, nodes, services, tasks
from swarm.manager.controlapi.backup import BackupServicer
from swarm.manager.controlapi.changing import COMMIT_RESERVE_S, ChangesServicer
from swarm.manager.controlapi.data import DataServicer
from swarm.manager.controlapi.dependencies import dependency_warnings
from swarm.manager.controlapi.image_digest import pin_image
from swarm.manager.controlapi.images import ImagesServicer
from swarm.manager.controlapi.networks import NetworksServicer
from swarm.manager.controlapi.ports import (
    Dial,
    ImageControl,
    JudgeNodes,
    LogControl,
    Planner,
    RaftStatus,
    ReadAudit,
    ResolveImage,
)
from swarm.manager.controlapi.quorum import explain_no_quorum, has_quorum, with_manager_status
from swarm.manager.controlapi.redact import shown_cluster, shown_service, shown_task
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.controlapi.routing import Router
from swarm.manager.controlapi.users import UsersServicer
from swarm.manager.controlapi.volumes import VolumesServicer
from swarm.manager.controlapi.watching import Watches
from swarm.manager.store.scope import ScopedStore
from swarm.manager.store.store import Store
from swarm.manager.store.transaction import Transaction
from swarm.model.validate import service_warnings, validate_service
from swarm.pacing import Pacer
from swarm.security.identity import scope_now
from swarm.security.keyfiles import NodeBundle
from swarm.security.tokens import new_secret
from swarm.security.unlock_key import new_key_bytes
from swarm.steps import Steps

R = TypeVar("R")
Context = grpc.aio.ServicerContext[Any, Any]


def _no_bundle() -> NodeBundle:
    raise FailedPrecondition("this manager cannot ask an external CA")


class ControlServicer(
    DataServicer,
    VolumesServicer,
    NetworksServicer,
    ImagesServicer,
    ChangesServicer,
    BackupServicer,
    UsersServicer,
):
    """Service Control; raises SwarmErrors, which the error interceptor turns into statuses."""

    def __init__(  # noqa: PLR0913  # one port each
        self,
        store: Store,
        clock: Clock,
        raft: RaftStatus,
        images: ImageControl,
        logs: LogControl,
        self_node_id: str,
        dial: Dial,
        *,
        resolve_image: ResolveImage | None = None,
        router: Router | None = None,
        bundle: Callable[[], NodeBundle] | None = None,
        judge_nodes: JudgeNodes | None = None,
        planner: Planner | None = None,
        audit: ReadAudit | None = None,
    ) -> None:
        """`dial` opens a connection to a manager; without `resolve_image` no registry is asked.

        `bundle` returns what this manager shows an external CA, without which there is none to ask.
        """
        self._bundle = bundle or _no_bundle
        self._judge_nodes = judge_nodes
        self._planner = planner
        self._audit = audit
        self._store = ScopedStore(store, scope_now)
        self._clock = clock
        self._raft = raft
        self._images = images
        self._logs = logs
        self._self_node_id = self_node_id
        self._resolve_image = resolve_image
        self._router = router or Router(clock, raft, dial)
        self._watches = Watches(store, raft)

    def end_streams(self) -> None:
        """End what would go on for ever, because this manager stops."""
        self._watches.stop()

    async def close(self) -> None:
        """Close the connection to the leader."""
        await self._router.close()

    async def _update(self, change: Callable[[Transaction], R], timeout_s: float) -> R:
        try:
            return await self._store.update(change, timeout_s)
        except NoQuorum as error:
            why = str(error) if has_quorum(self._raft) else f"{explain_no_quorum(self._raft)}; {error}"
            raise NoQuorum(why) from error

    # The cluster.

    async def GetCluster(
        self, request: control.GetClusterRequest, context: Context
    ) -> control.GetClusterResponse:
        """Return the cluster, without keys and secrets."""

        def answer() -> control.GetClusterResponse:
            return control.GetClusterResponse(cluster=shown_cluster(cluster.the_cluster(self._store.view)))

        return await self._router.read("GetCluster", request, context, answer)

    async def UpdateCluster(
        self, request: control.UpdateClusterRequest, context: Context
    ) -> control.UpdateClusterResponse:
        """Give the cluster another spec; tells the unlock key when that made one."""
        secret = new_key_bytes()

        async def commit(timeout_s: float) -> control.UpdateClusterResponse:
            before = cluster.the_cluster(self._store.view).unlock_key

            def change(transaction: Transaction) -> tuple[Cluster, str]:
                changed = lock.update_cluster(transaction, request.version, request.spec, secret)
                return changed, level.raise_level(transaction, self._raft) if request.raise_level else ""

            changed, level_kept = await self._update(change, timeout_s)
            key = changed.unlock_key
            return control.UpdateClusterResponse(
                cluster=shown_cluster(self._store.view.cluster or changed),
                unlock_key=key if key != before else "",
                away=lock.managers_away(self._store.view, self._raft) if key != before else (),
                level_kept=level_kept,
            )

        return await self._router.write("UpdateCluster", request, context, commit)

    async def GetUnlockKey(
        self, request: control.GetUnlockKeyRequest, context: Context
    ) -> control.GetUnlockKeyResponse:
        """Return the unlock key, a new one if asked to rotate it; managers seal their files with it."""
        if not request.rotate:
            return await self._router.read("GetUnlockKey", request, context, self._unlock_key)
        secret = new_key_bytes()

        async def commit(timeout_s: float) -> control.GetUnlockKeyResponse:
            key = await self._update(
                lambda transaction: lock.rotate_unlock_key(transaction, secret), timeout_s
            )
            away = lock.managers_away(self._store.view, self._raft)
            return control.GetUnlockKeyResponse(unlock_key=key, away=away)

        return await self._router.write("GetUnlockKey", request, context, commit)

    def _unlock_key(self) -> control.GetUnlockKeyResponse:
        key = lock.unlock_key(cluster.the_cluster(self._store.view))
        return control.GetUnlockKeyResponse(unlock_key=key)

    async def GetJoinTokens(
        self, request: control.GetJoinTokensRequest, context: Context
    ) -> control.GetJoinTokensResponse:
        """Return the join tokens and the addresses of the managers."""

        def answer() -> control.GetJoinTokensResponse:
            return cluster.join_tokens(cluster.the_cluster(self._store.view), self._raft)

        return await self._router.read("GetJoinTokens", request, context, answer)

    async def RotateJoinToken(
        self, request: control.RotateJoinTokenRequest, context: Context
    ) -> control.RotateJoinTokenResponse:
        """Replace a join token; the old one is refused from now on, members are not affected."""
        secret = new_secret()

        async def commit(timeout_s: float) -> control.RotateJoinTokenResponse:
            token = await self._update(
                lambda transaction: cluster.rotate_token(transaction, request.role, secret), timeout_s
            )
            return control.RotateJoinTokenResponse(token=token)

        return await self._router.write("RotateJoinToken", request, context, commit)

    async def GetCA(self, request: control.GetCARequest, context: Context) -> control.GetCAResponse:
        """Return the root certificate, and how far a change to another one is."""

        def answer() -> control.GetCAResponse:
            return control.GetCAResponse(status=ca.status(self._store.view))

        return await self._router.read("GetCA", request, context, answer)

    async def RotateCA(self, request: control.RotateCARequest, context: Context) -> control.RotateCAResponse:
        """Begin to change to another root; a rotation that is under way starts over."""
        rotation = ca.Rotation(request, self._bundle)

        async def commit(timeout_s: float) -> control.RotateCAResponse:
            now_ns = self._clock.now_ns()
            known = cluster.the_cluster(self._store.view)
            await rotation.prepare(known, now_ns, timeout_s - COMMIT_RESERVE_S)
            await self._update(rotation.begin, COMMIT_RESERVE_S)
            return control.RotateCAResponse(status=ca.status(self._store.view))

        return await self._router.write("RotateCA", request, context, commit)

    # Nodes.

    async def GetNode(self, request: control.GetNodeRequest, context: Context) -> control.GetNodeResponse:
        """Return a node by id, unique id prefix or hostname; `self` is the manager asked."""
        ref = self._self_node_id if request.ref == "self" else request.ref

        def answer() -> control.GetNodeResponse:
            node = resolve(self._store.view.nodes, "node", ref)
            if not self._store.shown_nodes([node]):
                raise NotFound(f"there is no node {request.ref}")
            return control.GetNodeResponse(node=with_manager_status(node, self._raft))

        return await self._router.read("GetNode", control.GetNodeRequest(ref=ref), context, answer)

    async def ListNodes(
        self, request: control.ListNodesRequest, context: Context
    ) -> control.ListNodesResponse:
        """Return the nodes asked for, and which of them is the manager asked."""

        def answer() -> Steps[control.ListNodesResponse]:
            found = yield from nodes.list_nodes(self._store.view, self._raft, request.filters)
            return control.ListNodesResponse(nodes=self._store.shown_nodes(found))

        response = await self._router.read("ListNodes", request, context, answer)
        response.self_id = self._self_node_id
        return response

    async def UpdateNode(
        self, request: control.UpdateNodeRequest, context: Context
    ) -> control.UpdateNodeResponse:
        """Change a node's role, availability or labels, or where others reach a manager."""

        async def commit(timeout_s: float) -> control.UpdateNodeResponse:
            if request.addr:
                moved = await nodes.move_manager(
                    self._store.view, self._raft, request.id, request.addr, timeout_s
                )
                if not request.HasField("spec"):
                    return control.UpdateNodeResponse(node=with_manager_status(moved, self._raft))
            now_ns = self._clock.now_ns()
            changed = await self._update(
                lambda transaction: nodes.update_node(transaction, self._raft, request, now_ns), timeout_s
            )
            node = self._store.view.nodes.get(changed.id) or changed
            return control.UpdateNodeResponse(node=with_manager_status(node, self._raft))

        return await self._router.write("UpdateNode", request, context, commit)

    async def RemoveNode(
        self, request: control.RemoveNodeRequest, context: Context
    ) -> control.RemoveNodeResponse:
        """Remove a node for good."""

        async def commit(timeout_s: float) -> control.RemoveNodeResponse:
            now_ns = self._clock.now_ns()
            deadline_s = self._clock.monotonic_s() + timeout_s
            removed = False
            node_id = ""
            while not removed:
                left_s = max(deadline_s - self._clock.monotonic_s(), 0.1)
                node_id, removed = await self._update(
                    lambda transaction: nodes.remove_node(
                        transaction, self._raft, request.ref, force=request.force, now_ns=now_ns
                    ),
                    left_s,
                )
            return control.RemoveNodeResponse(id=node_id)

        return await self._router.write("RemoveNode", request, context, commit)

    # Services.

    async def CreateService(
        self, request: control.CreateServiceRequest, context: Context
    ) -> control.CreateServiceResponse:
        """Create a service."""
        validate_service(request.spec)
        service_id = new_id()

        async def commit(timeout_s: float) -> control.CreateServiceResponse:
            spec = services.copy_of_spec(request.spec)
            warnings = service_warnings(spec) + dependency_warnings(self._store.view, spec)
            if not request.skip_image_resolution:
                await pin_image(spec.task.container, self._store.view, self._resolve_image)
            service = await self._update(
                lambda transaction: services.create_service(transaction, spec, service_id), timeout_s
            )
            return control.CreateServiceResponse(service=self._committed(service), warnings=warnings)

        return await self._router.write("CreateService", request, context, commit)

    async def GetService(
        self, request: control.GetServiceRequest, context: Context
    ) -> control.GetServiceResponse:
        """Return a service by id, name or unique id prefix."""

        def answer() -> control.GetServiceResponse:
            service = resolve(self._store.view.services, "service", request.ref)
            return control.GetServiceResponse(service=shown_service(service))

        return await self._router.read("GetService", request, context, answer)

    async def ListServices(
        self, request: control.ListServicesRequest, context: Context
    ) -> control.ListServicesResponse:
        """Return the services asked for, each with how many tasks run and should."""

        def answer() -> Steps[control.ListServicesResponse]:
            return services.list_services(self._store.view, request.filters)

        return await self._router.read("ListServices", request, context, answer)

    async def UpdateService(
        self, request: control.UpdateServiceRequest, context: Context
    ) -> control.UpdateServiceResponse:
        """Give a service another spec, or its previous one."""

        async def commit(timeout_s: float) -> control.UpdateServiceResponse:
            wanted = control.UpdateServiceRequest()
            wanted.CopyFrom(request)
            warnings: list[str] = []
            if not request.rollback:
                validate_service(wanted.spec)
                warnings = service_warnings(wanted.spec)
                warnings += dependency_warnings(self._store.view, wanted.spec)
                if not request.skip_image_resolution:
                    container = wanted.spec.task.container
                    services.keep_auth(container, self._store.view.services.get(request.id))
                    await pin_image(container, self._store.view, self._resolve_image)
            now_ns = self._clock.now_ns()
            service = await self._update(
                lambda transaction: services.update_service(transaction, wanted, now_ns), timeout_s
            )
            return control.UpdateServiceResponse(service=self._committed(service), warnings=warnings)

        return await self._router.write("UpdateService", request, context, commit)

    async def RemoveService(
        self, request: control.RemoveServiceRequest, context: Context
    ) -> control.RemoveServiceResponse:
        """Remove a service; its tasks stop."""

        async def commit(timeout_s: float) -> control.RemoveServiceResponse:
            service_id = await self._update(
                lambda transaction: services.remove_service(transaction, request.ref), timeout_s
            )
            return control.RemoveServiceResponse(id=service_id)

        return await self._router.write("RemoveService", request, context, commit)

    # Tasks.

    async def GetTask(self, request: control.GetTaskRequest, context: Context) -> control.GetTaskResponse:
        """Return a task by id, name (service.slot, service.slot.id) or unique id prefix."""

        def answer() -> control.GetTaskResponse:
            return control.GetTaskResponse(
                task=shown_task(tasks.resolve_task(self._store.view, request.ref))
            )

        return await self._router.read("GetTask", request, context, answer)

    async def ExplainTask(
        self, request: control.ExplainTaskRequest, context: Context
    ) -> control.ExplainTaskResponse:
        """Return why a task does not run, and what to do about it."""
        # Who asks names a task that is there for them; why it does not run has to do with all others.
        view, now_ns = self._store.whole, self._clock.now_ns()
        found: list[Task] = []  # when it is answered here, and not by the leader

        def answer() -> control.ExplainTaskResponse:
            found[:] = [tasks.resolve_task(self._store.view, request.ref)]
            return tasks.explain_task(view, found[0], (), now_ns)

        response = await self._router.read("ExplainTask", request, context, answer)
        if found and tasks.waits_for_node(found[0]) and self._judge_nodes is not None:
            # A look at every task of the cluster: others have their turn meanwhile.
            nodes = await Pacer(self._clock).run(self._judge_nodes(view, found[0], now_ns))
            return tasks.explain_task(view, found[0], nodes, now_ns)
        return response

    async def ListTasks(
        self, request: control.ListTasksRequest, context: Context
    ) -> control.ListTasksResponse:
        """Return the tasks asked for."""

        def answer() -> Steps[control.ListTasksResponse]:
            return tasks.tasks_with_reasons(self._store.view, request.filters, self._clock.now_ns())

        return await self._router.read("ListTasks", request, context, answer)

    # Logs are not sent on: the manager asked asks the others.

    async def ServiceLogs(
        self, request: control.ServiceLogsRequest, context: Context
    ) -> AsyncIterator[control.ServiceLogsResponse]:
        """Yield the output of the containers asked for."""
        selector = request.selector
        if scope_now():
            selector = tasks.within_view(self._store.view, selector)
        responses = self._logs.stream(selector, request.options)
        try:
            async for response in responses:
                yield response
        finally:  # the reader may have left while a line was on its way
            if isinstance(responses, AsyncGenerator):
                await responses.aclose()

    # Changes. Every manager tells them, from its own copy of the store.

    async def Watch(self, request: control.WatchRequest, context: Context) -> None:  # type: ignore[override]
        """Send what is committed, from now on or from a version on."""
        await self._watches.serve(request, context)

    async def GetMoment(
        self, request: control.GetMomentRequest, context: Context
    ) -> control.GetMomentResponse:
        """Return what time it is in the cluster, and the version that has all changes of before."""

        def answer() -> control.GetMomentResponse:
            at = timestamp(self._store.settled_ns)
            return control.GetMomentResponse(at=at, version=self._store.version)

        return await self._router.read("GetMoment", request, context, answer)
