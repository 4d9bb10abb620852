"""Placeholders in specs."""

import pytest

from swarm.agent.templates import TemplateContext, expand
from swarm.errors import TaskRejected

CONTEXT = TemplateContext(
    service_id="s1",
    service_name="web",
    service_labels={"tier": "front", "com.example/a b": "odd"},
    node_id="n1",
    node_hostname="worker-1",
    node_os="linux",
    node_architecture="amd64",
    task_id="t1",
    task_name="web.2.t1",
    task_slot="2",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{.Service.Name}}-{{.Task.Slot}}", "web-2"),
        ("{{ .Node.Hostname }}", "worker-1"),
        ("{{.Service.ID}}{{.Node.ID}}{{.Task.ID}}", "s1n1t1"),
        ("{{.Task.Name}}", "web.2.t1"),
        ("{{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}", "linux/amd64"),
        ('{{index .Service.Labels "tier"}}', "front"),
        ('{{index .Service.Labels "com.example/a b"}}', "odd"),
        ("{{.Service.Labels.tier}}", "front"),
        ("{{.Service.Labels.none}}", ""),
        ("a } b { c", "a } b { c"),
        ("{{.Task.Slot}}{{.Task.Slot}}", "22"),
    ],
)
def test_placeholders_are_filled_in(text: str, expected: str) -> None:
    assert expand(text, CONTEXT) == expected


@pytest.mark.parametrize(
    "text", ["{{.Service.Nmae}}", "{{}}", "{{.Task}}", "{{env HOME}}", "{{.Node.Secret}}"]
)
def test_a_placeholder_that_means_nothing_is_named(text: str) -> None:
    with pytest.raises(TaskRejected, match="means nothing"):
        expand(f"x{text}", CONTEXT)


def test_a_filled_in_value_is_not_expanded_again() -> None:
    context = TemplateContext(service_labels={"a": "{{.Task.ID}}"})
    assert expand("{{.Service.Labels.a}}", context) == "{{.Task.ID}}"
