"""What does the runtime driver have to create for a task?"""

from collections.abc import Sequence
from dataclasses import dataclass

from swarm.agent.container_options import limits, namespaces, security, ulimits, users
from swarm.agent.network.base import PublishedPort, Sandbox
from swarm.agent.network.resolv import with_ndots
from swarm.agent.resolver.base import Client
from swarm.agent.task_status import PROTOCOLS
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import Device, Mount, PortConfig
from swarm.errors import TaskRejected
from swarm.model.devices import given_devices
from swarm.model.generic_resources import environment
from swarm.model.task import task_name
from swarm.model.templates import TemplateContext, expand
from swarm.model.validate_container import HOSTNAME_LIMIT
from swarm.runtime.base import BindMount, ContainerConfig, Dns, HostDevice, TmpfsMount
from swarm.runtime.images.base import Credentials

# By those who look after them.
_ADDED_LATER = (Mount.TYPE_VOLUME, Mount.TYPE_IMAGE, Mount.TYPE_CLUSTER)
_PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What tasks may know of their node."""

    node_id: str
    hostname: str
    os: str = ""
    architecture: str = ""


def template_context(task: Task, node: NodeFacts) -> TemplateContext:
    """Return what the placeholders of this task stand for."""
    return TemplateContext(
        service_id=task.service_id,
        service_name=task.service_annotations.name,
        service_labels=dict(task.service_annotations.labels),
        node_id=node.node_id,
        node_hostname=node.hostname,
        node_os=node.os,
        node_architecture=node.architecture,
        task_id=task.id,
        task_name=task_name(task),
        task_slot=str(task.slot) if task.slot else node.node_id,
    )


def container_config(task: Task, image_digest: str, sandbox: Sandbox, node: NodeFacts) -> ContainerConfig:
    """Return the container of a task; raises TaskRejected for a placeholder or mount that cannot be."""
    spec = task.spec.container
    context = template_context(task, node)
    return ContainerConfig(
        id=task.id,
        image=spec.image,
        image_digest=image_digest,
        command=tuple(spec.command),
        args=tuple(spec.args),
        env=(*(expand(one, context) for one in spec.env), *environment(task.assigned_generic)),
        labels=container_labels(task, context),
        hostname=_hostname(task, context),
        working_dir=spec.dir,
        user=spec.user,
        groups=tuple(spec.groups),
        mounts=tuple(_mount(one, context) for one in spec.mounts if one.type not in _ADDED_LATER),
        devices=tuple(_host_device(one) for one in spec.devices if not one.cdi_name),
        cdi_devices=given_devices(task),
        limits=limits(task.spec.resources),
        security=security(spec),
        shared=namespaces(spec.namespaces),
        users=users(spec.namespaces),
        sysctls=dict(spec.sysctls),
        ulimits=ulimits(spec),
        hosts=tuple((entry.name, entry.address) for entry in spec.hosts),
        dns=_dns(task, asks_the_node=bool(sandbox.resolv_conf)),
        shm_size_bytes=spec.shm_size_bytes,
        oom_score_adj=spec.oom_score_adj if spec.HasField("oom_score_adj") else None,
        cgroup_parent=spec.cgroup_parent,
        annotations=dict(spec.annotations),
        read_only=spec.read_only,
        init=spec.init,
        tty=spec.tty,
        log_max_bytes=spec.log.max_size_bytes,
        log_files=spec.log.max_files,
        stop_signal=spec.stop_signal,
        netns_path=sandbox.netns_path,
        resolv_conf=sandbox.resolv_conf,
        address=_own_address(task, sandbox),
    )


def _own_address(task: Task, sandbox: Sandbox) -> str:
    """What its own name is for a task: where others reach it, which is in the first of its networks."""
    wanted = [one.network_id for one in task.spec.networks]
    given = {one.network_id: one.addresses[0] for one in task.networks if one.addresses}
    return next((given[one] for one in wanted if one in given), sandbox.address)


def resolver_client(task: Task, address: str, network_ids: Sequence[str], node: NodeFacts) -> Client:
    """Return the task as the node's name server has to know it; raises as `container_config`."""
    context = template_context(task, node)
    return Client(
        task_id=task.id,
        address=address,
        network_ids=tuple(network_ids),
        name=context.task_name,
        hostname=_hostname(task, context),
        nameservers=tuple(task.spec.container.dns.nameservers),
    )


def _hostname(task: Task, context: TemplateContext) -> str:
    """As with containers of other engines: without a name of their own they have a short id."""
    return expand(task.spec.container.hostname, context)[:HOSTNAME_LIMIT] or task.id[:12]


def _dns(task: Task, *, asks_the_node: bool) -> Dns:
    """Who asks the name server of the node goes on doing so: that one asks the task's own servers."""
    given = task.spec.container.dns
    options = tuple(given.options)
    if asks_the_node:
        return Dns((), tuple(given.search), with_ndots(options) if task.networks else options)
    return Dns(tuple(given.nameservers), tuple(given.search), options)


def container_labels(task: Task, context: TemplateContext) -> dict[str, str]:
    """Those by which tools for Docker Swarm recognise a task cannot be overwritten by users."""
    labels = {key: expand(value, context) for key, value in task.spec.container.labels.items()}
    if not task.service_id:  # of a container that is no task
        return labels
    return labels | {
        "com.docker.swarm.task": "",
        "com.docker.swarm.task.id": task.id,
        "com.docker.swarm.task.name": context.task_name,
        "com.docker.swarm.node.id": context.node_id,
        "com.docker.swarm.service.id": task.service_id,
        "com.docker.swarm.service.name": context.service_name,
    }


def _mount(mount: Mount, context: TemplateContext) -> BindMount | TmpfsMount:
    if mount.type == Mount.TYPE_BIND:
        return BindMount(
            source=expand(mount.source, context),
            target=expand(mount.target, context),
            read_only=mount.read_only,
            propagation=mount.bind.propagation or "rprivate",
            create_source=mount.bind.create_source,
            relabel=mount.bind.selinux,
        )
    if mount.type == Mount.TYPE_TMPFS:
        return TmpfsMount(
            target=expand(mount.target, context),
            size_bytes=mount.tmpfs.size_bytes,
            mode=mount.tmpfs.mode if mount.tmpfs.HasField("mode") else 0o1777,
            read_only=mount.read_only,
        )
    raise TaskRejected(f"this node knows no mount of type {mount.type}")


def _host_device(device: Device) -> HostDevice:
    return HostDevice(device.host_path, device.container_path, device.permissions)


def published_ports(task: Task) -> tuple[PublishedPort, ...]:
    """Return the ports of the node that lead straight to this task (host mode)."""
    return tuple(
        PublishedPort(_PROTOCOL_NAMES[port.protocol], port.published_port, port.target_port, port.host_ip)
        for port in task.endpoint.ports
        if port.publish_mode == PortConfig.PUBLISH_MODE_HOST
    )


def registry_credentials(task: Task) -> Credentials | None:
    """Return what the task brings along for its registry."""
    if not task.spec.container.HasField("registry_auth"):
        return None
    auth = task.spec.container.registry_auth
    return Credentials(auth.server, auth.username, auth.password, auth.identity_token)
