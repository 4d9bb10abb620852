"""Networks, and what services and tasks have of them, as people see them: in Docker's words."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1 import specs_pb2 as s
from swarm.api.v1 import types_pb2 as t
from swarm.cli.render import ordered
from swarm.cli.templates.values import LabelText
from swarm.model.hardware_addresses import mac_in_force
from swarm.model.networks import driver_of, is_encrypted

View = dict[str, Any]

SHORT_ID = 12
SCOPE = "swarm"


def row(item: o.Network, users: int, containers: int = 0) -> dict[str, str]:
    """Return a network as a line of `network ls`."""
    from swarm.cli.inspect_view import table_time

    spec = item.spec
    return {
        "ID": item.id,
        "ShortID": item.id[:SHORT_ID],
        "Name": spec.annotations.name,
        "Driver": driver_of(spec),
        "Scope": SCOPE,
        "IPv4": _word(not spec.no_ipv4),
        "IPv6": _word(spec.ipv6),
        "Internal": _word(spec.internal),
        "Services": str(users),
        "Containers": str(containers),
        "Subnets": ",".join(one.subnet for one in item.subnets),
        "Labels": LabelText(spec.annotations.labels),
        "CreatedAt": table_time(item.meta.created_at, exact=True),
    }


def _word(value: bool) -> str:
    return "true" if value else "false"


def network(item: o.Network, endpoints: Iterable[c.NetworkEndpoint], *, verbose: bool) -> View:
    """Return a network as `inspect` prints it, with the containers in it; verbose: with everybody else."""
    from swarm.cli.inspect_view import when

    spec = item.spec
    subnets = [_subnet(one) for one in item.subnets] or [_asked(one) for one in spec.subnets]
    view: View = {
        "Name": spec.annotations.name,
        "Id": item.id,
        "Created": when(item.meta.created_at),
        "Scope": SCOPE,
        "Driver": driver_of(spec),
        "EnableIPv4": not spec.no_ipv4,
        "EnableIPv6": spec.ipv6,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": subnets},
        "Internal": spec.internal,
        "Attachable": spec.attachable,
        "Ingress": spec.ingress,
        "Encrypted": is_encrypted(spec),
        "Options": ordered(spec.driver_options),
        "Labels": ordered(spec.annotations.labels),
        "Version": {"Index": item.meta.version.index},
    }
    if item.vxlan_id:
        view["VxlanID"] = item.vxlan_id
    known = tuple(endpoints)
    return view | {"Containers": _containers(item, known)} | (_endpoints(known) if verbose else {})


def _subnet(one: o.Subnet) -> View:
    view: View = {"Subnet": one.subnet, "Gateway": one.gateway}
    view |= {"IPRange": one.range} if one.range else {}
    view |= {"AuxiliaryAddresses": ordered(one.reserved)} if one.reserved else {}
    return view | ({"Pool": one.pool} if one.pool else {})


def _asked(one: s.SubnetSpec) -> View:
    view = _subnet(o.Subnet(subnet=one.subnet, gateway=one.gateway, range=one.range, reserved=one.reserved))
    return {key: value for key, value in view.items() if value}


def _endpoints(endpoints: tuple[c.NetworkEndpoint, ...]) -> View:
    kinds = c.NetworkEndpoint
    services: dict[str, View] = {}
    for one in endpoints:
        if one.kind == kinds.KIND_SERVICE:
            services[one.name] = {"VIP": " ".join(one.addresses), "Tasks": []}
    for one in endpoints:
        if one.kind == kinds.KIND_TASK:
            service = services.setdefault(one.name.partition(".")[0], {"VIP": "", "Tasks": []})
            told = {"Name": one.name, "TaskID": one.id, "NodeID": one.node_id}
            service["Tasks"].append(told | {"EndpointIP": " ".join(one.addresses)})
    peers = [
        {"Name": one.name, "NodeID": one.id, "IP": " ".join(one.addresses), "Warnings": _warnings(one)}
        for one in endpoints
        if one.kind == kinds.KIND_NODE
    ]
    return {"Services": services, "Peers": peers}


def _containers(item: o.Network, endpoints: tuple[c.NetworkEndpoint, ...]) -> View:
    """Return the containers of all nodes by id."""
    kinds = (c.NetworkEndpoint.KIND_TASK, c.NetworkEndpoint.KIND_CONTAINER)
    subnets = [ip_network(one.subnet) for one in item.subnets]
    return {
        one.id: {
            "Name": one.name,
            "NodeID": one.node_id,
            "MacAddress": mac_in_force(one.mac_address, one.addresses),
            "EndpointIP": " ".join(one.addresses),
            "IPv4Address": _with_prefix(one.addresses, 4, subnets),
            "IPv6Address": _with_prefix(one.addresses, 6, subnets),
        }
        for one in endpoints
        if one.kind in kinds
    }


def _with_prefix(
    addresses: Iterable[str], version: int, subnets: Iterable[IPv4Network | IPv6Network]
) -> str:
    """Return the address of a family as Docker does, with how much of it is its subnet's."""
    found = next((one for one in map(ip_address, addresses) if one.version == version), None)
    if found is None:
        return ""
    prefix = next((f"/{subnet.prefixlen}" for subnet in subnets if found in subnet), "")
    return f"{found}{prefix}"


def _warnings(node: c.NetworkEndpoint) -> list[View]:
    return [{"Type": one.type, "Reason": one.reason} for one in node.warnings]


def unheard(item: o.Network, endpoints: Iterable[c.NetworkEndpoint]) -> list[str]:
    """Return a line for each node of a network that does not hear others over what carries it."""
    return [
        f"network {item.spec.annotations.name}, node {node.name}: {one.reason}"
        for node in endpoints
        for one in node.warnings
    ]


def spec_networks(spec: s.TaskSpec) -> View:
    """Return the networks of a task's spec; nothing for one without."""
    if not spec.networks:
        return {}
    return {"Networks": [_attachment(one) for one in spec.networks]}


def _attachment(one: t.NetworkAttachment) -> View:
    view: View = {"Target": one.network_id or one.network_name, "Name": one.network_name}
    parts: Mapping[str, Any] = {
        "Aliases": list(one.aliases),
        "Addresses": [text for text in (one.ipv4_address, one.ipv6_address) if text],
        "DriverOpts": ordered(one.driver_options),
    }
    return view | {key: value for key, value in parts.items() if value}


def virtual(item: o.Service) -> View:
    """Return the virtual addresses of a service; nothing for one without."""
    if not item.virtual_addresses:
        return {}
    return {
        "VirtualIPs": [{"NetworkID": one.network_id, "Addr": _joined(one)} for one in item.virtual_addresses]
    }


def attachments(item: o.Task) -> View:
    """Return the addresses of a task; nothing for one without."""
    if not item.networks:
        return {}
    named = {one.network_id: one.network_name for one in item.spec.networks}
    return {
        "NetworksAttachments": [
            {
                "Network": {"ID": one.network_id, "Name": named.get(one.network_id, "")},
                "Addresses": list(one.addresses),
            }
            for one in item.networks
        ]
    }


def _joined(one: t.NetworkAddresses) -> str:
    return " ".join(one.addresses)
