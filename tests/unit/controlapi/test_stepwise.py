"""Long lists are made in steps."""

from swarm.api.v1.control_pb2 import Filters
from swarm.api.v1.objects_pb2 import Service, Task
from swarm.manager.controlapi.services import list_services
from swarm.manager.controlapi.stepwise import OBJECTS_PER_STEP, parts, selected
from swarm.manager.controlapi.tasks import tasks_with_reasons
from swarm.manager.store.tables import Tables
from swarm.model import task_state
from swarm.steps import Steps, complete

COUNT = 2 * OBJECTS_PER_STEP + 1


def steps_of(answer: Steps[object]) -> int:
    return sum(1 for _ in answer)


def tables(services: int, tasks: int) -> Tables:
    view = Tables()
    for number in range(services):
        service = Service(id=f"s{number}")
        service.spec.annotations.name = f"web{number}"
        view.services.put(service)
    for number in range(tasks):
        task = Task(id=f"t{number}", service_id="s0", slot=number + 1, desired_state=task_state.RUNNING)
        task.status.state = task_state.RUNNING if number % 2 else task_state.PENDING
        view.tasks.put(task)
    return view


def test_what_is_asked_for_is_found_in_steps_and_in_order() -> None:
    even = selected(range(COUNT), lambda number: number % 2 == 0)
    assert complete(even) == list(range(0, COUNT, 2))
    assert steps_of(selected(range(COUNT), bool)) == 3
    assert [len(part) for part in parts(range(COUNT))] == [OBJECTS_PER_STEP, OBJECTS_PER_STEP, 1]
    assert complete(selected((), bool)) == []


def test_a_list_is_that_of_the_moment_in_which_it_was_begun() -> None:
    objects = list(range(COUNT))
    listing = selected(objects, lambda _: True)
    next(listing)
    objects.clear()
    assert len(complete(listing)) == COUNT


def test_a_long_list_of_tasks_takes_many_steps_and_has_a_reason_for_each() -> None:
    view = tables(1, COUNT)
    answer = complete(tasks_with_reasons(view, Filters(), 0))
    assert [task.slot for task in answer.tasks] == list(range(1, COUNT + 1))
    assert len(answer.reasons) == COUNT
    assert all(answer.reasons[::2])
    assert steps_of(tasks_with_reasons(view, Filters(), 0)) >= 6


def test_a_list_of_services_counts_their_tasks() -> None:
    answer = complete(list_services(tables(3, 10), Filters()))
    assert [status.running_tasks for status in answer.statuses] == [5, 0, 0]
    assert steps_of(list_services(tables(3, 10), Filters())) >= 3
