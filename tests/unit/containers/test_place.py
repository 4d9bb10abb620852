"""Where a plain container is made."""

import pytest

from swarm.api.v1.control_pb2 import NodeVerdict
from swarm.api.v1.objects_pb2 import Service, Task
from swarm.api.v1.plain_pb2 import PlainSpec
from swarm.api.v1.types_pb2 import PortConfig
from swarm.errors import FailedPrecondition, NameConflict
from swarm.manager.containers.place import as_if_task, check_plain, choose
from swarm.manager.store.tables import Tables
from swarm.model.task_state import FAILED, RUNNING


def a_view(**tasks: int) -> Tables:
    view = Tables()
    for node, count in tasks.items():
        for number in range(count):
            task = Task(id=f"{node}-{number}", node_id=node)
            task.status.state = RUNNING
            view.tasks.put(task)
        ended = Task(id=f"{node}-ended", node_id=node)
        ended.status.state = FAILED
        view.tasks.put(ended)
    return view


def test_it_is_any_of_those_with_the_fewest_tasks_that_would_take_it() -> None:
    verdicts = [
        NodeVerdict(node_id="a", reasons=["it is drained"]),
        *(NodeVerdict(node_id=one) for one in "bcd"),
    ]
    offered: list[list[str]] = []

    def pick(nodes: list[str]) -> str:
        offered.append(list(nodes))
        return nodes[0]

    assert choose(a_view(b=2, c=1, d=1), verdicts, pick) == "c"  # type: ignore[arg-type]
    assert offered == [["c", "d"]]


def test_no_node_is_one_error_with_the_reasons() -> None:
    verdicts = [NodeVerdict(node_id=str(n), hostname=f"w{n}", reasons=["it is paused"]) for n in range(7)]
    with pytest.raises(FailedPrecondition, match=r"w0: it is paused; .*and 2 more.*--node"):
        choose(a_view(), verdicts)


def test_only_ports_that_are_chosen_must_be_free_and_no_password_is_shown_to_anybody() -> None:
    spec = PlainSpec(ports=[PortConfig(target_port=80), PortConfig(target_port=81, published_port=8081)])
    spec.container.registry_auth.password = "secret"
    task = as_if_task(Tables(), spec)
    assert [port.published_port for port in task.endpoint.ports] == [8081]
    assert not task.spec.container.HasField("registry_auth")


def test_the_name_of_a_service_is_not_for_containers() -> None:
    view, service = a_view(), Service(id="s")
    service.spec.annotations.name = "web"
    view.services.put(service)
    spec = PlainSpec(name="web")
    spec.container.image = "web:1"
    with pytest.raises(NameConflict, match="service"):
        check_plain(view, spec)
    spec.name = "web2"
    check_plain(view, spec)
