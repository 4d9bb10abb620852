"""What people do with cluster volumes: create, look, change what may change, remove."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.control_pb2_grpc import ControlServicer as ControlBase
from swarm.api.v1.objects_pb2 import Volume
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, StaleVersion
from swarm.ids import new_id
from swarm.manager.controlapi.resolve import resolve
from swarm.manager.controlapi.routing import Router
from swarm.manager.store.scope import ScopedStore
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.cluster_volumes import has_volumes, updated_spec, volume_spec_problems
from swarm.model.selectors import data_selected
from swarm.model.task import task_name

R = TypeVar("R")
Context = grpc.aio.ServicerContext[Any, Any]
TASKS_SHOWN = 3


def create(transaction: Transaction, item: Volume) -> Volume:
    """Add a volume, which the caller owns; raises InvalidArgument, NameConflict."""
    problems = list(volume_spec_problems(item.spec))
    for secret in item.spec.secrets:
        found = transaction.secrets.get(secret.secret_id) or transaction.secrets.by_name(secret.secret_name)
        if found is None:
            name = secret.secret_name or secret.secret_id
            problems.append(
                f"there is no secret {name}; create it first (swarmctl secret create {name} FILE)"
            )
        elif found.spec.HasField("driver"):
            problems.append(
                f"secret {found.spec.annotations.name} has a driver, which is asked for tasks only: "
                "give the plugin one that the cluster keeps itself"
            )
        else:
            secret.secret_id, secret.secret_name = found.id, found.spec.annotations.name
    if problems:
        raise InvalidArgument(f"invalid volume: {'; '.join(problems)}")
    return transaction.create(item)


def update(transaction: Transaction, item: Volume, version: int) -> Volume:
    """Give a volume the labels and availability of `item`.

    Raises NotFound, StaleVersion, InvalidArgument.
    """
    current = transaction.volumes.get(item.id)
    if current is None:
        raise NotFound(f"there is no cluster volume {item.id}")
    name = current.spec.annotations.name
    if version != current.meta.version.index:
        raise StaleVersion(
            f"update out of sequence: volume {name} changed since version {version} was read; read it again "
            "and repeat the change"
        )
    spec = updated_spec(current.spec, item.spec)
    if spec is None:
        raise InvalidArgument(f"of volume {name} only labels and availability can be changed")
    problems = list(volume_spec_problems(spec))
    if problems:
        raise InvalidArgument(f"invalid volume: {'; '.join(problems)}")
    changed = copy_of(current)
    changed.spec.CopyFrom(spec)
    return transaction.update(changed)


def remove(transaction: Transaction, ref: str, *, force: bool) -> str:
    """Have a volume removed, or (`force`) forget it now; returns its id.

    Raises NotFound, FailedPrecondition (in use).
    """
    found = resolve(transaction.volumes, "cluster volume", ref)
    if force:
        transaction.remove(found)
        return found.id
    check_unused(transaction, found)
    if not found.pending_delete:
        changed = copy_of(found)
        changed.pending_delete = True
        transaction.update(changed)
    return found.id


def check_unused(view: ReadView, volume: Volume) -> None:
    """Raise FailedPrecondition, with the tasks, while tasks have a volume."""
    users = sorted(
        task_name(task)
        for task in view.tasks
        if has_volumes(task) and any(one.volume_id == volume.id for one in task.volumes)
    )
    if users:
        names = ", ".join(users[:TASKS_SHOWN]) + (", …" if len(users) > TASKS_SHOWN else "")
        raise FailedPrecondition(
            f"volume {volume.spec.annotations.name} is in use by {names}: remove the service first, or take "
            "the volume from it (swarmctl service update --mount-rm TARGET SERVICE)"
        )


class VolumesServicer(ControlBase):
    """The part of service Control that is about cluster volumes."""

    _store: ScopedStore
    _router: Router

    def _update(self, change: Callable[[Transaction], R], timeout_s: float) -> Awaitable[R]:
        """Commit `change` as the whole servicer does."""
        raise NotImplementedError

    async def CreateVolume(
        self, request: control.CreateVolumeRequest, context: Context
    ) -> control.CreateVolumeResponse:
        """Note a volume; the leader has the plugin make it."""
        item = Volume(id=new_id(), spec=request.spec)

        async def commit(timeout_s: float) -> control.CreateVolumeResponse:
            made = await self._update(lambda transaction: create(transaction, copy_of(item)), timeout_s)
            return control.CreateVolumeResponse(volume=self._store.view.volumes.get(made.id) or made)

        return await self._router.write("CreateVolume", request, context, commit)

    async def GetVolume(
        self, request: control.GetVolumeRequest, context: Context
    ) -> control.GetVolumeResponse:
        """Return a cluster volume by id, name or unique id prefix."""

        def answer() -> control.GetVolumeResponse:
            found = resolve(self._store.view.volumes, "cluster volume", request.ref)
            return control.GetVolumeResponse(volume=found)

        return await self._router.read("GetVolume", request, context, answer)

    async def ListVolumes(
        self, request: control.ListVolumesRequest, context: Context
    ) -> control.ListVolumesResponse:
        """Return the cluster volumes asked for, by name."""

        def answer() -> control.ListVolumesResponse:
            found = [one for one in self._store.view.volumes if data_selected(request.filters, one)]
            found.sort(key=lambda one: one.spec.annotations.name)
            return control.ListVolumesResponse(volumes=found)

        return await self._router.read("ListVolumes", request, context, answer)

    async def UpdateVolume(
        self, request: control.UpdateVolumeRequest, context: Context
    ) -> control.UpdateVolumeResponse:
        """Change labels or availability."""
        item = Volume(id=request.id, spec=request.spec)

        async def commit(timeout_s: float) -> control.UpdateVolumeResponse:
            changed = await self._update(
                lambda transaction: update(transaction, item, request.version), timeout_s
            )
            return control.UpdateVolumeResponse(volume=self._store.view.volumes.get(changed.id) or changed)

        return await self._router.write("UpdateVolume", request, context, commit)

    async def RemoveVolume(
        self, request: control.RemoveVolumeRequest, context: Context
    ) -> control.RemoveVolumeResponse:
        """Have a volume removed that no task has."""

        async def commit(timeout_s: float) -> control.RemoveVolumeResponse:
            removed = await self._update(
                lambda transaction: remove(transaction, request.ref, force=request.force), timeout_s
            )
            return control.RemoveVolumeResponse(id=removed)

        return await self._router.write("RemoveVolume", request, context, commit)
