"""Which step comes next when roles change."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER
from swarm.manager.ca.roles import Act, Step, plan_roles

M, W = NODE_ROLE_MANAGER, NODE_ROLE_WORKER


def node(node_id: str, role: int, desired: int | None = None) -> Node:
    made = Node(id=node_id, role=role)
    made.spec.desired_role = role if desired is None else desired
    return made


def members(*node_ids: str) -> list[RaftMember]:
    return [RaftMember(raft_id="r" + node_id, node_id=node_id) for node_id in node_ids]


def plan(
    nodes: Iterable[Node], group: list[RaftMember], leader: str = "ra", dead: frozenset[str] = frozenset()
) -> tuple[Step, ...]:
    return plan_roles(nodes, group, leader, lambda raft_id: raft_id not in dead)


def test_nothing_is_done_when_every_role_is_right() -> None:
    assert plan([node("a", M), node("b", W)], members("a")) == ()


def test_a_promoted_node_gets_its_role_at_once() -> None:
    assert plan([node("a", M), node("b", W, M)], members("a")) == (Step(Act.SET_ROLE, "b", M),)


def test_a_demoted_manager_leaves_raft_before_its_role_changes() -> None:
    nodes = [node("a", M), node("b", M, W), node("c", M)]
    assert plan(nodes, members("a", "b", "c")) == (Step(Act.REMOVE_MEMBER, "b", raft_id="rb"),)
    assert plan(nodes, members("a", "c")) == (Step(Act.SET_ROLE, "b", W),)


def test_a_demoted_leader_first_hands_over() -> None:
    nodes = [node("a", M, W), node("b", M), node("c", M)]
    assert plan(nodes, members("a", "b", "c")) == (Step(Act.TRANSFER_LEADERSHIP, "a", raft_id="ra"),)


def test_of_several_demoted_managers_one_leaves_at_a_time_and_the_leader_last() -> None:
    nodes = [node("a", M, W), node("b", M, W), node("c", M)]
    assert plan(nodes, members("a", "b", "c")) == (Step(Act.REMOVE_MEMBER, "b", raft_id="rb"),)


def test_the_last_manager_stays() -> None:
    (step,) = plan([node("a", M, W)], members("a"))
    assert (step.act, step.reason) == (Act.WAIT, "it is the last manager")


def test_a_removal_that_would_cost_the_majority_waits() -> None:
    nodes = [node("a", M), node("b", M, W), node("c", M)]
    (step,) = plan(nodes, members("a", "b", "c"), dead=frozenset({"rc"}))
    assert step.act is Act.WAIT
    assert step.reason == "without it 1 of 2 managers would be reachable, and 2 are needed"


def test_a_dead_demoted_manager_can_be_removed_when_the_others_live() -> None:
    nodes = [node("a", M), node("b", M, W), node("c", M)]
    (step,) = plan(nodes, members("a", "b", "c"), dead=frozenset({"rb"}))
    assert step.act is Act.REMOVE_MEMBER


def test_a_member_whose_node_was_removed_leaves() -> None:
    assert plan([node("a", M), node("c", M)], members("a", "b", "c"))[0].act is Act.REMOVE_MEMBER


def test_a_worker_that_slipped_into_the_group_leaves() -> None:
    nodes = [node("a", M), node("b", W), node("c", M)]
    assert plan(nodes, members("a", "b", "c"))[0] == Step(Act.REMOVE_MEMBER, "b", raft_id="rb")


ROLES = st.sampled_from([M, W])


@given(st.lists(st.tuples(ROLES, ROLES, st.booleans(), st.booleans()), min_size=1, max_size=7))
def test_no_plan_ever_costs_the_majority(drawn: list[tuple[int, int, bool, bool]]) -> None:
    nodes = [node(f"n{i}", role, desired) for i, (role, desired, _, _) in enumerate(drawn)]
    group = members(*[f"n{i}" for i, (_, _, member, _) in enumerate(drawn) if member or i == 0])
    dead = frozenset(f"rn{i}" for i, (_, _, _, is_dead) in enumerate(drawn) if is_dead and i > 0)
    steps = plan(nodes, group, "rn0", dead)
    removed = [step.raft_id for step in steps if step.act is Act.REMOVE_MEMBER]
    assert len(removed) <= 1
    assert "rn0" not in removed
    left = [member.raft_id for member in group if member.raft_id not in removed]
    if removed:
        assert sum(raft_id not in dead for raft_id in left) >= len(left) // 2 + 1
    made_workers = {step.node_id for step in steps if step.act is Act.SET_ROLE and step.role == W}
    assert not made_workers & {member.node_id for member in group}
