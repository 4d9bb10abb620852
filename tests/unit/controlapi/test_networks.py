"""Networks at the control API: what they get, what is refused, and by whom they are used."""

import pytest

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.objects_pb2 import Cluster, Network, Node, Service
from swarm.api.v1.specs_pb2 import NetworkSpec, ServiceSpec
from swarm.api.v1.types_pb2 import NODE_STATE_DOWN, NODE_STATE_READY, UpdateStatus
from swarm.clock import timestamp
from swarm.errors import FailedPrecondition, InvalidArgument, NameConflict, NotFound
from swarm.manager.allocator.plan import AllocationPlan, commit_allocation
from swarm.manager.controlapi.networks import (
    create_network,
    remove_network,
    resolve_networks,
    unheard_in,
    users_of,
)
from swarm.manager.controlapi.servicer import ControlServicer
from swarm.manager.controlapi.services import create_service, update_service
from swarm.manager.store.tables import Tables, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model import limits
from tests.unit.controlapi.fakes import FakeContext, a_spec
from tests.unit.controlapi.test_servicer import a_servicer


def a_network(name: str = "shop", subnet: str = "", **more: object) -> NetworkSpec:
    spec = NetworkSpec(**more)  # type: ignore[arg-type]
    spec.annotations.name = name
    if subnet:
        spec.subnets.add(subnet=subnet)
    return spec


def able(*drivers: str, addr: str = "192.0.2.1:2377") -> Node:
    node = Node(id="n1")
    node.description.runtime_info["network_drivers"] = ",".join(drivers)
    node.description.hostname = "node-1"
    node.status.addr = addr
    return node


def a_transaction(*objects: object) -> Transaction:
    tables = Tables()
    for obj in objects:
        tables.of(type(obj)).put(obj)  # type: ignore[arg-type]
    return Transaction(tables, timestamp(1))


def with_shop(*drivers: str) -> Transaction:
    tx = a_transaction(able(*drivers))
    create_network(tx, a_network(), "shop-id")
    return tx


def in_networks(*names: str, service: str = "web") -> ServiceSpec:
    spec = a_spec(service)
    for name in names:
        spec.task.networks.add(network_name=name)
    return spec


async def make(servicer: ControlServicer, spec: NetworkSpec) -> Network:
    return (await servicer.CreateNetwork(c.CreateNetworkRequest(spec=spec), FakeContext())).network


async def test_networks_are_made_found_listed_and_removed() -> None:
    servicer, store, _ = a_servicer()
    shop = await make(servicer, a_network(ipv6=True))
    assert [one.subnet.partition("/")[2] for one in shop.subnets] == ["24", "64"]
    assert shop.vxlan_id >= 4096
    assert shop.meta.version.index
    back = await make(servicer, a_network("back"))
    assert back.subnets[0].subnet != shop.subnets[0].subnet
    assert back.vxlan_id != shop.vxlan_id
    for ref in ("shop", shop.id, shop.id[:8]):
        answer = await servicer.GetNetwork(c.GetNetworkRequest(ref=ref), FakeContext())
        assert (answer.network.id, len(answer.endpoints)) == (shop.id, 0)
    listed = await servicer.ListNetworks(
        c.ListNetworksRequest(filters=c.Filters(names=["shop"])), FakeContext()
    )
    assert ([one.id for one in listed.networks], list(listed.users)) == ([shop.id], [0])
    await servicer.RemoveNetwork(c.RemoveNetworkRequest(ref="shop"), FakeContext())
    assert [one.id for one in store.view.networks] == [back.id]
    with pytest.raises(NotFound):
        await servicer.GetNetwork(c.GetNetworkRequest(ref="shop"), FakeContext())
    with pytest.raises(InvalidArgument, match="the name"):
        await make(servicer, a_network(""))


def test_a_name_and_a_subnet_belong_to_one_network() -> None:
    tx = a_transaction()
    create_network(tx, a_network("shop", "10.9.0.0/16"), "a")
    with pytest.raises(NameConflict):
        create_network(tx, a_network("shop"), "b")
    with pytest.raises(FailedPrecondition, match="overlaps that of network shop"):
        create_network(tx, a_network("back", "10.9.4.0/24"), "b")
    assert len(tx.networks) == 1


def test_pools_of_the_cluster_are_used_and_an_exhausted_one_is_named() -> None:
    cluster = Cluster(id="c")
    cluster.spec.default_address_pools.append("10.7.0.0/23")
    tx = a_transaction(cluster, able(addr="10.7.0.5:2377"))
    assert (
        create_network(tx, a_network("one"), "a").subnets[0].subnet == "10.7.1.0/24"
    )  # a node is in the other
    with pytest.raises(FailedPrecondition, match=r"10\.7\.0\.0/23 \(2 subnets of /24\)"):
        create_network(tx, a_network("two"), "b")
    tx.remove(tx.networks.get("a"))  # type: ignore[arg-type]
    assert create_network(tx, a_network("two"), "b").subnets[0].pool == "10.7.0.0/23"


@pytest.mark.parametrize("driver", ["macvlan", "bridge"])
def test_networks_that_nodes_connect_tasks_to_have_a_subnet_but_no_tunnel(driver: str) -> None:
    tx = a_transaction()
    lan = create_network(tx, a_network("lan", "192.0.2.0/24", driver=driver), "a")
    (subnet,) = lan.subnets
    assert (subnet.subnet, subnet.gateway, lan.vxlan_id) == ("192.0.2.0/24", "192.0.2.1", 0)


def test_there_are_only_so_many_networks() -> None:
    tables = Tables()
    for number in range(limits.NETWORKS.value):
        tables.networks.put(Network(id=f"n{number}"))
    with pytest.raises(FailedPrecondition, match="NETWORKS"):
        create_network(Transaction(tables, timestamp(1)), a_network(driver="bridge"), "x")


def test_a_service_joins_by_name_or_id_and_both_are_filled_in() -> None:
    tx = with_shop("overlay")
    spec = in_networks("shop")
    service = create_service(tx, spec, "s1")
    (one,) = service.spec.task.networks
    assert (one.network_id, one.network_name, one.driver) == ("shop-id", "shop", "overlay")
    for number, field in enumerate(("network_id", "network_name"), 2):
        spec.annotations.name = f"other-{number}"
        spec.task.networks[0].CopyFrom(type(one)(**{field: "shop-id"}))
        (same,) = create_service(tx, spec, f"s{number}").spec.task.networks
        assert same == one
    assert sorted(user.id for user in users_of(tx, "shop-id")) == ["s1", "s2", "s3"]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["gone"], r"there is no network gone; create it first"),
        (["shop", "shop-id"], "network shop is named twice"),
        (["host", "shop"], "network host is all that a task with it has"),
    ],
)
def test_networks_that_cannot_be_meant_are_refused(names: list[str], problem: str) -> None:
    tx = with_shop("overlay", "host")
    spec = a_spec("web")
    for name in names:
        field = "network_id" if name.endswith("-id") else "network_name"
        spec.task.networks.add(**{field: name})
    with pytest.raises(InvalidArgument, match=problem):
        create_service(tx, spec, "s1")
    assert len(tx.services) == 0


def test_a_static_address_must_be_in_the_network() -> None:
    tx = with_shop("overlay")
    spec = in_networks("shop")
    spec.task.networks[0].ipv4_address = "10.0.0.1"
    with pytest.raises(InvalidArgument, match="is reserved"):
        create_service(tx, spec, "s1")
    spec.task.networks[0].ipv4_address = "10.200.0.9"
    with pytest.raises(InvalidArgument, match="is not in network shop"):
        create_service(tx, spec, "s1")


def test_services_that_ask_for_a_network_are_refused_until_a_node_says_that_it_can() -> None:
    tx = with_shop("bridge")
    with pytest.raises(FailedPrecondition, match=r"network shop needs a node .* overlay networks"):
        create_service(tx, in_networks("shop"), "s1")
    with pytest.raises(FailedPrecondition, match="network host needs a node"):
        create_service(tx, in_networks("host"), "s1")
    assert len(tx.services) == 0
    create_service(tx, a_spec("web"), "s1")
    tx.update(able("overlay"))
    create_service(tx, in_networks("shop", service="other"), "s2")


def test_a_service_that_is_in_a_network_is_changed_although_no_node_can_any_more() -> None:
    tx = with_shop("overlay")
    service = create_service(tx, in_networks("shop"), "s1")
    tx.update(able())
    request = c.UpdateServiceRequest(id="s1", version=service.meta.version.index, spec=service.spec)
    request.spec.task.container.env.append("A=b")
    changed = update_service(tx, request, 5)
    assert changed.spec.task.container.env
    request.spec.task.networks.add(network_name="none")
    with pytest.raises(InvalidArgument, match="network none is all"):
        update_service(tx, request, 6)


def test_what_is_used_is_not_removed_and_the_services_are_named() -> None:
    tx = with_shop("overlay")
    service = create_service(tx, in_networks("shop"), "s1")
    with pytest.raises(FailedPrecondition, match=r"in use by service web: .*--network-rm shop"):
        remove_network(tx, "shop")
    changed = copy_of(service)
    changed.previous_spec.CopyFrom(changed.spec)
    del changed.spec.task.networks[:]
    changed.update_status.state = UpdateStatus.STATE_UPDATING
    tx.update(changed)
    with pytest.raises(FailedPrecondition, match="in use by service web"):
        remove_network(tx, "shop")
    changed.update_status.state = UpdateStatus.STATE_COMPLETED
    tx.update(changed)
    assert remove_network(tx, "shop") == "shop-id"
    with pytest.raises(FailedPrecondition, match="every node has a network host"):
        remove_network(tx, "host")
    request = c.UpdateServiceRequest(id="s1", version=0, rollback=True)
    request.version = tx.services.get("s1").meta.version.index  # type: ignore[union-attr]
    with pytest.raises(FailedPrecondition, match="network shop was removed"):
        update_service(tx, request, 5)


def test_an_encrypted_ingress_network_needs_every_node() -> None:
    tx = a_transaction(able("overlay,encrypted"))
    other = able("overlay")
    other.id, other.description.hostname = "n2", "old-one"
    tx.create(other)
    spec = a_network(driver_options={"encrypted": ""}, ingress=True)
    with pytest.raises(FailedPrecondition, match=r"every node has to be able to encrypt \(old-one: "):
        create_network(tx, spec, "id")


def test_a_service_in_an_encrypted_network_says_so_to_the_scheduler() -> None:
    tx = a_transaction(able("overlay,encrypted"))
    create_network(tx, a_network(driver_options={"encrypted": ""}), "id")
    spec = ServiceSpec()
    spec.task.networks.add(network_name="shop")
    resolve_networks(tx, spec)
    assert spec.task.networks[0].encrypted


def test_an_encrypted_network_is_refused_where_nobody_can_encrypt() -> None:
    tx = a_transaction(able("overlay"))
    spec = a_network(driver_options={"encrypted": ""})
    with pytest.raises(FailedPrecondition, match=r"no node of the cluster can encrypt \(node-1: its agent"):
        create_network(tx, spec, "a")
    tx.update(able("overlay", "encrypted"))
    create_network(tx, spec, "a")


async def test_everybody_in_a_network_is_shown() -> None:
    servicer, store, _ = a_servicer()
    shop = await make(servicer, a_network())

    def fill(tx: Transaction) -> None:
        tx.create(able("overlay"))
        create_service(tx, in_networks("shop"), "s1")
        from tests.unit.allocator.making import a_task

        service = tx.services.get("s1")
        assert isinstance(service, Service)
        tx.create(a_task(service, "t1", node_id="n1"))
        commit_allocation(tx, AllocationPlan(("t1",), service_ids=("s1",)), 5)

    await store.update(fill)
    answer = await servicer.GetNetwork(c.GetNetworkRequest(ref=shop.id, verbose=True), FakeContext())
    kinds = c.NetworkEndpoint
    assert [(one.kind, one.name) for one in answer.endpoints] == [
        (kinds.KIND_TASK, "web.1.t1"),
        (kinds.KIND_SERVICE, "web"),
    ]
    assert [list(one.addresses) for one in answer.endpoints] == [["10.0.0.3"], ["10.0.0.2"]]


def test_nodes_of_a_network_say_whom_of_it_they_do_not_hear_over_what_carries_it() -> None:
    tx = a_transaction()
    vault = {"driver_options": {"encrypted": ""}}
    nodes = {name: able("overlay", "encrypted") for name in ("n1", "n2", "n3", "n4")}
    for name, node in nodes.items():
        node.id, node.status.state = name, NODE_STATE_READY
        for network in ("shop-id", "vault-id") if name != "n4" else ("shop-id",):
            node.networks.add(network_id=network, addresses=["10.0.0.1"])
    nodes["n1"].description.warnings.add(type="DATA_PATH_GAPS", port=4789, node_ids=["n4"], reason="open")
    nodes["n2"].description.warnings.add(type="DATA_PATH_GAPS", port=4788, node_ids=["n1"], reason="sealed")
    nodes["n3"].description.warnings.add(type="DISK_PRESSURE", reason="full")
    nodes["n4"].description.warnings.add(type="DATA_PATH_GAPS", port=4788, node_ids=["n1"], reason="left it")
    for node in nodes.values():
        tx.create(node)
    tx.create(Network(id="shop-id", spec=a_network()))
    tx.create(Network(id="vault-id", spec=a_network("vault", **vault)))

    def said(network_id: str) -> dict[str, list[str]]:
        return {node.id: [one.reason for one in told] for node, told in unheard_in(tx, network_id) if told}

    assert (said("shop-id"), said("vault-id")) == ({"n1": ["open"]}, {"n2": ["sealed"]})
    lost = copy_of(nodes["n4"])
    lost.status.state = NODE_STATE_DOWN
    tx.update(lost)
    assert said("shop-id") == {}, "a node that is down is missed by nobody"


@pytest.mark.parametrize("addr", ["10.0.0.9", "10.0.0.9:2377", "", "fd00::9", "[fd00::9]:2377", "a-name"])
def test_a_subnet_from_the_pools_hides_no_node(addr: str) -> None:
    tx = a_transaction(able(addr=addr))
    (subnet,) = create_network(tx, a_network(), "a").subnets
    assert subnet.subnet == ("10.0.1.0/24" if addr.startswith("10.") else "10.0.0.0/24")


def test_a_subnet_in_which_tasks_could_not_answer_their_node_is_refused_and_none_chosen() -> None:
    node = able("overlay")
    node.description.runtime_info["node_subnet"] = "10.0.0.0/16"
    tx = a_transaction(node)
    with pytest.raises(
        FailedPrecondition, match=r"10\.0\.3\.0/24 overlaps 10\.0\.0\.0/16, of which node node-1"
    ):
        create_network(tx, a_network("asked", "10.0.3.0/24"), "a")
    assert create_network(tx, a_network("chosen"), "b").subnets[0].subnet == "10.1.0.0/24"
    assert create_network(tx, a_network("beside", "10.2.0.0/24"), "c").subnets[0].subnet == "10.2.0.0/24"
    node.description.runtime_info["node_subnet"] = "nonsense"
    assert create_network(a_transaction(node), a_network("any", "10.0.3.0/24"), "d").subnets


def test_tasks_bring_along_what_their_node_has_to_know_of_a_network_of_its_own() -> None:
    tx = a_transaction(able("bridge"))
    create_network(tx, a_network("own", "10.9.0.0/24", driver="bridge", internal=True), "own-id")
    spec = in_networks("own")
    spec.task.networks[0].local.subnets.add(subnet="10.66.0.0/16")  # of no interest, whoever says it
    made = create_service(tx, spec, "s1")
    (local,) = (one.local for one in made.spec.task.networks)
    assert ([one.subnet for one in local.subnets], local.internal) == (["10.9.0.0/24"], True)
    predefined = create_service(tx, in_networks("bridge", service="plain"), "s2")
    assert not predefined.spec.task.networks[0].HasField("local")
