"""Where does the HTTP proxy of a node differ from what the store says? Pure."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from swarm.agent.http.commands import Key, Standing, wanted_standings
from swarm.agent.http.plan import Wanted, wanted_proxy
from swarm.agent.overlay.state import OverlayState
from swarm.manager.dispatcher.overlay_facts import everything_of, joined
from swarm.manager.store.tables import ReadView

K = TypeVar("K")
V = TypeVar("V")


def expected_proxy(view: ReadView, node_id: str) -> Wanted | None:
    """Return what the proxy of a node has to be; None when it is to have none."""
    state = OverlayState()
    known = (everything_of(view, network_id, node_id) for network_id in joined(view, node_id))
    state.apply(filter(None, known), complete=True)
    return wanted_proxy(state)


def routes_shown(text: str) -> dict[str, str]:
    """Read what `show map` printed: which backend a request goes to that begins like that."""
    rows = (line.split() for line in text.splitlines())
    return {row[1]: row[2] for row in rows if len(row) == 3}


def differences(
    view: ReadView, node_id: str, routes: Mapping[str, str] | None, tasks: Mapping[Key, Standing]
) -> list[str]:
    """Return one line for each route and task that is missing, too much or different.

    `routes` is None where no proxy runs. A task that does not serve may be missing, or wait for its end.
    """
    wanted = expected_proxy(view, node_id)
    if wanted is None or routes is None:
        if (wanted is None) == (routes is None):
            return []
        return ["a proxy runs, and there is to be none" if wanted is None else "no proxy runs"]
    found = [f"route {line}" for line in _of(wanted.routes, routes)]
    should = wanted_standings(wanted)
    serving = {key: one for key, one in should.items() if one.serving}
    has = {key: one for key, one in tasks.items() if one.serving}
    found += [f"task {line}" for line in _of(serving, has)]
    return sorted(found)


def _of(wanted: Mapping[K, V], had: Mapping[K, V]) -> Iterator[str]:
    for key in wanted.keys() | had.keys():
        if wanted.get(key) != had.get(key):
            yield f"{key}: is {had.get(key)}, and should be {wanted.get(key)}"
