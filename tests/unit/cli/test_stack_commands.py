"""What the commands of stacks print, choose and build."""

from collections.abc import Sequence

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.logs_pb2 import LogMessage
from swarm.api.v1.objects_pb2 import Service, StackRevision, Task
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.cli.connect import Connection
from swarm.cli.stack_build import options, to_build
from swarm.cli.stack_changes import steps_back
from swarm.cli.stack_diff import as_json, as_text
from swarm.cli.stack_history import choose, revision_rows
from swarm.cli.stack_logs import StackPrefixes, _chosen
from swarm.clock import SECOND, timestamp
from swarm.compose.build import Build
from swarm.errors import FailedPrecondition, NotFound


def a_spec(name: str, image: str = "web:1", **env: str) -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = name
    spec.task.container.image = image
    spec.task.container.env.extend(f"{key}={value}" for key, value in env.items())
    return spec


def a_revision(number: int, *specs: ServiceSpec, **more: object) -> StackRevision:
    return StackRevision(
        revision=number, at=timestamp(number * SECOND), services=specs or [a_spec("shop_web")], **more
    )


def a_plan() -> c.PlanChangesResponse:
    answer = c.PlanChangesResponse(made=["secret shop_key version 2"], removed=["network shop_old"])
    before, after = a_spec("shop_web", A="1", B="2"), a_spec("shop_web", A="1", B="3")
    answer.specs.add(service_name="shop_web", before=before, after=after)
    answer.specs.add(service_name="shop_new", after=a_spec("shop_new"))
    answer.specs.add(service_name="shop_old", before=a_spec("shop_old"))
    return answer


def test_a_difference_is_told_key_by_key_with_what_stays_around_it() -> None:
    lines = list(as_text(a_plan()))
    assert lines[:6] == ["--- shop_web", "+++ shop_web", "@@ env @@", " A=1", "-B=2", "+B=3"]
    assert lines[6:10] == ["--- /dev/null", "+++ shop_new", "@@ image @@", "+web:1"]
    assert "+++ /dev/null" in lines
    assert lines[-2:] == ["-network shop_old", "+secret shop_key version 2"]


def test_a_difference_is_told_to_scripts() -> None:
    found = as_json(a_plan())
    assert found["Services"][0] == {
        "Name": "shop_web",
        "Change": "update",
        "Keys": [{"Key": "env", "Before": ["A=1", "B=2"], "After": ["A=1", "B=3"]}],
    }
    assert [one["Change"] for one in found["Services"]] == ["update", "create", "remove"]
    assert (found["Made"], found["Removed"]) == (["secret shop_key version 2"], ["network shop_old"])


def test_deploys_are_listed_newest_first_with_who_and_what() -> None:
    web = a_spec("shop_web")
    web.task.container.image_digest = "sha256:" + "a" * 64
    revisions = [
        a_revision(3, web, by="carol", created=["shop_web"]),
        a_revision(4, updated=["shop_web"], removed=["shop_db"], back_to=2),
    ]
    newest, before = revision_rows("shop", revisions, 10 * SECOND, truncate=True)
    assert (newest["RevisionMark"], newest["By"], newest["When"]) == ("4 *", "(socket)", "6 seconds ago")
    assert newest["Changed"] == "back to 2: ~web -db"
    assert (before["RevisionMark"], before["By"], before["Changed"]) == ("3", "carol", "+web")
    assert before["Images"] == "web=web:1@" + "a" * 12
    (whole, _) = revision_rows("shop", revisions[::-1], 10 * SECOND, truncate=False)
    assert whole["Images"] == "web=web:1@sha256:" + "a" * 64


def test_one_goes_back_to_the_deploy_before_or_to_the_one_that_is_named() -> None:
    revisions = [a_revision(2), a_revision(3), a_revision(5)]
    assert choose("shop", revisions, None).revision == 3
    assert choose("shop", revisions, 2).revision == 2
    with pytest.raises(NotFound, match="no revision 4 to go back to; kept are: 2, 3, 5"):
        choose("shop", revisions, 4)
    with pytest.raises(FailedPrecondition, match="deployed once only"):
        choose("shop", revisions[:1], None)
    large = a_revision(9)
    del large.services[:]
    with pytest.raises(FailedPrecondition, match="revision 9 of stack shop was too large"):
        choose("shop", [*revisions, large, a_revision(10)], None)


def test_going_back_names_networks_of_the_stack_and_keeps_digests_and_the_count_of_forced_updates() -> None:
    spec = a_spec("shop_web")
    spec.task.container.image_digest = "sha256:1"
    spec.task.networks.add(network_id="n1", network_name="shop_default")
    spec.task.networks.add(network_id="n2", network_name="theirs")
    revision = a_revision(1, spec)
    revision.networks.add().annotations.name = "shop_default"
    there = Service(id="s1", spec=a_spec("shop_web"))
    there.meta.version.index, there.spec.task.force_update = 7, 3
    network, update, *rest = [one.change for one in steps_back("shop", revision, [there], [spec])]
    assert network.keep_network.annotations.name == "shop_default"
    request = update.update_service
    assert (request.id, request.version, request.skip_image_resolution) == ("s1", 7, True)
    assert [one.network_id for one in request.spec.task.networks] == ["", "n2"]
    assert request.spec.task.container.image_digest == "sha256:1"
    assert request.spec.task.force_update == 3
    assert [one.WhichOneof("change") for one in rest] == ["record_deploy", "collect_data"]
    assert rest[0].record_deploy.back_to == 1


class Control:
    """Knows two tasks on one node."""

    def ListNodes(self, request: object) -> c.ListNodesResponse:
        answer = c.ListNodesResponse()
        answer.nodes.add(id="n1").description.hostname = "node-1"
        return answer

    def GetTask(self, request: c.GetTaskRequest) -> c.GetTaskResponse:
        task = Task(id=request.ref, slot=int(request.ref[-1]), node_id="n1")
        task.service_annotations.name = "shop_web"
        return c.GetTaskResponse(task=task)


def lines(colourful: bool, ids: Sequence[str], **given: bool) -> list[str]:
    said = {"raw": False, "timestamps": False, **given}
    prefixes = StackPrefixes(Connection(Control(), None), "shop", said, colourful=colourful)
    return [prefixes.of(LogMessage(task_id=one, node_id="n1", timestamp=timestamp(0))) for one in ids]


def test_lines_of_tasks_are_told_apart_by_name_and_colour() -> None:
    assert lines(False, ["task1", "task2"]) == ["web.1@node-1 | ", "web.2@node-1 | "]
    first, second, again = lines(True, ["task1", "task2", "task1"])
    assert first == again == "\x1b[36mweb.1@node-1 | \x1b[0m"
    assert second != first
    assert lines(False, ["task1"], timestamps=True) == ["web.1@node-1 | 1970-01-01T00:00:00.000000000Z "]
    assert lines(False, ["task1"], raw=True) == [""]


def test_logs_are_those_of_the_services_that_are_named_short_or_in_full() -> None:
    there = [Service(spec=a_spec("shop_web")), Service(spec=a_spec("shop_db"))]
    assert _chosen("shop", there, ()) == there
    assert _chosen("shop", there, ("db", "shop_web")) == [there[1], there[0]]
    with pytest.raises(NotFound, match="stack shop has no service cache; it has db, web"):
        _chosen("shop", there, ("cache",))


def test_what_the_cluster_has_is_built_again_only_if_asked_for_and_each_image_once() -> None:
    web, same = Build("web", "web:1", "/src"), Build("copy", "web:1", "/src")
    tool = Build("tool", "t:1", "/t")
    there = frozenset({"docker.io/library/t:1"})
    assert to_build([web, same, tool], there, wanted=None) == [web]
    assert to_build([web, same, tool], there, wanted=True) == [web, tool]
    assert to_build([web, same, tool], there, wanted=False) == []


def test_a_build_has_the_options_of_the_file() -> None:
    build = Build(
        "web", "w", "/s", "/s/D", arguments=("A=1",), labels=("l=2",), target="prod", no_cache=True
    )
    assert options(build) == [
        *("--file", "/s/D", "--target", "prod", "--build-arg", "A=1", "--label", "l=2", "--no-cache"),
    ]
