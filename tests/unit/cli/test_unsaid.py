"""Templates over inspected objects that say little, as scripts of Docker's users ask them."""

import json

import pytest

from swarm.api.v1.objects_pb2 import Config, Node, Service, Task
from swarm.api.v1.types_pb2 import UpdateStatus
from swarm.cli import data_view, inspect_view
from swarm.cli.render import as_yaml, fill, show, show_objects
from swarm.cli.templates.values import LabelText
from swarm.cli.unsaid import with_unsaid
from swarm.errors import InvalidArgument
from swarm.model.units import parse_duration


def service() -> Service:
    found = Service(id="s1")
    found.spec.annotations.name = "web"
    found.spec.task.container.image = "web:1"
    getattr(found.spec, "global").SetInParent()
    return found


def asked(template: str, view: inspect_view.View) -> str:
    return fill(template, with_unsaid(view))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{if .UpdateStatus}}{{.UpdateStatus.State}}{{else}}never{{end}}", "never"),
        ("{{range .Spec.TaskTemplate.ContainerSpec.Env}}{{.}}{{else}}none{{end}}", "none"),
        ("{{len .Spec.TaskTemplate.Networks}} {{range .Endpoint.VirtualIPs}}{{.Addr}}{{end}}", "0 "),
        ("{{.Spec.TaskTemplate.ContainerSpec.Args}}", "[]"),
        ("{{json .Spec.TaskTemplate.ContainerSpec.Args}}", "[]"),
        ("{{with .Spec.TaskTemplate.ContainerSpec.Healthcheck}}x{{end}}", ""),
        ("{{.Spec.TaskTemplate.RestartPolicy.Condition}}", "any"),
        ("{{.Spec.UpdateConfig.Parallelism}} {{.Spec.RollbackConfig.Order}}", "1 stop-first"),
        ("{{with .Spec.UpdateConfig}}{{.FailureAction}}{{end}}", "pause"),
        ("{{.Spec.EndpointSpec.Mode}}", "vip"),
        ("{{.Spec.TaskTemplate.Resources.Limits.MemoryBytes}}", "0"),
        ("{{.Spec.Labels.zone}} {{index .Spec.Labels \"zone\"}}", "<no value> "),
        ("{{if .Spec.Mode.Global}}every node{{end}}{{if .Spec.Mode.Replicated}}x{{end}}", "every node"),
        ("{{json .Spec.Mode}}", '{"Global":{}}'),
        ("{{.UpdateStatus}} {{.PreviousSpec}} {{.Spec.Mode.Replicated}}", "<nil> <nil> <nil>"),
        ("{{.Spec.UpdateConfig.Monitor}} {{.Spec.UpdateConfig.Delay}}", "5s 0s"),
        ("{{json .Spec.UpdateConfig.Monitor}}", "5000000000"),
        ("{{eq .Spec.UpdateConfig.Monitor 5000000000}}", "true"),
        ("{{json .UpdateStatus}} {{or .UpdateStatus 1}}", "null 1"),
        ("{{.Spec.TaskTemplate.ContainerSpec.Init}}", "<nil>"),
    ],
)  # fmt: skip
def test_what_nobody_said_of_a_service_reads_as_what_holds(template: str, said: str) -> None:
    assert asked(template, inspect_view.service(service())) == said


@pytest.mark.parametrize(
    ("nanoseconds", "said"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (250_000_000, "250ms"),
        (1_500_000_000, "1.5s"),
        (60 * 10**9, "1m0s"),
        (90 * 10**9, "1m30s"),
        (2160 * 3600 * 10**9, "2160h0m0s"),
        (3661 * 10**9 + 1, "1h1m1.000000001s"),
        (-5 * 10**9, "-5s"),
    ],
)
def test_times_are_printed_as_go_prints_them_and_can_be_read_again(nanoseconds: int, said: str) -> None:
    found = service()
    found.spec.update.delay_ns = nanoseconds
    assert asked("{{.Spec.UpdateConfig.Delay}}", inspect_view.service(found)) == said
    if nanoseconds >= 0:
        assert parse_duration(said) == nanoseconds


def test_what_was_said_counts_more() -> None:
    found = service()
    found.spec.annotations.labels["zone"] = "a"
    found.spec.update.parallelism = 3
    found.update_status.state = UpdateStatus.STATE_PAUSED
    template = "{{.Spec.Labels.zone}} {{.Spec.UpdateConfig.Parallelism}} {{.UpdateStatus.State}}"
    template += "{{with .Spec.UpdateConfig}} {{.Order}}{{end}}{{if .UpdateStatus}} yes{{end}}"
    assert asked(template, inspect_view.service(found)) == "a 3 paused stop-first yes"


@pytest.mark.parametrize(
    "template",
    ["{{.Spec.Nmae}}", "{{.Spec.TaskTemplate.Env}}", "{{.UpdateStatus.State}}", "{{.Spec.Mode.Replicas}}"],
)
def test_what_is_no_field_or_has_none_is_refused_still(template: str) -> None:
    with pytest.raises(InvalidArgument, match="there is no"):
        asked(template, inspect_view.service(service()))


def test_nodes_without_a_label_and_tasks_without_a_container_are_asked_as_others() -> None:
    node = inspect_view.node(Node(id="n1"))
    assert asked("{{.Spec.Labels.zone}} {{if .ManagerStatus}}manager{{end}}", node) == "<no value> "
    task = inspect_view.task(Task(id="t1"))
    assert asked("[{{.Status.ContainerStatus.ContainerID}}] {{.NetworksAttachments}}", task) == "[] []"


def test_what_is_printed_as_a_whole_holds_only_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    view = inspect_view.service(service())
    show_objects([view], "{{json .}}")
    assert json.loads(capsys.readouterr().out) == view


def test_the_content_of_a_config_is_text_for_printf_and_base64_otherwise() -> None:
    config = Config(id="c1")
    config.spec.data = "grüße\n".encode()
    view = data_view.data(config)
    assert asked('{{printf "%s" .Spec.Data}}', view) == "grüße\n"
    assert asked("{{.Spec.Data}} {{json .Spec.Data}}", view) == 'Z3LDvMOfZQo= "Z3LDvMOfZQo="'
    assert "Data: Z3LDvMOfZQo=" in as_yaml([view])


def test_one_label_of_a_row_is_asked_by_its_key() -> None:
    row = {"Name": "web", "Labels": LabelText({"b": "x,y", "a": "1"})}
    assert fill('{{.Name}}: {{.Label "b"}} {{.Label "none"}}{{.Labels}}', row) == "web: x,y a=1,b=x,y"
    assert json.loads(json.dumps(row))["Labels"] == "a=1,b=x,y"
    for wrong in ('{{.Label "a"}}', '{{.Name "a"}}'):
        with pytest.raises(InvalidArgument):
            fill(wrong, {"Name": "web"})


def test_the_title_of_a_label_is_its_key(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"Name": "web", "Labels": LabelText({"tier": "front"})}
    show([row], (("NAME", "Name"),), r'table {{.Name}}\t{{.Label "tier"}}')
    assert capsys.readouterr().out.split() == ["NAME", "TIER", "web", "front"]
