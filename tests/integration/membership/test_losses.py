"""Managers that die, lose their disk, or were let go while they were away."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.types_pb2 import NODE_ROLE_WORKER
from tests.integration.membership.people import (
    PATIENCE_S,
    get_done,
    kill,
    leader,
    managers,
    raft_dir,
    refused,
    typed,
    voters,
)
from tests.integration.swarmd import ROOT, Daemon, daemons, wait_for

ALL = {"m1", "m2", "m3"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Daemon]]:
    """Three managers, and machines to take their places."""
    with daemons(tmp_path_factory.mktemp("d"), "m1", "m2", "m3", "new", "other") as found:
        managers(found, "m1", "m2", "m3")
        yield found


@pytest.fixture(autouse=True)
def _three_managers(made: dict[str, Daemon]) -> None:
    """Every test begins and ends with the same three managers."""
    wait_for(lambda: voters(made["m1"]) == ALL, PATIENCE_S)


def test_a_change_that_would_cost_the_majority_is_refused_with_the_numbers(made: dict[str, Daemon]) -> None:
    kill(made["m3"])
    wait_for(lambda: voters(made["m1"]) == {"m1", "m2"}, PATIENCE_S)
    demotion = refused(made["m1"], "node", "demote", "m2")
    assert "1 of the 2 managers left would be reachable, and 2 are needed" in demotion
    assert "demote it first" in refused(made["m1"], "node", "rm", "--force", "m3")
    wait_for(lambda: voters(made["m2"]) == {"m1", "m2"}, PATIENCE_S)
    leaving = refused(made["m2"], "leave")
    assert "1 of the 2 managers that remain can be reached now, and 2 are needed" in leaving
    assert "the cluster would stand still" in leaving
    made["m3"].start()


def test_a_manager_without_its_log_gets_a_new_seat_and_never_votes_under_the_old_one(
    made: dict[str, Daemon],
) -> None:
    made["m2"].stop()
    seats = made["m2"].log().count("node.seat_taken")
    before = made["m1"].nodes()["m2"].manager_status.raft_id
    shutil.rmtree(raft_dir(made["m2"]))
    made["m2"].start()
    wait_for(lambda: voters(made["m1"]) == ALL, PATIENCE_S)
    status = wait_for(lambda: made["m2"].nodes()["m2"].manager_status, PATIENCE_S)
    assert status.raft_id not in ("", before)
    assert made["m2"].log().count("node.seat_taken") == seats + 1


def test_a_manager_with_an_empty_disk_is_nobody_until_it_joins_again(made: dict[str, Daemon]) -> None:
    lost = made["m2"].info().node_id
    kill(made["m2"])
    shutil.rmtree(made["m2"].directory / "s")
    made["m2"].start()
    assert made["m2"].info().state == control.InfoResponse.STATE_INACTIVE
    get_done(made["m1"], "node", "demote", lost)
    typed(made["m1"], "node", "rm", "--force", lost)
    token = made["m1"].ask("GetJoinTokens", control.GetJoinTokensRequest()).manager
    made["m2"].join(token, made["m1"].addr)
    assert made["m2"].info().node_id != lost
    wait_for(lambda: voters(made["m1"]) == ALL, PATIENCE_S)
    assert len(made["m1"].nodes()) == 3


def test_a_dead_manager_is_replaced_and_told_so_when_it_comes_back(made: dict[str, Daemon]) -> None:
    dead = leader(made)
    asked = made[next(name for name in ALL if name != dead)]
    node_id = made[dead].info().node_id
    kill(made[dead])
    get_done(asked, "node", "demote", dead)
    typed(asked, "node", "rm", "--force", dead)
    token = asked.ask("GetJoinTokens", control.GetJoinTokensRequest()).manager
    made["new"].join(token, asked.addr)
    wait_for(lambda: voters(asked) == (ALL - {dead}) | {"new"}, PATIENCE_S)

    made[dead].start()
    wait_for(lambda: made[dead].info().state == control.InfoResponse.STATE_INACTIVE, PATIENCE_S)
    assert f"node {node_id} was removed from cluster" in made[dead].info().error
    wait_for(lambda: not raft_dir(made[dead]).exists(), PATIENCE_S)  # it tidies up afterwards
    assert "was removed from cluster" in refused(made[dead], "node", "ls")

    made[dead].join(token, made["new"].addr)
    get_done(asked, "node", "demote", "new")
    wait_for(lambda: not made["new"].info().is_manager, PATIENCE_S)  # the others knew it first
    made["new"].leave()
    wait_for(lambda: voters(made["m1"]) == ALL, PATIENCE_S)
    typed(made["m1"], "node", "rm", "--force", "new")


def test_a_manager_that_was_demoted_while_it_was_away_comes_back_as_a_worker(
    made: dict[str, Daemon],
) -> None:
    kill(made["m3"])
    get_done(made["m1"], "node", "demote", "m3")
    made["m3"].start()
    wait_for(lambda: not made["m3"].info().is_manager and made["m3"].info().connected, PATIENCE_S)
    wait_for(lambda: not raft_dir(made["m3"]).exists(), PATIENCE_S)
    assert made["m1"].nodes()["m3"].role == NODE_ROLE_WORKER
    get_done(made["m1"], "node", "promote", "m3")


def test_the_leader_is_demoted_by_a_command_at_itself_which_returns_when_it_is_done(
    made: dict[str, Daemon],
) -> None:
    first = leader(made)
    said = typed(made[first], "node", "demote", first)
    assert f"Node {first} demoted to a worker" in said
    other = made[next(name for name in ALL if name != first)]
    demoted = other.nodes()[first]
    assert (demoted.role, demoted.HasField("manager_status")) == (NODE_ROLE_WORKER, False)
    wait_for(lambda: voters(other) == ALL - {first}, PATIENCE_S)
    assert "already a worker" in typed(other, "node", "demote", first)
    get_done(other, "node", "promote", first)


def test_a_dead_learner_blocks_nobody_and_can_be_removed(made: dict[str, Daemon]) -> None:
    token = made["m1"].ask("GetJoinTokens", control.GetJoinTokensRequest()).manager
    joiner = made["other"]
    joiner.join(token, made["m1"].addr)
    node_id = joiner.info().node_id
    kill(joiner)
    typed(made["m1"], "node", "update", "--label-add", "still=writing", "m1")
    get_done(made["m1"], "node", "demote", node_id)
    typed(made["m1"], "node", "rm", "--force", node_id)
    wait_for(lambda: voters(made["m1"]) == ALL, PATIENCE_S)
    joiner.start()
    wait_for(lambda: joiner.info().state == control.InfoResponse.STATE_INACTIVE, PATIENCE_S)


def test_the_inspector_looks_into_a_manager_that_runs_and_into_one_that_was_killed_and_tells_no_secret(
    made: dict[str, Daemon],
) -> None:
    manager = made["m1"]
    tokens = manager.ask("GetJoinTokens", control.GetJoinTokensRequest())
    said = "".join(_inspected(manager, *what) for what in (["log"], ["state"], ["objects", "clusters"]))
    assert manager.info().cluster_id in said
    nodes = {node.id for node in manager.nodes().values()}
    assert all(node_id in said for node_id in nodes)
    typed(manager, "node", "update", "--label-add", "still=alive", "m1")
    # It may be a follower, which hears of it a moment later.
    wait_for(lambda: "alive" in _inspected(manager, "objects", "nodes"), PATIENCE_S)
    kill(manager)
    state = json.loads(_inspected(manager, "state", "--format", "json"))
    lines = json.loads(_inspected(manager, "log", "--format", "json"))
    indexes = [line["index"] for line in lines if line["kind"] == "entry"]
    assert indexes[-1] == state["last entry"]
    found = json.loads(_inspected(manager, "objects", "nodes"))
    assert {node["id"] for node in found} == nodes
    assert "alive" in json.dumps(found)
    said += json.dumps(lines)
    for token in (tokens.worker, tokens.manager):
        assert token.rpartition("-")[2] not in said
    assert "PRIVATE KEY" not in said
    manager.start()
    wait_for(lambda: manager.info().is_manager and manager.info().connected, PATIENCE_S)


def _inspected(daemon: Daemon, *what: str) -> str:
    command = [sys.executable, "-m", "swarm.daemon", "debug", *what]
    done = subprocess.run(
        [*command, "--state-dir", str(daemon.directory / "s")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
