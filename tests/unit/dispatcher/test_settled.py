"""Which nodes have in force what, by the word of sessions and managers."""

import asyncio

from swarm.api.v1.dispatcher_pb2 import Hello
from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.types_pb2 import NodeState
from swarm.manager.dispatcher.sessions import AgentSession, Sessions
from swarm.manager.dispatcher.settled import UNKNOWN, Progress, Reached, SessionProgress, is_settled
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer, ManualClock


def a_progress() -> SessionProgress:
    """One whose agent has put the first message, everything, in force."""
    progress = SessionProgress()
    progress.tell(1)
    progress.apply(1)
    return progress


def test_a_new_session_has_nothing_in_force_until_its_agent_says_so() -> None:
    progress = SessionProgress()
    assert progress.lag == UNKNOWN
    progress.note(7)
    progress.tell(1)
    assert progress.lag == UNKNOWN
    progress.apply(1)
    assert progress.lag is None


def test_news_are_behind_from_their_entry_on_until_they_are_in_force() -> None:
    progress = a_progress()
    progress.note(20)
    progress.note(22)
    assert progress.lag == 19
    progress.tell(2)
    progress.note(30)
    assert progress.lag == 19
    progress.tell(3)
    progress.apply(1)  # said late, or twice
    assert progress.lag == 19
    progress.apply(2)
    assert progress.lag == 29
    progress.apply(3)
    assert progress.lag is None


def test_one_word_is_good_for_all_messages_before_it_and_what_needed_none_is_no_lag() -> None:
    progress = a_progress()
    for sequence in (2, 3, 4):
        progress.note(sequence * 10)
        progress.tell(sequence)
    progress.apply(4)
    assert progress.lag is None
    progress.note(50)
    progress.tell(0)
    assert progress.lag is None


def a_session(node_id: str, *, acknowledges: bool) -> AgentSession:
    hello = Hello(acknowledges_networks=acknowledges)
    return AgentSession(node_id, "s1", "10.0.0.1", 0.0, hello, asyncio.Event())


async def test_a_manager_says_who_is_behind_and_waits_for_no_agent_of_an_older_version() -> None:
    sessions = Sessions()
    sessions.open(a_session("old", acknowledges=False))
    sessions.open(a_session("new", acknowledges=True))
    sessions.networks_index = 9
    reached = sessions.networks_reached()
    assert reached == Reached(9, {"new": UNKNOWN})
    assert (reached.of("old"), reached.of("new")) == (9, UNKNOWN)


def test_the_word_of_a_manager_is_good_for_the_nodes_with_a_session_there() -> None:
    progress = Progress()
    progress.report("m1", Reached(9, {"n1": 4}))
    progress.report("m2", Reached(7, {}))
    assert [progress.of("n1", one) for one in ("m1", "m2", None, "m3")] == [4, 7, UNKNOWN, UNKNOWN]
    progress.forget()
    assert progress.of("n1", "m1") == UNKNOWN


async def test_all_nodes_of_the_networks_have_to_be_there_but_those_that_are_out_of_the_mesh() -> None:
    store = Store(ManualClock(), "m1")
    store.attach(LocalProposer(store))
    states = {"up": "READY", "away": "DISCONNECTED", "dead": "DOWN", "other": "READY"}
    for node_id, state in states.items():
        node = Node(id=node_id)
        node.status.state = NodeState.Value(f"NODE_STATE_{state}")
        node.networks.add(network_id="lan" if node_id == "other" else "shop")
        await store.update(lambda tx, node=node: tx.create(node))
    reached = {"up": 5, "away": 5}

    def is_there(index: int, *network_ids: str) -> bool:
        return is_settled(store.view, network_ids, index, lambda node_id: reached.get(node_id, UNKNOWN))

    assert is_there(5, "shop")
    assert not is_there(6, "shop")
    assert not is_there(5, "shop", "lan")
    del reached["away"]  # its agent is being upgraded: its rules are what they were
    assert not is_there(5, "shop")
