import pytest

from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.runtime.select import candidates


def test_root_tries_containers_in_order_and_never_loses_isolation_unasked() -> None:
    assert candidates("auto", {}, root=True) == ("oci", "docker", "starter")
    assert candidates("process", {}, root=True) == ("process",)


def test_without_root_there_are_processes() -> None:
    assert candidates("auto", {}, root=False) == ("process",)


def test_a_runtime_of_choice_is_the_only_one_tried() -> None:
    assert candidates("docker", {"oci": 0}, root=True) == ("docker",)
    with pytest.raises(InvalidArgument, match=r"rkt.*known are auto, oci, docker"):
        candidates("rkt", {}, root=True)


def test_a_node_stays_with_the_driver_whose_containers_it_has() -> None:
    assert candidates("auto", {"docker": 2}, root=True) == ["docker"]
    assert candidates("docker", {"docker": 2}, root=True) == ("docker",)
    for wanted, kept, named in (
        ("oci", {"docker": 2}, "2 containers of the runtime docker"),
        ("auto", {"oci": 1, "process": 3}, "3 containers of the runtime process"),
    ):
        with pytest.raises(FailedPrecondition, match=rf"{named}.*drain the node"):
            candidates(wanted, kept, root=True)
