"""How daemons become a cluster, where they are slow to answer."""

import time
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from swarm.api.v1.control_pb2 import InfoResponse
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
