import pytest

from swarm.api.v1.objects_pb2 import Node, Task
from swarm.api.v1.types_pb2 import TASK_STATE_COMPLETE, TASK_STATE_RUNNING, Platform
from swarm.model.platform import normal_architecture, platform_matches
from swarm.model.resources import Amount, free_on


def a_task(cpus: int, memory: int, state: int = TASK_STATE_RUNNING) -> Task:
    task = Task(id="t", node_id="n")
    task.status.state = state
    task.spec.resources.reservations.nano_cpus = cpus
    task.spec.resources.reservations.memory_bytes = memory
    return task


def test_what_live_tasks_reserve_is_not_free():
    node = Node(id="n")
    node.description.resources.nano_cpus = 10
    node.description.resources.memory_bytes = 100
    tasks = [a_task(3, 30), a_task(5, 80), a_task(9, 90, TASK_STATE_COMPLETE)]
    assert free_on(node, tasks) == Amount(2, -10)


def test_what_is_not_wanted_need_not_be_there():
    overcommitted = Amount(5, -10)
    assert Amount(5, 0).fits(overcommitted)
    assert not Amount(5, 1).fits(overcommitted)
    assert not Amount(6, 0).fits(overcommitted)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("x86_64", "amd64"), ("AMD64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")],
)
def test_architectures_have_one_name(said, meant):
    assert normal_architecture(said) == meant


def test_platforms_match_by_any_of_those_wanted():
    have = Platform(os="linux", architecture="x86_64")
    assert platform_matches([], have)
    assert platform_matches([Platform(os="Linux", architecture="amd64")], have)
    assert platform_matches([Platform(architecture="arm64"), Platform(os="linux")], have)
    assert not platform_matches([Platform(os="linux", architecture="arm64")], have)
