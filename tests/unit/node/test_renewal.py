"""When certificates are renewed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.api.v1.ca_pb2 import IssueCertificateResponse
from swarm.api.v1.ca_pb2_grpc import NodeCAServicer, add_NodeCAServicer_to_server
from swarm.clock import SystemClock
from swarm.manager.store.testing import ManualClock
from swarm.node.renewal import RenewalLoop, renewal_time_ns, retry_pause_s, role_pause_s
from swarm.security.certificates import create_csr, create_root_ca, issue_node_certificate, new_key_pem
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.tls import NodeCredentials

DAY = 86_400 * 10**9


@given(st.floats(0, 1), st.integers(0, 10**18), st.integers(3600 * 10**9, 400 * DAY))
def test_a_certificate_is_renewed_between_half_and_four_fifths_of_its_life(
    chance: float, start: int, life: int
) -> None:
    moment = renewal_time_ns((start, start + life), chance)
    assert start + 0.499 * life <= moment <= start + 0.801 * life


def test_chance_spreads_the_renewals() -> None:
    assert renewal_time_ns((0, 100 * DAY), 0.0) == 50 * DAY
    assert renewal_time_ns((0, 100 * DAY), 1.0) == 80 * DAY


def test_pauses_double_up_to_an_hour() -> None:
    pauses = [retry_pause_s(failures, 1e9) for failures in (1, 2, 3, 10, 20, 1000)]
    assert pauses == [5, 10, 20, 2560, 3600, 3600]


def test_a_certificate_about_to_expire_is_tried_more_often() -> None:
    assert retry_pause_s(20, 600) == 60
    assert retry_pause_s(20, -50) == 5


def test_managers_that_disagree_about_a_role_are_asked_ever_less_often() -> None:
    assert [role_pause_s(count) for count in (0, 1, 2, 5, 50)] == [2, 4, 8, 60, 60]


ROOT = create_root_ca("c", SystemClock().now_ns())


class Authority(NodeCAServicer):
    """Issues certificates of the role of the moment."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.role = Role.WORKER
        self.issued = 0
        self.fails = 0

    async def IssueCertificate(self, request, context):  # type: ignore[no-untyped-def]
        if self.fails:
            self.fails -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "no leader")
        self.issued += 1
        cert = self.sign(request.csr_pem)
        return IssueCertificateResponse(cert_pem=cert, root_ca_pem=ROOT.cert_pem)

    def sign(self, csr_pem: bytes) -> bytes:
        return issue_node_certificate(
            ROOT, csr_pem, node_id="n", role=self.role, cluster_id="c", now_ns=self.clock.now_ns()
        )


@asynccontextmanager
async def renewing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[NodeCredentials, Authority, RenewalLoop, list[str]]]:
    """A node whose renewals go to a manager in this process; gRPC itself looks at the real clock."""
    for name in ("FIRST_ROLE_PAUSE_S", "LAST_ROLE_PAUSE_S", "SLEEP_MAX_S"):
        monkeypatch.setattr(f"swarm.node.renewal.{name}", 0.01)
    clock = ManualClock(SystemClock().now_ns())
    authority = Authority(clock)
    key = new_key_pem()
    bundle = NodeBundle(authority.sign(create_csr(key)), ROOT.cert_pem, key)
    credentials = NodeCredentials.create(path / "node.pem", bundle)
    authority.role, listener_key = Role.MANAGER, new_key_pem()
    listener = NodeBundle(authority.sign(create_csr(listener_key)), ROOT.cert_pem, listener_key)
    authority.role = Role.WORKER
    server = grpc.aio.server()
    add_NodeCAServicer_to_server(authority, server)
    port = server.add_secure_port("127.0.0.1:0", NodeCredentials(path, listener).server_credentials())
    await server.start()
    problems: list[str] = []
    loop = RenewalLoop(credentials, lambda: [f"127.0.0.1:{port}"], clock, lambda _: None, problems.append)
    task = asyncio.create_task(loop.run())
    try:
        yield credentials, authority, loop, problems
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop(None)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_certificate_is_renewed_when_its_time_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with renewing(tmp_path, monkeypatch) as (credentials, authority, _, problems):
        first = credentials.bundle
        await asyncio.sleep(0.05)
        assert authority.issued == 0
        authority.clock.advance(75 * 86_400)  # past 80 % of 90 days
        authority.fails = 1
        await until(lambda: len(problems) == 1)
        assert "no leader" in problems[0]
        assert credentials.bundle == first
        authority.clock.advance(3600)
        await until(lambda: authority.issued == 1 and problems[-1] == "")
        assert credentials.bundle.key_pem != first.key_pem
        loaded = NodeCredentials.load(tmp_path / "node.pem")
        assert loaded is not None
        assert loaded.bundle == credentials.bundle
        await asyncio.sleep(0.05)
        assert authority.issued == 1


async def test_a_changed_role_is_taken_over_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with renewing(tmp_path, monkeypatch) as (credentials, authority, loop, _):
        authority.role = Role.MANAGER
        loop.check_role()
        await until(lambda: credentials.identity.role is Role.MANAGER)


async def test_an_expired_certificate_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with renewing(tmp_path, monkeypatch) as (_, authority, _, problems):
        authority.fails = 10
        authority.clock.advance(91 * 86_400)
        await until(lambda: bool(problems))
        assert "expired" in problems[-1]
        assert "swarmctl join-token worker" in problems[-1]
