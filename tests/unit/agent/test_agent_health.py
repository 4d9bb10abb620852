"""An agent that asks its containers how they are, on a fake runtime."""

from pathlib import Path

import pytest

from swarm.agent.containers.summary import summary
from swarm.agent.probes import Answer, Prober
from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import HealthConfig, TaskStatus
from swarm.model.health import HEALTHY, UNHEALTHY, Command, HealthCheck
from swarm.model.health import STARTING as HEALTH_STARTING
from swarm.model.task_state import FAILED, RUNNING, SHUTDOWN, STARTING
from swarm.runtime.base import ContainerConfig, ContainerInfo, ContainerState
from swarm.runtime.fake import ExecScript, FakeDriver, Script
from swarm.runtime.fake_images import FakeImages
from tests.unit.agent.lab import Lab, a_lab, a_task, until

MS = 1_000_000
GOOD = Script(exec=ExecScript(output=b"fine"))
BAD = Script(exec=ExecScript(exit_code=2, output=b"no database: password=hunter2\n"))
HANGS = Script(exec=ExecScript(runs_s=None, output=b"thinking"))


def _config(**changes: object) -> HealthConfig:
    values = {"test": ["CMD-SHELL", "check"], "interval_ns": 20 * MS, "timeout_ns": 2000 * MS, "retries": 3}
    return HealthConfig(**{**values, **changes})  # type: ignore[arg-type]


def _task(**changes: object) -> Task:
    task = a_task("n1")
    task.spec.container.healthcheck.CopyFrom(_config(**changes))
    return task


def _health(lab: Lab, task: Task) -> int:
    return lab.task(task.id).status.container.health.state


def _probes(driver: FakeDriver, task: Task) -> int:
    return sum(container_id == task.id for container_id, _ in driver.execs)


async def test_a_task_runs_once_its_first_probe_succeeds(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = _task()
        node.driver.scripts[task.id] = HANGS
        await lab.write(task)
        await until(lambda: _health(lab, task) == HEALTH_STARTING)
        await until(lambda: _probes(node.driver, task) == 1)
        assert lab.task(task.id).status.state == STARTING
        node.driver.scripts[task.id] = GOOD
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        assert _health(lab, task) == HEALTHY
        assert node.driver.execs[0][1].config.command == ("/bin/sh", "-c", "check")


async def test_an_unhealthy_container_is_stopped_and_the_task_fails_with_what_it_said(
    tmp_path: Path,
) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = _task()
        node.driver.scripts[task.id] = GOOD
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        node.driver.scripts[task.id] = BAD
        await until(lambda: lab.task(task.id).status.state == FAILED)
        status = lab.task(task.id).status
        assert "no database" in status.err
        assert "exit code 2, 3 failures in a row" in status.err
        assert status.container.health.state == UNHEALTHY
        assert [one.exit_code for one in status.container.health.log][-3:] == [2, 2, 2]
        assert node.driver.ids(ContainerState.EXITED) == {task.id}
        assert not node.network.sandboxes
        asked = _probes(node.driver, task)
        assert asked == len(node.driver.execs)
        await lab.remove(Task, task.id)
        await until(lambda: not node.driver.ids())
        assert len(node.driver.execs) == asked


async def test_a_task_that_never_gets_healthy_fails_without_ever_running(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = _task()
        node.driver.scripts[task.id] = BAD
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == FAILED)
        assert RUNNING not in [one.state for one in lab.task(task.id).history]


async def test_a_probe_that_hangs_is_killed_before_the_next_one_and_counts_as_failed(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = _task(timeout_ns=30 * MS, retries=2)
        node.driver.scripts[task.id] = HANGS
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == FAILED)
        assert "no answer within 30ms; it said: thinking" in lab.task(task.id).status.err
        for _, probe in node.driver.execs:
            assert await probe.wait() == 137


async def test_a_task_told_to_stop_is_asked_no_more(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = _task(timeout_ns=60_000 * MS)
        node.driver.scripts[task.id] = HANGS
        await lab.write(task)
        await until(lambda: _probes(node.driver, task) == 1)
        node.driver.scripts[task.id] = Script(stop_s=0.3, exec=BAD.exec)
        await lab.desire(task.id, SHUTDOWN)
        await until(lambda: lab.task(task.id).status.state == SHUTDOWN)
        assert _probes(node.driver, task) == 1
        assert await node.driver.execs[0][1].wait() == 137


async def test_what_the_image_says_counts_unless_the_service_says_otherwise(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        own, without, faster = a_task("n1"), a_task("n1"), a_task("n1")
        node.images.healthchecks[own.spec.container.image] = _config(test=["CMD", "from-image"], retries=1)
        node.driver.default = BAD
        without.spec.container.healthcheck.test.append("NONE")
        faster.spec.container.healthcheck.retries = 2
        await lab.write(own, without, faster)
        await until(lambda: all(lab.task(one.id).status.state == FAILED for one in (own, faster)))
        await until(lambda: lab.task(without.id).status.state == RUNNING)
        assert (_probes(node.driver, own) >= 1, _probes(node.driver, without)) == (True, 0)
        assert lab.task(faster.id).status.container.health.failing_streak == 2
        assert node.driver.execs[0][1].config.command == ("from-image",)


async def test_health_that_only_informs_is_shown_and_stops_nothing(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = _task(action=HealthConfig.ACTION_NONE)
        node.driver.scripts[task.id] = BAD
        await lab.write(task)
        await until(lambda: _health(lab, task) == UNHEALTHY)
        assert lab.task(task.id).status.state == RUNNING
        node.driver.scripts[task.id] = GOOD
        await until(lambda: _health(lab, task) == HEALTHY)
        assert node.driver.calls["stop"] == 0


async def test_a_restarted_agent_goes_on_with_the_health_it_knew(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        well, failing = _task(), _task(retries=40)
        node.driver.scripts |= {well.id: GOOD, failing.id: GOOD}
        await lab.write(well, failing)
        await until(lambda: all(lab.task(one.id).status.state == RUNNING for one in (well, failing)))
        before = lab.task(well.id).status
        node.driver.scripts[failing.id] = BAD
        good = _probes(node.driver, failing)
        await until(lambda: _probes(node.driver, failing) >= good + 10)
        await node.stop()
        assert lab.task(failing.id).status.state == RUNNING
        await node.start()
        await until(lambda: lab.task(failing.id).status.state == FAILED)
        # The failures before the restart count; one may have been on its way twice, one have come too early.
        assert _probes(node.driver, failing) <= good + 40 + 2
        assert lab.task(failing.id).status.container.health.failing_streak == 40
        assert lab.task(well.id).status.container.health == before.container.health
        assert node.driver.calls["start"] == 2


async def test_a_restarted_agent_knows_the_health_check_of_an_image_that_is_gone(tmp_path: Path) -> None:
    images = FakeImages()
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1", images=images)
        task = a_task("n1")
        images.healthchecks[task.spec.container.image] = _config()
        node.driver.scripts[task.id] = GOOD
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        await node.stop()
        images.healthchecks.clear()
        node.driver.scripts[task.id] = BAD
        await node.start()
        await until(lambda: lab.task(task.id).status.state == FAILED)
        assert "unhealthy" in lab.task(task.id).status.err


async def test_a_driver_that_cannot_ask_says_nothing_about_the_container(tmp_path: Path) -> None:
    async with a_lab(tmp_path) as lab:
        node = await lab.agent("n1")
        task = _task()
        node.driver.scripts[task.id] = GOOD
        node.driver.broken["exec"] = RuntimeError("broken")
        await lab.write(task)
        await until(lambda: lab.task(task.id).status.state == STARTING)
        asked = node.driver.calls["exec"]
        await until(lambda: node.driver.calls["exec"] > asked + 1)
        assert lab.task(task.id).status.state == STARTING
        del node.driver.broken["exec"]
        await until(lambda: lab.task(task.id).status.state == RUNNING)


async def test_a_paused_container_is_not_asked() -> None:
    driver = FakeDriver()
    await driver.create(ContainerConfig("t1", "web:1", "sha256:1"))
    await driver.start("t1")
    prober, check = Prober(driver, 1), HealthCheck(Command(("check",)))
    assert await prober.ask("t1", check, "") == Answer(0, "")
    await driver.pause("t1")
    assert await prober.ask("t1", check, "") is None
    await driver.unpause("t1")
    assert await prober.ask("t1", check, "") == Answer(0, "")


@pytest.mark.parametrize("state", [ContainerState.RUNNING, ContainerState.EXITED])
def test_a_container_is_listed_with_the_health_of_its_task_while_it_runs(state: ContainerState) -> None:
    task = _task()
    status = TaskStatus()
    status.container.health.state = UNHEALTHY
    listed = summary(ContainerInfo(task.id, state), TaskRecord(task, status))
    assert listed.HasField("health") == (state is ContainerState.RUNNING)
    assert listed.health.state == (UNHEALTHY if state is ContainerState.RUNNING else 0)
