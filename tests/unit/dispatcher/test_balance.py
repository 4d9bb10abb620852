"""Who moves to another manager, and which of two with one identity stays."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.manager.dispatcher.balance import TOLD_S, Balancer, Held, moves, superseded, weights

P = 2.5


def sessions(**loads: int) -> list[Held]:
    """So many agents at each manager."""
    return [
        Held(manager, f"{manager}-n{number}", f"s-{manager}-{number}", 1, 0.0)
        for manager, count in loads.items()
        for number in range(count)
    ]


def carried_out(held: list[Held], destinations: dict[str, str]) -> list[Held]:
    return [
        Held(destinations.get(one.node_id, one.manager_id), one.node_id, one.session_id, 1, 0.0)
        for one in held
    ]


SHARES = weights(["m1", "m2", "m3"], "m1")


def test_the_leader_has_half_the_weight_of_the_others() -> None:
    assert SHARES == {"m1": 1, "m2": 2, "m3": 2}
    assert len(set(weights(["m1", "m2"], "").values())) == 1


def test_a_manager_that_came_back_gets_agents_a_few_at_a_time() -> None:
    planned = moves(sessions(m1=200, m2=400), SHARES, {})
    assert len(planned) == 12
    assert {move.to for move in planned} == {"m3"}


def test_small_differences_are_left_alone() -> None:
    assert moves(sessions(m1=22, m2=42, m3=36), SHARES, {}) == []
    assert moves(sessions(m2=1), SHARES, {}) == []
    assert moves([], SHARES, {}) == []
    assert moves(sessions(m1=5), {}, {}) == []


def test_who_was_asked_counts_as_moved_and_is_not_asked_again() -> None:
    held = sessions(m1=0, m2=10, m3=0)
    first = moves(held, SHARES, {})
    asked = {move.session.session_id: move.to for move in first}
    again = moves(held, SHARES, asked)
    assert not asked.keys() & {move.session.session_id for move in again}
    assert moves(held, SHARES, {f"s-m2-{number}": "m3" for number in range(4)}) != []
    assert moves(held, SHARES, {f"s-m2-{number}": "m3" for number in range(5)}) == []


def test_the_agent_of_a_manager_goes_home_and_stays_there() -> None:
    abroad = Held("m1", "m2", "s", 1, 0.0)
    assert [(move.session, move.to) for move in moves([abroad], SHARES, {})] == [(abroad, "m2")]
    assert moves([Held("m2", "m2", "s", 1, 0.0)], SHARES, {}) == []
    assert moves([abroad], {"m1": 1}, {}) == []  # its own manager is not there


LOADS = st.dictionaries(st.sampled_from(["m1", "m2", "m3", "m4", "m5"]), st.integers(0, 60), min_size=1)


@settings(deadline=None, max_examples=50)
@given(LOADS, st.sampled_from(["m1", "m3", "gone"]), st.data())
def test_agents_come_to_rest_near_the_shares_whatever_part_of_the_wishes_comes_true(
    loads: dict[str, int], leader: str, data: st.DataObject
) -> None:
    held, shares = sessions(**loads), weights(loads, leader)
    balancer, now_s, moved = Balancer(), 0.0, 0
    total = len(held)
    for _ in range(200):
        orders = balancer.orders(held, shares, P, now_s)
        asked = {one.node_id: one.move_to for told in orders.values() for one in told}
        assert len(asked) <= max(1, -(-total // 50))
        lost = data.draw(st.booleans()) if asked and now_s < 100 else False
        held = held if lost else carried_out(held, asked)
        moved += 0 if lost else len(asked)
        now_s += P
    target = {manager: total * share / sum(shares.values()) for manager, share in shares.items()}
    final = Counter(one.manager_id for one in held)
    assert all(final[manager] - target[manager] <= max(1.0, target[manager] * 0.1) for manager in shares)
    assert moved <= sum(max(0.0, loads[manager] - target[manager]) for manager in shares)


@settings(deadline=None)
@given(LOADS)
def test_nobody_is_sent_to_a_manager_that_has_too_many(loads: dict[str, int]) -> None:
    held, shares = sessions(**loads), weights(loads, "m1")
    total = len(held)
    before = Counter(one.manager_id for one in held)
    after = Counter(before)
    for move in moves(held, shares, {}):
        after[move.to] += 1
        after[move.session.manager_id] -= 1
        assert move.to != move.session.manager_id
    for manager, share in shares.items():
        target = total * share / sum(shares.values())
        assert after[manager] <= max(before[manager], target + 1)
        assert after[manager] >= min(before[manager], int(target))


def test_of_two_machines_with_one_identity_the_one_started_later_stays() -> None:
    older, newer = Held("m1", "n1", "a", 1, 9.0), Held("m2", "n1", "b", 2, 9.0)
    other = Held("m2", "n2", "c", 1, 9.0)
    assert superseded([older, newer, other], P, 10.0) == [older]
    assert superseded([newer, older], P, 10.0) == [older]


def test_a_machine_that_is_silent_supersedes_nobody() -> None:
    older, newer = Held("m1", "n1", "a", 1, 9.0), Held("m2", "n1", "b", 2, 1.0)
    assert superseded([older, newer], P, 10.0) == []


def test_two_sessions_of_one_agent_are_no_conflict() -> None:
    assert superseded([Held("m1", "n1", "a", 1, 9.0), Held("m2", "n1", "b", 1, 9.0)], P, 10.0) == []


def test_the_copy_is_ended_at_once_and_moves_wait_for_the_next_round() -> None:
    balancer = Balancer()
    held = sessions(m1=9, m2=0, m3=0)
    assert balancer.orders(held, SHARES, P, 0.0)["m1"][0].move_to
    assert balancer.orders(held, SHARES, P, 1.0) == {}
    copies = [Held("m1", "n1", "a", 1, 1.0), Held("m2", "n1", "b", 2, 1.0)]
    (order,) = balancer.orders(copies, SHARES, P, 1.0)["m1"]
    assert (order.session_id, order.move_to) == ("a", "")
    assert balancer.orders(copies, SHARES, P, 2.0) == {}  # it was told


def test_a_standby_of_an_earlier_agent_ends_as_well_and_nobody_moves_a_standby() -> None:
    standby = Held("m1", "n1", "a", 1, 9.0, connected=False)
    (order,) = Balancer().orders([standby, Held("m2", "n1", "b", 2, 9.0)], {}, P, 10.0)["m1"]
    assert (order.session_id, order.move_to) == ("a", "")
    standbys = [Held("m1", f"n{number}", f"s{number}", 1, 9.0, connected=False) for number in range(9)]
    assert Balancer().orders(standbys, SHARES, P, 10.0) == {}


def test_a_wish_that_did_not_come_true_is_said_again_after_a_while() -> None:
    balancer, held = Balancer(), [Held("m1", "m2", "s", 1, 0.0)]
    told = [bool(balancer.orders(held, SHARES, P, number * P)) for number in range(int(TOLD_S / P) + 1)]
    assert told == [True] + [False] * (len(told) - 2) + [True]
