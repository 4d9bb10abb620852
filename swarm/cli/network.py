"""`swarmctl network`: networks that span the nodes of the cluster."""

from collections.abc import Iterator
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Network
from swarm.api.v1.specs_pb2 import NetworkSpec, SubnetSpec
from swarm.cli import objects, parse
from swarm.cli.confirm import confirm
from swarm.cli.connect import connect
from swarm.cli.flags import FlagGroup
from swarm.cli.natural_order import natural
from swarm.cli.plain_networks import connect_command, disconnect_command
from swarm.cli.prune import HELP, Chosen, Listing, chosen
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, SwarmError

COLUMNS = (("NETWORK ID", "ShortID"), ("NAME", "Name"), ("DRIVER", "Driver"), ("SCOPE", "Scope"))
FULL = (("NETWORK ID", "ID"), *COLUMNS[1:])
FILTERS = ("id", "name", "label", "driver", "scope", "type", "dangling")
TYPES = ("custom", "builtin")


@click.group(cls=FlagGroup)
def network() -> None:
    """Networks that span the nodes of the cluster, and that services join."""


@network.command(
    epilog="\b\nExamples:\n"
    "  swarmctl network create shop\n"
    "  swarmctl network create --subnet 10.20.0.0/16 --ip-range 10.20.4.0/22 --gateway 10.20.0.254 shop\n"
    "  swarmctl network create --ipv6 --subnet fd00:20::/64 shop      # IPv4 from the cluster's pools\n"
    "  swarmctl network create --internal --attachable --label tier=db back\n"
    "  swarmctl network create -d macvlan -o parent=eth0 --subnet 192.0.2.0/24 lan"
)
@click.argument("name")
@click.option("-d", "--driver", default="overlay", show_default=True, help="overlay, bridge or macvlan.")
@click.option("-o", "--opt", "options", multiple=True, help="Option of the driver, KEY=VALUE.")
@click.option("--label", "labels", multiple=True, help="KEY=VALUE.")
@click.option("--attachable", is_flag=True, help="Also for containers of no service.")
@click.option("--internal", is_flag=True, help="Nothing outside can be reached from it.")
@click.option("--ingress", is_flag=True, help="What ports of services are published through.")
@click.option("--ipv4/--no-ipv4", default=True, help="Whether it has IPv4 addresses (default: yes).")
@click.option("--ipv6", is_flag=True, help="It has IPv6 addresses.")
@click.option("--subnet", "subnets", multiple=True, help="CIDR; default: from the cluster's address pools.")
@click.option("--ip-range", "ranges", multiple=True, help="CIDR inside the subnet: give out of this only.")
@click.option("--gateway", "gateways", multiple=True, help="Address inside the subnet (default: its first).")
@click.option("--aux-address", "reserved", multiple=True, help="NAME=ADDRESS that nobody is given.")
@click.option("--ipam-driver", type=click.Choice(["default"]), default="default", hidden=True)
@click.option("--scope", type=click.Choice(["swarm"]), default="swarm", hidden=True)
@click.pass_obj
def create(host: str, /, name: str, **given: Any) -> None:
    """Make a network."""
    from swarm.model.validate_network import validate_network

    spec = new_spec(name, given)
    validate_network(spec)
    with connect(host) as conn:
        click.echo(conn.control.CreateNetwork(c.CreateNetworkRequest(spec=spec)).network.id)


def new_spec(name: str, given: dict[str, Any]) -> NetworkSpec:
    """Return the spec that `network create` with these options asks for; raises InvalidArgument."""
    spec = NetworkSpec(driver=given["driver"], no_ipv4=not given["ipv4"], ipv6=given["ipv6"])
    spec.annotations.name = name
    spec.annotations.labels.update(parse.key_values(given["labels"], "--label"))
    spec.driver_options.update(parse.key_values(given["options"], "--opt"))
    for flag in ("attachable", "internal", "ingress"):
        setattr(spec, flag, given[flag])
    for text in given["subnets"]:
        spec.subnets.add(subnet=text)
    for text in given["ranges"]:
        subnet = _subnet_with(spec, text.partition("/")[0], f"--ip-range {text}")
        subnet.range = _once(subnet.range, text, "--ip-range")
    for text in given["gateways"]:
        subnet = _subnet_with(spec, text, f"--gateway {text}")
        subnet.gateway = _once(subnet.gateway, text, "--gateway")
    for text in given["reserved"]:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidArgument(f'--aux-address "{text}": write NAME=ADDRESS')
        reserved = _subnet_with(spec, value, f"--aux-address {text}").reserved
        reserved[key] = _once(reserved.get(key, ""), value, f"--aux-address {key}")
    return spec


def _once(before: str, text: str, option: str) -> str:
    if before:
        raise InvalidArgument(f"{option} {before} and {text}: give one of them")
    return text


def _subnet_with(spec: NetworkSpec, text: str, option: str) -> SubnetSpec:
    """Return the subnet that an address is in."""
    from swarm.model.ipam import parse_address, parse_block

    try:
        address = parse_address(text)
    except InvalidArgument as problem:
        raise InvalidArgument(f"{option}: {problem}") from problem
    for one in spec.subnets:
        if address in parse_block(one.subnet):
            return one
    raise InvalidArgument(f"{option} is in none of the subnets that are given (--subnet CIDR)")


@network.command(
    epilog="\b\nExamples:\n"
    "  swarmctl network ls\n"
    "  swarmctl network ls --filter driver=overlay --filter dangling=true -q\n"
    "  swarmctl network ls --format '{{.Name}} {{.Subnets}} {{.Services}}'"
)
@click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.option("--no-trunc", is_flag=True, help="Print whole ids.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
@click.pass_obj
def ls(host: str, filters: tuple[str, ...], layout: str, *, no_trunc: bool, quiet: bool) -> None:
    """List the networks of the cluster."""
    from swarm.cli.docker_settings import layout_of
    from swarm.cli.network_view import row
    from swarm.cli.render import show

    found = parse.filters(filters, FILTERS)
    _check_filters(found)
    with connect(host) as conn:
        answer = conn.control.ListNetworks(c.ListNetworksRequest(filters=_asked(found)))
    inside = answer.containers or [0] * len(answer.networks)
    each = zip(answer.networks, answer.users, inside, strict=True)
    rows = [row(item, users, containers) for item, users, containers in each]
    rows = sorted((one for one in rows if _selected(one, found)), key=lambda one: natural(one["Name"]))
    columns = FULL if no_trunc else COLUMNS
    id_key = columns[0][1]
    raw = (("network_id", id_key), ("name", "Name"), ("driver", "Driver"), ("scope", "Scope"))
    show(rows, columns, layout_of("networksFormat", layout, quiet=quiet), id_key if quiet else "", raw)


def users_of(answer: c.ListNetworksResponse) -> list[int]:
    """Return how many services and containers are in each network of an answer."""
    inside = answer.containers or [0] * len(answer.networks)
    return [sum(pair) for pair in zip(answer.users, inside, strict=True)]


def _asked(found: dict[str, list[str]]) -> c.Filters:
    return c.Filters(
        id_prefixes=found.get("id", []),
        labels=found.get("label", []),
    )


def _check_filters(found: dict[str, list[str]]) -> None:
    for value in found.get("dangling", ()):
        parse.truth("dangling", value)
    for value in found.get("type", ()):
        if value not in TYPES:
            raise InvalidArgument(f"--filter type={value}: write {' or '.join(TYPES)}")


def _selected(row: dict[str, str], found: dict[str, list[str]]) -> bool:
    """Whether a row passes the filters that managers do not know."""
    unused = row["Services"] == row["Containers"] == "0"
    return (
        any(name in row["Name"] for name in found.get("name", [""]))
        and row["Driver"] in found.get("driver", [row["Driver"]])
        and row["Scope"] in found.get("scope", [row["Scope"]])
        and "custom" in found.get("type", ["custom"])
        and all(parse.truth("dangling", value) == unused for value in found.get("dangling", ()))
    )


@network.command(
    epilog="\b\nExamples:\n  swarmctl network inspect shop\n"
    "  swarmctl network inspect -v shop      # every service, task and node in it\n"
    "  swarmctl network inspect --format '{{.Driver}} {{.VxlanID}}' shop"
)
@click.argument("refs", metavar="NETWORK...", nargs=-1, required=True)
@click.option("-f", "--format", "layout", default="", help="json, yaml or TEMPLATE.")
@click.option("-v", "--verbose", is_flag=True, help="With services, tasks and nodes that are in it.")
@click.pass_context
def inspect(ctx: click.Context, refs: tuple[str, ...], layout: str, *, verbose: bool) -> None:
    """Show everything known of networks."""
    from swarm.cli.network_view import network as shown
    from swarm.cli.network_view import unheard

    with connect(ctx.obj) as conn:

        def get(ref: str) -> dict[str, Any]:
            answer = conn.control.GetNetwork(c.GetNetworkRequest(ref=ref, verbose=True))
            for line in unheard(answer.network, answer.endpoints) if verbose else ():
                click.echo(f"Warning: {line}", err=True)
            return shown(answer.network, answer.endpoints, verbose=verbose)

        ctx.exit(objects.inspect(refs, get, layout))


@network.command(epilog="\b\nExample:\n  swarmctl network rm shop back")
@click.argument("refs", metavar="NETWORK...", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="One that does not exist is no error.")
@click.pass_context
def rm(ctx: click.Context, refs: tuple[str, ...], *, force: bool) -> None:
    """Remove networks that no service uses."""
    with connect(ctx.obj) as conn:

        def act(ref: str) -> str | None:
            try:
                conn.control.RemoveNetwork(c.RemoveNetworkRequest(ref=ref))
            except NotFound:
                if not force:
                    raise
                return None
            return ref

        ctx.exit(objects.each(refs, act))


@network.command(
    epilog="\b\nExamples:\n  swarmctl network prune\n  swarmctl network prune --force --filter until=24h"
)
@click.option("--filter", "filters", multiple=True, help=HELP)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_context
def prune(ctx: click.Context, filters: tuple[str, ...], *, force: bool) -> None:
    """Remove all networks that no service and no container uses."""
    wanted = chosen(filters)
    if not force:
        confirm("This removes all networks that no service and no container uses.")
    failed = False
    with connect(ctx.obj) as conn:
        answer = conn.control.ListNetworks(c.ListNetworksRequest())
        gone = Listing("Deleted Networks:")
        for item in _unused(answer, wanted):
            name = item.spec.annotations.name
            try:
                conn.control.RemoveNetwork(c.RemoveNetworkRequest(ref=item.id))
            except (FailedPrecondition, NotFound):
                continue  # somebody was quicker
            except SwarmError as problem:
                click.echo(f"Error: network {name}: {problem}", err=True)
                failed = True
            else:
                gone.tell(name)
    gone.end()
    ctx.exit(1 if failed else 0)


def _unused(answer: c.ListNetworksResponse, wanted: Chosen) -> Iterator[Network]:
    from swarm.clock import nanoseconds

    for item, users in zip(answer.networks, users_of(answer), strict=True):
        old = not wanted.before_ns or nanoseconds(item.meta.created_at) < wanted.before_ns
        fits = old and wanted.has_labels(item.spec.annotations.labels)
        if fits and not users and not item.spec.ingress:
            yield item


network.add_command(connect_command)
network.add_command(disconnect_command)
