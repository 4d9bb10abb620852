"""The life of nodes, with real daemons: init, join, roles, restart, leave; and who is refused."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.control_pb2_grpc import ControlStub
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER
from swarm.clock import SystemClock
from swarm.errors import (
    FailedPrecondition,
    InvalidArgument,
    Unauthenticated,
    Unavailable,
)
from swarm.security.certificates import create_csr, create_root_ca, issue_node_certificate, new_key_pem
from swarm.security.identity import Role
from swarm.security.keyfiles import load_bundle
from swarm.security.tls import NodeCredentials
from swarm.security.tokens import format_token, new_secret, parse_token
from tests.integration.swarmd import ROOT, Daemon, daemons, wait_for
from tests.unit.security.listener import PATIENT

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Daemon]]:
    """A manager with a worker, and a machine that is no node."""
    with daemons(tmp_path_factory.mktemp("d"), "m1", "w1", "out") as made:
        tokens = made["m1"].init()
        made["w1"].join(tokens.worker_token, made["m1"].addr)
        yield made


def tokens_of(manager: Daemon) -> control.GetJoinTokensResponse:
    return manager.ask("GetJoinTokens", control.GetJoinTokensRequest())


def credentials_of(daemon: Daemon) -> NodeCredentials:
    found = NodeCredentials.load(daemon.directory / "s" / "certificates" / "node.pem")
    assert found is not None
    return found


def call_control(credentials: NodeCredentials, addr: str) -> None:
    async def call() -> None:
        async with credentials.channel(addr) as channel:
            await ControlStub(channel).ListNodes(control.ListNodesRequest(), timeout=60)

    asyncio.run(call())


# Who is refused.


def test_a_malformed_token_is_refused_before_anything_happens(cluster: dict[str, Daemon]) -> None:
    with pytest.raises(InvalidArgument, match="not a join token"):
        cluster["out"].join("hunter2", cluster["m1"].addr)
    assert cluster["out"].info().state == control.InfoResponse.STATE_INACTIVE


def test_a_wrong_secret_is_refused_with_the_way_out(cluster: dict[str, Daemon]) -> None:
    root = credentials_of(cluster["m1"]).bundle.root_ca_pem
    with pytest.raises(Unauthenticated, match=r"refuses the token.*swarmctl join-token"):
        cluster["out"].join(format_token(root, new_secret()), cluster["m1"].addr)


def test_the_token_of_another_cluster_is_told_apart(cluster: dict[str, Daemon]) -> None:
    token = format_token(create_root_ca("x", SystemClock().now_ns()).cert_pem, new_secret())
    with pytest.raises(InvalidArgument, match="for another cluster"):
        cluster["out"].join(token, cluster["m1"].addr)


def test_an_address_that_nobody_listens_on_is_told(cluster: dict[str, Daemon]) -> None:
    with pytest.raises(Unavailable, match=r"cannot reach .*connection refused"):
        cluster["out"].join(tokens_of(cluster["m1"]).worker, cluster["w1"].addr)


def test_plain_tcp_gets_no_answer(cluster: dict[str, Daemon]) -> None:
    host, _, port = cluster["m1"].addr.partition(":")
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.settimeout(60)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        assert b"swarm" not in _all_bytes(connection)


def _all_bytes(connection: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(4096):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def test_a_certificate_of_another_root_completes_no_handshake(cluster: dict[str, Daemon]) -> None:
    ours = credentials_of(cluster["m1"])
    impostor, key = create_root_ca(ours.identity.cluster_id, SystemClock().now_ns()), new_key_pem()
    cert = issue_node_certificate(
        impostor,
        create_csr(key),
        node_id=ours.identity.node_id,
        role=Role.MANAGER,
        cluster_id=ours.identity.cluster_id,
        now_ns=SystemClock().now_ns(),
    )
    credentials = grpc.ssl_channel_credentials(ours.bundle.root_ca_pem, key, cert)
    with (
        grpc.secure_channel(cluster["m1"].addr, credentials, options=PATIENT) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        ControlStub(channel).ListNodes(control.ListNodesRequest(), timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_worker_may_not_use_control(cluster: dict[str, Daemon]) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="not for a worker") as caught:
        call_control(credentials_of(cluster["w1"]), cluster["m1"].addr)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_manager_is_nobody_who_gives_orders(cluster: dict[str, Daemon]) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="not for a manager") as caught:
        call_control(credentials_of(cluster["m1"]), cluster["m1"].addr)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_worker_says_where_the_managers_are(cluster: dict[str, Daemon]) -> None:
    with pytest.raises(FailedPrecondition, match=f"not a manager.*{cluster['m1'].addr}"):
        cluster["w1"].nodes()


def test_a_machine_outside_says_how_to_get_in(cluster: dict[str, Daemon]) -> None:
    with pytest.raises(FailedPrecondition, match=r"swarmctl init.*swarmctl join"):
        cluster["out"].nodes()


def test_a_member_can_neither_init_nor_join_again(cluster: dict[str, Daemon]) -> None:
    with pytest.raises(FailedPrecondition, match="part of cluster"):
        cluster["w1"].init()
    with pytest.raises(FailedPrecondition, match="part of cluster"):
        cluster["m1"].join(tokens_of(cluster["m1"]).worker, cluster["m1"].addr)


def test_a_second_daemon_on_the_same_folder_is_refused(cluster: dict[str, Daemon]) -> None:
    command = [sys.executable, "-m", "swarm.daemon", *cluster["w1"].arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"another swarmd (process {cluster['w1'].pid})" in ended.stderr


def test_workers_do_not_listen(cluster: dict[str, Daemon]) -> None:
    host, _, port = cluster["w1"].addr.partition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 60)


def test_keys_and_socket_are_for_the_owner_only(cluster: dict[str, Daemon]) -> None:
    state = cluster["m1"].directory / "s"
    assert (state / "certificates").stat().st_mode & 0o777 == 0o700
    assert (state / "certificates" / "node.pem").stat().st_mode & 0o777 == 0o600
    assert (state.parent / "r" / "swarmd.sock").stat().st_mode & 0o777 == 0o600


def test_metrics_and_health_are_served(cluster: dict[str, Daemon]) -> None:
    page = _get(cluster["m1"], "/metrics")
    assert 'swarm_manager_nodes{state="ready"} 2.0' in page
    assert "swarm_manager_leader 1.0" in page
    assert "swarm_raft_term 1.0" in page
    well = {"healthy": True, "reason": "has a session with a manager"}
    wait_for(lambda: json.loads(_get(cluster["w1"], "/healthz"))["parts"]["agent"] == well)


def _get(daemon: Daemon, path: str) -> str:
    host = daemon.addr.partition(":")[0]
    try:
        with urllib.request.urlopen(f"http://{host}:9323{path}", timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:  # it is not well
        return str(error.read().decode())


# Lives of nodes.


def test_roles_change_while_nodes_run(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "m2", "w1") as made:
        tokens = made["m1"].init()
        assert made["m2"].join(tokens.manager_token, made["m1"].addr).role == NODE_ROLE_MANAGER
        assert made["w1"].join(tokens.worker_token, made["m2"].addr).role == NODE_ROLE_WORKER

        _wish_role(made["m2"], "w1", NODE_ROLE_MANAGER)
        wait_for(lambda: made["w1"].nodes()["w1"].manager_status.addr == made["w1"].addr)
        assert credentials_of(made["w1"]).identity.role is Role.MANAGER

        # The leader itself: it hands over, leaves Raft, and becomes a worker of the cluster it founded.
        _wish_role(made["m2"], "m1", NODE_ROLE_WORKER)
        wait_for(lambda: not made["m1"].info().is_manager and made["m1"].info().connected)
        wait_for(lambda: credentials_of(made["m1"]).identity.role is Role.WORKER)
        wait_for(lambda: made["w1"].nodes()["m1"].role == NODE_ROLE_WORKER)
        wait_for(lambda: not any((made["m1"].directory / "s").glob("raft/*")))

        _wish_role(made["m2"], "m1", NODE_ROLE_MANAGER)
        wait_for(lambda: len(made["m1"].nodes()) == 3)


def _wish_role(manager: Daemon, name: str, role: int) -> None:
    def wished() -> bool:
        node = manager.nodes()[name]  # anew each time: somebody else may change it in between
        node.spec.desired_role = role
        request = control.UpdateNodeRequest(id=node.id, version=node.meta.version.index, spec=node.spec)
        return bool(manager.ask("UpdateNode", request))

    wait_for(wished)


def test_nodes_come_back_after_every_kind_of_end(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "w1") as made:
        tokens = made["m1"].init()
        made["w1"].join(tokens.worker_token, made["m1"].addr)
        before = {name: daemon.info().node_id for name, daemon in made.items()}
        for number in (signal.SIGTERM, signal.SIGKILL):
            for daemon in made.values():
                code = daemon.stop(number)
                assert code == (0 if number == signal.SIGTERM else -signal.SIGKILL)
            made["w1"].start()  # without any manager: it comes up and waits
            assert made["w1"].info().state == control.InfoResponse.STATE_PENDING
            made["m1"].start()
            for daemon in made.values():
                wait_for(lambda daemon=daemon: daemon.info().connected)
        assert {name: daemon.info().node_id for name, daemon in made.items()} == before
        assert tokens_of(made["m1"]).worker == tokens.worker_token


def test_a_worker_leaves_and_joins_again_as_another_node(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "w1") as made:
        tokens = made["m1"].init()
        first = made["w1"].join(tokens.worker_token, made["m1"].addr).node_id
        made["w1"].leave()
        assert made["w1"].info().state == control.InfoResponse.STATE_INACTIVE
        assert not (made["w1"].directory / "s" / "certificates").exists()
        with pytest.raises(FailedPrecondition, match="not part of a cluster"):
            made["w1"].leave()
        assert made["w1"].join(tokens.worker_token, made["m1"].addr).node_id != first


def test_managers_leave_by_force_only_and_the_last_one_ends_the_cluster(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "m2", "m3") as made:
        tokens = made["m1"].init()
        for name in ("m2", "m3"):
            made[name].join(tokens.manager_token, made["m1"].addr)
        assert "demote it first" in _why_not(made["m3"])
        wait_for(lambda: "2 of the 2 managers" in _why_not(made["m3"]))  # it hears of them after it joined
        made["m1"].leave(force=True)  # the leader: the others go on with a majority of two
        wait_for(lambda: made["m2"].info().leader_addr)
        wait_for(lambda: not made["m3"].nodes()["m1"].HasField("manager_status"))
        made["m2"].leave(force=True)
        wait_for(lambda: made["m3"].info().leader_addr == made["m3"].addr)
        wait_for(lambda: not made["m3"].nodes()["m2"].HasField("manager_status"))
        wait_for(lambda: "last manager" in _why_not(made["m3"]))
        made["m3"].leave(force=True)
        assert not any((made["m3"].directory / "s").glob("raft/*"))
        assert made["m3"].init().cluster_id  # and a new one can start here


def _why_not(manager: Daemon) -> str:
    with pytest.raises(FailedPrecondition) as refused:
        manager.leave()
    return str(refused.value)


def test_a_removed_node_is_told_so_and_stops(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "w1") as made:
        tokens = made["m1"].init()
        made["w1"].join(tokens.worker_token, made["m1"].addr)
        kept = credentials_of(made["w1"])
        removal = control.RemoveNodeRequest(ref=made["w1"].info().node_id, force=True)
        made["m1"].ask("RemoveNode", removal)
        wait_for(lambda: made["w1"].info().state == control.InfoResponse.STATE_INACTIVE)
        with pytest.raises(grpc.aio.AioRpcError, match="was removed from the cluster") as caught:
            call_control(kept, made["m1"].addr)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_rotated_token_lets_nobody_in_and_throws_nobody_out(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "m2", "w1", "w2") as made:
        tokens = made["m1"].init()
        made["m2"].join(tokens.manager_token, made["m1"].addr)
        made["w1"].join(tokens.worker_token, made["m2"].addr)
        rotation = control.RotateJoinTokenRequest(role=NODE_ROLE_WORKER)
        fresh = made["m1"].ask("RotateJoinToken", rotation).token
        for manager in ("m1", "m2"):
            wait_for(lambda manager=manager: _refused(made["w2"], tokens.worker_token, made[manager].addr))
        made["w2"].join(fresh, made["m2"].addr)
        assert wait_for(lambda: made["w1"].info().connected)


def _refused(daemon: Daemon, token: str, addr: str) -> bool:
    with pytest.raises(Unauthenticated, match="refuses the token"):
        daemon.join(token, addr)
    return True


def test_a_join_that_cannot_be_reached_back_says_so(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "m2") as made:
        tokens = made["m1"].init()
        request = control.JoinRequest(
            remote_addrs=[made["m1"].addr], token=tokens.manager_token, advertise_addr="127.0.0.3:1"
        )
        with pytest.raises(Unavailable, match=r"the leader cannot reach a manager at 127\.0\.0\.3:1"):
            made["m2"].local("Join", request)
        assert made["m2"].info().state == control.InfoResponse.STATE_ERROR
        made["m2"].leave()
        made["m2"].join(tokens.manager_token, made["m1"].addr)


def test_a_failed_init_leaves_nothing(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1") as made:
        host = made["m1"].addr.partition(":")[0]
        with socket.create_server((host, 2377)), pytest.raises(FailedPrecondition, match="cannot listen"):
            made["m1"].init()
        assert made["m1"].info().state == control.InfoResponse.STATE_INACTIVE
        assert not (made["m1"].directory / "s" / "certificates").exists()
        made["m1"].init()


def test_leftovers_of_an_interrupted_start_are_cleared_away(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1") as made:
        made["m1"].init()
        made["m1"].stop(signal.SIGKILL)
        state = made["m1"].directory / "s"
        (state / "node.json").unlink()  # as if it was killed just before it became a member for good
        made["m1"].start()
        assert made["m1"].info().state == control.InfoResponse.STATE_INACTIVE
        assert {entry.name for entry in state.iterdir()} <= {"swarmd.lock", "images"}
        made["m1"].init()


def test_a_node_with_damaged_files_says_which(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1") as made:
        made["m1"].init()
        made["m1"].stop()
        path = made["m1"].directory / "s" / "certificates" / "node.pem"
        path.write_bytes(path.read_bytes()[:500])
        command = [sys.executable, "-m", "swarm.daemon", *made["m1"].arguments]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 1
        assert f"{path} is damaged" in ended.stderr


def test_no_secret_gets_into_the_logs(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "m2", "w1") as made:
        tokens = made["m1"].init()
        with pytest.raises(Unauthenticated):
            made["w1"].join(tokens.worker_token[:-4] + "0000", made["m1"].addr)
        made["m2"].join(tokens.manager_token, made["m1"].addr)
        made["w1"].join(tokens.worker_token, made["m1"].addr)
        fresh = made["m2"].ask("RotateJoinToken", control.RotateJoinTokenRequest(role=NODE_ROLE_MANAGER))
        made["w1"].leave()
        secrets = [
            parse_token(text).secret for text in (tokens.worker_token, tokens.manager_token, fresh.token)
        ]
        secrets.append(parse_token(tokens.worker_token).secret[:-4])
        bundle = load_bundle(made["m1"].directory / "s" / "certificates" / "node.pem")
        assert bundle is not None
        secrets.append(bundle.key_pem.decode().splitlines()[1])
        for daemon in made.values():
            text = daemon.log()
            assert "daemon.started" in text
            assert not [secret for secret in secrets if secret in text]
            assert "PRIVATE KEY" not in text
