"""What does the runtime driver have to make for a plain container? Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from swarm.agent.container import NodeFacts, container_config, template_context
from swarm.agent.network.base import PublishedPort, Sandbox
from swarm.agent.task_status import PROTOCOLS
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.plain_pb2 import PlainContainer, PlainSpec
from swarm.api.v1.types_pb2 import PortConfig
from swarm.errors import InvalidArgument
from swarm.model.image_changes import ports_of
from swarm.model.limits import PORTS
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
        stdin=record.spec.open_stdin,
        stdin_once=record.spec.stdin_once,
    )
    return config, template_context(task, facts)


def publish_exposed(spec: PlainSpec, of_image: Sequence[str]) -> None:
    """Add the ports that it and its image expose to those of the spec, if all are to be published.

    Raises InvalidArgument for more than a container may publish.
    """
    if not spec.publish_all or spec.network in {HOST_NETWORK, NONE_NETWORK}:
        return
    known = {(one.protocol, one.target_port) for one in spec.ports}
    for protocol, port in _exposed(spec, of_image):
        if (protocol, port) in known:
            continue
        known.add((protocol, port))
        mode = PortConfig.PUBLISH_MODE_HOST
        spec.ports.add(protocol=protocol, target_port=port, publish_mode=mode)
        for problem in PORTS.exceeded("--publish-all: the image exposes", len(spec.ports)):
            raise InvalidArgument(problem)  # before a stranger's image has named them all


def _exposed(spec: PlainSpec, of_image: Sequence[str]) -> Iterator[tuple["PortConfig.Protocol", int]]:
    for one in spec.exposed:
        yield one.protocol, one.target_port
    for text in of_image:
        for named in ports_of(text):
            port, _, protocol = named.partition("/")
            yield PROTOCOLS[protocol], int(port)


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
