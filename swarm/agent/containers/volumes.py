"""Doing what somebody asks of this node's volumes."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from swarm.agent.containers.conversation import Conversation
from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerRequest
from swarm.api.v1.volumes_pb2 import CreateVolume, NodeVolume, PruneVolumes, VolumeAnswer
from swarm.clock import timestamp
from swarm.errors import SwarmError
from swarm.model.labels import has_label
from swarm.model.task import task_name
from swarm.model.volumes import driver_problems, name_problems, size_problems
from swarm.runtime.disk import tree_bytes
from swarm.runtime.volumes.record import VolumeRecord
from swarm.runtime.volumes.store import VolumeState, VolumeStore

log = structlog.get_logger(__name__)

Records = Callable[[], Mapping[str, TaskRecord]]


def is_about_volumes(request: ContainerRequest) -> bool:
    """Whether a request asks for volumes."""
    return (request.WhichOneof("verb") or "").endswith(("_volume", "_volumes"))


class VolumeRequests:
    """Answers every kind of request; what this node does not do is said as a refusal."""

    def __init__(self, store: VolumeStore, records: Records) -> None:
        """`records` returns the tasks of this node."""
        self._store = store
        self._records = records

    async def answer(self, request: ContainerRequest, conversation: Conversation) -> None:
        """Do what is asked and say the last word."""
        for one in await asyncio.to_thread(self._do, request):
            await conversation.send(ContainerOutput(volume=one))
        await conversation.send(ContainerOutput(done=True))

    def _do(self, request: ContainerRequest) -> list[VolumeAnswer]:
        match request.WhichOneof("verb"):
            case "create_volume":
                return [self._create(request.create_volume)]
            case "remove_volume":
                return self._remove([request.remove_volume.name])
            case "prune_volumes":
                return self._prune(request.prune_volumes)
        names = set(request.list_volumes.names)
        found = (one for one in self._store.all() if not names or one.record.name in names)
        return [VolumeAnswer(volume=self._shown(one)) for one in found]

    def _create(self, wanted: CreateVolume) -> VolumeAnswer:
        options, labels = dict(wanted.options), dict(wanted.labels)
        problems = (*name_problems(wanted.name), *driver_problems(wanted.driver, options))
        problems += (*size_problems(labels, options),)
        if problems:
            return VolumeAnswer(refusal="; ".join(problems))
        try:
            state = self._store.create(VolumeRecord(wanted.name, wanted.driver, options, labels))
        except (SwarmError, OSError) as error:
            return VolumeAnswer(refusal=str(error))
        return VolumeAnswer(volume=self._shown(state))

    def _remove(self, names: Iterable[str]) -> list[VolumeAnswer]:
        known = {state.record.name: state for state in self._store.all()}
        answers = []
        for name in names:
            if name not in known:
                continue
            try:
                freed = content_bytes(known[name])
                self._store.remove(name)
            except (SwarmError, OSError) as error:
                users = ", ".join(self._users(known[name]))
                answers.append(VolumeAnswer(refusal=f"{error} ({users})" if users else str(error)))
            else:
                log.info("agent.volume_removed_by_hand", volume=name)
                answers.append(VolumeAnswer(removed=name, removed_bytes=freed))
        return answers

    def _prune(self, wanted: PruneVolumes) -> list[VolumeAnswer]:
        return self._remove(
            state.record.name
            for state in self._store.all()
            if not state.users
            and (wanted.all or state.record.anonymous)
            and all(has_label(state.record.labels, label) for label in wanted.labels)
        )

    def _users(self, state: VolumeState) -> list[str]:
        records = self._records()
        return [task_name(records[user].task) if user in records else user for user in state.users]

    def _shown(self, state: VolumeState) -> NodeVolume:
        record = state.record
        return NodeVolume(
            name=record.name,
            driver=record.driver,
            options=record.options,
            labels=record.labels,
            created_at=timestamp(record.created_at_ns),
            mountpoint=str(state.data),
            users=self._users(state),
            anonymous=record.anonymous,
        )


def content_bytes(state: VolumeState) -> int:
    """Return what a volume takes on this node's disk; one of a driver elsewhere takes nothing. Blocks."""
    is_local = state.record.driver in {"", "local"} and not state.record.options
    return tree_bytes(state.data) if is_local else 0
