"""Every manager keeps the content of every image of the cluster: the loop that copies what is missing.

It runs on every manager, not only on the leader, so that any of them may fail.
"""

import asyncio

import structlog

from swarm.api.v1.images_pb2 import HeldImage
from swarm.api.v1.objects_pb2 import Image
from swarm.errors import SwarmError, Unavailable
from swarm.manager.images.copying import ImageCopier
from swarm.manager.images.holders import unused_retained
from swarm.manager.images.plan import ReplicationPlan, plan_replication
from swarm.manager.images.report import HolderReports
from swarm.manager.store.store import Store
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.watch import Watch, WatchOverflow
from swarm.runtime.images.store import LocalImageStore

log = structlog.get_logger(__name__)

_RETRY_MIN_S = 0.25  # first retry after 0.5 s, then twice as long each time, up to 8 s


class ImageReplicator:
    """Copies, reports and forgets; `run` until cancelled."""

    def __init__(
        self,
        store: Store,
        images: LocalImageStore,
        node_id: str,
        copier: ImageCopier,
        reports: HolderReports,
        *,
        period_s: float = 30.0,
    ) -> None:
        """`period_s`: how often to look anyway."""
        self._store = store
        self._images = images
        self._node_id = node_id
        self._copier = copier
        self._reports = reports
        self._period_s = period_s

    async def run(self) -> None:
        """Look at every change of an image, and now and then; after a failure again soon."""
        failures = 0
        with self._store.watch(Image) as watch:
            while True:
                succeeded = await self._pass()
                failures = 0 if succeeded else failures + 1
                await _wait(watch, self._period_s if succeeded else _RETRY_MIN_S * 2 ** min(failures, 5))

    async def _pass(self) -> bool:
        plan = plan_replication(
            self._store.view.images, self._node_id, self._images.pinned(), self._images.has
        )
        copied = [image for image in plan.copy if await self._copy(image)]
        try:
            await self._report([*plan.report, *copied])
            await self._forget(plan)
            await self._tidy()
        except SwarmError as error:
            log.warning("images.report_failed", reason=str(error))
            return False
        return len(copied) == len(plan.copy)

    async def _copy(self, image: Image) -> bool:
        try:
            await self._copier.copy(image)
        except Unavailable as error:
            log.warning(
                "images.replication_failed",
                reference=image.annotations.name,
                digest=image.digest,
                reason=str(error),
            )
            return False
        return True

    async def _report(self, images: list[Image]) -> None:
        if images:
            await self._reports.report(
                [HeldImage(reference=image.annotations.name, digest=image.digest) for image in images]
            )

    async def _forget(self, plan: ReplicationPlan) -> None:
        """Release what the cluster does not have: only the leader's word counts, our copy may be old."""
        if not plan.unknown:
            return
        held = [HeldImage(reference=name, digest=digest) for name, digest in plan.unknown]
        there = {image.annotations.name for image in await self._reports.report(held)}
        for name, digest in plan.unknown:
            if name not in there and self._images.pinned().get(name) == digest:
                await self._images.remove(name)
                log.info("images.image_released", reference=name, digest=digest)

    async def _tidy(self) -> None:
        """On the leader: remove images kept for services that are gone or have moved on."""
        if not self._reports.leading or not unused_retained(self._store.view):
            return

        def remove(transaction: Transaction) -> None:
            for image in unused_retained(transaction):
                transaction.remove(image)

        await self._store.update(remove)


async def _wait(watch: Watch, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await anext(watch)
            watch.drain()
    except (TimeoutError, WatchOverflow):
        # Either way the next pass looks at everything.
        return
