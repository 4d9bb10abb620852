"""Several changes at once: made in one transaction, or tried on a copy of the store to look ahead.

Both go through the functions that make a single change, so what is wrong with one is found here too.
"""

import asyncio
from collections.abc import Iterable, Sequence

from swarm.api.v1.control_pb2 import (
    ApplyChangesRequest,
    PlanChangesRequest,
    PlanChangesResponse,
    PlannedChange,
    RebalanceServiceRequest,
    UpdateServiceRequest,
)
from swarm.api.v1.objects_pb2 import Rebalance, Service
from swarm.api.v1.specs_pb2 import ContainerSpec, ServiceSpec
from swarm.api.v1.types_pb2 import RegistryAuth
from swarm.clock import timestamp
from swarm.errors import InvalidArgument, StaleVersion
from swarm.ids import new_id
from swarm.manager.controlapi import nodes, services
from swarm.manager.controlapi.dependencies import dependency_warnings
from swarm.manager.controlapi.image_digest import pin_image
from swarm.manager.controlapi.ports import Planner, RaftStatus, ResolveImage
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.controlapi.stack_data import Kept, collect
from swarm.manager.controlapi.stack_networks import collect_networks, keep_network
from swarm.manager.controlapi.steering import steer
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.service import is_moving, start_moving
from swarm.model.validate import service_warnings, validate_service
from swarm.model.validate_data import validate_data
from swarm.model.validate_network import validate_network

CHANGES_MAX = 200  # in one request: each may ask a registry for an image


class PlannedChanges:
    """Changes that were checked as far as they can be without the store, ready to be tried."""

    def __init__(self, request: PlanChangesRequest, raft: RaftStatus, now_ns: int) -> None:
        if len(request.changes) > CHANGES_MAX:
            raise InvalidArgument(f"{len(request.changes)} changes: at most {CHANGES_MAX} at once")
        self.warnings: list[str] = []
        self._to_pin: list[ContainerSpec] = []
        self._changes: Sequence[PlannedChange] = copy_of_request(request).changes
        rebalanced = [
            one.rebalance_service.ref for one in self._changes if one.HasField("rebalance_service")
        ]
        self._services = (*request.services, *rebalanced)  # one that moves already goes on
        self._raft = raft
        self._now_ns = now_ns
        self._moves: dict[str, Sequence[Rebalance.Move]] = {}  # by the ref of the service
        self.made: list[str] = []  # secrets and configs that were not there before

    async def prepare(
        self, view: ReadView, ask_registry: ResolveImage | None, planner: Planner | None, timeout_s: float
    ) -> None:
        """Find out which images are meant, and what a rebalance would move; raises what that raises."""
        for change in self._changes:
            kind = change.WhichOneof("change")
            if kind == "create_service":
                create = change.create_service
                self._check(create.spec, view)
                if not create.skip_image_resolution:
                    self._to_pin.append(create.spec.task.container)
            elif kind == "update_service":
                self._prepare_update(change.update_service, view)
            elif kind in {"keep_secret", "keep_config"}:
                validate_data(getattr(change, kind))
            elif kind == "keep_network":
                validate_network(change.keep_network)
            elif kind == "rebalance_service" and planner is not None:
                await self._prepare_rebalance(change.rebalance_service, view, planner, timeout_s)
        await asyncio.gather(*(pin_image(one, view, ask_registry) for one in self._to_pin))

    def _check(self, spec: ServiceSpec, view: ReadView) -> None:
        validate_service(spec)
        coming = {
            one.create_service.spec.annotations.name
            for one in self._changes
            if one.HasField("create_service")
        }
        self.warnings += service_warnings(spec) + dependency_warnings(view, spec, coming)

    def _prepare_update(self, update: UpdateServiceRequest, view: ReadView) -> None:
        if update.rollback:
            return
        self._check(update.spec, view)
        if not update.skip_image_resolution:
            container = update.spec.task.container
            services.keep_auth(container, view.services.get(update.id))
            self._to_pin.append(container)

    async def _prepare_rebalance(
        self, wanted: RebalanceServiceRequest, view: ReadView, planner: Planner, timeout_s: float
    ) -> None:
        service = resolve(view.services, "service", wanted.ref)
        if not is_moving(service):
            self._moves[wanted.ref] = await planner.moves(service.id, wanted.max_moves, timeout_s)

    def make(self, transaction: Transaction) -> Iterable[str]:
        """Make the changes; return the ids of services to look at although nothing of them changed."""
        self.apply(transaction)
        return [resolve(transaction.services, "service", ref).id for ref in self._services]

    def apply(self, transaction: Transaction) -> list[str]:
        """Make the changes; return the ids of what they changed, in the same order."""
        kept = Kept()
        ids = [self._make(transaction, change, kept) for change in self._changes]
        self.made = kept.made
        return ids

    def _make(self, transaction: Transaction, change: PlannedChange, kept: Kept) -> str:
        match change.WhichOneof("change"):
            case "create_service":
                spec = kept.filled_in(change.create_service.spec)
                return services.create_service(transaction, spec, new_id()).id
            case "update_service":
                update = UpdateServiceRequest()
                update.CopyFrom(change.update_service)
                update.spec.CopyFrom(kept.filled_in(update.spec))
                return services.update_service(transaction, update, self._now_ns).id
            case "remove_service":
                return services.remove_service(transaction, change.remove_service.ref)
            case "update_node":
                return nodes.update_node(transaction, self._raft, change.update_node, self._now_ns).id
            case "steer_update":
                return steer(transaction, change.steer_update, self._now_ns).id
            case "rebalance_service":
                moves = self._moves.get(change.rebalance_service.ref, ())
                service = resolve(transaction.services, "service", change.rebalance_service.ref)
                version = service.meta.version.index
                return rebalance_service(transaction, service.id, version, moves, self._now_ns).id
            case _:
                return _keep(transaction, change, kept)


def _keep(transaction: Transaction, change: PlannedChange, kept: Kept) -> str:
    """Make a change to what services of stacks need; return the id of what it is about."""
    match change.WhichOneof("change"):
        case "keep_secret":
            return kept.keep_secret(transaction, change.keep_secret)
        case "keep_config":
            return kept.keep_config(transaction, change.keep_config)
        case "keep_network":
            network, is_new = keep_network(transaction, change.keep_network)
            kept.made += [f"network {network.spec.annotations.name}"] if is_new else []
            return network.id
        case "collect_data":
            collect(transaction, change.collect_data.stack)
            if change.collect_data.networks:
                collect_networks(transaction, change.collect_data.stack)
            return ""
        case _:
            raise InvalidArgument("a planned change says nothing that is known here")


def rebalance_service(
    transaction: Transaction, service_id: str, version: int, moves: Sequence[Rebalance.Move], now_ns: int
) -> Service:
    """Begin to carry out `moves`, which were planned for a service at `version`; none change nothing.

    Raises StaleVersion when the service changed since.
    """
    current = transaction.services.get(service_id)
    if current is None or current.meta.version.index != version:
        raise StaleVersion(f"service {service_id} changed while its rebalance was planned; ask again")
    if not moves:
        return current
    service = copy_of(current)
    start_moving(service, moves, timestamp(now_ns))
    return transaction.update(service)


def copy_of_request(request: PlanChangesRequest) -> PlanChangesRequest:
    """Return a copy of a request that may be changed."""
    copy = PlanChangesRequest()
    copy.CopyFrom(request)
    return copy


_APPLIED = (
    *("create_service", "update_service", "remove_service"),
    *("keep_secret", "keep_config", "keep_network", "collect_data"),
)


def to_apply(request: ApplyChangesRequest) -> PlanChangesRequest:
    """Return changes that may be made together; raises InvalidArgument for those that have another way."""
    for change in request.changes:
        kind = change.WhichOneof("change")
        if kind not in _APPLIED:
            raise InvalidArgument(f"{kind or 'nothing'} cannot be changed together with others")
    return PlanChangesRequest(changes=request.changes)


async def ask_nobody(image: str, auth: RegistryAuth | None) -> str:
    """Answer in place of a registry that nobody knows the digest of an image: every node looks for it."""
    return ""


async def plan_changes(
    changes: PlannedChanges,
    view: ReadView,
    ask_registry: ResolveImage | None,
    planner: Planner,
    timeout_s: float,
) -> PlanChangesResponse:
    """Return what would happen; raises what the changes would raise, and Unavailable."""
    await changes.prepare(view, ask_registry, planner, timeout_s)
    answer = await planner.forecast(changes.make, timeout_s)
    answer.warnings.extend(changes.warnings)
    return answer
