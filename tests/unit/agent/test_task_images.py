"""Images that tasks mount: pulled with the one that they run, found again by the container."""

import pytest

from swarm.agent.task_images import TaskImages
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import Mount
from swarm.errors import TaskRejected
from swarm.model.templates import TemplateContext
from swarm.runtime.base import ContainerConfig, ImageMount
from swarm.runtime.fake_images import FakeImages
from tests.unit.agent.lab import a_task

CONFIG = ContainerConfig(id="t1", image="web", image_digest="sha256:web")
CONTEXT = TemplateContext(task_slot="3")


class NoSource:
    async def resolve(self, reference: str) -> None:
        raise AssertionError("nobody asks")

    def fetch(self, digest: str, offset: int) -> None:
        raise AssertionError("nobody asks")


def task_with(*mounts: Mount, server: str = "", image: str = "registry.test/web:1") -> Task:
    task = a_task("n1")
    task.spec.container.image = image
    task.spec.container.mounts.extend(mounts)
    task.spec.container.registry_auth.server = server
    task.spec.container.registry_auth.username = "ann"
    return task


def image(source: str, subpath: str = "") -> Mount:
    return Mount(
        type=Mount.TYPE_IMAGE, source=source, target="/x", image=Mount.ImageOptions(subpath=subpath)
    )


async def test_what_was_pulled_is_what_is_mounted_and_is_not_asked_for_again() -> None:
    store = FakeImages()
    images = TaskImages(store, NoSource())  # type: ignore[arg-type]
    task = task_with(image("model:1", "slot-{{.Task.Slot}}"))
    await images.pull(task, print)
    for _ in range(2):
        config = await images.add_to(CONFIG, task, CONTEXT)
    assert config.mounts == (ImageMount("sha256:model:1", "/x", "slot-3"),)
    assert store.pulls["model:1"] == 1


async def test_an_agent_that_restarted_before_the_container_was_made_looks_again() -> None:
    images = TaskImages(FakeImages(), NoSource())  # type: ignore[arg-type]
    config = await images.add_to(CONFIG, task_with(image("model:1")), CONTEXT)
    assert config.mounts == (ImageMount("sha256:model:1", "/x", ""),)


@pytest.mark.parametrize(
    ("source", "server", "given"),
    [
        ("registry.test/model:1", "", True),
        ("elsewhere.test/model:1", "", False),
        ("elsewhere.test/model:1", "registry.test", True),  # the store looks at the server
    ],
)
async def test_a_password_goes_to_no_other_registry(source: str, server: str, given: bool) -> None:
    store = FakeImages()
    images = TaskImages(store, NoSource())  # type: ignore[arg-type]
    await images.pull(task_with(image(source), server=server), print)
    assert (store.credentials[source] is not None) == given


async def test_a_placeholder_leads_out_of_no_image() -> None:
    images = TaskImages(FakeImages(), NoSource())  # type: ignore[arg-type]
    bad = TemplateContext(service_labels={"x": "../../etc"})
    with pytest.raises(TaskRejected, match="no path inside"):
        await images.add_to(CONFIG, task_with(image("model:1", "{{.Service.Labels.x}}")), bad)
