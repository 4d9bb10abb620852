"""A node whose protocol is another one is told so; people's programs are not asked."""

from typing import Any

import pytest

from swarm.errors import FailedPrecondition
from swarm.model.compatibility import PROTOCOL_MAX, Versions
from swarm.security.authorization import check_protocol
from swarm.security.identity import NODES, Role
from swarm.security.tls import CHANNEL_OPTIONS

FAR = Versions("9.0", PROTOCOL_MAX + 1, PROTOCOL_MAX + 2)


class Called:
    """As much of a call as is looked at."""

    def __init__(self, user_agent: str) -> None:
        self._user_agent = user_agent

    def invocation_metadata(self) -> Any:
        return (("other", b"bytes"), ("user-agent", self._user_agent)) if self._user_agent else None


@pytest.mark.parametrize("role", [*NODES, Role.JOIN_WORKER, Role.JOIN_MANAGER])
def test_a_node_of_a_far_version_is_refused(role: Role) -> None:
    with pytest.raises(FailedPrecondition, match=r"swarm 9\.0 of the node.*upgrade the managers first"):
        check_protocol(Called(f"grpc-c/1 {FAR.user_agent}"), role)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", list(Role))
def test_our_own_version_and_that_of_before_are_let_in(role: Role) -> None:
    ours = dict(CHANNEL_OPTIONS)["grpc.secondary_user_agent"]
    check_protocol(Called(f"grpc-c/1 {ours}"), role)  # type: ignore[arg-type]
    check_protocol(Called(""), role)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER, Role.LOCAL])
def test_people_may_have_any_version(role: Role) -> None:
    check_protocol(Called(FAR.user_agent), role)  # type: ignore[arg-type]
