"""Containers for people with a scope: those of their tasks, one by one; nothing that is about nodes."""

import pytest

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerQuestion
from swarm.api.v1.objects_pb2 import Task
from swarm.errors import NotFound, NotPermitted
from swarm.manager.containers.confining import Confined
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer, ManualClock

VERBS = [one.name for one in ContainerQuestion.DESCRIPTOR.fields_by_name["request"].message_type.fields][1:]
OF_ONE = {
    "exec",
    "inspect",
    "top",
    "stop",
    "kill",
    "pause",
    "unpause",
    "wait",
    "copy_from",
    "copy_to",
    "stat",
}
OF_ONE |= {"attach", "restart", "logs", "remove", "diff", "export"}


@pytest.fixture
async def store():
    made = Store(ManualClock(), "p")
    made.attach(LocalProposer(made))
    for team in ("red", "blue"):
        task = Task(id=f"t-{team}")
        task.service_annotations.labels["team"] = team
        await made.update(lambda tx, task=task: tx.create(task))
    return made


def asking(verb, container_id=""):
    question = ContainerQuestion()
    question.request.container_id = container_id
    getattr(question.request, verb).SetInParent()
    return question


@pytest.mark.parametrize("verb", VERBS)
async def test_every_verb_is_for_their_tasks_or_refused(store, verb):
    red = Confined(("team=red",), store)
    Confined((), store).check(asking(verb, "t-blue"), verb)
    if verb not in OF_ONE:
        if verb in {"list", "stats", "events"}:
            red.check(asking(verb), verb)
        else:
            with pytest.raises(NotPermitted, match="is about more than what has team=red"):
                red.check(asking(verb, "t-red"), verb)
        return
    red.check(asking(verb, "t-red"), verb)
    for other in ("t-blue", "plain", "", "t-re"):
        with pytest.raises(NotFound, match="there is no container"):
            red.check(asking(verb, other), verb)


async def test_a_privileged_command_reaches_the_node(store):
    question = asking("exec", "t-red")
    question.request.exec.privileged = True
    with pytest.raises(NotPermitted, match="reaches the whole node"):
        Confined(("team=red",), store).check(question, "exec")


async def test_lists_and_samples_have_only_what_is_theirs(store):
    red = Confined(("team=red",), store)
    shown = [red.shows(_listed(task_id)) for task_id in ("t-red", "t-blue", "")]
    assert shown == [True, False, False]
    output = ContainerOutput()
    for container_id in ("t-red", "t-blue"):
        output.samples.samples.add(container_id=container_id)
    assert red.shows(output)
    assert [one.container_id for one in output.samples.samples] == ["t-red"]
    assert red.shows(ContainerOutput(done=True))


async def test_what_happens_to_containers_of_no_service_is_not_heard_by_people_with_a_scope(store):
    assert not Confined(("team=red",), store).hears_nodes("events")
    assert Confined((), store).hears_nodes("events")


def _listed(task_id):
    output = ContainerOutput()
    output.container.id = task_id or "plain"
    output.container.task_id = task_id
    return output
