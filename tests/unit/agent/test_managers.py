"""Which manager, and when."""

import random
from collections import Counter

from swarm.agent.managers import ManagerChoice
from swarm.api.v1.types_pb2 import Peer

PEERS = [Peer(node_id=f"m{number}", addr=f"10.0.0.{number}:2377") for number in (1, 2, 3)]


def a_choice(own: str = "worker") -> ManagerChoice:
    return ManagerChoice(own, random.Random(1).uniform)


def picks(choice: ManagerChoice, count: int = 600, now_s: float = 0.0) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(count):
        peer = choice.pick(PEERS, (), now_s)
        assert peer is not None
        found[peer.node_id] += 1
    return found


def test_a_worker_turns_to_all_managers_alike() -> None:
    assert min(picks(a_choice()).values()) > 150


def test_a_manager_turns_to_itself_until_it_failed() -> None:
    choice = a_choice("m2")
    assert picks(choice, 20) == {"m2": 20}
    choice.failed(PEERS[1].addr, 0.0)
    assert picks(choice)["m2"] < 100


def test_a_manager_that_failed_is_rarely_picked_until_the_failure_is_old() -> None:
    choice = a_choice()
    for _ in range(3):
        choice.failed(PEERS[0].addr, 0.0)
    assert picks(choice)["m1"] < 30
    assert picks(choice, now_s=31.0)["m1"] > 150


def test_a_manager_that_serves_again_counts_as_before() -> None:
    choice = a_choice()
    choice.failed(PEERS[0].addr, 0.0)
    choice.succeeded(PEERS[0].addr)
    assert picks(choice)["m1"] > 150


def test_excluded_managers_are_not_picked_and_none_is_no_error() -> None:
    choice = a_choice("m1")
    peer = choice.pick(PEERS, {PEERS[0].addr, PEERS[1].addr}, 0.0)
    assert peer is not None
    assert peer.node_id == "m3"
    assert choice.pick(PEERS, {peer.addr for peer in PEERS}, 0.0) is None
    assert choice.pick([], (), 0.0) is None


def test_every_manager_is_tried_at_once_and_then_the_pauses_grow_to_about_a_period() -> None:
    choice = a_choice()
    pauses = [choice.pause_s(3, 2.5) for _ in range(60)]
    assert max(pauses[:3]) <= 0.1
    assert max(pauses[:9]) <= 0.5
    assert max(pauses) <= 3.0
    assert min(pauses[30:]) >= 1.5


def test_pauses_have_an_upper_bound_also_with_a_long_period_and_begin_anew_after_success() -> None:
    choice = a_choice()
    assert max(choice.pause_s(1, 60.0) for _ in range(60)) <= 8.0
    choice.succeeded(PEERS[0].addr)
    assert choice.pause_s(1, 60.0) <= 0.1


def test_a_manager_that_should_have_more_agents_is_picked_more_often() -> None:
    choice = a_choice()
    choice.weigh({"m1": 1, "m2": 4, "m3": 4})
    found = picks(choice, 900)
    assert found["m1"] < 150
    assert min(found["m2"], found["m3"]) > 300


def test_a_manager_without_a_weight_is_picked_nevertheless() -> None:
    choice = a_choice()
    choice.weigh({"m1": 1, "m2": 0})
    assert min(picks(choice).values()) > 150
