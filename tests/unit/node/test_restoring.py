"""Who signs the certificate of the manager that a cluster begins anew with."""

import asyncio
import contextlib
from pathlib import Path

import grpc
import grpc.aio
import pytest

from swarm.api.v1.backup_pb2 import BackupHeader, BackupPart, RestoreOptions
from swarm.api.v1.objects_pb2 import Cluster, Node
from swarm.api.v1.raft_pb2 import RaftMember, RaftMembership
from swarm.api.v1.types_pb2 import NodeStatus
from swarm.clock import SystemClock
from swarm.config import Settings
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.manager.controlapi.backup import parts_of
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer
from swarm.manager.store.transaction import Transaction
from swarm.manager.store.version import STORE_VERSION
from swarm.node import restoring
from swarm.node.restoring import Restored, restore_files
from swarm.security.certificates import KeyedCertificate, create_root_ca

CLOCK = SystemClock()
ROOT = create_root_ca("c1", CLOCK.now_ns())
OTHER = create_root_ca("c1", CLOCK.now_ns())
MANAGER, WORKERS = "10.0.0.1:2399", ("10.0.0.7", "fd00::7")


def backed_up(root: KeyedCertificate, *, key: bool) -> list[BackupPart]:
    store = Store(CLOCK, "p1")
    store.attach(LocalProposer(store))
    cluster = Cluster(id="c1")
    cluster.root_ca.cert_pem = root.cert_pem
    cluster.root_ca.worker_secret = cluster.root_ca.manager_secret = "0" * 25
    if key:
        cluster.root_ca.key_pem = root.key_pem
    nodes = [Node(id="m"), *(Node(id=addr, status=NodeStatus(addr=addr)) for addr in WORKERS)]

    def fill(transaction: Transaction) -> None:
        for one in (cluster, *nodes):
            transaction.create(one)

    asyncio.run(store.update(fill))
    state = store.freeze()
    header = BackupHeader(cluster_id="c1", index=state.applied_index, store_version=STORE_VERSION)
    members = RaftMembership(members=[RaftMember(node_id="m", addr=MANAGER)])
    return list(parts_of(header, members, state))


def restored(
    folder: Path, parts: list[BackupPart], ca_key_pem: bytes = b"", *, force: bool = True
) -> Restored:
    options = RestoreOptions(advertise_addr="127.0.0.1:2377", ca_key_pem=ca_key_pem, force=force)
    folder.joinpath("state").mkdir(parents=True)
    settings = Settings(state_dir=folder / "state")
    return asyncio.run(restore_files(settings, options, parts, CLOCK))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Who was asked whether it is a manager; the last one is."""
    found: list[str] = []

    async def answers(_credentials: object, addr: str, _at_once: object) -> bool:
        found.append(addr)
        return addr == "[fd00::7]:2377"

    monkeypatch.setattr(restoring, "_answers", answers)
    return found


def test_a_worker_of_the_backup_may_be_a_manager_by_now(tmp_path: Path, asked: list[str]) -> None:
    parts = backed_up(ROOT, key=True)
    with pytest.raises(FailedPrecondition, match=r"still answer: \[fd00::7\]:2377\. "):
        restored(tmp_path / "first", parts, force=False)
    at_both_ports = [f"{host}:{port}" for host in ("10.0.0.7", "[fd00::7]") for port in (2377, 2399)]
    assert asked == [MANAGER, *at_both_ports]
    assert restored(tmp_path / "second", parts).state.cluster_id == "c1"


def test_a_manager_that_is_slow_to_greet_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = restored(tmp_path, backed_up(ROOT, key=True)).credentials
    monkeypatch.setattr(restoring, "ANSWER_S", 0.1)

    async def scenario() -> bool:
        server = grpc.aio.server()
        port = server.add_secure_port("127.0.0.1:0", credentials.server_credentials())
        await server.start()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer):
                await asyncio.sleep(0.5)  # the machine accepts, its manager stands still
                there, back = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(passed_on(reader, back), passed_on(there, writer))

        async with await asyncio.start_server(accepted, "127.0.0.1", 0) as slow:
            host, slow_port = slow.sockets[0].getsockname()
            try:
                return await restoring._answers(credentials, f"{host}:{slow_port}", asyncio.Semaphore())
            finally:
                await server.stop(None)

    assert asyncio.run(scenario())


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer), contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_key_in_the_backup_signs(tmp_path: Path) -> None:
    assert restored(tmp_path, backed_up(ROOT, key=True)).state.cluster_id == "c1"


def test_a_root_key_of_an_external_ca_is_given_and_not_kept(tmp_path: Path) -> None:
    made = restored(tmp_path, backed_up(ROOT, key=False), ROOT.key_pem)
    assert made.credentials.identity.cluster_id == "c1"
    body = ROOT.key_pem.splitlines()[1]
    assert files(tmp_path)
    assert all(body not in path.read_bytes() for path in files(tmp_path))


@pytest.mark.parametrize(
    ("key", "given", "kind", "words"),
    [
        (False, b"", FailedPrecondition, "--ca-key"),
        (False, OTHER.key_pem, InvalidArgument, "not the key of the CA certificate"),
        (False, b"nonsense", InvalidArgument, "cannot be read"),
        (True, ROOT.key_pem, InvalidArgument, "leave out --ca-key"),
    ],
)
def test_without_the_right_key_nothing_is_written(
    tmp_path: Path, key: bool, given: bytes, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        restored(tmp_path, backed_up(ROOT, key=key), given)
    assert files(tmp_path) == []
