"""Where does what a node knows of its overlay networks differ from what the store says? Pure."""

import json
from collections.abc import Iterator, Mapping

from google.protobuf.message import Message

from swarm.agent.overlay.state import NetworkState, OverlayState
from swarm.debug.redact import shown
from swarm.manager.dispatcher.overlay_facts import everything_of, joined
from swarm.manager.store.tables import ReadView


def differences(view: ReadView, node_id: str, known: OverlayState) -> list[str]:
    """Return one line for each entry that is missing, too much or different.

    Of a network that is gone from the store a node may know what it knew last, as long as tasks of it stop.
    """
    wanted = joined(view, node_id)
    strange = known.networks.keys() - set(wanted)
    found = [f"network {network_id}: known, and the node is not in it" for network_id in strange]
    for network_id in wanted:
        everything = everything_of(view, network_id, node_id)
        if everything is None:
            continue
        expected = OverlayState()
        expected.apply([everything], complete=True)
        state = known.networks.get(network_id)
        if state is None:
            found.append(f"network {network_id}: not known")
            continue
        found += (
            f"network {network_id}: {line}" for line in _of_network(expected.networks[network_id], state)
        )
    return sorted(found)


def _of_network(expected: NetworkState, known: NetworkState) -> Iterator[str]:
    if expected.network != known.network:
        yield f"is known as {_shown(known.network)}, and is {_shown(expected.network)}"
    yield from _of_entries("node", expected.peers, known.peers)
    yield from _of_entries("task", expected.endpoints, known.endpoints)
    yield from _of_entries("service", expected.services, known.services)


def _of_entries(kind: str, expected: Mapping[str, Message], known: Mapping[str, Message]) -> Iterator[str]:
    for entry_id in expected.keys() | known.keys():
        wanted, had = expected.get(entry_id), known.get(entry_id)
        if wanted is None:
            yield f"{kind} {entry_id}: known, and not there"
        elif had is None:
            yield f"{kind} {entry_id}: not known"
        elif wanted != had:
            yield f"{kind} {entry_id}: is known as {_shown(had)}, and is {_shown(wanted)}"


def _shown(message: Message) -> str:
    return json.dumps(shown(message), sort_keys=True)
