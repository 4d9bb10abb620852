"""Networks of containers of no service: options of `run`, `network connect` and `network disconnect`."""

from collections.abc import Sequence
from typing import Any

import click

from swarm.api.v1.containers_pb2 import ContainerRequest
from swarm.api.v1.plain_pb2 import ConnectNetwork, DisconnectNetwork, PlainSpec
from swarm.api.v1.types_pb2 import NetworkAttachment
from swarm.cli.flags import FlagCommand
from swarm.cli.network_options import attachment
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound
from swarm.model.hardware_addresses import parse_mac

NODES_OWN = ("", "bridge", "default", "host", "none")


def put_networks(spec: PlainSpec, given: dict[str, Any]) -> None:
    """Write into `spec` what --network, --mac-address and the like say; raises InvalidArgument."""
    for text in given["network"]:
        if text.startswith("container:"):
            raise InvalidArgument(
                f"--network {text}: containers do not share the network of another one: have both in one "
                "network (swarmctl network create --attachable NAME), where they find each other by name"
            )
    asked = [attachment(text) for text in given["network"] if text]
    own = [one for one in asked if one.network_name in NODES_OWN]
    _put_mac(spec, asked, given["mac_address"])
    more = [*given["network_alias"], given["ip"], given["ip6"]]
    if own and len(asked) == 1:
        spec.network = own[0].network_name
        if own[0] != NetworkAttachment(network_name=spec.network) or any(more):
            raise InvalidArgument(
                f"--network {spec.network} has no names and no addresses that could be chosen: "
                "take a network of the cluster (swarmctl network create --attachable NAME)"
            )
        return
    for one in own:
        if one.network_name != "bridge":
            raise InvalidArgument(f"--network {one.network_name} is all that a container with it has")
    spec.networks.extend(asked)
    if not any(more):
        return
    if len(asked) != 1:
        raise InvalidArgument(
            "--network-alias, --ip and --ip6 are about one --network: with several write them there, e.g. "
            "--network NAME,alias=db,ip=10.0.0.7"
            if asked
            else "--network-alias, --ip and --ip6 need a --network"
        )
    _put(spec.networks[0], given["network_alias"], given["ip"], given["ip6"])


def _put_mac(spec: PlainSpec, asked: Sequence[NetworkAttachment], given: str) -> None:
    """Write --mac-address into its only network, and move what is said of that of the node into `spec`."""
    if given and len(asked) > 1:
        raise InvalidArgument(
            "--mac-address is about one --network: with several write it there, e.g. "
            "--network NAME,mac-address=02:42:ac:11:00:02"
        )
    mac = parse_mac(given) if given else ""
    for one in asked:
        if mac and one.mac_address not in ("", mac):
            raise InvalidArgument(
                f"--mac-address {mac} and mac-address={one.mac_address} contradict each other"
            )
        one.mac_address = mac or one.mac_address
        if one.network_name in NODES_OWN:
            spec.mac_address = one.mac_address
            one.ClearField("mac_address")
    if not asked:
        spec.mac_address = mac


def _put(one: NetworkAttachment, aliases: tuple[str, ...], ip: str, ip6: str) -> None:
    one.aliases.extend(aliases)
    one.ipv4_address = ip or one.ipv4_address
    one.ipv6_address = ip6 or one.ipv6_address


@click.command(
    "connect",
    cls=FlagCommand,
    epilog="\b\nExamples:\n"
    "  swarmctl network connect shop db\n"
    "  swarmctl network connect --alias cache --ip 10.20.0.9 shop db\n\n"
    "A container that runs gets an interface at once; one that does not has it when it starts.",
)
@click.argument("network", metavar="NETWORK")
@click.argument("container", metavar="CONTAINER")
@click.option("--alias", "aliases", multiple=True, help="One more name for the container there.")
@click.option("--ip", default="", help="Its address there, of IPv4.")
@click.option("--ip6", default="", help="Its address there, of IPv6.")
@click.option("--mac-address", default="", help="Hardware address of its interface there.")
@click.option("--driver-opt", "options", multiple=True, help="KEY=VALUE.")
@click.pass_obj
def connect_command(host: str, /, network: str, container: str, **given: Any) -> None:
    """Bring a container of no service into one more network."""
    wanted = attachment(",".join((f"name={network}", *(f"driver-opt={one}" for one in given["options"]))))
    _put(wanted, given["aliases"], given["ip"], given["ip6"])
    wanted.mac_address = parse_mac(given["mac_address"]) if given["mac_address"] else ""
    _ask(host, container, ContainerRequest(connect=ConnectNetwork(network=wanted)), "--network-add", network)


@click.command(
    "disconnect",
    epilog="\b\nExamples:\n  swarmctl network disconnect shop db\n\n"
    "Its address there is free then. In no other network it is in that of its node (bridge).",
)
@click.argument("network", metavar="NETWORK")
@click.argument("container", metavar="CONTAINER")
@click.option("-f", "--force", is_flag=True, help="No error if it is not in the network.")
@click.pass_obj
def disconnect_command(host: str, /, network: str, container: str, *, force: bool) -> None:
    """Take a container of no service out of a network."""
    request = ContainerRequest(disconnect=DisconnectNetwork(network=network))
    try:
        _ask(host, container, request, "--network-rm", network)
    except NotFound as problem:
        if not (force and "is not in network" in str(problem)):
            raise


def _ask(host: str, container: str, request: ContainerRequest, option: str, network: str) -> None:
    from swarm.cli.connect import connect
    from swarm.cli.container_calls import ask_one, find_container

    with connect(host) as conn:
        target = find_container(conn, container)
        if not target.plain:
            raise FailedPrecondition(
                f"{container} is the container of a task, whose networks are those of its service: "
                f"swarmctl service update {option} {network} SERVICE"
            )
        ask_one(conn, target, request)
