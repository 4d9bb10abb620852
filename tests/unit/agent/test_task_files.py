"""Files of tasks: what is in them, what they wait for, and who gets to see them on the node."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.agent.assignments import Changes, DataChanges
from swarm.agent.task_files import VARIABLE, task_files, with_files
from swarm.api.v1.objects_pb2 import Config, Secret, Task
from swarm.errors import TaskRejected, Unavailable
from swarm.model.file_references import file_references
from swarm.model.task_state import FAILED, PREPARING, READY, REJECTED, RUNNING, SHUTDOWN
from swarm.model.templates import TemplateContext
from swarm.runtime.base import BindMount, ContainerConfig, ContainerState
from swarm.runtime.memory_files import MemoryFiles
from swarm.runtime.oci.overlay import mounts_below, unmount
from tests.unit.agent.lab import a_lab, a_task, until
from tests.unit.agent.test_worker import Bench

CONTEXT = TemplateContext(service_name="web", task_slot="3")
DATA = b"recognisable-s3cret"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for point in mounts_below(tmp_path):
        unmount(point)


def a_secret(
    data: bytes = DATA, *, template: bool = False, data_id: str = "s1", name: str = "key"
) -> Secret:
    secret = Secret(id=data_id)
    secret.spec.annotations.name = name
    secret.spec.secret_data = data
    secret.spec.template_driver = "golang" if template else ""
    return secret


def a_config(
    data: bytes = b"a=1", *, template: bool = False, data_id: str = "c1", name: str = "ini"
) -> Config:
    config = Config(id=data_id)
    config.spec.annotations.name = name
    config.spec.data = data
    config.spec.template_driver = "golang" if template else ""
    return config


def task_with(*items: Secret | Config, node: str = "n1") -> Task:
    task = a_task(node)
    for one in items:
        name = one.spec.annotations.name
        if isinstance(one, Secret):
            task.spec.container.secrets.add(secret_id=one.id, secret_name=name)
        else:
            task.spec.container.configs.add(config_id=one.id, config_name=name)
    return task


def contents(*items: Secret | Config, env: tuple[str, ...] = ()) -> dict[str, bytes]:
    task = task_with(*items)
    task.spec.container.env.extend(env)
    return {one.target: one.data for one in task_files(task, CONTEXT, {item.id: item for item in items})}


def test_what_a_driver_gave_is_for_the_task_that_it_was_asked_for() -> None:
    task = task_with(a_secret())
    mine = a_secret(b"mine", data_id=f"s1.{task.id}")
    (found,) = task_files(task, CONTEXT, {mine.id: mine})
    assert found.data == b"mine"
    with pytest.raises(Unavailable, match="not yet on this node"):
        task_files(task, CONTEXT, {"s1.other": a_secret(b"theirs", data_id="s1.other")})


def test_what_a_driver_says_against_it_holds_a_task_or_ends_it() -> None:
    task = task_with(a_secret())
    told = Secret(id=f"s1.{task.id}", problem="Vault is sealed")
    with pytest.raises(Unavailable, match=r"^secret key: Vault is sealed$"):
        task_files(task, CONTEXT, {told.id: told})
    told.refused = True
    with pytest.raises(TaskRejected, match=r"^secret key: Vault is sealed$"):
        task_files(task, CONTEXT, {told.id: told})


def test_data_is_taken_as_it_is_unless_it_is_a_template() -> None:
    raw = b"\xff{{.Task.Slot}}\x00"
    assert contents(a_secret(raw), a_config(raw)) == {"/run/secrets/key": raw, "/ini": raw}
    assert contents(a_config(raw, template=True)) == {"/ini": b"\xff3\x00"}


def test_a_template_may_take_in_secrets_configs_and_variables_of_its_task() -> None:
    text = b'{{.Service.Name}} {{secret "key"}} {{config "other"}} {{env "WHERE"}}'
    other = a_config(b"\xfe", data_id="c2", name="other")
    found = contents(
        a_secret(b"{{.Task.ID}}\xff"),
        a_config(text, template=True),
        other,
        env=("WHERE=slot-{{.Task.Slot}}",),
    )
    assert found["/ini"] == b"web {{.Task.ID}}\xff \xfe slot-3"


def test_a_file_is_also_called_by_the_name_of_its_target() -> None:
    task = task_with(
        a_secret(), a_config(b'{{secret "db"}}{{secret "/etc/db"}}{{secret "key"}}', template=True)
    )
    task.spec.container.secrets[0].target.name = "/etc/db"
    data = {"s1": a_secret(), "c1": a_config(b'{{secret "db"}}{{secret "key"}}', template=True)}
    assert task_files(task, CONTEXT, data)[1].data == DATA * 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'\n{{secret "none"}}', 'line 2 of config ini, which is a template: .*the secret "none"'),
        (b'{{config "none"}}', 'the config "none", which the task does not have'),
        (b'{{env "NONE"}}', 'the variable "NONE", which the task does not have'),
        (b"{{.Service.Nmae}}", "{{.Service.Nmae}} means nothing"),
        (b"{{", "has no end"),
    ],
)
def test_what_cannot_be_filled_in_rejects_the_task_with_the_place(text: bytes, problem: str) -> None:
    with pytest.raises(TaskRejected, match=problem):
        contents(a_config(text, template=True))


@pytest.mark.parametrize("text", [b"{{s3cret", b'\n{{secret "s3cret"}}', b"{{.s3cret}}", b'{{"\\s3cret"}}'])
def test_of_a_secret_that_cannot_be_filled_in_nothing_is_told_but_the_line(text: bytes) -> None:
    with pytest.raises(TaskRejected) as caught:
        contents(a_secret(text, template=True))
    assert "of secret key, which is a template" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_what_has_not_come_is_waited_for_and_what_is_gone_is_not() -> None:
    task = task_with(a_secret())
    with pytest.raises(Unavailable, match="secret key is not yet on this node"):
        task_files(task, CONTEXT, {})
    with pytest.raises(TaskRejected, match="secret key does not exist any more"):
        task_files(task, CONTEXT, {"s1": Secret(id="s1")})


def test_a_container_gets_read_only_mounts_and_a_process_a_variable(tmp_path: Path) -> None:
    config = ContainerConfig(id="t1", image="web:1", image_digest="", env=("A=1",))
    references = file_references(task_with(a_secret(), a_config()).spec.container)
    mounted = with_files(config, references, tmp_path, isolated=True)
    assert mounted.env == config.env
    assert list(mounted.mounts) == [
        BindMount(f"{tmp_path}/run/secrets/key", "/run/secrets/key", read_only=True, relabel="Z"),
        BindMount(f"{tmp_path}/ini", "/ini", read_only=True, relabel="Z"),
    ]
    plain = with_files(config, references, tmp_path, isolated=False)
    assert (list(plain.mounts), list(plain.env)) == ([], ["A=1", f"{VARIABLE}={tmp_path}"])


# The worker.


async def test_a_task_waits_for_its_secret_and_its_files_go_when_it_ends(folder: Path) -> None:
    bench = Bench(folder)
    async with bench.life() as worker:
        task = task_with(a_secret())
        worker.apply(Changes(start=(task,)), 1)
        await until(lambda: bench.state(task) == PREPARING and worker.held[task.id].status.err)
        assert "secret key is not yet on this node" in worker.held[task.id].status.err
        worker.apply(Changes(data=DataChanges((a_secret(),))), 2)
        await until(lambda: bench.state(task) == RUNNING)
        (mount,) = bench.driver.config(task.id).mounts
        assert Path(mount.source).read_bytes() == DATA
        worker.apply(Changes(data=DataChanges(drop=("s1",))), 3)
        assert Path(mount.source).exists()  # as long as it runs
        bench.driver.exit(task.id, 1)
        await until(lambda: bench.state(task) == FAILED)
        assert not Path(mount.source).exists()
        assert mounts_below(folder) == []
        assert bench.driver.ids() == {task.id}  # its output is still there


async def test_a_secret_that_is_gone_rejects_the_task(folder: Path) -> None:
    bench = Bench(folder)
    async with bench.life() as worker:
        task = task_with(a_secret())
        worker.apply(Changes(start=(task,), data=DataChanges((Secret(id="s1"),), complete=True)), 1)
        await until(lambda: bench.state(task) == REJECTED)
        assert "secret key does not exist any more" in worker.held[task.id].status.err


async def test_nothing_of_a_secret_is_in_the_agents_database(folder: Path) -> None:
    bench = Bench(folder)
    async with bench.life() as worker:
        task = task_with(a_secret())
        worker.apply(Changes(start=(task,), data=DataChanges((a_secret(),))), 1)
        await until(lambda: bench.state(task) == RUNNING)
    found = b"".join(path.read_bytes() for path in folder.glob("tasks.db*"))
    assert b"key" in found
    assert DATA not in found


async def test_after_a_restart_tasks_keep_their_files_and_one_that_was_to_start_waits(folder: Path) -> None:
    bench = Bench(folder)
    async with bench.life() as worker:
        runs, waits = task_with(a_secret()), task_with(a_secret(data_id="s2", name="late"))
        worker.apply(Changes(start=(runs, waits), data=DataChanges((a_secret(),))), 1)
        await until(lambda: bench.state(runs) == RUNNING and bench.state(waits) == PREPARING)
    async with bench.life() as worker:
        await until(lambda: bench.state(runs) == RUNNING)
        await worker.remove_strangers()
        await until(lambda: "not yet on this node" in worker.held[waits.id].status.err)
        (mount,) = bench.driver.config(runs.id).mounts
        assert Path(mount.source).read_bytes() == DATA
        assert bench.driver.calls["create"] == 1
        worker.apply(Changes(data=DataChanges((a_secret(data_id="s2"),), complete=True)), 2)
        await until(lambda: bench.state(waits) == RUNNING)
        for task in (runs, waits):
            stopping = Task()
            stopping.CopyFrom(task)
            stopping.desired_state = SHUTDOWN
            worker.apply(Changes(update=(stopping,)), 3)
        await until(lambda: bench.state(runs) == bench.state(waits) == SHUTDOWN)
    assert mounts_below(folder) == []


async def test_a_prepared_task_starts_after_a_restart_with_the_files_it_has(folder: Path) -> None:
    bench = Bench(folder)
    task = task_with(a_secret())
    task.desired_state = READY
    async with bench.life() as worker:
        worker.apply(Changes(start=(task,), data=DataChanges((a_secret(),))), 1)
        await until(lambda: bench.state(task) == READY)
    async with bench.life() as worker:
        await until(lambda: bench.state(task) == READY)
        wanted = Task()
        wanted.CopyFrom(task)
        wanted.desired_state = RUNNING
        worker.apply(Changes(update=(wanted,)), 2)
        await until(lambda: bench.state(task) == RUNNING)
        assert bench.driver.ids(ContainerState.RUNNING) == {task.id}
        worker.apply(Changes(remove=(task.id,)), 3)
        await until(lambda: not worker.held)
    assert mounts_below(folder) == []


async def test_what_a_killed_agent_left_of_a_task_nobody_knows_is_wiped_at_the_next_start(
    folder: Path,
) -> None:
    bench = Bench(folder)
    left = task_files(task_with(a_secret()), CONTEXT, {"s1": a_secret()})
    place = await asyncio.to_thread(MemoryFiles(folder / "run").make, "stranger", left)
    async with bench.life() as worker:
        await worker.remove_strangers()
    assert not place.exists()
    assert mounts_below(folder) == []


# With a manager.


async def test_a_secret_comes_before_its_task_and_its_label_disturbs_nobody(folder: Path) -> None:
    async with a_lab(folder) as lab:
        node = await lab.agent("n1")
        task = task_with(a_secret(), a_config())
        await lab.write(a_secret(), a_config(), task)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        assert node.driver.calls["create"] == 1
        variable = dict(one.split("=", 1) for one in node.driver.config(task.id).env)[VARIABLE]
        assert (Path(variable) / "run/secrets/key").read_bytes() == DATA
        labelled = a_secret()
        labelled.spec.annotations.labels["a"] = "b"
        await lab.write(labelled)
        await node.stop()
        await node.start()
        await until(lambda: [one.state for one in node.agent.containers()] == [RUNNING])
        await lab.desire(task.id, SHUTDOWN)
        await until(lambda: lab.task(task.id).status.state == SHUTDOWN)
        assert not Path(variable).exists()


async def test_a_node_that_was_switched_off_waits_for_a_manager_and_then_starts(folder: Path) -> None:
    async with a_lab(folder) as lab:
        node = await lab.agent("n1")
        node.driver.broken["create"] = Unavailable("busy")
        task = task_with(a_secret())
        await lab.write(a_secret(), task)
        await until(lambda: "busy" in lab.task(task.id).status.err)
        await node.stop()
        await lab.managers[0].stop()
        MemoryFiles(node.settings.run_dir).wipe(task.id)  # as a restart of the machine does
        node.driver.broken.clear()
        await node.start()
        waiting = "secret key is not yet on this node"
        await until(lambda: any(waiting in one.status.err for one in node.agent._worker.held.values()))
        await lab.managers[0].start(lab.managers[0].port)
        await until(lambda: lab.task(task.id).status.state == RUNNING)
        await lab.desire(task.id, SHUTDOWN)
        await until(lambda: lab.task(task.id).status.state == SHUTDOWN)
