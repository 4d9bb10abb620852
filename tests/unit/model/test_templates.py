"""Placeholders in specs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.errors import TaskRejected
from swarm.model.templates import TemplateContext, Unfilled, expand, expand_bytes

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
        ("a {{- .Task.Slot -}} \n b", "a2b"),
        ("a {{.Task.Slot}} b", "a 2 b"),
        ('{{"{{"}}.Name{{`}}`}}', "{{.Name}}"),
        ("{{/* what is }} this */}}x{{- /* and */ -}}  y", "xy"),
        ('{{"a\\"b\\\\n"}}', 'a"b\\n'),
        ("{{index .Service.Labels `tier`}}", "front"),
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
    with pytest.raises(Unfilled, match="means nothing") as caught:
        expand(f"x\n{text}", CONTEXT)
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{.Service.Labels.none}}", 'the label "none", which the service does not have'),
        ('{{index .Service.Labels "none"}}', 'the label "none", which the service does not have'),
        ("{{.Task.Slot", "has no end"),
        ("{{ `a}} ", "has no end"),
        ("{{" + " " * 2000 + ".Task.Slot}}", "has no end"),
        (r'{{"\q"}}', "unknown escape"),
        ("{{if .Task.Slot}}x{{end}}", "means nothing"),
        ('{{secret "key"}}', "means nothing"),  # not in an environment variable
        ('{{printf "%s" .Task.Slot}}', "means nothing"),
    ],
)
def test_what_cannot_be_filled_in_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(TaskRejected, match=problem):
        expand(text, CONTEXT)


def test_what_comes_of_a_small_text_is_bounded() -> None:
    context = TemplateContext(service_labels={"a": "x" * 16_000})
    assert len(expand("{{.Service.Labels.a}}" * 100, context)) == 1_600_000
    with pytest.raises(TaskRejected, match="EXPANDED_BYTES"):
        expand("{{.Service.Labels.a}}" * 200, context)


def test_functions_get_their_argument_and_what_they_return_is_not_expanded_again() -> None:
    context = TemplateContext(functions={"secret": lambda name: f"<{name}{{{{.Task.ID}}}}>"})
    assert expand('{{secret "a b"}}', context) == "<a b{{.Task.ID}}>"


def test_data_that_is_no_text_stays_as_it_is_around_placeholders() -> None:
    data = bytes(range(256))
    assert expand_bytes(data + b"{{.Task.Slot}}" + data, CONTEXT) == data + b"2" + data


PIECES = st.sampled_from(
    [
        "{{",
        "}}",
        "{",
        "}",
        "-",
        " ",
        '"',
        "`",
        "\\",
        "/*",
        "*/",
        ".Task.Slot",
        ".",
        "index",
        "secret",
        "a",
        "\n",
    ]
)


@given(st.lists(PIECES | st.text(max_size=3), max_size=30).map("".join))
def test_no_text_makes_it_raise_anything_but_its_own_error(text: str) -> None:
    try:
        expand(text, CONTEXT)
    except TaskRejected:
        assert "{{" in text


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_bytes_make_it_raise_anything_but_its_own_error(before: bytes, after: bytes) -> None:
    try:
        expand_bytes(before + b"{{" + after, CONTEXT)
    except TaskRejected as problem:
        str(problem).encode()  # can be said


@given(st.text(max_size=50).filter(lambda text: "{{" not in text), st.text(max_size=20))
def test_what_is_quoted_comes_out_as_it_is(around: str, inner: str) -> None:
    quoted = inner.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    around = around.removesuffix("{")
    assert expand(f'{around}{{{{"{quoted}"}}}}{around}', CONTEXT) == f"{around}{inner}{around}"


def test_a_megabyte_of_opened_braces_is_read_quickly() -> None:
    # Quadratic time would be minutes.
    with pytest.raises(TaskRejected):
        expand("{{" * 500_000, CONTEXT)
    assert expand("{{.Task.Slot}}" * 70_000, CONTEXT) == "2" * 70_000


def test_a_filled_in_value_is_not_expanded_again() -> None:
    context = TemplateContext(service_labels={"a": "{{.Task.ID}}"})
    assert expand("{{.Service.Labels.a}}", context) == "{{.Task.ID}}"
