"""The port of a real manager: who is refused there, and with which words; who gets through, and as whom."""

import grpc
import pytest
from google.protobuf.message import Message

from swarm.api.status import from_rpc_error
from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.control_pb2_grpc import ControlStub
from swarm.clock import SystemClock
from swarm.security.certificates import create_root_ca, issue_join_certificate, join_ca
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.tokens import parse_token
from tests.integration.authorization.conftest import Cluster
from tests.integration.swarmd import wait_for
from tests.unit.security.test_every_rpc import EXPECTED, PACKAGE

LETTERS = {Role.MANAGER: "M", Role.WORKER: "W", Role.OPERATOR: "O", Role.VIEWER: "V"}
NOUNS = {
    Role.MANAGER: "a manager",
    Role.WORKER: "a worker",
    Role.OPERATOR: "an operator",
    Role.VIEWER: "a viewer",
}
REFUSALS = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}


def call(channel: grpc.Channel, rpc: str, timeout_s: float = 30.0) -> tuple[grpc.StatusCode, str]:
    """Send one empty message to an RPC of any kind and wait for the first answer or the end."""
    answers = channel.stream_stream(PACKAGE + rpc)(iter([b""]), timeout=timeout_s)
    try:
        next(answers, None)
    except grpc.RpcError as error:
        return error.code(), error.details()
    else:
        return grpc.StatusCode.OK, ""
    finally:
        answers.cancel()


def joiner(cluster: Cluster) -> NodeBundle:
    pair = issue_join_certificate(join_ca(parse_token(cluster.worker_token).secret, cluster.root.cert_pem))
    return NodeBundle(pair.cert_pem, cluster.root.cert_pem, pair.key_pem)


@pytest.mark.parametrize("role", LETTERS)
def test_every_rpc_that_is_not_for_a_role_is_refused_by_a_real_manager(cluster: Cluster, role: Role) -> None:
    refused = [rpc for rpc, letters in EXPECTED.items() if LETTERS[role] not in letters]
    with cluster.channel("m2", cluster.certificate(role)) as channel:
        answers = {rpc: call(channel, rpc) for rpc in refused}
    denied = grpc.StatusCode.PERMISSION_DENIED
    assert answers == {rpc: (denied, f"{rpc} is not for {NOUNS[role]}") for rpc in refused}


def test_a_joiner_is_refused_all_but_its_certificate(cluster: Cluster) -> None:
    refused = [rpc for rpc, letters in EXPECTED.items() if "J" not in letters]
    with cluster.channel("m1", joiner(cluster)) as channel:
        answers = {call(channel, rpc) for rpc in refused}
    said = {f"{rpc} is not for a node that is about to join" for rpc in refused}
    assert answers == {(grpc.StatusCode.PERMISSION_DENIED, sentence) for sentence in said}


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER])
def test_every_rpc_that_people_may_read_with_gets_through(cluster: Cluster, role: Role) -> None:
    reading = [rpc for rpc, letters in EXPECTED.items() if "V" in letters]
    with cluster.channel("m3", cluster.certificate(role)) as channel:
        for rpc in reading:
            code, details = call(channel, rpc, timeout_s=8.0)
            assert code not in REFUSALS, f"{rpc}: {details}"


@pytest.mark.parametrize("role", LETTERS)
def test_certificates_of_another_root_open_no_connection(cluster: Cluster, role: Role) -> None:
    foreign = cluster.certificate(role, root=create_root_ca(cluster.cluster_id, SystemClock().now_ns()))
    with cluster.channel("m1", foreign) as channel:
        assert {call(channel, rpc)[0] for rpc in EXPECTED} == {grpc.StatusCode.UNAVAILABLE}


def test_without_certificate_there_is_no_connection(cluster: Cluster) -> None:
    credentials = grpc.ssl_channel_credentials(cluster.root.cert_pem)
    options = [("grpc.ssl_target_name_override", Role.MANAGER.value)]
    for channel in (
        grpc.secure_channel(cluster.managers["m1"].addr, credentials, options),
        grpc.insecure_channel(cluster.managers["m1"].addr),
    ):
        with channel:
            assert {call(channel, rpc)[0] for rpc in EXPECTED} == {grpc.StatusCode.UNAVAILABLE}


# People at any manager, not only at the leader.


def create(name: str) -> c.CreateServiceRequest:
    request = c.CreateServiceRequest(skip_image_resolution=True)
    request.spec.annotations.name = name
    request.spec.task.container.image = "web:1"
    request.spec.replicated.replicas = 0
    return request


def ask(cluster: Cluster, at: str, role: Role, method: str, request: Message) -> Message:
    with cluster.channel(at, cluster.certificate(role)) as channel:
        answer: Message = getattr(ControlStub(channel), method)(request, timeout=60)
        return answer


def answered(cluster: Cluster, at: str, role: Role, method: str, request: Message) -> Message:
    """Ask until a leader answers; of what is new a follower that answers alone knows nothing yet."""

    def attempt() -> Message:
        try:
            return ask(cluster, at, role, method, request)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    return wait_for(attempt)


def test_people_are_who_they_are_through_every_manager(cluster: Cluster) -> None:
    leader = cluster.leader()
    assert len(cluster.managers) == 3
    for name in cluster.managers:
        created = answered(cluster, name, Role.OPERATOR, "CreateService", create(f"by-{name}"))
        seen = answered(cluster, name, Role.VIEWER, "GetService", c.GetServiceRequest(ref=f"by-{name}"))
        assert seen.service == created.service
        for role, method, request in (
            (Role.VIEWER, "CreateService", create("nope")),
            (Role.VIEWER, "GetJoinTokens", c.GetJoinTokensRequest()),
            (Role.OPERATOR, "GetJoinTokens", c.GetJoinTokensRequest()),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                ask(cluster, name, role, method, request)
            assert caught.value.details() == f"Control/{method} is not for {NOUNS[role]}", (name, leader)


def test_viewers_see_no_secret_anywhere(cluster: Cluster) -> None:
    secret = parse_token(cluster.worker_token).secret
    shown = str(ask(cluster, "m2", Role.VIEWER, "GetCluster", c.GetClusterRequest()))
    with cluster.channel("m2", cluster.certificate(Role.VIEWER)) as channel:
        answers = ControlStub(channel).Watch(c.WatchRequest(include_initial_state=True), timeout=60)
        shown += str(next(answers))
        answers.cancel()
    assert cluster.cluster_id in shown
    assert secret not in shown
    assert "PRIVATE KEY" not in shown


def test_somebody_at_the_socket_of_a_follower_is_served_by_the_leader(cluster: Cluster) -> None:
    for name, daemon in cluster.managers.items():
        made = wait_for(lambda: daemon.ask("CreateService", create(f"at-{name}"))).service  # noqa: B023
        assert made.spec.annotations.name == f"at-{name}"
