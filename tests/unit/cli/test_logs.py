"""Lines of output as `logs` prints them."""

from typing import Any

import pytest

from swarm.api.v1.logs_pb2 import LogMessage
from swarm.cli.connect import Connection
from swarm.cli.service_logs import Prefixes, options
from swarm.clock import timestamp
from tests.unit.cli.test_stack_commands import Control

ATTRIBUTES = {"tier": "web, é", "A": "1"}


def prefix(attributes: dict[str, str] | None = None, **given: Any) -> str:
    said = {"raw": False, "timestamps": False, "no_resolve": False, "no_trunc": False, "no_task_ids": True}
    message = LogMessage(task_id="task1", node_id="n1", timestamp=timestamp(0), attributes=attributes)
    return Prefixes(Connection(Control(), None), said | given).of(message)


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ({}, ""),
        ({"details": True}, "A=1,tier=web, é "),
        ({"details": True, "of_container": True}, "A=1,tier=web%2C+%C3%A9 "),
        ({"details": True, "timestamps": True}, "1970-01-01T00:00:00.000000000Z A=1,tier=web, é "),
    ],
)
def test_attributes_stand_before_the_line_as_docker_has_them(given: dict[str, bool], printed: str) -> None:
    assert prefix(ATTRIBUTES, raw=True, **given) == printed


def test_attributes_stand_behind_who_wrote_the_line() -> None:
    assert prefix(ATTRIBUTES, details=True) == f"{'shop_web.1@node-1':<30} | A=1,tier=web, é "
    assert prefix({}, details=True, raw=True) == " "


@pytest.mark.parametrize("details", [True, False])
def test_details_are_asked_for_only_when_they_are_wanted(details: bool) -> None:
    given = {"follow": False, "tail": "all", "since": "", "until": "", "details": details}
    assert options(given, 0).details is details
