"""What agents say, cut to what the store keeps: a long error must not cost the task its status."""

from collections.abc import Mapping

from swarm.api.v1.types_pb2 import HealthStatus, NodeDescription, TaskStatus
from swarm.model.limits import (
    CSI_PLUGINS,
    DESCRIPTION_ENTRIES,
    DESCRIPTION_TEXT_CHARACTERS,
    HEALTH_OUTPUT_CHARACTERS,
    HEALTH_PROBES,
    NODE_DEVICES,
    PORTS,
    STATUS_CHARACTERS,
)


def cut(text: str, characters: int) -> str:
    """Return at most so many characters of `text`; the last is an ellipsis where something is missing."""
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def bounded_status(status: TaskStatus) -> TaskStatus:
    """Return `status` within the limits: itself when it is, else a copy."""
    most = STATUS_CHARACTERS.value
    fits = len(status.message) <= most and len(status.err) <= most and len(status.ports) <= PORTS.value
    short = DESCRIPTION_TEXT_CHARACTERS.value
    container_id = status.container.container_id
    fits = fits and len(status.address) <= short and len(container_id) <= short
    if fits and _health_fits(status.container.health):
        return status
    bounded = TaskStatus()
    bounded.CopyFrom(status)
    bounded.message, bounded.err = cut(status.message, most), cut(status.err, most)
    bounded.address = cut(status.address, short)
    if status.HasField("container"):
        bounded.container.container_id = cut(container_id, short)
        if status.container.HasField("health"):
            bounded.container.health.CopyFrom(bounded_health(status.container.health))
    del bounded.ports[PORTS.value :]
    return bounded


def _health_fits(health: HealthStatus) -> bool:
    most = HEALTH_OUTPUT_CHARACTERS.value
    return len(health.log) <= HEALTH_PROBES.value and all(len(one.output) <= most for one in health.log)


def bounded_health(health: HealthStatus) -> HealthStatus:
    """Return a copy of `health` within the limits: the last probes, with the beginning of what they said."""
    bounded = HealthStatus(state=health.state, failing_streak=health.failing_streak)
    for one in health.log[-HEALTH_PROBES.value :]:
        bounded.log.add().CopyFrom(one)
        bounded.log[-1].output = cut(one.output, HEALTH_OUTPUT_CHARACTERS.value)
    return bounded


def bounded_description(description: NodeDescription) -> NodeDescription:
    """Return a copy of `description` within the limits."""
    bounded = NodeDescription()
    bounded.CopyFrom(description)
    most = DESCRIPTION_TEXT_CHARACTERS.value
    bounded.hostname = cut(description.hostname, most)
    bounded.engine_version = cut(description.engine_version, most)
    bounded.runtime = cut(description.runtime, most)
    if description.HasField("compatibility"):
        bounded.compatibility.version = cut(description.compatibility.version, most)
    bounded.platform.os = cut(description.platform.os, most)
    bounded.platform.architecture = cut(description.platform.architecture, most)
    for target, entries in (
        (bounded.engine_labels, description.engine_labels),
        (bounded.runtime_info, description.runtime_info),
    ):
        target.clear()
        target.update(_bounded_entries(entries))
    del bounded.devices[NODE_DEVICES.value :]
    del bounded.conditions[DESCRIPTION_ENTRIES.value :]
    del bounded.warnings[DESCRIPTION_ENTRIES.value :]
    for condition in (*bounded.conditions, *bounded.warnings):
        condition.type = cut(condition.type, most)
        condition.reason = cut(condition.reason, STATUS_CHARACTERS.value)
        condition.node_ids[:] = [cut(one, most) for one in condition.node_ids[: DESCRIPTION_ENTRIES.value]]
    del bounded.csi_plugins[CSI_PLUGINS.value :]
    for plugin in bounded.csi_plugins:
        plugin.name, plugin.node_id = cut(plugin.name, most), cut(plugin.node_id, most)
        segments = _bounded_entries(plugin.topology)
        plugin.topology.clear()
        plugin.topology.update(segments)
    if description.HasField("tls_info"):
        bounded.tls_info.issuer_subject = cut(description.tls_info.issuer_subject, most)
    return bounded


def _bounded_entries(entries: Mapping[str, str]) -> dict[str, str]:
    most = DESCRIPTION_TEXT_CHARACTERS.value
    kept = sorted(entries.items())[: DESCRIPTION_ENTRIES.value]
    return {cut(key, most): cut(value, STATUS_CHARACTERS.value) for key, value in kept}
