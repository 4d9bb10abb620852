"""Options by which a service joins networks."""

from typing import Any

import click

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import NetworkAttachment
from swarm.cli import names
from swarm.cli.not_there import tell_not_there
from swarm.errors import InvalidArgument
from swarm.model.hardware_addresses import parse_mac
from swarm.model.units import parse_duration

Given = dict[str, Any]

LISTS = (
    (
        "--network",
        "Join a network: NAME, or name=NAME,alias=A,ip=ADDRESS,ip6=ADDRESS,driver-opt=KEY=VALUE.",
    ),
)
REMOVES = (("--network-rm", "Network to leave, by name or id."),)
ENDPOINT_MODE = click.option(
    "--endpoint-mode",
    type=click.Choice(list(names.ENDPOINT_MODE)),
    help="What the name of the service is in its networks: one address (vip, the default), or its tasks'.",
)
ENDPOINT_AFFINITY = click.option(
    "--endpoint-affinity",
    type=click.Choice(list(names.ENDPOINT_AFFINITY)),
    help="client-ip: a client that asks the virtual address again meets the same task (default none).",
)
ENDPOINT_DRAIN = click.option(
    "--endpoint-drain",
    metavar="DURATION",
    help="How long a task that is to stop still serves while others stop asking it (default 1s).",
)
ENDPOINT_SNAT = click.option(
    "--endpoint-snat/--no-endpoint-snat",
    default=None,
    help="Tasks see the node that a client of a port of all nodes came to, not the client.",
)
FIELDS = ("name", "alias", "ip", "ip6", "mac-address", "driver-opt")


def add_networks(spec: ServiceSpec, given: Given, suffix: str) -> None:
    """Add what `--network` gave; with suffix `_add`, in place of what is said of the same network."""
    for text in given[f"network{suffix}"]:
        new = attachment(text)
        if suffix:
            _keep(spec, lambda old, name=new.network_name: name not in (old.network_name, old.network_id))
        spec.task.networks.append(new)


def remove_networks(spec: ServiceSpec, given: Given) -> None:
    """Remove what `--network-rm` named; what is not there is told."""
    for name in given["network_rm"]:
        if not any(name in (one.network_name, one.network_id) for one in spec.task.networks):
            tell_not_there("--network-rm", name, "network")
            continue
        _keep(spec, lambda old, name=name: name not in (old.network_name, old.network_id))


def apply_endpoint_mode(spec: ServiceSpec, given: Given) -> None:
    """Write what `--endpoint-…` options said into `spec`."""
    if given.get("endpoint_drain") is not None:
        spec.endpoint.drain_ns = parse_duration(given["endpoint_drain"])
    if given.get("endpoint_affinity") is not None:
        spec.endpoint.affinity = names.ENDPOINT_AFFINITY[given["endpoint_affinity"]]
    if given.get("endpoint_snat") is not None:
        spec.endpoint.snat = given["endpoint_snat"]
    if given.get("endpoint_mode") is not None:
        spec.endpoint.mode = names.ENDPOINT_MODE[given["endpoint_mode"]]


def attachment(text: str) -> NetworkAttachment:
    """Return what a value of --network means: its name first, or wherever `name=` stands."""
    found = NetworkAttachment()
    for place, part in enumerate(text.split(",")):
        key, equals, value = part.partition("=")
        if not equals and place == 0:
            found.network_name = part
            continue
        if key not in FIELDS or not value:
            raise InvalidArgument(
                f'--network "{text}": "{part}" is none of NAME, {", ".join(f"{one}=…" for one in FIELDS)}'
            )
        _put(found, key, value)
    if not found.network_name:
        raise InvalidArgument(f'--network "{text}": name=NAME is missing')
    return found


def _put(found: NetworkAttachment, key: str, value: str) -> None:
    if key == "alias":
        found.aliases.append(value)
    elif key == "driver-opt":
        option, _, setting = value.partition("=")
        found.driver_options[option] = setting
    elif key == "mac-address":
        found.mac_address = parse_mac(value)
    else:
        setattr(found, {"name": "network_name", "ip": "ipv4_address", "ip6": "ipv6_address"}[key], value)


def _keep(spec: ServiceSpec, wanted: Any) -> None:
    kept = [old for old in spec.task.networks if wanted(old)]
    del spec.task.networks[:]
    spec.task.networks.extend(kept)
