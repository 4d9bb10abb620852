"""What a container changed, its files and an image of it, from its node to whoever asks a manager."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.api.v1.containers_pb2 import (
    CommitContainer,
    ContainerInput,
    ContainerOutput,
    ContainerQuestion,
    ContainerRequest,
    ExportContainer,
    ListChanges,
    ListContainers,
    PathChange,
)
from swarm.api.v1.control_pb2 import LoadImageRequest
from swarm.api.v1.objects_pb2 import Image, Task
from swarm.api.v1.plain_pb2 import CreateContainer, PlainSpec
from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, NotPermitted, TaskRejected
from swarm.manager.containers.control import ContainerControl
from swarm.runtime.changes import Change, ChangeKind
from tests.unit.agent.lab import Lab
from tests.unit.agent.test_containers import PERSON, WRITTEN_BYTES, a_container, about


class Asked:
    """One question to the first manager, and the images that it was given to load."""

    def __init__(self, lab: Lab) -> None:
        self._manager = lab.managers[0]
        self.loaded: list[tuple[str, bytes]] = []

    async def _load(self, requests: AsyncIterator[LoadImageRequest]) -> list[Image]:
        first = await anext(requests)
        content = b"".join([one.chunk async for one in requests])
        self.loaded.append((first.reference, content))
        image = Image(digest="sha256:" + "d" * 64)
        image.annotations.name = first.reference
        return [image]

    async def __call__(self, question: ContainerQuestion, *, viewing: bool = False) -> list[ContainerOutput]:
        async def inputs() -> AsyncIterator[ContainerInput]:
            yield ContainerInput(question=question)

        control = ContainerControl(self._manager.store, self._manager.calls, load=self._load)
        return [one async for one in control.converse(inputs(), PERSON, viewing=viewing)]


def commit(task: Task, reference: str = "", **fields: object) -> ContainerQuestion:
    return about(task, commit=CommitContainer(reference=reference, **fields))  # type: ignore[arg-type]


async def test_what_was_changed_comes_in_pieces_and_an_export_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swarm.agent.containers.files.CHANGES_AT_ONCE", 2)
    async with a_container(tmp_path) as (lab, driver, task):
        ask = Asked(lab)
        driver.changed[task.id] = [Change(ChangeKind.ADDED, f"/{at}") for at in range(4)] + [
            Change(ChangeKind.DELETED, "/gone")
        ]
        answers = await ask(about(task, diff=ListChanges()))
        assert [len(one.changed.changes) for one in answers] == [2, 2, 1, 0]
        assert answers[2].changed.changes[0] == PathChange(kind=PathChange.KIND_DELETED, path="/gone")
        (chunk, _) = await ask(about(task, export=ExportContainer()))
        assert chunk.chunk.data == task.id.encode()
        for verb in ({"diff": ListChanges()}, {"export": ExportContainer()}, {"commit": CommitContainer()}):
            with pytest.raises(NotPermitted):
                await ask(about(task, **verb), viewing=True)
        task.id = "nobody"
        with pytest.raises(NotFound, match="nobody"):
            await ask(about(task, diff=ListChanges()))


async def test_an_image_of_a_container_is_loaded_where_it_was_asked_for(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        ask = Asked(lab)
        wanted = commit(
            task, "shop/web:2", author="ann", message="mended", instructions=["ENV A=1"], pause=True
        )
        made, done = await ask(wanted)
        assert done.done
        assert (made.committed.reference, made.committed.digest) == ("shop/web:2", "sha256:" + "d" * 64)
        ((name, archive),) = ask.loaded
        document = json.loads(archive)
        assert name == "shop/web:2"
        assert document["rootfs"]["diff_ids"] == [task.id]
        assert document["config"]["Env"] == ["FROM=image", "A=1"]
        assert document["history"][0]["comment"] == "mended"
        assert document["history"][0]["created_by"] == "serve"
        info = await driver.inspect(task.id)
        assert info is not None
        assert (driver.layers_of_paused, info.paused) == ([True], False)
        await ask(commit(task))
        assert ask.loaded[1][0] == f"docker.io/library/web@sha256:{task.id}"
        assert driver.layers_of_paused == [True, False]
        await driver.pause(task.id)  # by somebody else, who wants it so
        await ask(commit(task, "web:3", pause=True))
        info = await driver.inspect(task.id)
        assert info is not None
        assert info.paused


async def test_what_cannot_become_an_image_is_refused_and_goes_on(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):
        ask = Asked(lab)
        with pytest.raises(InvalidArgument, match="contains a digest"):
            await ask(commit(task, f"web@sha256:{'a' * 64}"))
        with pytest.raises(InvalidArgument, match="RUN make"):
            await ask(commit(task, "web:2", instructions=["RUN make"], pause=True))
        info = await driver.inspect(task.id)
        assert info is not None
        assert not info.paused
        assert ask.loaded == []


async def test_sizes_are_told_to_those_who_ask_for_them(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, _driver, _task):
        ask = Asked(lab)
        for size in (True, False):
            request = ContainerRequest(list=ListContainers(size=size))
            line = (await ask(ContainerQuestion(request=request), viewing=True))[0].container
            total_bytes = WRITTEN_BYTES + 1000 if size else 0
            assert (line.HasField("written_bytes"), line.total_bytes) == (size, total_bytes)


async def test_a_driver_that_cannot_pause_says_what_to_do(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, driver, task):

        async def pause(container_id: str) -> None:
            raise FailedPrecondition("this node cannot pause")

        driver.pause = pause  # type: ignore[method-assign]
        with pytest.raises(FailedPrecondition, match="--pause=false"):
            await Asked(lab)(commit(task, "web:2", pause=True))


async def test_why_an_image_cannot_be_had_is_heard_behind_the_progress(tmp_path: Path) -> None:
    async with a_container(tmp_path) as (lab, _driver, _task):
        images = lab.agents["n1"].images
        images.missing["gone:1"] = "there is no such image"
        spec = PlainSpec(name="one")
        spec.container.image = "gone:1"
        request = ContainerRequest(create=CreateContainer(spec=spec))
        for _ in range(5):
            with pytest.raises(TaskRejected, match="no such image"):
                await Asked(lab)(ContainerQuestion(node_ids=["n1"], request=request))
