"""What people are told when a call fails: what the node said, or that nobody could be asked."""

import socket
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner
from google.protobuf.message import Message

from swarm.api.v1.control_pb2 import DESCRIPTOR, JoinRequest, ListNodesRequest, PullImageRequest
from swarm.cli.image import image
from swarm.cli.main import main
from swarm.cli.stubs import Stub
from swarm.errors import OutcomeUnknown, Unavailable
from tests.unit.cli import stage
from tests.unit.controlapi.fakes import FakeImages

SAID = "registry not reachable: registry.example.com: All connection attempts failed"


def test_a_registry_that_a_manager_cannot_connect_to_is_not_taken_for_the_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pull(self: FakeImages, request: PullImageRequest) -> None:
        raise Unavailable(SAID)
        yield

    monkeypatch.setattr(FakeImages, "pull", pull)
    with stage.served(tmp_path) as address:
        done = CliRunner().invoke(image, ["pull", "registry.example.com/web:1"], obj=address)
    assert isinstance(done.exception, Unavailable)
    assert str(done.exception) == SAID


def test_a_socket_that_nobody_listens_on_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "left.sock").touch()
    with pytest.raises(SystemExit) as ended:
        main(["-H", f"unix://{tmp_path}/left.sock", "node", "ls"])
    assert ended.value.code == 1
    assert f"cannot reach swarmd at unix://{tmp_path}/left.sock" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "request_class", "unknown"),
    [("ListNodes", ListNodesRequest, False), ("Join", JoinRequest, True)],
)
def test_a_daemon_that_does_not_answer_is_named_with_what_it_was_asked(
    tmp_path: Path, name: str, request_class: type[Message], unknown: bool
) -> None:
    address = f"unix:{tmp_path}/hangs.sock"
    with socket.socket(socket.AF_UNIX) as hangs:
        hangs.bind(address.removeprefix("unix:"))
        hangs.listen()
        descriptor = DESCRIPTOR.services_by_name["Local" if name == "Join" else "Control"]
        with grpc.insecure_channel(address) as channel, pytest.raises(OutcomeUnknown) as caught:
            getattr(Stub(channel, descriptor, address), name)(request_class(), timeout=0.2)
    assert f"{address} did not answer {name} within 0.2 s" in str(caught.value)
    assert ("not known" in str(caught.value)) is unknown
