import pytest

from swarm.agent.network.base import PublishedPort
from swarm.agent.network.ports import DYNAMIC, candidates, fits, key, refuse_conflicts
from swarm.errors import TaskRejected

WEB = PublishedPort("tcp", 8080, 80)
ANY = PublishedPort("tcp", 0, 80)


def test_a_port_of_another_task_is_refused_with_the_name_of_that_task() -> None:
    with pytest.raises(TaskRejected, match="8080/tcp is already published on this node by task other"):
        refuse_conflicts([WEB], {("tcp", 8080, ""): "other"})


def test_the_same_port_of_the_other_protocol_is_no_conflict() -> None:
    refuse_conflicts([WEB], {("udp", 8080, ""): "other"})


def test_a_port_published_twice_by_one_task_is_refused() -> None:
    with pytest.raises(TaskRejected, match="twice"):
        refuse_conflicts([WEB, PublishedPort("tcp", 8080, 81)], {})


def test_any_number_of_dynamic_ports_is_no_conflict() -> None:
    refuse_conflicts([ANY, ANY], {})


def test_candidates_are_all_dynamic_ports_that_no_task_has_beginning_anywhere() -> None:
    found = list(
        candidates("tcp", {("tcp", 30001, ""): "other", ("udp", 30002, ""): "other"}, start=len(DYNAMIC) + 1)
    )
    assert found[0] == 30002
    assert sorted(found) == [port for port in DYNAMIC if port != 30001]


@pytest.mark.parametrize(
    ("wanted", "granted", "expected"),
    [
        ([], [], True),
        ([WEB], [WEB], True),
        ([ANY], [PublishedPort("tcp", 30000, 80)], True),
        ([WEB], [PublishedPort("tcp", 30000, 80)], False),
        ([ANY], [PublishedPort("udp", 30000, 80)], False),
        ([ANY], [PublishedPort("tcp", 30000, 81)], False),
        ([WEB], [], False),
        ([], [WEB], False),
    ],
)
def test_granted_ports_fit_when_they_are_what_was_wanted(
    wanted: list[PublishedPort], granted: list[PublishedPort], expected: bool
) -> None:
    assert fits(wanted, granted) is expected


@pytest.mark.parametrize(
    ("here", "there", "conflict"),
    [
        ("192.0.2.4", "192.0.2.5", False),
        ("192.0.2.4", "192.0.2.0/24", True),
        ("192.0.2.4", "", True),
        ("0.0.0.0", "192.0.2.4", True),
        ("0.0.0.0", "::", False),
        ("2001:db8::4", "::", True),
    ],
)
def test_conflicts_are_judged_per_address(here: str, there: str, conflict: bool) -> None:
    wanted, other = PublishedPort("tcp", 8080, 80, here), PublishedPort("tcp", 8080, 80, there)
    if conflict:
        with pytest.raises(TaskRejected, match="8080/tcp is already published on this node by task other"):
            refuse_conflicts([wanted], {key(other): "other"})
    else:
        refuse_conflicts([wanted], {key(other): "other"})
