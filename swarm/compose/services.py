"""The services of a Compose project as services of the cluster."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from swarm.api.v1.specs_pb2 import (
    ConfigSpec,
    ContainerSpec,
    NetworkSpec,
    SecretSpec,
    ServiceDependency,
    ServiceSpec,
)
from swarm.api.v1.types_pb2 import Platform, PortConfig, RestartPolicy
from swarm.compose import data, values, volumes
from swarm.compose.build import Build, builds, image_of
from swarm.compose.container_options import apply_container_options
from swarm.compose.data import ReadData, Spec
from swarm.compose.deploy import apply_deploy
from swarm.compose.dotenv import parse_dotenv
from swarm.compose.extensions import apply_extensions
from swarm.compose.health import apply_health
from swarm.compose.logging_options import apply_logging
from swarm.compose.networks import apply_networks, implicit_network, owned_networks
from swarm.compose.project import Project, Read
from swarm.compose.routes import certificates_of, routes_of
from swarm.compose.support import check_support
from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument, NotFound
from swarm.model.devices import parse_device
from swarm.model.networks import OVERLAY
from swarm.model.stacks import IMAGE_LABEL, NAMESPACE_LABEL
from swarm.model.validate import validate_service
from swarm.model.validate_data import validate_data

_CONDITIONS = {
    "service_started": ServiceDependency.CONDITION_STARTED,
    "service_healthy": ServiceDependency.CONDITION_HEALTHY,
    "service_completed_successfully": ServiceDependency.CONDITION_COMPLETED,
}


@dataclass(slots=True)
class Stack:
    """What a project asks of the cluster."""

    name: str
    services: list[ServiceSpec] = field(default_factory=list)  # in the order of the files
    secrets: list[SecretSpec] = field(default_factory=list)  # those that services use and the stack owns
    configs: list[ConfigSpec] = field(default_factory=list)
    networks: list[NetworkSpec] = field(default_factory=list)  # likewise
    builds: list[Build] = field(default_factory=list)  # images that are built before
    implicit_network: str = ""  # the one of them that no file speaks of
    warnings: list[str] = field(default_factory=list)


def service_name(stack: str, name: str) -> str:
    """Return what a service of a stack is called in the cluster."""
    return f"{stack}_{name}"


def read_stack(project: Project, name: str, read: Read, read_data: ReadData) -> Stack:
    """Return what a project asks for as the stack `name`; raises InvalidArgument with the place."""
    stack = Stack(name, warnings=[*project.warnings, *check_support(project.tree)])
    services = project.tree.get("services")
    if services is None or not services.entries:
        raise project.tree.problem("there is no service in it, or none with an active profile")
    reader = _ServiceReader(name, project.tree, read, project.variables)
    stack.services = [reader.read(one, service) for one, service in services.entries.items()]
    stack.warnings += reader.warnings
    stack.builds = builds(name, services, project.variables)
    stack.networks = owned_networks(project.tree, name)
    stack.implicit_network = implicit_network(project.tree, name)
    for key, entry in _used(project.tree, "secrets"):
        driver = data.driver(entry)
        given = b"" if driver is not None else data.content(entry, read_data, project.variables)
        secret = SecretSpec(secret_data=given, driver=driver)
        own = data.name_of(project.tree.get("secrets"), key, name)
        stack.secrets.append(_checked(data.described(secret, entry, own, name), entry))
    for key, entry in _used(project.tree, "configs"):
        config = ConfigSpec(data=data.content(entry, read_data, project.variables))
        own = data.name_of(project.tree.get("configs"), key, name)
        stack.configs.append(_checked(data.described(config, entry, own, name), entry))
    return stack


def _checked(spec: Spec, entry: Tree) -> Spec:
    """Return what managers will take; they would refuse it as well, and know no line of the file."""
    try:
        validate_data(spec)
    except InvalidArgument as problem:
        raise entry.problem(f"{spec.annotations.name}: {problem}") from None
    return spec


def without_implicit_network(stack: Stack) -> Stack:
    """Return a stack whose services stay alone where they named no network: for nodes without overlays."""
    found = replace(stack, networks=[one for one in stack.networks if _name(one) != stack.implicit_network])
    if len(found.networks) == len(stack.networks):
        return stack
    found.services = []
    for service in stack.services:
        alone = ServiceSpec()
        alone.CopyFrom(service)
        kept = [one for one in alone.task.networks if one.network_name != stack.implicit_network]
        del alone.task.networks[:]
        alone.task.networks.extend(kept)
        found.services.append(alone)
    said = f"no node can do {OVERLAY} networks: services of {stack.name} do not find each other by name"
    found.warnings = [*stack.warnings, said]
    return found


def _name(spec: NetworkSpec) -> str:
    return spec.annotations.name


def _used(tree: Tree, kind: str) -> list[tuple[str, Tree]]:
    """Return the secrets or configs of a project that its services use and it owns."""
    services, known = tree.get("services"), tree.get(kind)
    if services is None or known is None:
        return []
    lists = [service.get(kind) for service in services.entries.values()]
    sources = {values.text(item.entries["source"]) for one in lists if one is not None for item in one.items}
    if kind == "secrets":
        sources = sources.union(*map(certificates_of, services.entries.values()))
    return [
        (key, entry)
        for key, entry in known.entries.items()
        if key in sources and not data.is_external(entry)
    ]


class _ServiceReader:
    """Turns services of one stack into specs."""

    def __init__(self, stack: str, project: Tree, read: Read, variables: Mapping[str, str]) -> None:
        self._stack = stack
        self._project = project
        self._file = read
        self._variables = variables
        self.warnings: list[str] = []

    def read(self, name: str, service: Tree) -> ServiceSpec:
        spec = ServiceSpec()
        spec.annotations.name = service_name(self._stack, name)
        spec.task.container.image = image_of(self._stack, name, service)
        spec.annotations.labels.update(values.mapping(service.get("deploy", "labels")))
        spec.annotations.labels[NAMESPACE_LABEL] = self._stack
        spec.annotations.labels[IMAGE_LABEL] = spec.task.container.image
        self._container(spec.task.container, service)
        apply_deploy(spec, service)
        self.warnings += apply_extensions(spec, service.get("deploy"), self._full_name)
        apply_container_options(spec, service, self._file)
        _restart(spec, service)
        self._dependencies(spec, service)
        _ports(spec, service)
        if routes := list(routes_of(service, self._project, self._stack)):
            spec.endpoint.routes.extend(routes)
        apply_networks(spec, name, service, self._project, self._stack)
        if (platform := service.get("platform")) is not None:
            spec.task.placement.platforms.append(_platform(platform))
        try:
            validate_service(spec)  # managers do it as well, and know no line of the file
        except InvalidArgument as problem:
            text = str(problem).removeprefix("invalid service: ")
            raise service.problem(f"services.{name}: {text}") from None
        return spec

    def _container(self, container: ContainerSpec, service: Tree) -> None:
        container.env.extend(f"{key}={value}" for key, value in self._environment(service).items())
        container.labels.update(self._labels(service))
        container.labels[NAMESPACE_LABEL] = self._stack
        for key, reader in _SIMPLE.items():
            if (entry := service.get(key)) is not None and entry.value is not None:
                reader(container, entry)
        for item in (service.get("volumes") or service.having([])).items:
            container.mounts.append(volumes.mount(item, self._project.get("volumes"), self._stack))
        for target in (service.get("tmpfs") or service.having([])).items:
            container.mounts.append(volumes.tmpfs(target))
        for device in (service.get("devices") or service.having([])).items:
            _device(container, device)
        self.warnings += apply_logging(container, service)
        for item in (service.get("secrets") or service.having([])).items:
            container.secrets.append(data.secret_reference(item, self._data_name("secrets", item)))
        for item in (service.get("configs") or service.having([])).items:
            container.configs.append(data.config_reference(item, self._data_name("configs", item)))

    def _full_name(self, name: str) -> str:
        """Return what a service of the project is called in the cluster; another one's name as it is."""
        return name if self._project.get("services", name) is None else service_name(self._stack, name)

    def _data_name(self, kind: str, item: Tree) -> str:
        return data.name_of(self._project.get(kind), values.text(item.entries["source"]), self._stack)

    def _environment(self, service: Tree) -> dict[str, str]:
        found: dict[str, str] = {}
        for item in (service.get("env_file") or service.having([])).items:
            found.update(self._env_file(item, found))
        found.update(values.mapping(service.get("environment")))
        return found

    def _env_file(self, item: Tree, before: dict[str, str]) -> dict[str, str]:
        path = values.text(item.entries["path"])
        required, how = item.get("required"), item.get("format")
        try:
            text = self._file(path)
        except NotFound as problem:
            if required is not None and not values.truth(required):
                return {}
            raise item.problem(str(problem)) from None
        if how is not None and values.text(how) == "raw":
            return dict(_raw(text))
        return parse_dotenv(text, path, self._variables, before)

    def _labels(self, service: Tree) -> dict[str, str]:
        found: dict[str, str] = {}
        for item in (service.get("label_file") or service.having([])).items:
            path = values.text(item)
            try:
                found.update(parse_dotenv(self._file(path), path, {}))
            except NotFound as problem:
                raise item.problem(str(problem)) from None
        found.update(values.mapping(service.get("labels")))
        return found

    def _dependencies(self, spec: ServiceSpec, service: Tree) -> None:
        dependencies = service.get("depends_on")
        for name, entry in (dependencies.entries if dependencies is not None else {}).items():
            if self._project.get("services", name) is not None:
                condition = _CONDITIONS[values.text(entry.entries["condition"])]
                spec.depends_on.add(service=service_name(self._stack, name), condition=condition)


def _raw(text: str) -> Iterable[tuple[str, str]]:
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith("#"):
            yield key.strip(), value


def _set(field_name: str, read: Callable[[Tree], object]) -> Callable[[ContainerSpec, Tree], None]:
    return lambda container, entry: setattr(container, field_name, read(entry))


_SIMPLE: dict[str, Callable[[ContainerSpec, Tree], None]] = {
    "command": lambda container, entry: container.args.extend(values.words(entry)),
    "entrypoint": lambda container, entry: container.command.extend(values.words(entry)),
    "healthcheck": apply_health,
    "hostname": _set("hostname", values.text),
    "working_dir": _set("dir", values.text),
    "user": _set("user", values.text),
    "stop_signal": _set("stop_signal", values.text),
    "stop_grace_period": _set("stop_grace_period_ns", values.duration_ns),
    "read_only": _set("read_only", values.truth),
    "init": _set("init", values.truth),
    "tty": _set("tty", values.truth),
}


def _platform(entry: Tree) -> Platform:
    system, slash, architecture = values.text(entry).partition("/")
    if not slash:
        system, architecture = "linux", system
    return Platform(os=system, architecture=architecture.partition("/")[0])


def _device(container: ContainerSpec, entry: Tree) -> None:
    text = values.text(entry)
    if entry.entries:
        parts = (entry.get(key) for key in ("source", "target", "permissions"))
        text = ":".join(values.text(part) for part in parts if part is not None)
    try:
        container.devices.append(parse_device(text))
    except InvalidArgument as problem:
        raise entry.problem(str(problem)) from None


def _ports(spec: ServiceSpec, service: Tree) -> None:
    for entry in (service.get("ports") or service.having([])).items:
        port = PortConfig(target_port=values.number(entry.entries["target"]))
        if (published := entry.get("published")) is not None:
            port.published_port = values.number(published)
        if (protocol := entry.get("protocol")) is not None:
            port.protocol = values.word(protocol, PortConfig.Protocol, "PROTOCOL_")
        if (mode := entry.get("mode")) is not None:
            port.publish_mode = values.word(mode, PortConfig.PublishMode, "PUBLISH_MODE_")
        if (name := entry.get("name")) is not None:
            port.name = values.text(name)
        if (host_ip := entry.get("host_ip")) is not None:
            port.host_ip = values.text(host_ip)
        spec.endpoint.ports.append(port)


def _restart(spec: ServiceSpec, service: Tree) -> None:
    """Honour `restart`, unless deploy.restart_policy says more."""
    entry = service.get("restart")
    if entry is None or service.get("deploy", "restart_policy") is not None:
        return
    word, _, attempts = values.text(entry).partition(":")
    policy = spec.task.restart
    if word in {"no", "false"}:
        policy.condition = RestartPolicy.CONDITION_NONE
    elif word in {"always", "unless-stopped"}:
        policy.condition = RestartPolicy.CONDITION_ANY
    elif word == "on-failure":
        policy.condition = RestartPolicy.CONDITION_ON_FAILURE
    else:
        raise entry.problem(f'"{entry.value}" is not one of no, always, unless-stopped, on-failure[:N]')
    if attempts:
        policy.max_attempts = values.number(entry.having(attempts))
