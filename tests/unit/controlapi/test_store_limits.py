"""What bounds the whole cluster: at the limit accepted, one more refused by name, and nothing stored."""

import pytest

from swarm.api.v1.control_pb2 import UpdateServiceRequest
from swarm.api.v1.objects_pb2 import Config, Image, Node, Secret, Service, Stack
from swarm.api.v1.types_pb2 import PortConfig
from swarm.api.v1.users_pb2 import User
from swarm.clock import timestamp
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.manager.controlapi.data import create as create_data
from swarm.manager.controlapi.services import create_service, update_service
from swarm.manager.store.tables import Tables, table_of
from swarm.manager.store.testing import LocalProposer, ManualClock, store_with
from swarm.manager.store.transaction import Transaction, encode
from swarm.model import limits
from swarm.model.validate import validate_service
from tests.unit.controlapi.fakes import a_spec

NOW = timestamp(1)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        (Service, limits.SERVICES),
        (Stack, limits.STACKS),
        (User, limits.USERS),
        (Node, limits.NODES),
        (Image, limits.IMAGES),
        (Secret, limits.SECRETS),
        (Config, limits.CONFIGS),
    ],
)
def test_there_are_only_so_many_objects_of_a_kind(kind, limit) -> None:
    tables = Tables()
    for number in range(limit.value - 1):
        table_of(tables, kind).put(kind(id=f"x{number}"))
    transaction = Transaction(tables, NOW)
    transaction.create(kind(id="last"))
    with pytest.raises(FailedPrecondition) as caught:
        transaction.create(kind(id="over"))
    assert f"the limit is {limit.value} ({limit.name})" in str(caught.value)
    assert [write.object.id for write in transaction.writes] == ["last"]
    transaction.remove(transaction.of(kind).get("x0"))
    transaction.create(kind(id="instead"))


def with_replicas(*counts: int) -> Tables:
    tables = Tables()
    for number, count in enumerate(counts):
        service = Service(id=f"s{number}", spec=a_spec(f"web{number}", replicas=count), spec_version=1)
        service.meta.version.index = 7
        tables.services.put(service)
    return tables


def scaled(tables: Tables, service_id: str, replicas: int) -> Transaction:
    transaction = Transaction(tables, NOW)
    spec = a_spec(f"web{service_id[1:]}", replicas=replicas)
    update_service(transaction, UpdateServiceRequest(id=service_id, version=7, spec=spec), 1)
    return transaction


def test_all_services_together_want_only_so_many_tasks() -> None:
    half = limits.REPLICAS.value
    assert limits.TASKS.value == 2 * half
    tables = with_replicas(half, half - 1)
    transaction = Transaction(tables, NOW)
    create_service(transaction, a_spec("last", replicas=1), "fits")
    with pytest.raises(FailedPrecondition) as caught:
        create_service(transaction, a_spec("more", replicas=1), "over")
    assert f"{limits.TASKS.value + 1} tasks; the limit is {limits.TASKS.value} (TASKS)" in str(caught.value)
    assert [write.object.id for write in transaction.writes] == ["fits"]


def test_scaling_counts_what_the_service_wanted_before() -> None:
    half = limits.REPLICAS.value
    tables = with_replicas(half, half - 1)
    assert len(scaled(tables, "s1", half).writes) == 1
    crowded = with_replicas(half, half - 1, 1, 5)
    with pytest.raises(FailedPrecondition, match="TASKS"):
        scaled(crowded, "s1", half)
    assert len(scaled(crowded, "s1", half - 2).writes) == 1  # fewer than before is always allowed


def test_a_global_service_wants_as_many_tasks_as_there_are_nodes() -> None:
    half = limits.REPLICAS.value
    tables = with_replicas(half, half - 2)
    spec = a_spec("everywhere")
    getattr(spec, "global").SetInParent()
    for number in range(2):
        tables.nodes.put(Node(id=f"n{number}"))
    create_service(Transaction(tables, NOW), spec, "g")
    tables.nodes.put(Node(id="n2"))
    with pytest.raises(FailedPrecondition, match="TASKS"):
        create_service(Transaction(tables, NOW), spec, "g")


def an_image_of(size: int) -> Image:
    """Return an image whose creation makes a transaction of exactly so many bytes."""
    image = Image(id="i1", digest="d" * (size - 1000))
    image.digest += "d" * (size - _size(image))
    assert _size(image) == size
    return image


def _size(image: Image) -> int:
    transaction = Transaction(Tables(), timestamp(ManualClock().now_ns()))
    transaction.create(image)
    return encode(transaction, Tables()).ByteSize()


async def test_a_transaction_has_only_so_many_bytes() -> None:
    store = store_with(clock=ManualClock())
    store.attach(LocalProposer(store))
    limit = limits.TRANSACTION_BYTES.value
    with pytest.raises(InvalidArgument, match=r"the limit is 4194304 \(TRANSACTION_BYTES\)"):
        await store.update(lambda transaction: transaction.create(an_image_of(limit + 1)))
    assert len(store.view.images) == 0
    await store.update(lambda transaction: transaction.create(an_image_of(limit)))
    assert len(store.view.images) == 1


def test_two_services_may_publish_one_port_in_host_mode() -> None:
    transaction = Transaction(Tables(), NOW)
    for name in ("one", "two"):
        spec = a_spec(name)
        spec.endpoint.ports.add(
            target_port=80, published_port=8080, publish_mode=PortConfig.PUBLISH_MODE_HOST
        )
        validate_service(spec)
        create_service(transaction, spec, name)
    assert len(transaction.services) == 2


def test_all_secrets_and_configs_together_have_only_so_many_bytes() -> None:
    tables, piece = Tables(), b"x" * limits.CONFIG_BYTES.value
    left = limits.DATA_BYTES.value
    while left > len(piece):
        config = Config(id=f"c{left}")
        config.spec.data = piece
        tables.configs.put(config)
        left -= len(piece)
    transaction = Transaction(tables, NOW)
    last, over = Secret(id="last"), Secret(id="over")
    last.spec.secret_data, over.spec.secret_data = b"x" * left, b"x"
    create_data(transaction, last)
    with pytest.raises(FailedPrecondition) as caught:
        create_data(transaction, over)
    assert f"the limit is {limits.DATA_BYTES.value} (DATA_BYTES)" in str(caught.value)
