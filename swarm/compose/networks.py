"""Networks of a Compose project, and which of them its services join under which names."""

from swarm.api.v1.specs_pb2 import NetworkSpec, ServiceSpec, SubnetSpec
from swarm.api.v1.types_pb2 import NetworkAttachment
from swarm.compose import data, values
from swarm.compose.tree import Tree
from swarm.model.networks import OVERLAY, PREDEFINED
from swarm.model.stacks import NAMESPACE_LABEL

DEFAULT = "default"  # key of the network of services that name none
_OF_EVERY_NODE = ("bridge", "host", "none")  # of network_mode


def apply_networks(spec: ServiceSpec, name: str, service: Tree, project: Tree, stack: str) -> None:
    """Write into `spec` which networks the service joins; its short name is an alias in each."""
    mode = service.get("network_mode")
    networks = service.get("networks")
    if mode is not None:
        if networks is not None and networks.entries:
            raise mode.problem("say network_mode or networks, not both")
        spec.task.networks.add(network_name=_mode(mode))
        return
    wanted = dict(networks.entries) if networks is not None else {}
    if not wanted:
        wanted = {DEFAULT: service.having({})}
    known = project.get("networks")
    for key, entry in sorted(wanted.items(), key=lambda one: -_priority(one[1])):
        spec.task.networks.append(_attachment(entry, data.name_of(known, key, stack), name))


def owned_networks(project: Tree, stack: str) -> list[NetworkSpec]:
    """Return the networks that services of a stack use and that it makes, in the order of the file."""
    services, known = project.get("services"), project.get("networks")
    used: dict[str, None] = {}
    for service in services.entries.values() if services is not None else ():
        if service.get("network_mode") is None:
            networks = service.get("networks")
            used.update(dict.fromkeys((networks.entries if networks is not None else {}) or (DEFAULT,)))
    found: list[NetworkSpec] = []
    for key in used:
        entry = known.get(key) if known is not None else None
        if entry is None or not data.is_external(entry):
            found.append(_spec(entry, data.name_of(known, key, stack), stack))
    return found


def implicit_network(project: Tree, stack: str) -> str:
    """Return the name of the network that nobody wrote down, empty when somebody did."""
    known = project.get("networks")
    if known is not None and DEFAULT in known.entries:
        return ""
    return data.name_of(None, DEFAULT, stack)


def _mode(entry: Tree) -> str:
    text = values.text(entry)
    if text in _OF_EVERY_NODE:
        return text
    if text.partition(":")[0] in {"service", "container"}:
        raise entry.problem("tasks of other services may be on other nodes: use networks")
    raise entry.problem(f'"{text}" is not one of {", ".join(_OF_EVERY_NODE)}')


def _priority(entry: Tree) -> float:
    priority = entry.get("priority")
    return values.real(priority) if priority is not None else 0.0


def _attachment(entry: Tree, network: str, alias: str) -> NetworkAttachment:
    found = NetworkAttachment(network_name=network)
    if network in PREDEFINED:
        return found
    found.aliases.extend(dict.fromkeys((alias, *values.texts(entry.get("aliases")))))
    found.driver_options.update(values.mapping(entry.get("driver_opts")))
    for key in ("ipv4_address", "ipv6_address"):
        if (address := entry.get(key)) is not None:
            setattr(found, key, values.text(address))
    return found


def _spec(entry: Tree | None, name: str, stack: str) -> NetworkSpec:
    spec = NetworkSpec(driver=OVERLAY)
    spec.annotations.name = name
    if entry is not None:
        _describe(spec, entry)
    spec.annotations.labels[NAMESPACE_LABEL] = stack
    return spec


def _describe(spec: NetworkSpec, entry: Tree) -> None:
    if (driver := entry.get("driver")) is not None and values.text(driver) not in {"", "default"}:
        spec.driver = values.text(driver)
    spec.driver_options.update(values.mapping(entry.get("driver_opts")))
    spec.annotations.labels.update(values.mapping(entry.get("labels")))
    for key, field in (("internal", "internal"), ("attachable", "attachable"), ("enable_ipv6", "ipv6")):
        if (flag := entry.get(key)) is not None:
            setattr(spec, field, values.truth(flag))
    if (ipv4 := entry.get("enable_ipv4")) is not None:
        spec.no_ipv4 = not values.truth(ipv4)
    if (driver := entry.get("ipam", "driver")) is not None and values.text(driver) not in {"", "default"}:
        raise driver.problem(
            "addresses are given by the cluster: there is no other ipam driver than default"
        )
    for item in (entry.get("ipam", "config") or entry.having([])).items:
        spec.subnets.append(_subnet(item))
        spec.ipv6 = spec.ipv6 or ":" in spec.subnets[-1].subnet


def _subnet(item: Tree) -> SubnetSpec:
    found = SubnetSpec(reserved=values.mapping(item.get("aux_addresses")))
    for key, field in (("subnet", "subnet"), ("ip_range", "range"), ("gateway", "gateway")):
        if (part := item.get(key)) is not None:
            setattr(found, field, values.text(part))
    return found
