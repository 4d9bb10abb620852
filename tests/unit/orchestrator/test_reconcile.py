"""Whatever happens to a service and its nodes: when it stops, the slots are as they should be."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import NodeAvailability, NodeState, UpdateStatus
from swarm.clock import SECOND
from swarm.model import defaults, task_state
from tests.unit.orchestrator.bench import START_FIRST, Bench, a_spec, with_update

ENDINGS = [task_state.COMPLETE, task_state.FAILED, task_state.REJECTED, task_state.SHUTDOWN]
NODES = ["n1", "n2", "n3"]

action = st.one_of(
    st.tuples(st.just("look")),
    st.tuples(st.just("obey"), st.integers(1, 3)),
    st.tuples(st.just("wait"), st.floats(0, 20)),
    st.tuples(st.just("end"), st.integers(0, 20), st.sampled_from(ENDINGS)),
    st.tuples(st.just("node"), st.sampled_from(NODES), st.sampled_from([1, 2, 2, 3])),
    st.tuples(st.just("availability"), st.sampled_from(NODES), st.integers(0, 2)),
    st.tuples(st.just("scale"), st.integers(0, 5)),
    st.tuples(st.just("image"), st.sampled_from(["v1", "v2", "v3"])),
    st.tuples(st.just("back")),
)


def do(bench: Bench, what: tuple[object, ...]) -> None:
    name, *args = what
    if name == "look":
        bench.look()
    elif name == "obey":
        bench.obey(steps=int(str(args[0])))
    elif name == "wait":
        bench.clock.advance(float(str(args[0])))
    elif name == "end":
        candidates = [task for task in bench.tasks if task.node_id and not task_state.is_done(task)]
        if candidates:
            bench.report(candidates[int(str(args[0])) % len(candidates)], int(str(args[1])))
    elif name == "node":
        bench.change_node(str(args[0]), lambda node: setattr(node.status, "state", args[1]))
    elif name == "availability":
        bench.set_availability(str(args[0]), int(str(args[1])))
    elif name == "scale" and not defaults.is_global(bench.service.spec):
        bench.update(replicas=args[0])
    elif name == "image":
        bench.update(image=args[0])
    elif name == "back" and bench.service.HasField("previous_spec"):
        bench.roll_back()


@settings(max_examples=80)
@given(data=st.data())
def test_slots_converge_and_a_second_pass_finds_nothing(data: st.DataObject) -> None:
    replicas = data.draw(st.none() | st.integers(0, 4), label="replicas")
    order = data.draw(st.sampled_from([0, START_FIRST]), label="order")
    spec: ServiceSpec = with_update(
        a_spec(replicas),
        order=order,
        failure_action=data.draw(st.integers(0, 2), label="failure action"),
        parallelism=data.draw(st.integers(0, 2), label="parallelism"),
        monitor_ns=data.draw(st.sampled_from([0, 5 * SECOND]), label="monitor"),
    )
    spec.task.restart.condition = data.draw(st.integers(0, 1), label="condition")
    spec.task.restart.max_attempts = data.draw(st.sampled_from([0, 0, 1]), label="attempts")
    bench = Bench(spec, nodes=3, history_limit=data.draw(st.integers(0, 3), label="history"))
    for what in data.draw(st.lists(action, max_size=25), label="story"):
        do(bench, what)
        check_slots(bench, order)
    for node_id in NODES:
        bench.change_node(node_id, lambda node: setattr(node.status, "state", NodeState.NODE_STATE_READY))
        bench.set_availability(node_id, NodeAvailability.NODE_AVAILABILITY_ACTIVE)
    bench.update(image="final")
    bench.run(90)
    assert not bench.plan()
    assert bench.service.update_status.state in (UpdateStatus.STATE_NONE, UpdateStatus.STATE_COMPLETED)
    wanted = 3 if replicas is None else defaults.replicas(bench.service.spec)
    assert len(bench.live) == wanted
    assert len({(task.slot, task.slot or task.node_id) for task in bench.live}) == wanted
    assert {task.spec.container.image for task in bench.live} <= {"final"}
    assert all(map(task_state.is_running, bench.live))


def check_slots(bench: Bench, order: int) -> None:
    slots = Counter(
        (task.slot, "" if task.slot else task.node_id)
        for task in bench.tasks
        if task.desired_state == task_state.RUNNING and not task_state.is_done(task)
    )
    assert max(slots.values(), default=0) <= (2 if order == START_FIRST else 1)
