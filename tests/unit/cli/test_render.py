"""Tables, templates and the rows of tasks."""

import json

import pytest

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import TaskState
from swarm.cli.render import fill, ordered, show, table
from swarm.cli.task_table import COLUMNS, columns_of, task_rows
from swarm.cli.templates.values import LabelText
from swarm.errors import InvalidArgument


def test_columns_are_as_wide_as_their_widest_cell():
    text = table((("ID", "ID"), ("NAME", "Name")), [{"ID": "abcdef", "Name": "x"}])
    assert text.splitlines() == ["ID       NAME", "abcdef   x"]


def test_a_map_of_the_users_has_its_keys_in_order():
    labels = {str(number): "" for number in range(50)}
    assert list(ordered(labels)) == sorted(labels)


def test_a_template_reaches_nested_fields_and_json():
    value = {"Spec": {"Name": "web", "Labels": {"a": "b"}}}
    assert fill("{{.Spec.Name}}/{{json .Spec.Labels}}", value) == 'web/{"a":"b"}'


@pytest.mark.parametrize("template", ["{{.Nope}}", "{{range .}}x"])
def test_a_template_that_cannot_be_filled_is_refused(template):
    with pytest.raises(InvalidArgument, match="--format"):
        fill(template, {"Name": "web"})


def test_json_is_one_object_a_line(capsys):
    show([{"ID": "1"}, {"ID": "2"}], (("ID", "ID"),), "json")
    assert [json.loads(line)["ID"] for line in capsys.readouterr().out.splitlines()] == ["1", "2"]


def test_nothing_to_show_in_quiet_mode_prints_nothing(capsys):
    show([], (("ID", "ID"),), "", "ID")
    assert capsys.readouterr().out == ""


def a_task(task_id, created_s, state=TaskState.TASK_STATE_RUNNING):
    task = Task(id=task_id, service_id="s", slot=1, node_id="n1", desired_state=TaskState.TASK_STATE_RUNNING)
    task.service_annotations.name = "web"
    task.meta.created_at.seconds = task.status.timestamp.seconds = created_s
    task.status.state = state
    return task


def test_older_tasks_of_a_slot_follow_as_its_history():
    rows = task_rows([a_task("old", 10), a_task("new", 20)], {"n1": "worker-1"}, 80 * 10**9, truncate=True)
    assert [(row["ID"], row["Name"]) for row in rows] == [("new", "web.1"), ("old", "\\_ web.1")]
    assert rows[0]["CurrentState"] == "Running about a minute ago"
    assert rows[0]["Node"] == "worker-1"


def test_tasks_of_ten_services_are_in_the_order_of_their_numbers():
    tasks = [a_task(name, 10) for name in ("web10", "web9")]
    for task in tasks:
        task.service_annotations.name = task.id
    assert [row["ID"] for row in task_rows(tasks, {}, 80 * 10**9, truncate=True)] == ["web9", "web10"]


def test_priorities_are_a_column_where_somebody_has_one():
    tasks = [a_task("one", 10), a_task("two", 20)]
    for task in tasks:
        task.service_id = task.id
    plain = task_rows(tasks, {}, 80 * 10**9, truncate=True)
    assert columns_of(plain) == COLUMNS
    rows = task_rows(tasks, {}, 80 * 10**9, truncate=True, priorities={"two": 10})
    assert {row["ID"]: row["Priority"] for row in rows} == {"one": "0", "two": "10"}
    assert ("PRIORITY", "Priority") in columns_of(rows)


def test_a_label_of_a_row_is_reached_by_its_name_and_yaml_has_them_as_text(capsys):
    row = {"Name": "web", "Labels": LabelText({"com.docker.stack.namespace": "shop", "note": "a,b=c"})}
    template = '{{.Label "com.docker.stack.namespace"}}|{{.Label "note"}}|{{.Label "other"}}'
    assert fill(template, row) == "shop|a,b=c|"
    columns = (("NAME", "Name"),)
    show([row], columns, "table {{lower .Name}}")
    assert capsys.readouterr().out.splitlines()[0] == "NAME"
    show([row], columns, 'table {{.Name}}\t{{.Label "note"}}')
    show([row], columns, "yaml")
    assert capsys.readouterr().out == (
        "NAME   NOTE\nweb    a,b=c\n- Name: web\n  Labels: com.docker.stack.namespace=shop,note=a,b=c\n"
    )


@pytest.mark.parametrize(
    ("layout", "lines"),
    [
        ("raw", ["id: 1", "name: web", "ports:", "", "id: 22", "name: api", "ports: 80", ""]),
        ("table raw", ["raw", "raw", "raw"]),
        ("yaml", ["- ID: '1'", "  Name: web", "  Ports: ''", "- ID: '22'", "  Name: api", "  Ports: '80'"]),
    ],
)
def test_a_list_has_a_line_for_each_value_where_docker_has_it(layout, lines, capsys):
    show(SERVICES, TITLES, layout, raw=RAW)
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(
    ("layout", "lines"),
    [
        ("", ["1", "22"]),
        ("table", ["1", "22"]),
        ("raw", ["id: 1", "id: 22"]),
        ("{{.Name}}!", ["web!", "api!"]),
        ("table {{.Name}}", ["NAME", "web", "api"]),
    ],
)
def test_quiet_prints_ids_unless_a_format_asks_for_more(layout, lines, capsys):
    show(SERVICES, TITLES, layout, "ID", RAW)
    assert capsys.readouterr().out.splitlines() == lines


SERVICES = [{"ID": "1", "Name": "web", "Ports": ""}, {"ID": "22", "Name": "api", "Ports": "80"}]
TITLES = (("ID", "ID"), ("NAME", "Name"))
RAW = (("id", "ID"), ("name", "Name"), ("ports", "Ports"))
