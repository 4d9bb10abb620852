"""Is any part of a spec larger than it may be? The one place where limits of specs are checked."""

from collections.abc import Iterator, Mapping

from google.protobuf.message import Message

from swarm.api.v1.specs_pb2 import ClusterSpec, ContainerSpec, NodeSpec, ServiceSpec
from swarm.api.v1.types_pb2 import Placement
from swarm.model import limits
from swarm.model.limits import shown


def size_problems(spec: ServiceSpec | NodeSpec | ClusterSpec) -> Iterator[str]:
    """Yield a problem for every limit that `spec` exceeds, with the limit's name."""
    yield from _bytes("the spec", spec)
    yield from _labels(spec.annotations.labels, "label")
    if isinstance(spec, ServiceSpec):
        yield from _service(spec)
    elif isinstance(spec, ClusterSpec):
        yield from limits.EXTERNAL_CAS.exceeded("external CAs", len(spec.external_cas))


def labels_problems(labels: Mapping[str, str]) -> Iterator[str]:
    """Yield a problem for every limit that the labels of an object without a spec's other limits exceed."""
    if "" in labels:
        yield "one of the labels has no key"
    yield from _labels(labels, "label")


def _bytes(what: str, message: Message) -> Iterator[str]:
    yield from limits.SPEC_BYTES.exceeded(what, message.ByteSize())


def _labels(labels: Mapping[str, str], what: str) -> Iterator[str]:
    yield from limits.LABELS.exceeded(f"the {what}s", len(labels))
    total = 0
    for key, value in labels.items():
        key_bytes, value_bytes = len(key.encode()), len(value.encode())
        total += key_bytes + value_bytes
        yield from limits.LABEL_KEY_BYTES.exceeded(f"{what} {shown(key)}", key_bytes)
        yield from limits.LABEL_VALUE_BYTES.exceeded(f"the value of {what} {shown(key)}", value_bytes)
    yield from limits.LABELS_BYTES.exceeded(f"all {what}s together", total)


def _service(spec: ServiceSpec) -> Iterator[str]:
    yield from limits.REPLICAS.exceeded("the service", spec.replicated.replicas)
    yield from limits.PORTS.exceeded("published", len(spec.endpoint.ports))
    for port in spec.endpoint.ports:
        yield from limits.NAME_CHARACTERS.exceeded(f"the name of port {port.target_port}", len(port.name))
    yield from limits.DEPENDENCIES.exceeded("dependencies", len(spec.depends_on))
    for one in spec.depends_on:
        yield from limits.NAME_CHARACTERS.exceeded(f"dependency {shown(one.service)}", len(one.service))
    yield from _container(spec.task.container)
    yield from _placement(spec.task.placement)
    priority = spec.task.priority
    yield from limits.PRIORITY.exceeded(f"the priority {priority}", abs(priority))


def _container(spec: ContainerSpec) -> Iterator[str]:
    yield from _labels(spec.labels, "container label")
    yield from _labels(spec.annotations, "annotation")
    yield from limits.ENV_VARIABLES.exceeded("the environment", len(spec.env))
    for variable in spec.env:
        key = variable.partition("=")[0]  # without the value: it may be a secret
        yield from limits.ENV_VARIABLE_BYTES.exceeded(
            f"environment variable {shown(key)}", len(variable.encode())
        )
    words = (*spec.command, *spec.args)
    yield from limits.ARGUMENTS.exceeded("the command", len(words))
    yield from limits.ARGUMENTS.exceeded("the health check", len(spec.healthcheck.test))
    for word in (*words, *spec.healthcheck.test):
        yield from limits.ARGUMENT_BYTES.exceeded(f"argument {shown(word)}", len(word.encode()))
    texts = (("the working directory", spec.dir), ("the user", spec.user), ("the signal", spec.stop_signal))
    for what, text in texts:
        yield from limits.TEXT_BYTES.exceeded(what, len(text.encode()))
    yield from limits.MOUNTS.exceeded("the container", len(spec.mounts))
    yield from limits.REFERENCES.exceeded("the container", len(spec.secrets) + len(spec.configs))
    names = sum(len(one.names) for one in spec.device_requests)
    asked = len(spec.devices) + len(spec.device_requests) + names
    yield from limits.DEVICES.exceeded("the container", asked)
    for device in spec.devices:
        for path in (device.host_path, device.container_path):
            yield from limits.TEXT_BYTES.exceeded(f"the device {shown(path)}", len(path.encode()))
    for mount in spec.mounts:
        what = f"the mount at {shown(mount.target)}"
        yield from limits.TEXT_BYTES.exceeded(f"the target of {what}", len(mount.target.encode()))
        yield from limits.TEXT_BYTES.exceeded(f"the source of {what}", len(mount.source.encode()))
    yield from _options(spec)


def _options(spec: ContainerSpec) -> Iterator[str]:
    yield from limits.GROUPS.exceeded("the container", len(spec.groups))
    yield from limits.HOSTS.exceeded("the container", len(spec.hosts))
    dns = (("name servers", spec.dns.nameservers), ("search domains", spec.dns.search))
    for what, entries in (*dns, ("resolver options", spec.dns.options)):
        yield from limits.DNS_ENTRIES.exceeded(f"the {what}", len(entries))
    yield from limits.SYSCTLS.exceeded("the container", len(spec.sysctls))
    profile = spec.privileges.seccomp.profile
    yield from limits.SECCOMP_PROFILE_BYTES.exceeded("the seccomp profile", len(profile))
    texts = [*spec.groups, *spec.dns.nameservers, *spec.dns.search, *spec.dns.options]
    label = spec.privileges.selinux
    texts += [spec.privileges.apparmor, spec.cgroup_parent, label.user, label.role, label.type, label.level]
    texts += [text for one in spec.hosts for text in (one.name, one.address)]
    texts += [text for pair in spec.sysctls.items() for text in pair]
    for text in texts:
        yield from limits.TEXT_BYTES.exceeded(f'"{shown(text)}"', len(text.encode()))


def _placement(placement: Placement) -> Iterator[str]:
    yield from limits.CONSTRAINTS.exceeded("the placement", len(placement.constraints))
    for expression in placement.constraints:
        yield from limits.CONSTRAINT_BYTES.exceeded(
            f"constraint {shown(expression)}", len(expression.encode())
        )
    yield from limits.PREFERENCES.exceeded("spread preferences", len(placement.preferences))
    yield from limits.PLATFORMS.exceeded("the placement", len(placement.platforms))
