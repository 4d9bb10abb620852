import pytest

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.cli.dependency_options import add_dependencies, read_dependency, remove_dependencies
from swarm.cli.inspect_view import service_spec
from swarm.errors import InvalidArgument


def test_a_dependency_is_on_a_started_service_unless_it_says_more():
    spec = ServiceSpec()
    add_dependencies(spec, {"depends_on": ["cache", "db:healthy", "setup:completed"]}, "")
    assert service_spec(spec)["DependsOn"] == [
        {"Service": "cache", "Condition": "started"},
        {"Service": "db", "Condition": "healthy"},
        {"Service": "setup", "Condition": "completed"},
    ]


def test_an_update_replaces_the_condition_and_removes_by_name():
    spec = ServiceSpec()
    add_dependencies(spec, {"depends_on": ["cache", "db"]}, "")
    add_dependencies(spec, {"depends_on_add": ["db:healthy", "setup:completed"]}, "_add")
    remove_dependencies(spec, {"depends_on_rm": ["cache"]})
    assert [one["Service"] + ":" + one["Condition"] for one in service_spec(spec)["DependsOn"]] == [
        "db:healthy",
        "setup:completed",
    ]
    with pytest.raises(InvalidArgument, match="does not depend on it"):
        remove_dependencies(spec, {"depends_on_rm": ["cache"]})
    remove_dependencies(spec, {"depends_on_rm": ["db", "setup"]})
    assert "DependsOn" not in service_spec(spec)
    assert spec == ServiceSpec()


@pytest.mark.parametrize("text", ["", ":healthy", "db:", "db:well", "db:healthy:now"])
def test_what_cannot_be_read_says_what_is_allowed(text: str):
    with pytest.raises(InvalidArgument, match="started, healthy, completed"):
        read_dependency(text)
