"""Several changes at once: made in one transaction, or tried on a copy of the store to look ahead.

Both go through the functions that make a single change, so what is wrong with one is found here too.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from swarm.api.v1.control_pb2 import (
    ApplyChangesRequest,
    CollectStackDataRequest,
    PlanChangesRequest,
    PlanChangesResponse,
    PlannedChange,
    RebalanceServiceRequest,
    UpdateServiceRequest,
)
from swarm.api.v1.objects_pb2 import Config, Rebalance, Secret, Service
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
from swarm.manager.controlapi.rotation import Content, rotate
from swarm.manager.controlapi.stack_data import Kept, collect
from swarm.manager.controlapi.stack_history import Change, Deploy, forget, record
from swarm.manager.controlapi.stack_networks import collect_networks, keep_network
from swarm.manager.controlapi.steering import steer
from swarm.manager.store.scope import Scope
from swarm.manager.store.tables import ReadView, copy_of, kind_name
from swarm.manager.store.transaction import Transaction
from swarm.model.data_versions import number_of
from swarm.model.limits import CHANGES
from swarm.model.service import is_moving, start_moving
from swarm.model.validate import service_warnings, validate_service
from swarm.model.validate_data import validate_data
from swarm.model.validate_network import validate_network

D = TypeVar("D", Secret, Config)

ASKED_MAX = 32  # registries' answers that are waited for at a time


class PlannedChanges:
    """Changes that were checked as far as they can be without the store, ready to be tried."""

    def __init__(self, request: PlanChangesRequest, raft: RaftStatus, now_ns: int, by: str = "") -> None:
        """`by` is the name of who asks; empty: somebody at a manager's socket."""
        for problem in CHANGES.exceeded("one request", len(request.changes)):
            raise InvalidArgument(problem)
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
        self._by = by
        self._deploy = Deploy(by, now_ns)
        self.made: list[str] = []  # secrets, configs and networks that were not there before
        self.removed: list[str] = []  # those that are not there any more
        self.rotated: list[str] = []  # ids of services that a rotation gave another version
        self._new_versions: list[str] = []

    async def prepare(
        self, view: ReadView, ask_registry: ResolveImage | None, planner: Planner | None, timeout_s: float
    ) -> None:
        """Find out which images are meant, and what a rebalance would move; raises what that raises."""
        coming = frozenset(
            one.create_service.spec.annotations.name
            for one in self._changes
            if one.HasField("create_service")
        )
        for change in self._changes:
            kind = change.WhichOneof("change")
            if kind == "create_service":
                create = change.create_service
                self._check(create.spec, view, coming)
                if not create.skip_image_resolution:
                    self._to_pin.append(create.spec.task.container)
            elif kind == "update_service":
                self._prepare_update(change.update_service, view, coming)
            elif kind in {"keep_secret", "keep_config"}:
                validate_data(getattr(change, kind))
            elif kind == "keep_network":
                validate_network(change.keep_network)
            elif kind == "rebalance_service" and planner is not None:
                await self._prepare_rebalance(change.rebalance_service, view, planner, timeout_s)
        await pin_images(self._to_pin, view, ask_registry)

    def _check(self, spec: ServiceSpec, view: ReadView, coming: frozenset[str]) -> None:
        with _naming(spec):
            validate_service(spec)
        self.warnings += service_warnings(spec) + dependency_warnings(view, spec, coming)

    def _prepare_update(self, update: UpdateServiceRequest, view: ReadView, coming: frozenset[str]) -> None:
        if update.rollback:
            return
        self._check(update.spec, view, coming)
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
        kept = Kept(self._by)
        self._deploy, self.removed = Deploy(self._by, self._now_ns), []
        self.rotated, self._new_versions = [], []
        ids = [self._make(transaction, change, kept) for change in self._changes]
        self.made = kept.made + self._new_versions
        return ids

    def _make(self, transaction: Transaction, change: PlannedChange, kept: Kept) -> str:
        match change.WhichOneof("change"):
            case "create_service":
                spec = kept.filled_in(change.create_service.spec)
                with _naming(spec):
                    return self._changed(None, services.create_service(transaction, spec, new_id())).id
            case "update_service":
                update = UpdateServiceRequest()
                update.CopyFrom(change.update_service)
                update.spec.CopyFrom(kept.filled_in(update.spec))
                before = transaction.services.get(update.id)
                with _naming(update.spec):
                    updated = services.update_service(transaction, update, self._now_ns)
                return self._changed(before, updated).id
            case "remove_service":
                gone = resolve(transaction.services, "service", change.remove_service.ref)
                self._deploy.changes.append(Change(gone, None))
                return services.remove_service(transaction, gone.id)
            case "update_node":
                return nodes.update_node(transaction, self._raft, change.update_node, self._now_ns).id
            case "steer_update":
                return steer(transaction, change.steer_update, self._now_ns).id
            case "rebalance_service":
                moves = self._moves.get(change.rebalance_service.ref, ())
                service = resolve(transaction.services, "service", change.rebalance_service.ref)
                version = service.meta.version.index
                return rebalance_service(transaction, service.id, version, moves, self._now_ns).id
            case "record_deploy":
                return record(transaction, change.record_deploy, self._deploy)
            case "collect_data":
                self._collect(transaction, change.collect_data)
                return ""
            case _:
                return self._make_data(transaction, change, kept)

    def _make_data(self, transaction: Transaction, change: PlannedChange, kept: Kept) -> str:
        match change.WhichOneof("change"):
            case "rotate_secret":
                secret = change.rotate_secret
                driver = secret.driver if secret.HasField("driver") else None
                content = Content(secret.secret_data, driver, secret.of_number)
                return self._rotate(transaction, Secret, secret.ref, content)
            case "rotate_config":
                config = change.rotate_config
                return self._rotate(transaction, Config, config.ref, Content(config.data))
            case _:
                return _keep(transaction, change, kept)

    def _rotate(self, transaction: Transaction, kind: type[D], ref: str, content: Content) -> str:
        done = rotate(transaction, kind, ref, content, self._by, self._now_ns)
        if done.is_new:
            name = done.item.spec.annotations.name
            self._new_versions.append(f"{kind_name(kind)} {name} version {number_of(done.item)}")
        for before, after in done.services:
            self._changed(before, after)
            self.rotated.append(after.id)
        return done.item.id

    def _changed(self, before: Service | None, after: Service) -> Service:
        self._deploy.changes.append(Change(before, after))
        return after

    def _collect(self, transaction: Transaction, request: CollectStackDataRequest) -> None:
        forget(transaction, request.stack)
        self.removed += collect(transaction, request.stack)
        if request.networks:
            self.removed += [f"network {name}" for name in collect_networks(transaction, request.stack)]

    def tell_specs(self, answer: PlanChangesResponse) -> None:
        """Write what making the changes did into `answer`, without credentials."""
        for change in self._deploy.changes:
            if not change.says_something:
                continue
            told = answer.specs.add(service_name=change.name)
            if change.before is not None:
                told.before.CopyFrom(change.before.spec)
                told.before.task.container.ClearField("registry_auth")
            if change.after is not None:
                told.after.CopyFrom(change.after.spec)
                told.after.task.container.ClearField("registry_auth")
        answer.made.extend(self.made)
        answer.removed.extend(self.removed)


@contextmanager
def _naming(spec: ServiceSpec) -> Iterator[None]:
    """Say of which service something is wrong: a request has many."""
    try:
        yield
    except InvalidArgument as problem:
        named = f"invalid service {spec.annotations.name}: "
        raise InvalidArgument(str(problem).replace("invalid service: ", named, 1)) from None


async def pin_images(
    containers: Iterable[ContainerSpec], view: ReadView, ask_registry: ResolveImage | None
) -> None:
    """Pin the images of several containers, asking for each image once; raises what pin_image raises."""
    alike: dict[tuple[str, bytes], list[ContainerSpec]] = {}
    for one in containers:
        key = one.image, one.registry_auth.SerializeToString(deterministic=True)
        alike.setdefault(key, []).append(one)
    at_a_time = asyncio.Semaphore(ASKED_MAX)

    async def pin(same: list[ContainerSpec]) -> None:
        async with at_a_time:
            await pin_image(same[0], view, ask_registry)
        for one in same[1:]:
            one.image_digest = same[0].image_digest

    await asyncio.gather(*map(pin, alike.values()))


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
    *("keep_secret", "keep_config", "keep_network", "collect_data", "record_deploy"),
    *("rotate_secret", "rotate_config"),
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
    *,
    with_specs: bool = False,
    scope: Scope = (),
) -> PlanChangesResponse:
    """Return what would happen to what is in scope; raises what the changes would raise, and Unavailable."""
    await changes.prepare(view, ask_registry, planner, timeout_s)
    answer = await planner.forecast(changes.make, timeout_s, scope)
    answer.warnings.extend(changes.warnings)
    if with_specs:
        changes.tell_specs(answer)
    return answer
