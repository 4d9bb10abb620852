"""What does the runtime driver have to make for a plain container? Pure."""

from dataclasses import replace

from swarm.agent.container import NodeFacts, container_config, template_context
from swarm.agent.network.base import PublishedPort, Sandbox
from swarm.agent.task_status import PROTOCOLS
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.plain_pb2 import PlainContainer
from swarm.api.v1.types_pb2 import PortConfig
from swarm.model.templates import TemplateContext
from swarm.runtime.base import ContainerConfig

HOST_NETWORK, NONE_NETWORK = "host", "none"

_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}


def as_task(record: PlainContainer) -> Task:
    """Return a plain container in the form of a task, for what both have in common; it has no service."""
    task = Task(id=record.id)
    task.meta.created_at.CopyFrom(record.created_at)
    task.spec.container.CopyFrom(record.spec.container)
    task.spec.resources.CopyFrom(record.spec.resources)
    task.service_annotations.name = record.spec.name
    task.spec.networks.extend(record.spec.networks)
    if record.spec.network == NONE_NETWORK:
        task.spec.networks.add(network_id=NONE_NETWORK, network_name=NONE_NETWORK, driver=NONE_NETWORK)
    task.networks.extend(record.addresses)
    task.endpoint.ports.extend(record.published or record.spec.ports)
    return task


def plain_config(
    record: PlainContainer, sandbox: Sandbox, facts: NodeFacts
) -> tuple[ContainerConfig, TemplateContext]:
    """Return the container and what placeholders stand for; raises TaskRejected for what cannot be."""
    task = as_task(record)
    config = container_config(task, record.image_digest, sandbox, facts)
    config = replace(
        config,
        labels=dict(record.spec.container.labels),
        stdin=record.spec.open_stdin,
        stdin_once=record.spec.stdin_once,
    )
    return config, template_context(task, facts)


def wanted_ports(record: PlainContainer) -> tuple[PublishedPort, ...]:
    """Return the ports of the node that are to lead to the container."""
    return tuple(
        PublishedPort(_PROTOCOL_NAMES[port.protocol], port.published_port, port.target_port, port.host_ip)
        for port in record.spec.ports
    )


def given_ports(sandbox: Sandbox) -> list[PortConfig]:
    """Return the ports as they really are."""
    return [
        PortConfig(
            protocol=PROTOCOLS[port.protocol],
            target_port=port.target_port,
            published_port=port.published_port,
            publish_mode=PortConfig.PUBLISH_MODE_HOST,
            host_ip=port.host_ip,
        )
        for port in sandbox.ports
    ]
