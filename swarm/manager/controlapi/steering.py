"""What people do with the updates of a service: pause, resume, promote, roll back, look at revisions."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.control_pb2_grpc import ControlServicer as ControlBase
from swarm.api.v1.objects_pb2 import Service
from swarm.clock import Clock, timestamp
from swarm.errors import InvalidArgument, StaleVersion
from swarm.manager.controlapi.dependencies import check_dependencies
from swarm.manager.controlapi.networks import check_networks
from swarm.manager.controlapi.published import claim_ports
from swarm.manager.controlapi.redact import shown_service
from swarm.manager.controlapi.references import check_references
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.controlapi.routing import Router
from swarm.manager.store.scope import ScopedStore
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import revisions, rollout
from swarm.model.service import roll_back
from swarm.model.validate import validate_service

R = TypeVar("R")
Context = grpc.aio.ServicerContext[Any, Any]

_Request = control.SteerUpdateRequest
BY_HAND = "manually requested rollback"


def steer(transaction: Transaction, request: control.SteerUpdateRequest, now_ns: int) -> Service:
    """Do with the update of a service what was asked; return the service as it will be.

    What is so already changes nothing. Raises NotFound, InvalidArgument, FailedPrecondition (no update that
    this could be done with), and, for a rollback, StaleVersion.
    """
    current = resolve(transaction.services, "service", request.ref)
    service = copy_of(current)
    now = timestamp(now_ns)
    if request.action == _Request.ACTION_PAUSE:
        changed = rollout.pause(service)
    elif request.action == _Request.ACTION_RESUME:
        changed = rollout.resume(service, now)
    elif request.action == _Request.ACTION_PROMOTE:
        changed = rollout.promote(service)
    elif request.action == _Request.ACTION_ROLLBACK:
        check_version(current, request.version)
        roll_back(service, now, BY_HAND, keep_previous=True, revision=request.revision)
        validate_service(service.spec)  # what was right once may not be any more
        check_dependencies(transaction, service.spec)
        check_references(transaction, service.spec)
        check_networks(transaction, service.spec)
        claim_ports(transaction, service.id, service.spec, current.spec)
        changed = True
    else:
        raise InvalidArgument(f"{request.action} is nothing that can be done with an update")
    return transaction.update(service) if changed else current


def check_version(service: Service, version: int) -> None:
    """Raise StaleVersion unless `version` is that of `service`."""
    if version != service.meta.version.index:
        raise StaleVersion(
            f"update out of sequence: service {service.spec.annotations.name} changed since version "
            f"{version} was read; read it again and repeat the change"
        )


def list_revisions(view: ReadView, ref: str) -> control.ListRevisionsResponse:
    """Return the specs that a service had and has, oldest first, without credentials; raises NotFound."""
    service = resolve(view.services, "service", ref)
    return control.ListRevisionsResponse(service_id=service.id, revisions=revisions.all_of(service))


class SteeringServicer(ControlBase):
    """The part of service Control that is about updates."""

    _store: ScopedStore
    _clock: Clock
    _router: Router

    def _update(self, change: Callable[[Transaction], R], timeout_s: float) -> Awaitable[R]:
        """Commit `change` as the whole servicer does."""
        raise NotImplementedError

    async def SteerUpdate(
        self, request: control.SteerUpdateRequest, context: Context
    ) -> control.SteerUpdateResponse:
        """Pause, resume, promote or roll back an update."""

        async def commit(timeout_s: float) -> control.SteerUpdateResponse:
            now_ns = self._clock.now_ns()
            service = await self._update(lambda transaction: steer(transaction, request, now_ns), timeout_s)
            service = self._store.view.services.get(service.id) or service
            return control.SteerUpdateResponse(service=shown_service(service))

        return await self._router.write("SteerUpdate", request, context, commit)

    async def ListRevisions(
        self, request: control.ListRevisionsRequest, context: Context
    ) -> control.ListRevisionsResponse:
        """Return the revisions of a service that are kept."""
        return await self._router.read(
            "ListRevisions", request, context, lambda: list_revisions(self._store.view, request.ref)
        )
