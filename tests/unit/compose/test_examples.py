"""Every stack in examples/stacks can be read, planned and deployed; together they show what stacks do."""

import re
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Secret, Service
from swarm.cli.compose_files import read_data, read_file
from swarm.cli.stack_changes import steps
from swarm.compose.project import Loader
from swarm.compose.services import Stack, read_stack
from swarm.compose.values import text
from swarm.security.identity import Identity, Role, acting_as
from tests.unit.controlapi.fakes import FakeContext
from tests.unit.controlapi.test_networks import able
from tests.unit.controlapi.test_planning import a_servicer

FOLDER = Path(__file__).parents[3] / "examples/stacks"
EXAMPLES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
VARIABLES = {"WORDPRESS_PASSWORD": "s3cret", "DATABASE_PASSWORD": "s3cret", "WORKER_TAG": "7"}
IGNORED = {"build": ["develop is ignored: it is for `docker compose watch`"]}  # there to be seen
FEATURES = (
    *("build", "configs", "depends_on", "devices", "develop", "env_file", "extends", "gpus", "healthcheck"),
    *("include", "label_file", "logging", "networks", "platform", "profiles", "secrets", "shm_size"),
    *("sysctls", "tmpfs", "ulimits", "volumes", "!reset", "!override", "x-affinity", "x-autoscale"),
    *("x-canary", "x-cron", "x-endpoint", "x-priority", "x-rebalance", "global-job", "replicated-job"),
)


def the_stack(name: str, *more: str) -> Stack:
    files = [str(FOLDER / name / one) for one in ("compose.yaml", *more)]
    project = Loader(read_file, VARIABLES).load(files, str(FOLDER / name))
    called = text(project.tree.entries["name"])
    return read_stack(project, called, read_file, read_data)


def test_there_are_twelve() -> None:
    assert len(EXAMPLES) >= 12


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_is_planned_and_deployed_and_then_nothing_is_left_to_do(name: str) -> None:
    stack = the_stack(name)
    told = [re.sub(r"^\S+: ", "", one) for one in stack.warnings]
    assert told == IGNORED.get(name, [])
    admin = Secret(id="a")
    admin.spec.annotations.name = "grafana-admin"
    servicer, store = a_servicer(able("overlay", "ingress", "host", "none"), admin)

    def changes(there: list[Service]) -> list[c.PlannedChange]:
        return [one.change for one in steps(stack, there, prune=True, resolve="always")]

    with acting_as(Identity("", Role.LOCAL, "")):
        plan = await servicer.PlanChanges(
            c.PlanChangesRequest(changes=changes([]), with_specs=True), FakeContext()
        )
        assert len(plan.specs) == len(stack.services)
        assert len(store.view.services) == 0
        await servicer.ApplyChanges(c.ApplyChangesRequest(changes=changes([])), FakeContext())
        again = changes(list(store.view.services))
        left = await servicer.PlanChanges(
            c.PlanChangesRequest(changes=again, with_specs=True), FakeContext()
        )
    assert (len(left.specs), list(left.made), list(left.removed)) == (0, [], [])


def test_a_second_file_makes_it_ready_for_production() -> None:
    found = {one.annotations.name: one for one in the_stack("queue", "production.yaml").services}
    assert not found["queue_broker"].endpoint.ports
    assert found["queue_worker"].task.container.image == "registry.example.com/queue/worker:7"
    assert list(found["queue_urgent"].task.container.env)[-2:] == ["QUEUES=urgent,default", "LEVEL=warning"]


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_is_shown_somewhere(feature: str) -> None:
    files = [path.read_text() for path in FOLDER.rglob("*.yaml")]
    assert any(re.search(rf"(?<![\w-]){re.escape(feature)}(?![\w-])", one) for one in files)


def test_the_page_names_every_example() -> None:
    page = (FOLDER / "README.md").read_text()
    assert [name for name in EXAMPLES if f"[{name}]({name}/compose.yaml)" not in page] == []
