"""The cluster's state as a backup: any manager gives it, as of an entry that the leader had confirmed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from typing import Any

import grpc
import structlog

from swarm.api.v1 import backup_pb2 as backup
from swarm.api.v1.control_pb2_grpc import ControlServicer as ControlBase
from swarm.api.v1.raft_pb2 import RaftMembership
from swarm.clock import Clock, timestamp
from swarm.errors import Unavailable
from swarm.manager.controlapi.cluster import the_cluster
from swarm.manager.controlapi.ports import RaftStatus
from swarm.manager.controlapi.routing import Router
from swarm.manager.store.proposer import FrozenState
from swarm.manager.store.scope import ScopedStore
from swarm.manager.store.tables import KINDS, ReadView, kind_name, table_of
from swarm.manager.store.version import STORE_VERSION

log = structlog.get_logger(__name__)

CATCH_UP_S = 10.0  # for this manager to have what the leader had
RECORDS_BYTES = 1024 * 1024  # in one message, unless one object is larger

Context = grpc.aio.ServicerContext[Any, Any]


class BackupServicer(ControlBase):
    """The part of service Control that is about backups."""

    _store: ScopedStore
    _clock: Clock
    _raft: RaftStatus
    _router: Router

    async def GetBackupPoint(
        self, request: backup.GetBackupPointRequest, context: Context
    ) -> backup.GetBackupPointResponse:
        """Return up to where the log is confirmed now, by the leader's word; raises NoQuorum."""

        async def commit(timeout_s: float) -> backup.GetBackupPointResponse:
            return backup.GetBackupPointResponse(index=await self._raft.barrier(timeout_s))

        return await self._router.write("GetBackupPoint", request, context, commit)

    async def CreateBackup(
        self, request: backup.CreateBackupRequest, context: Context
    ) -> AsyncIterator[backup.BackupPart]:
        """Send the state with everything that was confirmed before; raises NoQuorum and Unavailable."""
        point = await self.GetBackupPoint(backup.GetBackupPointRequest(), context)
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await self._store.wait_applied(point.index)
        except TimeoutError:
            raise Unavailable("this manager is behind the leader: try again, or on another one") from None
        view = self._store.view
        header = self._header(view)
        parts = parts_of(header, RaftMembership(members=self._raft.members), self._store.freeze())
        log.info("controlapi.backup_begun", raft_index=header.index)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part

    def _header(self, view: ReadView) -> backup.BackupHeader:
        return backup.BackupHeader(
            cluster_id=the_cluster(view).id,
            index=view.index,
            created_at=timestamp(self._clock.now_ns()),
            version=version("swarm"),
            store_version=STORE_VERSION,
            counts=[
                backup.BackupCount(kind=kind_name(kind), count=len(table_of(view, kind))) for kind in KINDS
            ],
        )


def parts_of(
    header: backup.BackupHeader, membership: RaftMembership, state: FrozenState
) -> Iterator[backup.BackupPart]:
    """Yield a backup; may run in another thread."""
    yield backup.BackupPart(header=header)
    yield backup.BackupPart(membership=membership)
    waiting: list[bytes] = []
    count = size = 0
    for record in state.records():
        if waiting and size + len(record) > RECORDS_BYTES:
            yield backup.BackupPart(records=backup.BackupRecords(records=waiting))
            waiting, size = [], 0
        waiting.append(record)
        count, size = count + 1, size + len(record)
    yield backup.BackupPart(records=backup.BackupRecords(records=waiting))
    yield backup.BackupPart(end=backup.BackupEnd(records=count))
