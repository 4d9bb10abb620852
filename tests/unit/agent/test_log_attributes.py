"""What of a container is told with each line of its output, when details are asked for."""

from pathlib import Path

from swarm.agent.container import NodeFacts
from swarm.agent.log_attributes import attributes_of
from swarm.api.v1.containers_pb2 import ContainerQuestion, ContainerRequest
from swarm.api.v1.logs_pb2 import LogOptions
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.plain_pb2 import CreateContainer, PlainSpec, ReadLogs, StartContainer
from swarm.model.validate_container import container_problems
from swarm.runtime.images.base import ImageConfig
from tests.unit.agent.lab import a_task
from tests.unit.agent.test_container_files import Asked
from tests.unit.agent.test_containers import a_container

HERE = NodeFacts("n1", "here")
IMAGE = ImageConfig(
    "sha256:" + "d" * 64, env=["LANG=C", "PATH=/bin"], labels={"vendor": "them", "tier": "theirs"}
)


def told(task: Task, image: ImageConfig | None = IMAGE) -> dict[str, str]:
    return attributes_of(task, HERE, image)


def test_only_what_is_named_and_there_is_told_and_the_own_word_counts_more_than_the_images() -> None:
    task = a_task("n1")
    task.spec.container.labels.update({"tier": "web", "where": "{{.Node.Hostname}}", "secret": "x"})
    task.spec.container.env.extend(["LANG=de", "TOKEN=x"])
    assert told(task) == {}
    task.spec.container.log.labels.extend(["tier", "where", "vendor", "none", "com.docker.swarm.node.id"])
    task.spec.container.log.env.extend(["LANG", "PATH", "NONE"])
    assert told(task) == {
        "tier": "web",
        "where": "here",
        "vendor": "them",
        "com.docker.swarm.node.id": "n1",
        "LANG": "de",
        "PATH": "/bin",
    }
    assert "vendor" not in told(task, None)


def test_a_tag_is_filled_in() -> None:
    task = a_task("n1")
    task.spec.container.log.tag = "{{.Name}}/{{ .ID }}/{{.ImageName}}/{{.ImageID}}/{{.DaemonName}} x"
    name = f"web.1.{task.id}"
    assert told(task) == {"tag": f"{name}/{task.id[:12]}/web:1/{'d' * 12}/swarm x"}


def test_a_tag_that_cannot_be_filled_in_is_refused() -> None:
    spec = a_task("n1").spec.container
    for tag, problem in (("{{.Nme}}", "no {{.Nme}}"), ("{{if .Name}}x{{end}}", "only {{.ID}}")):
        spec.log.tag = tag
        assert [problem in one for one in container_problems(spec)] == [True]


async def test_lines_of_a_container_of_no_service_are_told_with_details_to_those_who_ask(
    tmp_path: Path,
) -> None:
    async with a_container(tmp_path) as (lab, driver, _task):
        ask = Asked(lab)
        spec = PlainSpec(name="one")
        spec.container.image = "web:1"
        spec.container.labels["tier"] = "web"
        spec.container.log.labels.append("tier")
        answers = await ask(in_n1(ContainerRequest(create=CreateContainer(spec=spec))))
        (container_id,) = [one.created for one in answers if one.HasField("created")]
        await ask(in_n1(ContainerRequest(container_id=container_id, start=StartContainer())))
        driver.write(container_id, b"hello")
        for details in (True, False):
            wanted = ReadLogs(options=LogOptions(stdout=True, details=details))
            line, _ = await ask(in_n1(ContainerRequest(container_id=container_id, logs=wanted)))
            assert line.chunk.data == b"hello\n"
            assert dict(line.chunk.attributes) == ({"tier": "web"} if details else {})


def in_n1(request: ContainerRequest) -> ContainerQuestion:
    return ContainerQuestion(node_ids=["n1"], request=request)
