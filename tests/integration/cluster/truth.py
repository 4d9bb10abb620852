"""What the store says of a network, and where nodes differ: names, balancing and routes, entry by entry."""

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode

from swarm.agent.network import namespaces, nft
from swarm.agent.overlay import balancing, kernel
from swarm.dev.cluster import DevCluster
from swarm.dev.plan import Node
from tests.integration.operator import Operator

SERVER = "169.254.1.1"
_VIRTUAL = re.compile(r"(\d[\d.]+) : goto (s_\w+)")
_CHAIN = re.compile(r"chain (s_\w+) \{(.*?)\n\t\}", re.DOTALL)
_LED_TO = re.compile(r"(?:dnat ip to|:) (\d[\d.]+)")

Answers = Mapping[str, frozenset[str]]


@dataclass
class Truth:
    """One network by the word of the managers."""

    network_id: str
    names: dict[str, frozenset[str]] = field(default_factory=dict)
    balanced: dict[str, frozenset[str]] = field(default_factory=dict)  # virtual address → serving tasks
    places: dict[str, str] = field(default_factory=dict)  # address of a task that lives → its node


def told_by(operator: Operator, network: str) -> Truth:
    """Ask the managers."""
    (view,) = json.loads(operator("network", "inspect", "-v", network))
    hostnames = {row["ID"]: row["Hostname"] for row in operator.rows("node", "ls")}
    truth, services = Truth(view["Id"]), view["Services"]
    serving = _serving(operator, list(services)) if services else set()
    for service, found in services.items():
        tasks = {one["Name"]: one["EndpointIP"] for one in found["Tasks"] if one["TaskID"] in serving}
        everybody, virtual = frozenset(tasks.values()), found.get("VIP")
        truth.names |= {name: frozenset({address}) for name, address in tasks.items()}
        truth.names[f"tasks.{service}"] = everybody
        truth.names[service] = frozenset({virtual}) if virtual else everybody
        if virtual and everybody:
            truth.balanced[virtual] = everybody
        # A task that waits for a node has an address, and is nowhere.
        truth.places |= {
            one["EndpointIP"]: hostnames[one["NodeID"]]
            for one in found["Tasks"]
            if one["NodeID"] in hostnames
        }
    return truth


def _serving(operator: Operator, services: list[str]) -> set[str]:
    rows = operator.rows("service", "ps", *services, "--no-trunc", "--filter", "desired-state=running")
    return {row["ID"] for row in rows if row["CurrentState"].startswith("Running")}


def differences(cluster: DevCluster, truth: Truth) -> list[str]:
    """Return a line for every entry of any node that is not what the managers say."""
    return [line for node in cluster.plan.nodes for line in _of_node(node, truth)]


def _of_node(node: Node, truth: Truth) -> Iterator[str]:
    router = node.run / "overlays" / truth.network_id
    if not namespaces.is_namespace(router):
        yield f"{node.name} has no router"
        return
    led = balanced_at(router)
    for virtual in led.keys() | truth.balanced.keys():
        if led.get(virtual, frozenset()) != truth.balanced.get(virtual, frozenset()):
            yield f"{node.name} leads {virtual} to {led.get(virtual)}, not to {truth.balanced.get(virtual)}"
    routes = {str(task) for task in kernel.read(router).routes}
    elsewhere = {address for address, where in truth.places.items() if where != node.name}
    for address in routes ^ elsewhere:
        yield f"{node.name} has {'a' if address in routes else 'no'} route to {address}"
    local = {str(address) for address in kernel.connected(router)}
    here = truth.places.keys() - elsewhere
    for address in local ^ here:
        yield f"{node.name} has {'a' if address in local else 'no'} task with {address}"
    if not (asking := one_of(node)):
        yield f"{node.name} has nobody to ask for names"
        return
    for name, wanted in truth.names.items():
        if (heard := addresses_of(asking, name)) != wanted:
            yield f"{node.name} hears {heard} for {name}, not {wanted}"


def balanced_at(router: Path) -> Answers:
    """Return where the rules of this router lead virtual addresses."""
    with namespaces.entered(router):
        text = nft.run(balancing.listing())
    chains = {name: frozenset(_LED_TO.findall(body)) for name, body in _CHAIN.findall(text)}
    return {virtual: led for virtual, chain in _VIRTUAL.findall(text) if (led := chains.get(chain))}


def named_at(router: Path) -> set[str]:
    """Return every address that the rules of this router name."""
    with namespaces.entered(router):
        return set(re.findall(r"\d+(?:\.\d+){3}", nft.run("list ruleset")))


def one_of(node: Node) -> Path | None:
    """Return the namespace of some task of a node."""
    folder = node.run / "netns"
    found = [path for path in folder.glob("*") if path.name != "router" and namespaces.is_namespace(path)]
    return random.choice(found) if found else None


def addresses_of(netns: Path, name: str, timeout_s: float = 2.0, kind: str = "A") -> frozenset[str] | None:
    """Return what a task is answered; None when it should ask again, or its namespace goes just now."""
    try:
        with namespaces.entered(netns):
            answer = dns.query.udp(dns.message.make_query(name, kind), SERVER, timeout=timeout_s)
    except (OSError, dns.exception.DNSException):
        return None
    if answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        return None
    return frozenset(str(item) for records in answer.answer for item in records)
