"""How daemons become a cluster, where they are slow to answer."""

import time
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from swarm.api.v1.control_pb2 import GetJoinTokensResponse, InfoResponse
from swarm.dev import formation
from swarm.dev.plan import Folders, Node, Plan
from swarm.errors import Unavailable


def test_a_daemon_that_is_too_busy_to_say_whether_it_is_a_member_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan("dev", False, IPv4Network("127.77.0.0/24"), 1, 1, Folders(tmp_path, tmp_path))
    asked: list[str] = []

    def info(node: Node) -> InfoResponse:
        asked.append(node.name)
        if asked.count(node.name) < 2:
            raise Unavailable("no answer in time")
        return InfoResponse(state=InfoResponse.STATE_ACTIVE)

    monkeypatch.setattr(formation.client, "info", info)
    formation.form(plan, report=pytest.fail, deadline=time.monotonic() + 60)
    assert asked == ["manager-1", "manager-1", "worker-1", "worker-1"]


def test_a_node_that_meets_an_election_joins_again_unless_it_is_a_member_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan("dev", False, IPv4Network("127.77.0.0/24"), 2, 1, Folders(tmp_path, tmp_path))
    members = {"manager-1"}
    tried: list[str] = []

    def info(node: Node) -> InfoResponse:
        inside = node.name in members
        return InfoResponse(state=InfoResponse.STATE_PENDING if inside else InfoResponse.STATE_INACTIVE)

    def join(node: Node, _manager: Node, token: str) -> None:
        tried.append(f"{node.name} {token}")
        if node.name == "manager-2" or tried.count(f"{node.name} {token}") == 2:
            members.add(node.name)
        if node.name not in members or node.name == "manager-2":  # a member, and not ready yet
            raise Unavailable("no leader")

    tokens = GetJoinTokensResponse(manager="m", worker="w")
    monkeypatch.setattr(formation.client, "info", info)
    monkeypatch.setattr(formation.client, "tokens", lambda _: tokens)
    monkeypatch.setattr(formation.client, "join", join)
    formation.form(plan, report=lambda _: None, deadline=time.monotonic() + 60)
    assert sorted(tried) == ["manager-2 m", "worker-1 w", "worker-1 w"]
