"""The key of a join survives until the node is a member; addresses of managers are tried in turn."""

from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest

from swarm.api.status import abort
from swarm.api.v1.ca_pb2 import IssueCertificateRequest, IssueCertificateResponse
from swarm.api.v1.ca_pb2_grpc import NodeCAServicer, add_NodeCAServicer_to_server
from swarm.api.v1.types_pb2 import NODE_AVAILABILITY_ACTIVE
from swarm.clock import SystemClock
from swarm.config import load_settings
from swarm.errors import InvalidArgument, OutcomeUnknown, Unavailable
from swarm.manager.store.testing import ManualClock
from swarm.node import joining
from swarm.node.joining import (
    forget_pending_key,
    obtain_certificate,
    pending_key,
    pending_key_file,
)
from swarm.node.waiting import Patience
from swarm.security.certificates import create_root_ca
from swarm.security.tokens import format_token, new_secret, parse_token

TOKEN = parse_token(format_token(create_root_ca("c", SystemClock().now_ns()).cert_pem, new_secret()))


def test_an_interrupted_join_goes_on_with_its_key(tmp_path: Path) -> None:
    settings = replace(load_settings({}, {"SWARM_STATE_DIR": str(tmp_path)}), hostname="h")
    path = pending_key_file(settings)
    first = pending_key(path)
    assert pending_key(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    forget_pending_key(settings)
    forget_pending_key(settings)
    assert pending_key(path) != first


def test_a_damaged_key_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "joining.key"
    path.write_text("-----BEGIN PRIVATE KEY-----\nhalf")
    assert b"END PRIVATE KEY" in pending_key(path)


async def test_every_address_is_tried_and_the_last_problem_told(tmp_path: Path) -> None:
    addrs = ["127.0.0.1:1", "127.0.0.1:2"]
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:2"):
        await obtain_certificate(addrs, TOKEN, NODE_AVAILABILITY_ACTIVE, tmp_path / "k", SystemClock())


async def test_an_address_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="HOST:PORT"):
        await obtain_certificate([], TOKEN, NODE_AVAILABILITY_ACTIVE, tmp_path / "k", SystemClock())


class Electing(NodeCAServicer):
    """A manager that loses its leadership while it commits the first certificates, `elections` times."""

    def __init__(self, elections: int) -> None:
        self.elections, self.asked, self.addr = elections, 0, ""

    async def IssueCertificate(
        self, request: IssueCertificateRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> IssueCertificateResponse:
        self.asked += 1
        if self.asked <= self.elections:
            await abort(context, OutcomeUnknown("leadership was lost before a majority confirmed it"))
        return IssueCertificateResponse(node_id="n1")

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.addr)


@pytest.mark.parametrize(("elections", "asked"), [(0, 1), (2, 3), (3, 3)])
async def test_an_election_while_a_certificate_is_committed_is_outlasted_but_not_for_ever(
    elections: int, asked: int
) -> None:
    manager, server = Electing(elections), grpc.aio.server()
    add_NodeCAServicer_to_server(manager, server)
    manager.addr = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        answering = joining._ask(manager, IssueCertificateRequest())  # type: ignore[arg-type]
        if elections < asked:
            assert (await answering).node_id == "n1"
        else:
            with pytest.raises(OutcomeUnknown):
                await answering
    finally:
        await server.stop(None)
    assert manager.asked == asked


def test_patience_ends_only_when_trouble_lasts() -> None:
    clock = ManualClock()
    patience = Patience(clock, 6.0)
    assert not patience.exhausted(True)
    clock.advance(5)
    assert not patience.exhausted(True)
    assert not patience.exhausted(False)
    clock.advance(5)
    assert not patience.exhausted(True)
    clock.advance(6)
    assert patience.exhausted(True)
