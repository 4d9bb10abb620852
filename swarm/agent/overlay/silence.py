"""Which nodes of our networks do not answer over the port that carries these networks? Pure.

Managers hear every node over another port than the one that overlay packets take: a firewall may close
just that one, and then tasks do not reach each other though all nodes are ready. So routers of networks ask
each other, which goes the very way of the tasks' packets: in one network for each node and carrier.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from swarm.agent.overlay.plan import DEFAULT_PORT, Address, parsed, router_mac
from swarm.agent.overlay.state import NetworkState, OverlayState
from swarm.agent.tunnel.plan import DEFAULT_PORT as TUNNEL_PORT
from swarm.api.v1.types_pb2 import NodeCondition
from swarm.model.networks import OVERLAY

SILENT_S = 20.0  # a node that died is out of the mesh by then
TRIES_MIN = 3
AT_ONCE = 32  # echoes in one round
_AGAIN_AT_ONCE = 16  # of these, at nodes that did not answer last time
_NAMED = 3  # silent nodes in a sentence
_LISTED = 64  # and in the list beside it
BLOCKED, GAPS = "DATA_PATH_BLOCKED", "DATA_PATH_GAPS"


@dataclass(frozen=True, slots=True)
class FarRouter:
    """The router of a network on another node."""

    node_id: str
    node: str  # its address
    port: int  # UDP, that carries the network between nodes
    encrypted: bool
    network_id: str = field(compare=False)
    router: Address = field(compare=False)
    mac: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Silence:
    """A target that answers nothing."""

    since_s: float  # when it was asked first
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of all echoes so far."""

    asked_s: Mapping[FarRouter, float] = field(default_factory=dict)  # when last
    silences: Mapping[FarRouter, Silence] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A carrier of networks that does not reach everybody."""

    port: int
    encrypted: bool
    silent: tuple[FarRouter, ...]
    answering: int  # nodes


def targets_of(state: OverlayState) -> tuple[FarRouter, ...]:
    """Return whom to ask: each node once over each carrier that it shares with this one."""
    found: dict[FarRouter, FarRouter] = {}
    for _, network in sorted(state.networks.items()):
        for target in _targets(network):
            found.setdefault(target, target)
    return tuple(found)


def due(targets: Iterable[FarRouter], heard: Heard) -> tuple[FarRouter, ...]:
    """Return whom to ask in this round: who waits longest, silent ones more often."""

    def by_age(some: Iterable[FarRouter]) -> list[FarRouter]:
        return sorted(some, key=lambda one: heard.asked_s.get(one, float("-inf")))

    targets = tuple(targets)
    again = by_age(one for one in targets if one in heard.silences)[:_AGAIN_AT_ONCE]
    others = by_age(one for one in targets if one not in heard.silences)
    return (*again, *others[: AT_ONCE - len(again)])


def after(
    heard: Heard,
    targets: Collection[FarRouter],
    asked: Iterable[FarRouter],
    answered: Collection[FarRouter],
    now_s: float,
) -> Heard:
    """Return what is known once a round is over; nothing of who is no target any more."""
    asked_s = {one: at for one, at in heard.asked_s.items() if one in targets}
    silences = {one: silence for one, silence in heard.silences.items() if one in targets}
    for one in asked:
        asked_s[one] = now_s
        if one in answered:
            silences.pop(one, None)
        else:
            before = silences.get(one)
            silences[one] = replace(before, tries=before.tries + 1) if before else Silence(now_s)
    return Heard(asked_s, silences)


def troubles(heard: Heard, now_s: float) -> tuple[Trouble, ...]:
    """Return the carriers that some node has not answered over for long enough."""
    found = []
    for port, encrypted in sorted({(one.port, one.encrypted) for one in heard.asked_s}):
        asked = [one for one in heard.asked_s if (one.port, one.encrypted) == (port, encrypted)]
        silent = [one for one in asked if _is_silent(heard.silences.get(one), now_s)]
        answering = sum(one not in heard.silences for one in asked)
        if silent:
            found.append(Trouble(port, encrypted, tuple(sorted(silent, key=_place)), answering))
    return tuple(found)


def warning(trouble: Trouble, closed_here: str) -> NodeCondition:
    """Return what people are to know; `closed_here` says what closes the port on this node, and opens it."""
    told = NodeCondition(port=trouble.port, node_ids=[one.node_id for one in trouble.silent[:_LISTED]])
    what = f"UDP port {trouble.port}, which carries {'encrypted ' if trouble.encrypted else ''}networks"
    if not trouble.answering:
        text = f"no other node answers over {what}: {_named(trouble.silent)}"
        elsewhere = "no firewall of this node closes it: look at the other nodes, and at what is in between"
        told.type, told.reason = BLOCKED, f"{text}; {closed_here or elsewhere}"
        return told
    text = f"{_named(trouble.silent)} {'do' if len(trouble.silent) > 1 else 'does'} not answer over {what}"
    there = "open it there and in between: `swarmctl doctor` on that machine says how"
    told.type, told.reason = GAPS, f"{text}; {closed_here or there}"
    return told


def _targets(network: NetworkState) -> Iterable[FarRouter]:
    told = network.network
    if told.driver not in ("", OVERLAY) or not told.router_addresses:
        return
    port = (told.tunnel_port or TUNNEL_PORT) if told.encrypted else (told.data_path_port or DEFAULT_PORT)
    for node_id, peer in sorted(network.peers.items()):
        addresses = [one for text in peer.router_addresses if (one := parsed(text))]
        router = min(addresses, key=lambda one: one.version, default=None)
        if router is not None:
            mac = router_mac(addresses)
            yield FarRouter(node_id, peer.address, port, told.encrypted, told.id, router, mac)


def _is_silent(silence: Silence | None, now_s: float) -> bool:
    return silence is not None and silence.tries >= TRIES_MIN and now_s - silence.since_s >= SILENT_S


def _place(target: FarRouter) -> tuple[str, str]:
    return target.node, target.node_id


def _named(silent: Sequence[FarRouter]) -> str:
    more = f" and {len(silent) - _NAMED} more" if len(silent) > _NAMED else ""
    return ", ".join(f"{one.node} (node {one.node_id})" for one in silent[:_NAMED]) + more
