"""What agents know of overlay networks, through real dispatchers, restarts and changes of managers."""

from pathlib import Path

from swarm.agent.network.base import TaskNetwork
from swarm.agent.overlay.state import NetworkState
from swarm.api.v1.objects_pb2 import Network, Node, Task
from swarm.api.v1.types_pb2 import HealthState, NetworkAddresses, NodeState
from swarm.debug.overlays import differences
from swarm.model.network_support import KEY
from swarm.model.task_state import PREPARING, RUNNING, SHUTDOWN
from tests.unit.agent.lab import AgentHandle, Lab, a_lab, a_task, until


def _shop() -> Network:
    network = Network(id="shop", vxlan_id=5000)
    network.spec.annotations.name = "shop"
    network.subnets.add(subnet="10.0.0.0/24", gateway="10.0.0.1")
    return network


def _joins(node_id: str, router: str) -> Node:
    node = Node(id=node_id, networks=[NetworkAddresses(network_id="shop", addresses=[router])])
    node.status.state, node.status.addr = NodeState.NODE_STATE_READY, "192.0.2.1"
    return node


def _a_task(node_id: str, address: str) -> Task:
    return a_task(node_id, networks=[NetworkAddresses(network_id="shop", addresses=[address])])


def _known(handle: AgentHandle) -> NetworkState:
    return handle.agent._overlays.state.networks["shop"]


def _agrees(lab: Lab, node_id: str) -> bool:
    assert lab.leader is not None
    return not differences(lab.leader.store.view, node_id, lab.agents[node_id].agent._overlays.state)


async def _start(lab: Lab) -> tuple[Task, Task]:
    """Have a task run at each of two nodes."""
    tasks = _a_task("n1", "10.0.0.11"), _a_task("n2", "10.0.0.12")
    await lab.write(_shop(), _joins("n1", "10.0.0.2"), _joins("n2", "10.0.0.3"), *tasks)
    for node_id in ("n1", "n2"):
        await lab.agent(node_id)
    for task in tasks:
        await until(lambda task=task: lab.task(task.id).status.state == RUNNING)
    await until(lambda: _agrees(lab, "n1") and _agrees(lab, "n2"))
    return tasks


async def test_a_change_at_one_node_is_known_at_the_other(tmp_path: Path) -> None:
    async with a_lab(tmp_path, nodes=("n1", "n2")) as lab:
        first, second = await _start(lab)
        there = lab.agents["n2"]
        assert there.network.networks[second.id] == (TaskNetwork("shop", ("10.0.0.12",)),)
        assert _known(there).endpoints[first.id].serving
        sick = lab.task(first.id)
        sick.status.container.health.state = HealthState.HEALTH_STATE_UNHEALTHY
        await lab.write(sick)
        await until(lambda: not _known(there).endpoints[first.id].serving)
        await lab.desire(first.id, SHUTDOWN)
        await until(lambda: first.id not in _known(there).endpoints)


async def test_a_task_waits_in_preparing_until_its_node_has_an_address_and_says_so(tmp_path: Path) -> None:
    async with a_lab(tmp_path, nodes=("n1",)) as lab:
        task = _a_task("n1", "10.0.0.11")
        await lab.write(_shop(), task)
        handle = await lab.agent("n1")
        await until(lambda: "waits for an address of this node" in lab.task(task.id).status.err)
        assert lab.task(task.id).status.state == PREPARING
        assert not handle.network.networks
        node = Node()
        node.CopyFrom(lab.node("n1"))
        node.networks.add(network_id="shop", addresses=["10.0.0.2"])
        await lab.write(node)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        assert lab.task(task.id).status.err == ""


async def test_a_task_that_waits_for_its_network_can_be_stopped(tmp_path: Path) -> None:
    async with a_lab(tmp_path, nodes=("n1",)) as lab:
        task = _a_task("n1", "10.0.0.11")
        await lab.write(_shop(), task)
        await lab.agent("n1")
        await until(lambda: lab.task(task.id).status.err)
        await lab.desire(task.id, SHUTDOWN)
        await until(lambda: lab.task(task.id).status.state == SHUTDOWN)


async def test_networks_are_there_before_tasks_after_a_restart_without_a_manager(tmp_path: Path) -> None:
    async with a_lab(tmp_path, nodes=("n1", "n2")) as lab:
        await _start(lab)
        handle = lab.agents["n1"]
        before = handle.agent._overlays.state.networks
        await handle.stop()
        await lab.managers[0].stop()
        network = handle.network = type(handle.network)()
        held_then: list[int] = []
        apply = network.apply

        async def noting(state: object, touched: object) -> None:
            held_then.append(len(handle.agent.held_ids()))
            await apply(state, touched)  # type: ignore[arg-type]

        network.apply = noting  # type: ignore[assignment,method-assign]
        await handle.start()
        await until(handle.agent.held_ids)
        assert handle.agent._overlays.state.networks == before
        assert network.touched[0].network
        assert held_then == [0]


async def test_another_leader_and_another_manager_say_the_same_and_go_on(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=3, nodes=("n1", "n2")) as lab:
        first, _ = await _start(lab)
        await lab.managers[0].stop()
        await lab.elect(lab.managers[1])
        third = _a_task("n2", "10.0.0.13")
        await lab.write(third)
        await lab.desire(first.id, SHUTDOWN)
        await until(lambda: lab.task(third.id).status.state == RUNNING)
        await until(lambda: lab.task(first.id).status.state == SHUTDOWN)
        await until(lambda: _agrees(lab, "n1") and _agrees(lab, "n2"))
        assert _known(lab.agents["n1"]).endpoints[third.id].serving


async def test_a_network_that_fails_to_be_made_is_tried_again_and_costs_no_task(tmp_path: Path) -> None:
    async with a_lab(tmp_path, nodes=("n1",)) as lab:
        handle = await lab.agent("n1")
        handle.network.broken["apply"] = OSError("no vxlan here")
        task = _a_task("n1", "10.0.0.11")
        await lab.write(_shop(), _joins("n1", "10.0.0.2"), task)
        await until(lambda: "no vxlan here" in lab.task(task.id).status.err)
        handle.network.broken.clear()
        await until(lambda: lab.task(task.id).status.state == RUNNING)


async def test_a_node_says_which_networks_it_can_give_and_forgets_all_when_it_leaves(tmp_path: Path) -> None:
    async with a_lab(tmp_path, nodes=("n1", "n2")) as lab:
        await _start(lab)
        lab.agents["n1"].network.network_drivers = frozenset({"overlay", "encrypted"})
        lab.agents["n1"].agent.describe_again()
        await until(lambda: lab.node("n1").description.runtime_info[KEY] == "encrypted,overlay")
        await lab.agents["n1"].agent.shutdown_tasks()
        assert not lab.agents["n1"].agent._overlays.state.networks
