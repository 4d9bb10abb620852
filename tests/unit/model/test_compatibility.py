"""Which versions work together, and to which level a cluster is raised."""

import pytest

from swarm.api.v1.objects_pb2 import Cluster
from swarm.api.v1.types_pb2 import Compatibility
from swarm.model.compatibility import (
    LEVEL_MAX,
    Versions,
    level_of,
    level_refusal,
    next_level,
    our_versions,
    protocol_refusal,
    told_versions,
    unknown_level,
    versions_of,
)

OLD = Versions("1.0", 1, 1, 1, 1)
NEW = Versions("1.1", 1, 2, 1, 2)
NEWEST = Versions("1.2", 2, 3, 2, 3)


def test_what_a_node_calls_itself_is_read_among_what_grpc_adds() -> None:
    assert versions_of(f"grpc-python-asyncio/1.85 grpc-c/58 (linux; chttp2) {NEWEST.user_agent}") == NEWEST
    assert versions_of(f"{NEW.user_agent} grpc-c/58") == NEW
    assert versions_of(our_versions().user_agent) == our_versions()


@pytest.mark.parametrize(
    "text", ["", "grpc-c/58", "swarm/x (protocol a-b; level 1-1)", "notswarm/1 (protocol 9-9; level 9-9)"]
)
def test_who_says_nothing_is_of_the_first_protocol_and_level(text: str) -> None:
    assert versions_of(text) == Versions()
    assert told_versions(Compatibility()) == Versions()


def test_what_is_told_in_a_message_comes_out_of_it() -> None:
    assert told_versions(NEWEST.message()) == NEWEST


def test_neighbours_work_together_and_others_are_told_what_to_do() -> None:
    assert protocol_refusal(OLD, NEW) == protocol_refusal(NEW, OLD) == ""
    assert protocol_refusal(NEW, NEWEST) == protocol_refusal(NEWEST, NEW) == ""
    too_old = protocol_refusal(OLD, NEWEST)
    assert "swarm 1.0" in too_old
    assert "swarm 1.2" in too_old
    assert "upgrade swarm on the node" in too_old
    assert "upgrade the managers first" in protocol_refusal(NEWEST, OLD)


def test_a_manager_must_know_the_level_of_the_cluster() -> None:
    assert level_refusal(NEW, 1) == level_refusal(NEW, 2) == ""
    assert "install a newer version" in level_refusal(OLD, 2)
    assert "raise the level first" in level_refusal(NEWEST, 1)


def test_a_newer_level_is_not_read() -> None:
    assert unknown_level(LEVEL_MAX, "it") == unknown_level(0, "it") == ""
    assert "written by a newer version" in unknown_level(LEVEL_MAX + 1, "it")


def test_the_level_is_what_all_managers_support() -> None:
    assert next_level(1, {"a": NEW, "b": NEWEST}).level == 2
    assert next_level(1, {"a": NEW, "b": NEWEST}).kept == ""
    assert next_level(2, {"a": NEWEST}).level == 3


@pytest.mark.parametrize(
    ("managers", "words"),
    [
        ({}, "no manager is known"),
        ({"a": NEW, "b": None}, "manager b does not answer"),
        ({"a": NEW, "b": OLD}, r"manager b (swarm 1.0) supports no higher level"),
        ({"a": OLD}, "support level 1 and no higher one"),
    ],
)
def test_the_level_stays_while_a_manager_is_behind_or_away(
    managers: dict[str, Versions | None], words: str
) -> None:
    found = next_level(1, managers)
    assert found.level == 1
    assert words in found.kept


def test_the_level_never_goes_down() -> None:
    assert next_level(3, {"a": OLD}).level == 3


def test_a_cluster_begins_at_the_first_level() -> None:
    assert level_of(None) == level_of(Cluster()) == 1
    assert level_of(Cluster(level=4)) == 4
