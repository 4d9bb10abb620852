"""What is answered to whom? Pure: the tables of a name server, and the look into them.

What stands in them was worked out by the agent (`zones.py`): a zone for each network, a client for each
task of this node. Here is only what makes one answer of several zones.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

from swarm.agent.resolver import message
from swarm.agent.resolver.message import (
    AAAA,
    ANY,
    NO_ERROR,
    NO_SUCH_NAME,
    PTR,
    SERVER_FAILURE,
    SRV,
    A,
    Question,
    address_record,
    encode_name,
    pointer_record,
    port_record,
)

Json: TypeAlias = Any
Shuffle: TypeAlias = Callable[[Sequence[bytes]], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Records:
    """What a name has, ready to be sent. Without any, the name is ours and has nothing at the moment."""

    by_kind: Mapping[int, tuple[bytes, ...]]
    ports: tuple[tuple[int, str], ...] = ()

    def __bool__(self) -> bool:
        """Whether the name has anything."""
        return bool(self.by_kind)


_OURS = Records({})


@dataclass(slots=True)
class Zone:
    """The names of one network."""

    suffix: str = ""  # a dot and the network's name
    subnets: tuple[IPv4Network | IPv6Network, ...] = ()
    internal: bool = False
    said: dict[str, Json] = field(default_factory=dict)  # of each name, by the agent
    ready: dict[str, Records] = field(default_factory=dict)  # of those that were asked for

    def get(self, name: str) -> Records | None:
        """Return what a name has; None: it is not one of this network."""
        found = self.ready.get(name)
        if found is None and (said := self.said.get(name)) is not None:
            found = self.ready[name] = read_records(*said)
        return found

    def withdraw(self, names: Mapping[str, Json]) -> None:
        """Say no more of any name than these say of it."""
        for name, said in list(self.said.items()):
            self.ready.pop(name, None)
            if name in names:
                pairs = zip(said, names[name], strict=True)  # addresses, pointers, ports
                self.said[name] = [[one for one in old if one in new] for old, new in pairs]
            else:
                del self.said[name]


@dataclass(frozen=True, slots=True)
class Asker:
    """A task of this node."""

    task_id: str
    network_ids: tuple[str, ...]
    own: Mapping[str, Records]
    nameservers: tuple[str, ...]
    netns_path: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say at once."""

    code: int
    records: Sequence[bytes] = ()
    more: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """Somebody else is to be asked: the task's own servers from inside of it, or (None) the node's."""

    servers: tuple[str, ...] | None = None
    netns_path: str = ""


class Tables:
    """All that a name server knows."""

    def __init__(self) -> None:
        self.zones: dict[str, Zone] = {}  # by network id
        self.askers: dict[str, Asker] = {}  # by address
        self._said: dict[str, Json] = {}  # clients as they were told, by task id

    # What the agent says.

    def put_client(self, said: Json) -> None:
        """Know a task, instead of what was known of it or of its address."""
        self.remove_client(said["task_id"])
        asker = Asker(
            said["task_id"],
            tuple(said["network_ids"]),
            {name: read_records(addresses, (), ()) for name, addresses in said["own"].items()},
            tuple(said["nameservers"]),
            said["netns_path"],
        )
        before = self.askers.get(said["address"])
        if before is not None:
            self._said.pop(before.task_id, None)
        self.askers[said["address"]] = asker
        self._said[asker.task_id] = said

    def remove_client(self, task_id: str) -> None:
        """Forget a task."""
        said = self._said.pop(task_id, None)
        if said is not None:
            self.askers.pop(said["address"], None)

    def keep_clients(self, task_ids: Iterable[str]) -> None:
        """Forget all tasks but these."""
        for task_id in self._said.keys() - frozenset(task_ids):
            self.remove_client(task_id)

    def put_zones(self, said: Mapping[str, Json], *, whole: bool) -> None:
        """Take in zones: all there are, or what differs in some; null is gone."""
        if whole:
            self.zones.clear()
        for network_id, one in said.items():
            if one is None:
                self.zones.pop(network_id, None)
            else:
                self._put_zone(network_id, one)

    def withdraw(self, said: Mapping[str, Json]) -> None:
        """Say no more what is not in these zones, which are all that there are; nothing new is said."""
        for network_id, zone in list(self.zones.items()):
            if network_id in said:
                zone.withdraw(said[network_id]["names"])
            else:
                del self.zones[network_id]

    def said(self) -> Json:
        """Return everything as it was told, for a successor."""
        zones = {
            network_id: {
                "name": zone.suffix[1:],
                "subnets": list(map(str, zone.subnets)),
                "internal": zone.internal,
                "whole": True,
                "names": zone.said,
            }
            for network_id, zone in self.zones.items()
        }
        return {"clients": list(self._said.values()), "zones": zones}

    def _put_zone(self, network_id: str, said: Json) -> None:
        zone = self.zones.get(network_id)
        if zone is None or said.get("whole"):
            zone = self.zones[network_id] = Zone()
        zone.suffix = "." + said["name"]
        zone.subnets = tuple(map(ip_network, said["subnets"]))
        zone.internal = said["internal"]
        for name, one in said["names"].items():
            zone.ready.pop(name, None)
            if one is None:
                zone.said.pop(name, None)
            else:
                zone.said[name] = one

    # What tasks ask.

    def decide(self, question: Question, address: str, shuffle: Shuffle) -> Answer | Forward:
        """Return what to say to the one with this address; `shuffle` orders records anew."""
        if question.problem:
            return Answer(question.problem)
        asker = self.askers.get(address)
        if asker is None:
            return Forward()  # a container that is in no network: no name is its own
        found = self._find(asker, question.name)
        if found:
            return self._answer(found, question.kind, asker, shuffle)
        if found is not None or self._is_below_ours(asker, question):
            return Answer(NO_SUCH_NAME)
        return self._elsewhere(asker)

    def _find(self, asker: Asker, name: str) -> Records | None:
        """Return what the name means to the asker; None: it is not one of ours."""
        own = asker.own.get(name)
        if own:
            return own
        zones = [self.zones[one] for one in asker.network_ids if one in self.zones]
        ours = own
        for zone in zones:
            found = zone.get(name)
            if found:
                return found
            ours = found if found is not None else ours
        for zone in zones:
            if name.endswith(zone.suffix):
                found = zone.get(name[: -len(zone.suffix)])
                if found:
                    return found
                ours = found if found is not None else ours
        return ours

    def _answer(self, found: Records, kind: int, asker: Asker, shuffle: Shuffle) -> Answer:
        if kind == ANY:
            return Answer(NO_ERROR, [one for records in found.by_kind.values() for one in records])
        records: Sequence[bytes] = found.by_kind.get(kind, ())
        more: list[bytes] = []
        if kind == SRV:
            for target in {target for _, target in found.ports}:
                more += self._addresses_of(asker, target)
        return Answer(NO_ERROR, shuffle(records) if len(records) > 1 else records, more)

    def _addresses_of(self, asker: Asker, target: str) -> Iterable[bytes]:
        found, owner = self._find(asker, target.lower()), encode_name(target)
        for kind in (A, AAAA):
            for record in found.by_kind.get(kind, ()) if found else ():
                yield owner + record[2:]

    def _is_below_ours(self, asker: Asker, question: Question) -> bool:
        """Return whether nobody else can know: a port of a name of ours, or an address of our networks."""
        name = question.name
        if name.startswith("_"):
            while name.startswith("_"):
                name = name.partition(".")[2]
            return bool(name) and self._find(asker, name) is not None
        if question.kind != PTR and not name.endswith(".arpa"):
            return False
        address = address_of_reverse(name)
        if address is None:
            return False
        zones = (self.zones[one] for one in asker.network_ids if one in self.zones)
        return any(ip_address(address) in subnet for zone in zones for subnet in zone.subnets)

    def _elsewhere(self, asker: Asker) -> Answer | Forward:
        known = [self.zones.get(one) for one in asker.network_ids]
        if None in known:
            return Answer(SERVER_FAILURE)  # it may well be ours: "no such name" would be believed
        if asker.nameservers:
            return Forward(asker.nameservers, asker.netns_path)
        if known and all(zone is not None and zone.internal for zone in known):
            return Answer(SERVER_FAILURE)  # what must not get out must not get out by asking either
        return Forward()


def read_records(
    addresses: Iterable[str], pointers: Iterable[str], ports: Iterable[tuple[int, str]]
) -> Records:
    """Return what the agent says of a name as records that are ready to be sent."""
    kinds: dict[int, list[bytes]] = {}
    for address in addresses:
        kinds.setdefault(AAAA if ":" in address else A, []).append(address_record(address))
    served = tuple((port, target) for port, target in ports)
    kinds[PTR] = [record for one in pointers if (record := pointer_record(one))]
    kinds[SRV] = [record for one in served if (record := port_record(*one))]
    by_kind = {kind: tuple(records) for kind, records in kinds.items() if records}
    return Records(by_kind, served) if by_kind else _OURS


def address_of_reverse(name: str) -> str | None:
    """Return the address that a name in in-addr.arpa or ip6.arpa stands for; None: it is no whole one."""
    labels = name.split(".")[::-1]
    if labels[:2] == ["arpa", "in-addr"] and len(labels) == 6:
        text = ".".join(labels[2:])
    elif labels[:2] == ["arpa", "ip6"] and len(labels) == 34:
        text = ":".join("".join(labels[at : at + 4]) for at in range(2, 34, 4))
    else:
        return None
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def kind_name(kind: int) -> str:
    """Return how questions of this kind are counted."""
    return message.KINDS.get(kind, "other")
