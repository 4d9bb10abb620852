"""Does one step for a volume: calls the plugin, then writes down what came of it.

Whoever is killed in between leaves a step that the next leader does again: plugins must take a call twice.
"""

from collections.abc import Callable, Mapping

import structlog

from swarm.api.v1 import csi_pb2 as csi
from swarm.api.v1.objects_pb2 import Volume
from swarm.errors import FailedPrecondition
from swarm.manager.store.store import Store
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.manager.volumes.plan import Step, Work
from swarm.manager.volumes.plugins import PluginCalls
from swarm.manager.volumes.requests import attach_order, create_request, publish_request, take_over
from swarm.model.limits import STATUS_CHARACTERS
from swarm.model.truncate import cut

log = structlog.get_logger(__name__)

PUBLISHED = Volume.PUBLISH_STATE_PUBLISHED
_WRITES = {
    Work.RELEASE: Volume.PUBLISH_STATE_PENDING_NODE_UNPUBLISH,
    Work.RESUME: PUBLISHED,
    Work.ABANDON: Volume.PUBLISH_STATE_PENDING_UNPUBLISH,
}


class Worker:
    """Shell around the plugins and the store."""

    def __init__(self, store: Store, plugins: PluginCalls) -> None:
        self._store = store
        self._plugins = plugins

    async def do(self, step: Step) -> None:
        """Do a step; raises SwarmError when it has to be tried again."""
        volume = self._store.view.volumes.get(step.volume_id)
        if volume is None:
            return
        match step.work:
            case Work.CREATE:
                await self._create(volume)
            case Work.DELETE:
                await self._delete(volume)
            case Work.BEGIN:
                await self._write(volume.id, lambda changed: _begin(changed, step.node_id))
            case Work.PUBLISH:
                await self._publish(volume, step.node_id)
            case Work.ATTACH:
                await self._attach(volume, step.node_id)
            case Work.DETACH:
                await self._plugins.detach(step.node_id, volume.id)
                await self._set_state(volume.id, step.node_id, Volume.PUBLISH_STATE_PENDING_UNPUBLISH)
            case Work.UNPUBLISH:
                await self._unpublish(volume, step.node_id)
            case _:
                await self._set_state(volume.id, step.node_id, _WRITES[step.work])
        log.info(
            "volumes.step_done",
            volume=volume.spec.annotations.name,
            step=step.work.value,
            node_id=step.node_id,
        )

    async def note_problem(self, volume_id: str, problem: str) -> None:
        """Write on a volume why a step failed; empty: none did."""
        short = cut(problem, STATUS_CHARACTERS.value)
        volume = self._store.view.volumes.get(volume_id)
        if volume is not None and volume.problem != short:
            await self._write(volume_id, lambda changed: _set_problem(changed, short))

    async def _create(self, volume: Volume) -> None:
        if not self._plugins.abilities(
            volume.spec.driver
        ).creates:  # its volumes are there already, and are known by their names
            made = csi.Volume(volume_id=volume.spec.annotations.name)
        else:
            if not volume.create_begun:
                await self._write(volume.id, _begin_create)
            made = await self._made(volume)
        await self._write(volume.id, lambda changed: take_over(changed, made))

    async def _made(self, volume: Volume) -> csi.Volume:
        request = create_request(volume, self._secrets(volume))
        answer = await self._plugins.control(volume.spec.driver, request, csi.CreateVolumeResponse)
        if not answer.volume.volume_id:
            raise FailedPrecondition(f"plugin {volume.spec.driver} made a volume without an id")
        return answer.volume

    async def _delete(self, volume: Volume) -> None:
        if volume.create_begun:
            # Perhaps it was made and nobody wrote down how it is called: making it again tells.
            plugin_id = volume.plugin_volume_id or (await self._made(volume)).volume_id
            request = csi.DeleteVolumeRequest(volume_id=plugin_id, secrets=self._secrets(volume))
            await self._plugins.control(volume.spec.driver, request, csi.DeleteVolumeResponse)

        def remove(transaction: Transaction) -> None:
            current = transaction.volumes.get(volume.id)
            if current is not None and current.pending_delete and not current.publish:
                transaction.remove(current)

        await self._store.update(remove)

    async def _publish(self, volume: Volume, node_id: str) -> None:
        driver = volume.spec.driver
        plugin_node = self._plugins.node_name(driver, node_id)
        await self._write(volume.id, lambda changed: _name_node(changed, node_id, plugin_node))
        context: Mapping[str, str] = {}
        if self._plugins.abilities(driver).publishes:
            request = publish_request(volume, plugin_node, self._secrets(volume))
            answer = await self._plugins.control(driver, request, csi.ControllerPublishVolumeResponse)
            context = answer.publish_context

        def publish(changed: Volume) -> None:
            for one in changed.publish:
                if one.node_id == node_id and one.state == Volume.PUBLISH_STATE_PENDING_PUBLISH:
                    one.state = PUBLISHED
                    one.publish_context.update(context)

        await self._write(volume.id, publish)

    async def _attach(self, volume: Volume, node_id: str) -> None:
        for one in volume.publish:
            if one.node_id == node_id:
                order = attach_order(volume, one.publish_context, self._secrets(volume))
                await self._plugins.attach(node_id, order)

    async def _unpublish(self, volume: Volume, node_id: str) -> None:
        status = next((one for one in volume.publish if one.node_id == node_id), None)
        if status is None:
            return
        if status.plugin_node_id and self._plugins.abilities(volume.spec.driver).publishes:
            request = csi.ControllerUnpublishVolumeRequest(
                volume_id=volume.plugin_volume_id,
                node_id=status.plugin_node_id,
                secrets=self._secrets(volume),
            )
            await self._plugins.control(volume.spec.driver, request, csi.ControllerUnpublishVolumeResponse)

        def forget(changed: Volume) -> None:
            kept = [one for one in changed.publish if one.node_id != node_id]
            del changed.publish[:]
            changed.publish.extend(kept)

        await self._write(volume.id, forget)

    def _secrets(self, volume: Volume) -> dict[str, str]:
        found = {one.key: self._store.view.secrets.get(one.secret_id) for one in volume.spec.secrets}
        return {
            key: secret.spec.secret_data.decode("utf-8", "replace")
            for key, secret in found.items()
            if secret is not None
        }

    async def _set_state(self, volume_id: str, node_id: str, state: "Volume.PublishState") -> None:
        def change(changed: Volume) -> None:
            for one in changed.publish:
                if one.node_id == node_id:
                    one.state = state

        await self._write(volume_id, change)

    async def _write(self, volume_id: str, change: Callable[[Volume], None]) -> None:
        """Change a volume as it is by now; nothing happens when it is gone or stays the same."""

        def commit(transaction: Transaction) -> None:
            current = transaction.volumes.get(volume_id)
            if current is None:
                return
            changed = copy_of(current)
            change(changed)
            if changed != current:
                transaction.update(changed)

        await self._store.update(commit)


def _begin(changed: Volume, node_id: str) -> None:
    if all(one.node_id != node_id for one in changed.publish):
        changed.publish.add(node_id=node_id)


def _begin_create(changed: Volume) -> None:
    changed.create_begun = True


def _set_problem(changed: Volume, problem: str) -> None:
    changed.problem = problem


def _name_node(changed: Volume, node_id: str, plugin_node_id: str) -> None:
    for one in changed.publish:
        if one.node_id == node_id:
            one.plugin_node_id = plugin_node_id
