"""Is the spec of a network valid, are the pools of a cluster, and what a service says of its networks?"""

import re
from collections.abc import Iterator
from itertools import islice

from swarm.api.v1.specs_pb2 import ClusterSpec, NetworkSpec, ServiceSpec, SubnetSpec
from swarm.api.v1.types_pb2 import EndpointSpec, NetworkAttachment, PortConfig, UpdateConfig
from swarm.errors import InvalidArgument
from swarm.model import defaults, limits
from swarm.model.hardware_addresses import parse_mac
from swarm.model.ipam import (
    FEWEST_ADDRESSES,
    FEWEST_IN_RANGE,
    IPV6_SUBNET_LENGTH,
    SUBNET_LENGTH,
    Address,
    Block,
    addresses_of,
    overlap,
    parse_address,
    parse_block,
    usable,
)
from swarm.model.job import job_of, runs_everywhere
from swarm.model.network_support import ENCRYPTED
from swarm.model.networks import (
    DRIVERS,
    MACVLAN,
    MACVLAN_MODE,
    MTU_OPTIONS,
    OPTIONS,
    OVERLAY,
    PARENT,
    PREDEFINED,
    driver_of,
)
from swarm.model.sizes import labels_problems
from swarm.model.validate_container import negative
from swarm.timestamps import SECOND

LONGEST_SUBNET = 29  # of IPv4
DATA_PATH_PORTS = range(1024, 49152)
MTU_MIN = {4: 576, 6: 1280}  # what every host must be able to take
MTU_MAX = 65535
MACVLAN_MODES = ("bridge", "private", "vepa", "passthru")
_INTERFACE = re.compile(r"[A-Za-z0-9_.:-]{1,15}")
SHORTEST_KEY_PERIOD_NS = 600 * SECOND
# This network, loopback, link local (also of our own routers), multicast, broadcast; IPv4 within IPv6.
_SET_APART = tuple(
    parse_block(text)
    for text in (
        *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"),
        *("::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8"),
    )
)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")


def validate_network(spec: NetworkSpec) -> None:
    """Raise InvalidArgument with every problem of the spec of a network."""
    found = list(_problems(spec))
    if found:
        raise InvalidArgument("invalid network: " + "; ".join(found))


def _problems(spec: NetworkSpec) -> Iterator[str]:
    name = spec.annotations.name
    yield from _name_problems(name)
    if name in PREDEFINED:
        yield f"the name {name} is that of a network that every node has"
    yield from labels_problems(spec.annotations.labels)
    driver = driver_of(spec)
    if driver in PREDEFINED and driver not in DRIVERS:
        yield f"every node has one network of driver {driver}, called {driver}, and there can be no other"
    elif driver not in DRIVERS:
        yield f'there is no network driver "{limits.shown(driver)}" (known: {", ".join(DRIVERS)})'
    if driver != OVERLAY:
        for what, given in (("attachable", spec.attachable), ("ingress", spec.ingress)):
            if given:
                yield f"a network of driver {driver} cannot be {what}: only an overlay can"
    if driver == MACVLAN:
        yield from _lan_problems(spec)
    for what, given in (("attachable", spec.attachable), ("internal", spec.internal)):
        if spec.ingress and given:
            yield f"the ingress network cannot be {what}: ports are all that it is for"
    if spec.ingress and spec.no_ipv4:
        yield "the ingress network needs addresses of IPv4: its clients come from there"
    yield from _option_problems(spec)
    yield from _family_problems(spec)


def _lan_problems(spec: NetworkSpec) -> Iterator[str]:
    parent = spec.driver_options.get(PARENT, "")
    if not _INTERFACE.fullmatch(parent):
        yield (
            f'"{limits.shown(parent)}" is no interface of a node that leads to the LAN: '
            "give its name (--opt parent=eth1; eth1.10 for VLAN 10)"
        )
    _, dot, number = parent.rpartition(".")
    if dot and number.isdecimal() and not 1 <= int(number) <= 4094:
        yield f"VLAN {number} of parent {parent} is not between 1 and 4094"
    mode = spec.driver_options.get(MACVLAN_MODE, "bridge")
    if mode not in MACVLAN_MODES:
        yield f'"{limits.shown(mode)}" is not a mode of macvlan ({", ".join(MACVLAN_MODES)})'


def _name_problems(name: str) -> Iterator[str]:
    yield from limits.NAME_CHARACTERS.exceeded(f"the name {limits.shown(name)}", len(name))
    if not _NAME.fullmatch(name):
        yield (
            f'the name "{limits.shown(name)}" is not 1 to {limits.NAME_CHARACTERS.value} letters, digits, '
            '"-", "_" and "." that begin and end with a letter or digit'
        )


def _option_problems(spec: NetworkSpec) -> Iterator[str]:
    yield from limits.NETWORK_OPTIONS.exceeded("the options of the driver", len(spec.driver_options))
    for key, value in spec.driver_options.items():
        yield from limits.LABEL_KEY_BYTES.exceeded(f"option {limits.shown(key)}", len(key.encode()))
        yield from limits.TEXT_BYTES.exceeded(
            f"the value of option {limits.shown(key)}", len(value.encode())
        )
    yield from _unknown_options(spec)
    if driver_of(spec) == OVERLAY:
        yield from _overlay_option_problems(spec)


def _unknown_options(spec: NetworkSpec) -> Iterator[str]:
    """Yield the options that mean nothing; those with a dot are other programs', e.g. Docker's."""
    driver = driver_of(spec)
    known = OPTIONS.get(driver)
    for key in spec.driver_options if known is not None else ():
        if known is not None and key not in known and "." not in key:
            listed = f"it has {', '.join(known)}" if known else "it has none"
            yield f"a network of driver {driver} has no option {limits.shown(key)}: {listed}"


def _overlay_option_problems(spec: NetworkSpec) -> Iterator[str]:
    encrypted = spec.driver_options.get(ENCRYPTED, "")
    if encrypted.lower() not in ("", "true", "1"):
        yield (
            f'option encrypted is "{limits.shown(encrypted)}": it needs no value, '
            "and a network without it is not encrypted"
        )
    fewest = MTU_MIN[6 if spec.ipv6 else 4]
    for key in MTU_OPTIONS:
        text = spec.driver_options.get(key, "0")
        number = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MTU_MAX)) else -1
        if number and not fewest <= number <= MTU_MAX:
            yield (
                f'option {key} is "{limits.shown(text)}": its packets have {fewest} to {MTU_MAX} bytes; '
                "0: as large as the path between nodes takes"
            )


def _family_problems(spec: NetworkSpec) -> Iterator[str]:
    if spec.no_ipv4 and not spec.ipv6:
        yield "it has neither IPv4 nor IPv6"
    versions: list[int] = []
    for one in spec.subnets:
        block = None
        if one.subnet:
            try:
                block = parse_block(one.subnet)
            except InvalidArgument as problem:
                yield str(problem)
                continue
        version = block.version if block is not None else 4
        if version in versions:
            yield f"two subnets of IPv{version}: a network has one of each family"
        versions.append(version)
        if version == 4 and spec.no_ipv4:
            yield "it has a subnet of IPv4, and no IPv4"
        if version != 4 and not spec.ipv6:
            yield f"subnet {one.subnet}: a network with IPv6 has to say so (--ipv6)"
        found = list(_subnet_problems(one, block))
        yield from found or (_narrow_range(one, block) if driver_of(spec) == OVERLAY else ())


def _subnet_problems(spec: SubnetSpec, block: Block | None) -> Iterator[str]:
    yield from limits.RESERVED_ADDRESSES.exceeded("the subnet", len(spec.reserved))
    if block is None:
        if spec.range or spec.gateway or spec.reserved:
            yield "range, gateway and reserved addresses need a subnet that they are in (--subnet)"
        return
    if block.num_addresses < FEWEST_ADDRESSES:
        yield f"subnet {block} has {block.num_addresses} addresses; at least {FEWEST_ADDRESSES} are needed"
    if any(overlap(block, other) for other in _SET_APART):
        yield f"subnet {block} is set apart for other uses"
    if spec.range:
        yield from _range_problems(spec.range, block)
    addresses = [("gateway", spec.gateway)] if spec.gateway else []
    addresses += [(f"reserved address {name}", text) for name, text in spec.reserved.items()]
    taken: dict[Address, str] = {}
    for what, text in addresses:
        try:
            address = parse_address(text)
        except InvalidArgument as problem:
            yield f"{what}: {problem}"
            continue
        if address not in block:
            yield f"{what} {address} is not in subnet {block}"
        elif address == block[0] or (block.version == 4 and address == block[-1]):
            yield f"{what} {address} stands for all of subnet {block}"
        if address in taken:
            yield f"{what} {address} is {taken[address]} as well"
        taken[address] = what


def _range_problems(text: str, block: Block) -> Iterator[str]:
    try:
        part = parse_block(text)
    except InvalidArgument as problem:
        yield f"the range {problem}"
        return
    if not (overlap(part, block) and part.prefixlen >= block.prefixlen):
        yield f"the range {part} is not in subnet {block}"


def _narrow_range(spec: SubnetSpec, block: Block | None) -> Iterator[str]:
    """Of an overlay each node that runs a task has an address, too; both come out of the range."""
    if block is None or not spec.range:
        return
    part, gateway = parse_block(spec.range), parse_address(spec.gateway) if spec.gateway else block[1]
    free = addresses_of(usable(block, part, (gateway, *map(parse_address, spec.reserved.values()))))
    left = len(list(islice(free, FEWEST_IN_RANGE)))
    if left < FEWEST_IN_RANGE:
        yield (
            f"the range {part} leaves {left} addresses to give out; at least {FEWEST_IN_RANGE} are needed: "
            "for a task, and for the node that runs it"
        )


def pool_problems(spec: ClusterSpec) -> Iterator[str]:
    """Yield every problem of what a cluster's spec says of networks."""
    yield from limits.ADDRESS_POOLS.exceeded("the cluster", len(spec.default_address_pools))
    length = spec.subnet_length or SUBNET_LENGTH
    if not 8 <= length <= LONGEST_SUBNET:
        yield f"the prefix length of subnets is {length}; it has to be between 8 and {LONGEST_SUBNET}"
    blocks: list[Block] = []
    for text in spec.default_address_pools:
        try:
            block = parse_block(text)
        except InvalidArgument as problem:
            yield f"address pool {problem}"
            continue
        longest = length if block.version == 4 else IPV6_SUBNET_LENGTH
        if block.prefixlen > longest:
            yield f"address pool {block} is smaller than one subnet of it (/{longest})"
        yield from (f"address pools {one} and {block} overlap" for one in blocks if overlap(one, block))
        blocks.append(block)
    if spec.HasField("data_path_port") and spec.data_path_port not in DATA_PATH_PORTS:
        yield f"the data path port {spec.data_path_port} is not between 1024 and 49151"
    yield from _encryption_problems(spec)


def _encryption_problems(spec: ClusterSpec) -> Iterator[str]:
    if spec.HasField("tunnel_port"):
        if spec.tunnel_port not in DATA_PATH_PORTS:
            yield f"the port of encrypted networks {spec.tunnel_port} is not between 1024 and 49151"
        if spec.tunnel_port == (spec.data_path_port or defaults.DATA_PATH_PORT):
            yield f"the port of encrypted networks {spec.tunnel_port} is the data path port too"
    if defaults.overlay_key_period_ns(spec) < SHORTEST_KEY_PERIOD_NS:
        yield "the key of encrypted networks lasts 10m at least: nodes need 3m to change it"


def attachment_problems(spec: ServiceSpec) -> Iterator[str]:
    """Yield every problem of what a service says of its networks."""
    attachments = spec.task.networks
    yield from limits.ATTACHMENTS.exceeded("the service", len(attachments))
    if spec.endpoint.mode not in EndpointSpec.Mode.values():
        yield f"{spec.endpoint.mode} is not an endpoint mode (vip, dnsrr)"
    if spec.endpoint.affinity not in EndpointSpec.Affinity.values():
        yield f"{spec.endpoint.affinity} is not an endpoint affinity (none, client-ip)"
    yield from negative(("the endpoint drain", spec.endpoint.drain_ns))
    if spec.endpoint.mode == EndpointSpec.MODE_DNSRR and spec.endpoint.affinity:
        yield "endpoint mode dnsrr has no address that clients could have an affinity through"
    if spec.endpoint.mode == EndpointSpec.MODE_DNSRR and any(
        port.publish_mode == PortConfig.PUBLISH_MODE_INGRESS for port in spec.endpoint.ports
    ):
        yield "endpoint mode dnsrr has no address that ports could be published through: publish mode=host"
    seen: set[str] = set()
    for one in attachments:
        what = f"network {limits.shown(one.network_name or one.network_id)}"
        if not one.network_id and not one.network_name:
            yield "one of its networks has no name"
        for key in {one.network_id, one.network_name} - {""}:
            if key in seen:
                yield f"{what} is named twice"
                break
        seen |= {one.network_id, one.network_name} - {""}
        yield from _attachment_problems(one, what)
        if one.ipv4_address or one.ipv6_address:
            yield from (f"{what}: {problem}" for problem in _static_problems(spec))


def mac_problems(spec: ServiceSpec) -> Iterator[str]:
    """Yield why tasks of a service have no hardware address of their own choice."""
    for one in spec.task.networks:
        if one.mac_address:
            yield (
                f"network {limits.shown(one.network_name or one.network_id)}: mac-address= is for one "
                "container, and a service may have several: run it by hand (swarmctl run --mac-address)"
            )


def _attachment_problems(one: NetworkAttachment, what: str) -> Iterator[str]:
    yield from limits.ALIASES.exceeded(what, len(one.aliases))
    for alias in one.aliases:
        yield from (f"an alias in {what}: {problem}" for problem in _name_problems(alias))
    yield from limits.NETWORK_OPTIONS.exceeded(f"the options of {what}", len(one.driver_options))
    if one.mac_address:
        try:
            parse_mac(one.mac_address)
        except InvalidArgument as problem:
            yield f"{what}: {problem}"
    for version, text in ((4, one.ipv4_address), (6, one.ipv6_address)):
        if not text:
            continue
        try:
            if parse_address(text).version != version:
                yield f"{what}: {text} is not an address of IPv{version}"
        except InvalidArgument as problem:
            yield f"{what}: {problem}"


def _static_problems(spec: ServiceSpec) -> Iterator[str]:
    """Yield why tasks of a service cannot have one address, one after the other."""
    job = job_of(spec)
    if runs_everywhere(spec):
        yield "an address of its own (ip=…) is for one task at a time; this service has one a node"
    elif (job.max_concurrent if job else spec.replicated.replicas or 1) > 1 or spec.HasField("autoscale"):
        yield "an address of its own (ip=…) is for one task at a time, and this service has several"
    if spec.update.order == UpdateConfig.ORDER_START_FIRST:
        yield "an address of its own (ip=…) is free only once the task before has stopped: update stop-first"
