"""An agent and real dispatchers on loopback."""

import asyncio
from pathlib import Path

import pytest

from swarm.agent.main import Agent
from swarm.api.v1.dispatcher_pb2 import Hello
from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import (
    NODE_STATE_DISCONNECTED,
    NODE_STATE_DOWN,
    NODE_STATE_READY,
    Mount,
    PortConfig,
)
from swarm.clock import SECOND
from swarm.errors import Unavailable
from swarm.model.task_state import (
    ASSIGNED,
    COMPLETE,
    FAILED,
    READY,
    REJECTED,
    REMOVE,
    RUNNING,
    SHUTDOWN,
)
from swarm.runtime.base import ContainerState
from swarm.runtime.fake import FakeDriver, Script
from swarm.runtime.fake_images import FakeImages
from tests.unit.agent.lab import PERIOD_NS, AgentHandle, a_lab, a_task, until


async def test_a_task_assigned_to_a_node_runs_and_its_states_are_recorded(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        assert node.driver.ids(ContainerState.RUNNING) == {task.id}
        assert lab.task(task.id).status.container.container_id == task.id
        assert lab.task(task.id).status.address.startswith("10.255.")
        assert lab.task(task.id).history[0].state == ASSIGNED


async def test_a_node_is_ready_with_description_and_address_while_its_agent_is_connected(
    tmp_path: Path,
) -> None:
    async with a_lab(tmp_path) as lab:
        await lab.agent("n1")
        await until(lambda: lab.node("n1").status.state == NODE_STATE_READY)
        assert lab.node("n1").status.addr == "127.0.0.1"
        assert lab.node("n1").description.hostname == "host-n1"
        assert lab.node("n1").description.engine_labels == {"disk": "ssd"}
        assert lab.node("n1").description.resources.memory_bytes > 0


async def test_a_node_that_changes_while_it_greets_a_manager_tells_what_it_is_like_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_lab(tmp_path) as lab:
        node = AgentHandle(lab, "n1")
        lab.agents["n1"] = node
        greet = Agent._hello

        def late(agent: Agent) -> Hello:
            greeting = greet(agent)
            agent._describer.description.engine_labels["disk"] = "nvme"
            return greeting

        monkeypatch.setattr(Agent, "_hello", late)
        await node.start()
        await until(lambda: lab.node("n1").description.engine_labels == {"disk": "nvme"})


async def test_a_silent_node_is_first_disconnected_then_down_and_ready_again_when_it_returns(
    tmp_path: Path,
) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        await until(lambda: lab.node("n1").status.state == NODE_STATE_READY)
        await node.stop()
        seen = set()

        def down() -> bool:
            seen.add(lab.node("n1").status.state)
            return lab.node("n1").status.state == NODE_STATE_DOWN

        await until(down)
        assert NODE_STATE_DISCONNECTED in seen
        await node.start()
        await until(lambda: lab.node("n1").status.state == NODE_STATE_READY)


async def test_a_task_meant_to_be_ready_is_prepared_and_starts_only_when_told(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = a_task("n1")
        task.desired_state = READY
        task.spec.container.mounts.add(type=Mount.TYPE_IMAGE, source="model:1", target="/model")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == READY)
        assert node.driver.ids(ContainerState.CREATED) == {task.id}
        # The node must keep them till then.
        assert node.agent.image_digests() == {f"sha256:{task.spec.container.image}", "sha256:model:1"}
        await lab.desire(task.id, RUNNING)
        await until(lambda: lab.task(task.id).status.state == RUNNING)


async def test_a_stopped_task_keeps_its_container_for_logs_until_the_managers_forget_it(
    tmp_path: Path,
) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        await lab.desire(task.id, SHUTDOWN)
        await until(lambda: lab.task(task.id).status.state == SHUTDOWN)
        assert node.driver.ids(ContainerState.EXITED) == {task.id}
        assert not node.network.sandboxes
        await lab.remove(Task, task.id)
        await until(lambda: not node.driver.ids())
        await until(lambda: not node.agent.containers())


async def test_a_task_meant_to_be_removed_leaves_nothing_behind(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        await lab.desire(task.id, REMOVE)
        await until(lambda: lab.task(task.id).status.state == SHUTDOWN)
        await until(lambda: not node.driver.ids())


@pytest.mark.parametrize(
    ("script", "state", "error"),
    [
        (Script(runs_s=0.05, exit_code=0), COMPLETE, ""),
        (Script(runs_s=0.05, exit_code=3), FAILED, "exit code 3"),
        (Script(start_error="no such file"), FAILED, "no such file"),
        (Script(create_error="no such mount"), REJECTED, "no such mount"),
    ],
)
async def test_how_a_container_ends_decides_the_final_state(
    tmp_path: Path, script: Script, state: int, error: str
) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1", driver=FakeDriver(script))
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == state)
        assert error in lab.task(task.id).status.err
        assert not node.network.sandboxes


async def test_a_missing_image_rejects_the_task_and_a_temporary_failure_is_tried_again(
    tmp_path: Path,
) -> None:
    images = FakeImages()
    images.missing["gone:1"] = "no such image"
    images.errors["slow:1"] = [Unavailable("the registry is busy")]
    async with a_lab(tmp_path) as lab:
        await lab.agent("n1", images=images)
        gone, slow = a_task("n1"), a_task("n1")
        gone.spec.container.image, slow.spec.container.image = "gone:1", "slow:1"
        await lab.write(gone, slow)
        await until(lambda: lab.task(gone.id).status.state == REJECTED)
        assert "no such image" in lab.task(gone.id).status.err
        await until(lambda: "busy" in lab.task(slow.id).status.err)
        await until(lambda: lab.task(slow.id).status.state == RUNNING)
        assert lab.task(slow.id).status.err == ""
        assert images.pulls["slow:1"] == 2


async def test_a_published_port_is_reported_and_free_before_the_task_counts_as_ended(
    tmp_path: Path,
) -> None:
    async with a_lab(tmp_path) as lab:
        await lab.agent("n1")
        first, second = a_task("n1"), a_task("n1")
        for task in (first, second):
            task.endpoint.ports.add(
                target_port=80, published_port=8080, publish_mode=PortConfig.PUBLISH_MODE_HOST
            )
        await lab.write(first)
        await until(lambda: lab.task(first.id).status.state == RUNNING)
        assert [port.published_port for port in lab.task(first.id).status.ports] == [8080]
        await lab.desire(first.id, SHUTDOWN)
        await until(lambda: lab.task(first.id).status.state == SHUTDOWN)
        await lab.write(second)
        await until(lambda: lab.task(second.id).status.state == RUNNING)


async def test_a_restarted_agent_adopts_its_containers_while_no_manager_answers(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        await lab.managers[0].stop()
        await node.stop()
        await node.start()
        await until(lambda: [one.state for one in node.agent.containers()] == [RUNNING])
        assert node.driver.calls["start"] == 1
        node.driver.exit(task.id, 4)
        await until(lambda: [one.state for one in node.agent.containers()] == [FAILED])
        await lab.managers[0].start(lab.managers[0].port)
        await until(lambda: lab.task(task.id).status.state == FAILED)


async def test_a_container_that_ended_while_the_agent_was_away_is_reported_with_its_exit_code(
    tmp_path: Path,
) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        ended, lost = a_task("n1"), a_task("n1")
        await lab.write(ended, lost)
        await until(lambda: lab.task(ended.id).status.state == lab.task(lost.id).status.state == RUNNING)
        await node.stop()
        node.driver.exit(ended.id, 7)
        node.driver.lose(lost.id)
        await node.start()
        await until(lambda: lab.task(ended.id).status.state == lab.task(lost.id).status.state == FAILED)
        assert lab.task(ended.id).status.container.exit_code == 7
        assert "gone" in lab.task(lost.id).status.err


async def test_a_task_forgotten_while_the_agent_was_away_is_stopped_and_removed(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        kept, dropped = a_task("n1"), a_task("n1")
        await lab.write(kept, dropped)
        await until(lambda: len(node.driver.ids(ContainerState.RUNNING)) == 2)
        await node.stop()
        await lab.remove(Task, dropped.id)
        await node.start()
        await until(lambda: node.driver.ids() == {kept.id})
        assert node.driver.calls["start"] == 2


async def test_with_a_damaged_database_wanted_containers_are_kept_and_others_removed(
    tmp_path: Path,
) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        kept, dropped = a_task("n1"), a_task("n1")
        await lab.write(kept, dropped)
        await until(lambda: lab.task(kept.id).status.state == lab.task(dropped.id).status.state == RUNNING)
        await node.stop()
        await lab.remove(Task, dropped.id)
        path = tmp_path / "n1" / "tasks.db"
        path.write_bytes(b"this is no database " * 500)
        await node.start()
        await until(lambda: node.driver.ids() == {kept.id})
        await until(lambda: [one.task_id for one in node.agent.containers()] == [kept.id])
        assert node.driver.calls["start"] == 2
        assert lab.task(kept.id).status.state == RUNNING
        assert len(list((tmp_path / "n1").glob("tasks.db.damaged-*"))) == 1


async def test_when_its_manager_dies_an_agent_goes_to_another(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=3) as lab:
        node = await lab.agent("n1")
        await until(lambda: node.agent.connected)
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        first = next(one for one in lab.managers if one.node_id == node.agent.manager.node_id)
        if lab.leader is first:
            await lab.elect(lab.managers[1])
        await first.stop()
        await until(lambda: node.agent.connected and node.agent.manager.node_id != first.node_id)
        await asyncio.sleep(3 * PERIOD_NS / SECOND)
        assert lab.node("n1").status.state == NODE_STATE_READY
        assert node.driver.calls["start"] == 1


async def test_a_manager_that_reaches_no_leader_is_left_for_one_that_does(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=2) as lab:
        follower = lab.managers[1]
        node = await lab.agent(follower.node_id)
        await lab.write(Node(id=follower.node_id))
        await until(lambda: node.agent.connected and node.agent.manager.node_id == follower.node_id)
        await until(lambda: lab.node(follower.node_id).status.state == NODE_STATE_READY)
        follower.leadership.cut_off = True
        await until(lambda: node.agent.connected and node.agent.manager.node_id == lab.leader.node_id)
        await asyncio.sleep(3 * PERIOD_NS / SECOND)
        assert lab.node(follower.node_id).status.state == NODE_STATE_READY


async def test_a_manager_whose_store_is_behind_is_not_believed(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=2) as lab:
        node = await lab.agent("n1")
        await until(lambda: node.agent.connected)
        lab.proposer._state_machines = (lab.managers[0].store,)  # the other hears nothing any more
        task = a_task("n1")
        await lab.write(task)
        lab.managers[1].leadership.cut_off = True
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        port = lab.managers[0].port
        await lab.managers[0].stop()
        await asyncio.sleep(0.5)
        assert node.driver.ids(ContainerState.RUNNING) == {task.id}
        await lab.managers[0].start(port)
        await until(lambda: node.agent.connected and node.agent.manager.node_id == "manager1")
        assert node.driver.calls["start"] == 1


async def test_statuses_wait_for_a_leader_and_are_recorded_then(tmp_path: Path) -> None:
    async with a_lab(tmp_path, managers=1) as lab:
        node = await lab.agent("n1")
        task = a_task("n1")
        lab.proposer.pause()
        writing = asyncio.create_task(lab.write(task))
        lab.proposer.resume()
        await writing
        for _ in range(4):
            lab.proposer.fail_next(Unavailable("nobody leads"))
        await until(lambda: node.driver.ids(ContainerState.RUNNING) == {task.id})
        await until(lambda: lab.task(task.id).status.state == RUNNING)


async def test_a_removed_node_stops_everything_and_says_so(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: node.driver.ids(ContainerState.RUNNING) == {task.id})
        await lab.remove(Node, "n1")
        await until(lambda: node.removed)
        assert not node.driver.ids()
        assert not node.network.sandboxes


async def test_a_node_removed_while_it_was_away_hears_of_it_when_it_returns(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: node.driver.ids(ContainerState.RUNNING) == {task.id})
        await node.stop()
        cluster = lab.leader.store.view.cluster
        removed = type(cluster)()
        removed.CopyFrom(cluster)
        removed.removed_nodes["n1"].SetInParent()
        await lab.write(removed)
        await lab.remove(Node, "n1")
        await node.start()
        await until(lambda: node.removed)
        assert not node.driver.ids()


async def test_a_node_that_leaves_stops_and_removes_everything(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: node.driver.ids(ContainerState.RUNNING) == {task.id})
        await node.agent.shutdown_tasks()
        assert not node.driver.ids()
        assert not node.agent.connected


async def test_a_hundred_tasks_start_side_by_side(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        await lab.agent("n1", driver=FakeDriver(Script(start_s=0.01)))
        tasks = [a_task("n1") for _ in range(100)]
        await lab.write(*tasks)
        await until(lambda: all(lab.task(task.id).status.state == RUNNING for task in tasks))


async def test_a_broken_driver_costs_one_task_and_not_the_node(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        node.driver.broken["create"] = KeyError("a bug")
        first, second = a_task("n1"), a_task("n1")
        await lab.write(first)
        await until(lambda: lab.task(first.id).status.state == REJECTED)
        del node.driver.broken["create"]
        await lab.write(second)
        await until(lambda: lab.task(second.id).status.state == RUNNING)


async def test_a_container_that_cannot_be_stopped_is_not_called_stopped(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = a_task("n1")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        node.driver.broken["stop"] = OSError("no signal gets through")
        await lab.desire(task.id, SHUTDOWN)
        await until(lambda: "no signal" in lab.task(task.id).status.err)
        assert lab.task(task.id).status.state == RUNNING
        del node.driver.broken["stop"]
        await until(lambda: lab.task(task.id).status.state == SHUTDOWN)
