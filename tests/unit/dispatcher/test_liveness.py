"""Who is alive: the leader's table, on a clock that the test moves."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.api.v1.dispatcher_pb2 import SessionState
from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.types_pb2 import (
    NODE_STATE_DISCONNECTED,
    NODE_STATE_DOWN,
    NODE_STATE_READY,
    NODE_STATE_UNKNOWN,
    NodeDescription,
)
from swarm.clock import SECOND
from swarm.manager.dispatcher.liveness import (
    LivenessTable,
    NodeChange,
    heartbeat_period_ns,
)
from swarm.manager.dispatcher.loop import changed_node

P = 2.5


def a_session(node_id: str = "n1", silent_s: float = 0.0, *, connected: bool = True) -> SessionState:
    return SessionState(
        node_id=node_id, connected=connected, addr="10.0.0.9", silent_ns=int(silent_s * SECOND)
    )


class World:
    """Nodes, a table, and time that passes in steps as the loop takes them."""

    def __init__(self, *node_ids: str, state: int = NODE_STATE_READY) -> None:
        self.now_s = 100.0
        self.table = LivenessTable(self.now_s)
        self.nodes = {node_id: Node(id=node_id) for node_id in node_ids}
        for node in self.nodes.values():
            node.status.state = state  # type: ignore[assignment]
            node.status.addr = "10.0.0.9"

    def look(self, period_s: float = P) -> tuple[NodeChange, ...]:
        changes = self.table.plan(self.nodes.values(), period_s, self.now_s)
        for change in changes:
            self.nodes[change.node_id] = changed_node(self.nodes[change.node_id], change)
        return changes

    def report(self, manager: str, sessions: Iterable[SessionState], *, complete: bool = True) -> None:
        self.table.report(manager, complete, list(sessions), self.now_s)

    def pass_time(self, seconds: float, *reports: tuple[str, list[SessionState]]) -> None:
        """Let time pass; managers repeat `reports` on the way."""
        steps = round(seconds / 0.25)
        for _ in range(steps):
            self.now_s += seconds / steps
            for manager, sessions in reports:
                self.report(manager, sessions)
            self.look()

    def state(self, node_id: str = "n1") -> int:
        return self.nodes[node_id].status.state


def test_a_shorter_period_gives_agents_the_time_to_hear_of_it() -> None:
    world = World("n1", "n2")
    for silent_s in (0.0, 20.0):
        world.now_s += silent_s
        world.report("m1", [a_session("n1", silent_s)])
        world.look(8 * P)
    world.look()
    lost = [world.state(one) for one in ("n1", "n2")]
    assert NODE_STATE_DOWN not in lost, "one was heard 20 s ago, the other never, and both are in time"
    world.pass_time(2 * P, ("m1", [a_session("n1", 20.0)]))
    assert world.state() == NODE_STATE_READY
    world.pass_time(2 * P, ("m1", [a_session("n1", 20.0)]))
    assert [world.state(one) for one in ("n1", "n2")] == [NODE_STATE_DOWN] * 2


def test_a_node_with_a_session_becomes_ready_and_stays_so() -> None:
    world = World("n1", state=NODE_STATE_UNKNOWN)
    world.pass_time(30, ("m1", [a_session()]))
    assert world.state() == NODE_STATE_READY


def test_a_node_that_no_manager_reports_to_a_new_leader_gets_no_tasks_but_keeps_its_own() -> None:
    world = World("n1")
    world.pass_time(0.75)
    assert world.state() == NODE_STATE_READY
    world.pass_time(0.5)
    assert world.state() == NODE_STATE_DISCONNECTED
    world.pass_time(1, ("m1", [a_session()]))
    assert world.state() == NODE_STATE_READY


def test_a_suspect_gets_no_tasks_from_the_first_moment_until_it_is_heard() -> None:
    world = World("n1", "n2")
    world.table = LivenessTable(world.now_s, ["n1"])
    world.look()
    assert (world.state("n1"), world.state("n2")) == (NODE_STATE_DISCONNECTED, NODE_STATE_READY)
    world.report("m1", [a_session("n1"), a_session("n2")])
    world.look()
    assert world.state("n1") == NODE_STATE_READY


def test_a_silent_node_is_down_three_periods_after_it_was_last_heard_and_not_before() -> None:
    world = World("n1")
    world.report("m1", [a_session()])
    world.look()
    silent = 0.0
    while world.state() == NODE_STATE_READY:
        silent += 0.25
        world.pass_time(0.25, ("m1", [a_session(silent_s=silent)]))
    assert silent == 3 * P
    assert world.state() == NODE_STATE_DOWN
    assert "no heartbeat" in world.nodes["n1"].status.message


def test_a_node_of_a_manager_that_died_is_down_unless_another_manager_hears_it() -> None:
    world = World("n1", "n2")
    world.report("m1", [a_session("n1"), a_session("n2")])
    world.pass_time(10, ("m2", [a_session("n2")]))
    assert world.state("n1") == NODE_STATE_DOWN
    assert world.state("n2") == NODE_STATE_READY


def test_a_session_that_ended_makes_a_node_disconnected_after_a_second_but_moves_nothing() -> None:
    world = World("n1")
    world.report("m1", [a_session()])
    world.look()
    world.report("m1", [a_session(connected=False)], complete=False)
    world.pass_time(0.75)
    assert world.state() == NODE_STATE_READY
    world.pass_time(0.5)
    assert world.state() == NODE_STATE_DISCONNECTED
    world.pass_time(3 * P)
    assert world.state() == NODE_STATE_DOWN


def test_a_node_that_moves_to_another_manager_within_a_second_was_never_away() -> None:
    world = World("n1")
    world.report("m1", [a_session()])
    world.report("m1", [a_session(connected=False)], complete=False)
    world.pass_time(0.75)
    world.report("m2", [a_session()])
    assert world.look() == ()
    world.pass_time(10, ("m2", [a_session()]))
    assert world.state() == NODE_STATE_READY


def test_the_end_of_an_old_session_does_not_disconnect_a_node_with_a_newer_one() -> None:
    world = World("n1")
    world.report("m2", [a_session()])
    world.report("m1", [a_session(connected=False)])
    world.pass_time(2, ("m2", [a_session()]))
    assert world.state() == NODE_STATE_READY


@pytest.mark.parametrize("connected", [True, False])
def test_what_other_managers_say_does_not_shorten_the_grace_of_a_new_leader(connected: bool) -> None:
    """The node may have been with the manager that died; this one heard it long ago."""
    world = World("n1")
    world.report("m2", [a_session(silent_s=7.0, connected=connected)])
    world.pass_time(2.2 * P - 0.25)
    assert world.state() != NODE_STATE_DOWN
    world.pass_time(0.5)
    assert world.state() == NODE_STATE_DOWN


def test_a_new_leader_gives_nodes_that_nobody_tells_about_a_fresh_grace_of_2_2_periods() -> None:
    world = World("n1")
    world.look()
    world.pass_time(2.2 * P - 0.25)
    assert world.state() == NODE_STATE_DISCONNECTED
    world.pass_time(0.5)
    assert world.state() == NODE_STATE_DOWN


def test_leader_and_worker_lost_together_leave_time_for_a_replacement_within_ten_seconds() -> None:
    election_s = 2.5  # the slowest of the defaults
    world = World("n1")
    world.look()
    waited = election_s
    while world.state() != NODE_STATE_DOWN:
        waited += 0.25
        world.pass_time(0.25)
    assert waited <= 8.25


def test_a_node_that_returns_is_ready_again() -> None:
    world = World("n1", state=NODE_STATE_DOWN)
    world.report("m1", [a_session()])
    world.look()
    assert world.state() == NODE_STATE_READY
    assert world.nodes["n1"].status.message == ""


def test_an_old_report_of_a_dead_manager_does_not_raise_the_dead() -> None:
    world = World("n1")
    world.report("m1", [a_session()])
    world.pass_time(10)
    assert world.state() == NODE_STATE_DOWN
    world.report("m1", [a_session(silent_s=20)])
    world.pass_time(1)
    assert world.state() == NODE_STATE_DOWN


def test_a_manager_that_restarts_and_knows_nothing_does_not_shorten_the_grace() -> None:
    world = World("n1")
    world.pass_time(5, ("m1", [a_session()]))
    world.report("m1", [])
    assert world.look() == ()
    world.pass_time(3 * P - 0.5)
    assert world.state() != NODE_STATE_DOWN


def test_after_a_pause_of_the_leaders_own_machine_nobody_is_blamed() -> None:
    world = World("n1", "n2")
    world.pass_time(8, ("m1", [a_session("n1"), a_session("n2")]))
    world.report("m1", [a_session("n1"), a_session("n2")])
    world.pass_time(7, ("m1", [a_session("n1")]))
    world.now_s += 60
    assert world.look() == ()
    world.pass_time(1.0)
    assert world.state("n1") == NODE_STATE_READY
    assert world.state("n2") == NODE_STATE_DOWN  # it had been silent before


def test_address_and_description_are_written_when_they_change_and_only_then() -> None:
    world = World("n1", state=NODE_STATE_UNKNOWN)
    session = a_session()
    session.description.hostname = "worker-1"
    world.report("m1", [session])
    (change,) = world.look()
    assert (change.addr, change.description) == ("10.0.0.9", NodeDescription(hostname="worker-1"))
    assert world.nodes["n1"].description.hostname == "worker-1"
    world.report("m1", [session])
    assert world.look() == ()
    session.addr = "10.0.0.10"
    world.report("m1", [session])
    assert [one.addr for one in world.look()] == ["10.0.0.10"]


def test_sessions_of_unknown_nodes_change_nothing() -> None:
    world = World("n1")
    world.report("m1", [a_session("n1"), a_session("stranger")])
    assert world.look() == ()


@pytest.mark.parametrize(
    ("configured", "nodes", "expected"),
    [
        (None, 5, 2_500_000_000),
        (None, 1000, 5 * SECOND),
        (10 * SECOND, 5, 10 * SECOND),
        (10 * SECOND, 10_000, 50 * SECOND),
        (0, 5, 100_000_000),
    ],
)
def test_the_period_is_as_configured_and_longer_in_large_clusters(
    configured: int | None, nodes: int, expected: int
) -> None:
    cluster = Cluster()
    if configured is not None:
        cluster.spec.heartbeat_period_ns = configured
    assert heartbeat_period_ns(cluster, nodes) == expected


@given(
    st.lists(
        st.tuples(st.sampled_from(["m1", "m2"]), st.floats(0, 6), st.booleans(), st.floats(0.1, 2.0)),
        max_size=40,
    )
)
def test_a_node_heard_within_the_last_two_periods_is_never_declared_down(
    reports: list[tuple[str, float, bool, float]],
) -> None:
    world = World("n1")
    heard_s = world.now_s
    for manager, silent_s, connected, wait_s in reports:
        world.report(manager, [a_session(silent_s=silent_s, connected=connected)], complete=False)
        heard_s = max(heard_s, world.now_s - silent_s)
        was_down = world.state() == NODE_STATE_DOWN  # it stays so until it has a session again
        world.pass_time(wait_s)
        if world.now_s - heard_s < 2 * P and not was_down:
            assert world.state() != NODE_STATE_DOWN
        if world.now_s - heard_s > 3 * P + 0.5:
            assert world.state() == NODE_STATE_DOWN


def test_a_manager_gets_agents_once_it_has_reported_for_three_periods_without_a_break() -> None:
    world = World("n1")
    world.pass_time(2.9 * P, ("m1", []))
    assert world.table.settled_managers(P, world.now_s) == set()
    world.pass_time(0.2 * P, ("m1", []))
    assert world.table.settled_managers(P, world.now_s) == {"m1"}
    world.pass_time(1.6 * P, ("m2", []))
    world.pass_time(2.0 * P, ("m1", []), ("m2", []))
    assert world.table.settled_managers(P, world.now_s) == {"m2"}


def test_what_a_silent_manager_had_is_no_ground_for_orders() -> None:
    world = World("n1")
    world.pass_time(P, ("m1", [a_session()]), ("m2", [a_session(connected=False)]))
    assert {(held.manager_id, held.connected) for held in world.table.sessions()} == {
        ("m1", True),
        ("m2", False),
    }
    world.pass_time(2 * P, ("m2", [a_session(connected=False)]))
    assert {held.manager_id for held in world.table.sessions()} == {"m2"}


def test_what_is_new_about_a_node_that_was_settled_is_not_missed() -> None:
    world = World("n1")
    settled = a_session()
    world.pass_time(3, ("m1", [settled]))
    assert world.look() == ()

    moved = SessionState(node_id="n1", connected=True, addr="10.0.0.10")
    world.report("m1", [moved])
    assert [change.addr for change in world.look()] == ["10.0.0.10"]
    assert world.look() == ()

    written = Node()
    written.CopyFrom(world.nodes["n1"])
    written.status.state = NODE_STATE_DOWN  # by a leader that heard nothing of it
    world.nodes["n1"] = written
    assert [change.state for change in world.look()] == [NODE_STATE_READY]
    assert world.look() == ()

    world.report("m1", [])
    world.pass_time(1.5)
    assert world.nodes["n1"].status.state == NODE_STATE_DISCONNECTED
    world.report("m1", [moved])
    world.look()
    assert world.nodes["n1"].status.state == NODE_STATE_READY
    world.look()
    world.pass_time(3 * P + 1)
    assert world.nodes["n1"].status.state == NODE_STATE_DOWN


def test_what_an_earlier_session_said_of_a_node_does_not_come_back_with_a_new_one() -> None:
    table = LivenessTable(0.0)
    first = a_session()
    first.session_id = "first"
    first.description.hostname = "before"
    table.report("m1", True, [first], 0.0)
    second = a_session()  # without a description: the store has what the node told another manager since
    second.session_id = "second"
    table.report("m1", True, [second], 1.0)
    node = Node(id="n1", description=NodeDescription(hostname="now"))
    node.status.state = NODE_STATE_READY
    node.status.addr = second.addr
    assert table.plan([node], P, 1.0) == ()


def test_a_node_that_is_awaited_after_a_restore_keeps_its_tasks_until_it_is_heard() -> None:
    world = World("n1", state=NODE_STATE_DISCONNECTED)
    world.nodes["n1"].status.awaited = True
    world.pass_time(100 * P)
    assert world.nodes["n1"].status.state == NODE_STATE_DISCONNECTED
    world.report("m1", [a_session()])
    world.look()
    assert world.nodes["n1"].status.state == NODE_STATE_READY
    assert not world.nodes["n1"].status.awaited
    world.pass_time(4 * P)  # from now on its silence counts
    assert world.nodes["n1"].status.state == NODE_STATE_DOWN
