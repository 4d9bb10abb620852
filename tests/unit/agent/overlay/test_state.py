"""What a node knows of its overlay networks."""

from swarm.agent.overlay.state import OverlayState, Touched
from swarm.api.v1.overlay_pb2 import (
    OverlayChanges,
    OverlayEndpoint,
    OverlayNetwork,
    OverlayPeer,
    OverlayService,
)

SHOP = OverlayNetwork(id="shop", name="shop", vxlan_id=4097)


def _shop(**what: object) -> OverlayChanges:
    return OverlayChanges(network_id="shop", **what)  # type: ignore[arg-type]


def _task(task_id: str, *, serving: bool = False) -> OverlayEndpoint:
    return OverlayEndpoint(task_id=task_id, addresses=["10.0.0.5"], serving=serving)


def _known() -> OverlayState:
    state = OverlayState()
    state.apply([_shop(network=SHOP, endpoints=[_task("a"), _task("b")])], complete=True)
    return state


def test_pieces_of_a_complete_state_add_up() -> None:
    state = OverlayState()
    first = _shop(network=SHOP, peers=[OverlayPeer(node_id="n")])
    second = _shop(endpoints=[_task("a")], services=[OverlayService(service_id="s")])

    touched = state.apply([first, second], complete=True)

    ids = (frozenset({"n"}), frozenset({"a"}), frozenset({"s"}))
    assert touched == (Touched("shop", True, *ids),)
    assert state.networks["shop"].endpoints.keys() == {"a"}


def test_a_complete_state_that_says_the_same_touches_nothing() -> None:
    state = _known()
    assert state.apply(state.everything(), complete=True) == ()


def test_what_a_complete_state_does_not_say_is_gone() -> None:
    state = _known()

    touched = state.apply([_shop(network=SHOP, endpoints=[_task("b", serving=True)])], complete=True)

    assert touched == (Touched("shop", task_ids=frozenset({"a", "b"})),)
    assert state.apply([], complete=True) == (Touched("shop", network=True),)
    assert not state.networks


def test_an_increment_touches_what_it_names() -> None:
    state = _known()

    touched = state.apply([_shop(endpoints=[_task("b", serving=True)], removed_task_ids=["a"])])

    assert touched == (Touched("shop", task_ids=frozenset({"a", "b"})),)
    assert state.networks["shop"].endpoints == {"b": _task("b", serving=True)}


def test_an_increment_that_changes_the_network_itself_keeps_what_is_in_it() -> None:
    state = _known()
    larger = OverlayNetwork(id="shop", name="shop", vxlan_id=4097, mtu=9000)

    touched = state.apply([_shop(network=larger, removed_task_ids=["a"])])

    assert touched == (Touched("shop", network=True, task_ids=frozenset({"a"})),)
    assert state.networks["shop"].network.mtu == 9000
    assert state.networks["shop"].endpoints.keys() == {"b"}


def test_a_network_that_goes_and_comes_at_once_is_another_one() -> None:
    state = _known()

    touched = state.apply([_shop(removed=True), _shop(network=SHOP, endpoints=[_task("c")])])

    assert touched == (Touched("shop", task_ids=frozenset({"a", "b", "c"})),)
    assert state.networks["shop"].endpoints.keys() == {"c"}


def test_news_of_a_network_that_is_not_known_are_nothing() -> None:
    state = OverlayState()
    assert state.apply([_shop(endpoints=[_task("a")])]) == ()
    assert state.apply([_shop(removed=True)]) == ()


def test_a_network_without_a_word_of_it_stays_in_a_complete_state() -> None:
    state = _known()
    assert state.apply([_shop()], complete=True) == ()
    assert state.networks["shop"].endpoints.keys() == {"a", "b"}
    assert OverlayState().apply([_shop()], complete=True) == ()
