"""The part of service Control that makes several changes at once, looks ahead, and rebalances."""

from typing import Any

import grpc

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.objects_pb2 import Service
from swarm.errors import FailedPrecondition, NotPermitted
from swarm.manager.controlapi.planning import (
    PlannedChanges,
    ask_nobody,
    plan_changes,
    rebalance_service,
    to_apply,
)
from swarm.manager.controlapi.ports import Planner, RaftStatus, ResolveImage
from swarm.manager.controlapi.redact import shown_service
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.controlapi.stack_history import list_revisions
from swarm.manager.controlapi.steering import SteeringServicer
from swarm.model.service import is_moving
from swarm.security.identity import Role, caller

PLAN_S = 12.0  # for a plan: it looks at every task, some of them several times
ANSWER_S = 0.2  # of the time for a plan: what is left to say that it took too long
COMMIT_RESERVE_S = 1.5  # of the time for a request: what must be left for the commit

Context = grpc.aio.ServicerContext[Any, Any]


class ChangesServicer(SteeringServicer):
    """Changes that need a look at more than one object."""

    _raft: RaftStatus
    _planner: Planner | None
    _resolve_image: ResolveImage | None

    async def RebalanceService(
        self, request: control.RebalanceServiceRequest, context: Context
    ) -> control.RebalanceServiceResponse:
        """Begin to move tasks so that a service is balanced; one that moves already goes on."""

        async def commit(timeout_s: float) -> control.RebalanceServiceResponse:
            service = resolve(self._store.view.services, "service", request.ref)
            if not is_moving(service):
                version = service.meta.version.index
                moves = await self._planning.moves(
                    service.id, request.max_moves, timeout_s - COMMIT_RESERVE_S
                )
                now_ns = self._clock.now_ns()
                service = await self._update(
                    lambda transaction: rebalance_service(transaction, service.id, version, moves, now_ns),
                    COMMIT_RESERVE_S,
                )
            return control.RebalanceServiceResponse(service=self._committed(service))

        return await self._router.write("RebalanceService", request, context, commit, total_s=PLAN_S)

    async def PlanChanges(
        self, request: control.PlanChangesRequest, context: Context
    ) -> control.PlanChangesResponse:
        """Tell what would happen if changes were made, and change nothing."""
        scope = caller(context).scope
        if scope and any(one.HasField("update_node") for one in request.changes):
            raise NotPermitted(
                f"what becomes of a node is about more than what has {' or '.join(scope)}, which is all that"
                " you see and change: ask an administrator"
            )
        # A viewer must not have this manager show the credentials of a service to a registry.
        is_viewer = caller(context).role is Role.VIEWER
        ask_registry = ask_nobody if is_viewer else self._resolve_image
        guessing = ("keep_secret", "rotate_secret")
        if is_viewer and any(one.WhichOneof("change") in guessing for one in request.changes):
            # What is planned tells whether there is a secret with this data: viewers could try out guesses.
            raise NotPermitted("a viewer may not plan with secrets")

        async def look(timeout_s: float) -> control.PlanChangesResponse:
            await self._raft.barrier(timeout_s)
            changes = PlannedChanges(request, self._raft, self._clock.now_ns())
            view = self._store.view
            return await plan_changes(
                changes,
                view,
                ask_registry,
                self._planning,
                timeout_s - ANSWER_S,
                with_specs=request.with_specs,
                scope=scope,
            )

        return await self._router.write("PlanChanges", request, context, look, total_s=PLAN_S)

    async def ApplyChanges(
        self, request: control.ApplyChangesRequest, context: Context
    ) -> control.ApplyChangesResponse:
        """Make several changes in one transaction: all of them or none."""
        wanted = to_apply(request)
        by = caller(context).user

        async def commit(timeout_s: float) -> control.ApplyChangesResponse:
            deadline_s = self._clock.monotonic_s() + timeout_s
            changes = PlannedChanges(wanted, self._raft, self._clock.now_ns(), by)
            await changes.prepare(self._store.view, self._resolve_image, self._planner, timeout_s)
            # Hundreds of services take a while: all the time that registries left.
            left_s = deadline_s - self._clock.monotonic_s()
            ids = await self._update(changes.apply, max(left_s, COMMIT_RESERVE_S))
            return control.ApplyChangesResponse(
                ids=ids,
                warnings=changes.warnings,
                made=changes.made,
                rotated_service_ids=changes.rotated,
                removed=changes.removed,
            )

        return await self._router.write("ApplyChanges", request, context, commit, total_s=PLAN_S)

    async def ListStackRevisions(
        self, request: control.ListStackRevisionsRequest, context: Context
    ) -> control.ListStackRevisionsResponse:
        """Return what was deployed as a stack, as far as it is kept."""
        return await self._router.read(
            "ListStackRevisions", request, context, lambda: list_revisions(self._store.view, request.stack)
        )

    @property
    def _planning(self) -> Planner:
        if self._planner is None:
            raise FailedPrecondition("this manager cannot look ahead")
        return self._planner

    def _committed(self, service: Service) -> Service:
        """Return a service that was just written as it is in the store, with its version."""
        return shown_service(self._store.view.services.get(service.id) or service)
