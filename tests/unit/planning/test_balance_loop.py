"""When a service balances itself: not before all is quiet, and not soon again."""

from swarm.api.v1.objects_pb2 import Rebalance, Task
from swarm.api.v1.specs_pb2 import REBALANCE_MODE_AUTO
from swarm.api.v1.types_pb2 import NodeState
from swarm.clock import SECOND, timestamp
from swarm.manager.planning.balance_loop import COOLDOWN_NS, QUIET_NS, balances_itself, due_ns, is_even
from swarm.model import task_state
from swarm.model.service import new_service, start_moving
from tests.unit.orchestrator.bench import a_node
from tests.unit.planning.world import a_service_spec

T = 1_700_000_000 * SECOND


def a_service():
    spec = a_service_spec(replicas=2)
    spec.rebalance = REBALANCE_MODE_AUTO
    return new_service("s", spec)


def a_task(node_id: str) -> Task:
    task = Task(id=f"t-{node_id}", service_id="s", node_id=node_id, desired_state=task_state.RUNNING)
    task.status.state = task_state.RUNNING
    task.meta.created_at.CopyFrom(timestamp(T))
    return task


def a_node_since(node_id: str, since_ns: int):
    node = a_node(node_id)
    node.meta.updated_at.CopyFrom(timestamp(since_ns))
    return node


def test_a_node_has_to_be_up_and_a_task_there_for_a_while() -> None:
    later = T + 100 * SECOND
    assert due_ns(a_service(), [a_task("n1")], [a_node_since("n1", later)]) == later + QUIET_NS
    assert due_ns(a_service(), [a_task("n1")], []) == T + QUIET_NS


def test_a_node_that_is_down_is_not_waited_for() -> None:
    down = a_node_since("n1", T + 100 * SECOND)
    down.status.state = NodeState.NODE_STATE_DOWN
    assert due_ns(a_service(), [], [down]) == 0


def test_a_service_is_left_alone_after_a_rebalance() -> None:
    service = a_service()
    service.rebalance.completed_at.CopyFrom(timestamp(T))
    assert due_ns(service, [], []) == T + COOLDOWN_NS


def test_only_who_asks_for_it_and_is_not_moving_is_looked_at() -> None:
    service = a_service()
    assert balances_itself(service)
    start_moving(service, [Rebalance.Move(task_id="t")], timestamp(T))
    assert not balances_itself(service)
    assert not balances_itself(new_service("s", a_service_spec()))


def test_an_even_spread_needs_no_closer_look_but_with_preferences_it_does() -> None:
    nodes, service = [a_node("n1"), a_node("n2")], a_service()
    tasks = [a_task("n1"), a_task("n1")]
    assert is_even(service, tasks[:1], nodes)
    assert not is_even(service, tasks, nodes)
    service.spec.task.placement.preferences.add(spread="node.labels.zone")
    assert not is_even(service, [], nodes)
