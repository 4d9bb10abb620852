"""What nodes are told of their overlay networks."""

import random
from base64 import b64encode
from collections.abc import Iterable

import pytest

from swarm.agent.assignments import AssignmentStream
from swarm.agent.overlay.state import OverlayState
from swarm.api.v1.dispatcher_pb2 import Assignments
from swarm.api.v1.objects_pb2 import Attachment, Cluster, Network, Node, Service, Task
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayEndpoint
from swarm.api.v1.types_pb2 import EndpointSpec, HealthState, NodeState
from swarm.clock import timestamp
from swarm.debug.overlays import differences
from swarm.manager.dispatcher import overlay_facts as facts
from swarm.manager.dispatcher.assignments import AssignmentSet
from swarm.manager.dispatcher.overlay_news import PIECE_BYTES, news_of, pieces
from swarm.manager.store.tables import Object, Tables, copy_of
from swarm.manager.store.watch import Action, Event
from swarm.model.task_state import ASSIGNED, COMPLETE, NEW, PENDING, RUNNING, SHUTDOWN

READY, DOWN = NodeState.NODE_STATE_READY, NodeState.NODE_STATE_DOWN


def a_network(network_id: str = "shop") -> Network:
    network = Network(id=network_id, vxlan_id=5000)
    network.spec.annotations.name = network_id
    network.subnets.add(subnet="10.0.0.0/24", gateway="10.0.0.1")
    return network


def a_cluster(secret: bytes = b"") -> Cluster:
    cluster = Cluster(id="c")
    if secret:
        cluster.overlay_key.secret = secret
    return cluster


def a_node(node_id: str, router: str = "", network_id: str = "shop", state: int = READY) -> Node:
    node = Node(id=node_id)
    node.status.state, node.status.addr = state, f"192.0.2.{node_id[1:]}"  # type: ignore[assignment]
    if router:
        node.networks.add(network_id=network_id, addresses=[router])
    return node


def a_service(service_id: str = "web", *networks: str) -> Service:
    service = Service(id=service_id)
    service.spec.annotations.name = service_id
    for number, network_id in enumerate(networks or ("shop",)):
        service.spec.task.networks.add(network_id=network_id, aliases=["www"])
        service.virtual_addresses.add(network_id=network_id, addresses=[f"10.{number}.9.9"])
    return service


def a_task(
    task_id: str = "t1",
    node_id: str = "n1",
    state: int = RUNNING,
    network_id: str = "shop",
    **fields: object,
) -> Task:
    task = Task(id=task_id, node_id=node_id, service_id="web", slot=1, desired_state=RUNNING)
    task.status.state = state  # type: ignore[assignment]
    task.service_annotations.name = "web"
    task.networks.add(network_id=network_id, addresses=[f"10.0.1.{task_id[1:]}"])
    task.MergeFrom(Task(**fields))  # type: ignore[arg-type]
    return task


class World:
    """A store, managers with a session of each node, and what the nodes know."""

    def __init__(self, *objects: Object, nodes: Iterable[str] = ("n1", "n2"), seed: int = 0) -> None:
        self.tables = Tables()
        self.random = random.Random(seed)
        for one in objects:
            self.tables.of(type(one)).put(one)
        self.known = {node_id: OverlayState() for node_id in nodes}
        self.sets: dict[str, AssignmentSet] = {}
        self.streams: dict[str, AssignmentStream] = {}
        for node_id in self.known:
            self.connect(node_id)

    def connect(self, node_id: str) -> None:
        self.sets[node_id], self.streams[node_id] = AssignmentSet(node_id), AssignmentStream()
        self.deliver(node_id, self.sets[node_id].complete(self.tables))

    def deliver(self, node_id: str, messages: Iterable[Assignments]) -> list[Assignments]:
        messages = list(messages)
        for message in messages:
            changes = self.streams[node_id].take(message, ())
            if changes is not None:
                self.known[node_id].apply(changes.networks.changes, complete=changes.networks.complete)
        return messages

    def commit(self, *objects: Object) -> None:
        """Write objects, and have the sessions note it."""
        self._note(Event(Action.UPDATE, one, self.tables.of(type(one)).put(one)) for one in objects)

    def remove(self, kind: type, object_id: str) -> None:
        removed = self.tables.of(kind).delete(object_id)
        if removed is not None:
            self._note([Event(Action.REMOVE, removed, removed)])

    def _note(self, events: Iterable[Event]) -> None:
        self.tables.index += 1
        paper = news_of(self.tables, list(events))
        for one in self.sets.values():
            one.note_networks(paper)

    def hear(self, node_id: str = "n1") -> list[Assignments]:
        """Have a node told what is due; return the messages."""
        return self.deliver(node_id, self.sets[node_id].changes(self.tables, ()))

    def problems(self) -> list[str]:
        return [line for one, known in self.known.items() for line in differences(self.tables, one, known)]

    def endpoint(self, task_id: str = "t1", node_id: str = "n1") -> OverlayEndpoint | None:
        self.hear(node_id)
        return self.known[node_id].networks["shop"].endpoints.get(task_id)


def a_world(*objects: Object) -> World:
    return World(
        a_network(), a_service(), a_node("n1", "10.0.0.2"), a_node("n2", "10.0.0.3"), a_task(), *objects
    )


def test_a_node_hears_all_of_its_networks_and_nothing_of_others() -> None:
    other = a_task("t7", "n3", network_id="other")
    world = a_world(a_network("other"), a_node("n3", "10.0.0.9", "other"), other)
    state = world.known["n1"].networks["shop"]
    assert world.known["n1"].networks.keys() == {"shop"}
    assert (state.network.vxlan_id, list(state.network.router_addresses)) == (5000, ["10.0.0.2"])
    assert state.network.data_path_port == 4789
    assert {one: peer.address for one, peer in state.peers.items()} == {"n2": "192.0.2.2"}
    assert state.endpoints.keys() == {"t1"}
    assert list(state.services["web"].virtual_addresses) == ["10.0.9.9"]
    assert list(state.services["web"].aliases) == ["www"]


def test_a_node_without_networks_hears_nothing() -> None:
    world = World(a_network(), a_service(), a_task(), a_node("n1"), nodes=["n1"])
    assert not world.known["n1"].networks
    world.commit(a_task("t2"))
    assert world.hear() == []


def test_a_node_that_joins_hears_everything_and_one_that_leaves_forgets_it() -> None:
    world = a_world(a_node("n3"))
    world.known["n3"] = OverlayState()
    world.connect("n3")
    world.commit(a_node("n3", "10.0.0.4"))
    world.hear("n3")
    assert world.known["n3"].networks["shop"].endpoints.keys() == {"t1"}
    world.commit(a_node("n3"))
    world.hear("n3")
    world.hear("n1")
    world.hear("n2")
    assert not world.known["n3"].networks
    assert world.problems() == []


@pytest.mark.parametrize("state", [NEW, PENDING, COMPLETE])
def test_a_task_that_is_not_on_a_node_or_has_ended_is_not_known(state: int) -> None:
    world = a_world()
    world.commit(a_task(state=state))
    assert world.endpoint() is None
    assert world.problems() == ["network shop: task t1: known, and not there"]  # at n2, which has not heard
    world.hear("n2")
    assert world.problems() == []


def test_an_assigned_task_has_a_route_and_serves_when_it_runs_healthy_and_is_meant_to() -> None:
    world = a_world()

    def serving(task: Task) -> bool:
        world.commit(task)
        endpoint = world.endpoint(node_id="n2")
        assert endpoint is not None
        assert list(endpoint.addresses) == ["10.0.1.1"]
        return endpoint.serving

    assert not serving(a_task(state=ASSIGNED))
    assert serving(a_task())
    sick = a_task()
    sick.status.container.health.state = HealthState.HEALTH_STATE_UNHEALTHY
    assert not serving(sick)
    sick = copy_of(sick)
    sick.status.container.health.state = HealthState.HEALTH_STATE_HEALTHY
    assert serving(sick)
    stopping = a_task(stopping_since=timestamp(7))
    stopping.desired_state = SHUTDOWN
    assert not serving(stopping)
    endpoint = world.endpoint(node_id="n2")
    assert endpoint is not None
    assert endpoint.draining_since == timestamp(7)


def test_a_node_that_is_down_is_out_of_the_mesh_with_its_tasks_and_comes_back_with_them() -> None:
    world = a_world()
    world.commit(a_node("n1", "10.0.0.2", state=DOWN))
    world.hear("n2")
    state = world.known["n2"].networks["shop"]
    assert not state.peers
    assert not state.endpoints
    assert world.endpoint(node_id="n1") is not None, "a node knows its own tasks"
    world.commit(a_node("n1", "10.0.0.2"))
    assert world.endpoint(node_id="n2") is not None
    assert world.known["n2"].networks["shop"].peers.keys() == {"n1"}


def test_a_session_that_ended_takes_nobody_out_of_the_mesh() -> None:
    world = a_world()
    world.commit(a_node("n1", "10.0.0.2", state=NodeState.NODE_STATE_DISCONNECTED))
    assert world.hear("n2") == []
    endpoint = world.endpoint(node_id="n2")
    assert endpoint is not None
    assert endpoint.serving


def test_what_changes_nothing_for_others_is_not_sent() -> None:
    world = a_world()
    told = a_network()
    told.subnets[0].last = "10.0.0.77"
    busy = a_task()
    busy.status.message = "started"
    described = a_node("n2", "10.0.0.3")
    described.description.hostname = "other"
    updated = a_service()
    updated.update_status.message = "going on"
    world.commit(told, busy, described, updated)
    assert world.hear() == []


def test_an_address_that_a_node_has_now_is_told() -> None:
    world = a_world()
    moved = a_node("n2", "10.0.0.3")
    moved.status.addr = "198.51.100.1"
    world.commit(moved)
    world.hear()
    assert world.known["n1"].networks["shop"].peers["n2"].address == "198.51.100.1"


def test_a_service_is_known_until_it_is_not_meant_to_be_there_and_its_last_task_has_ended() -> None:
    world = a_world(a_network("back"))
    moved = a_service("web", "back")
    moved.previous_spec.CopyFrom(a_service().spec)
    world.commit(moved)
    world.hear()
    known = world.known["n1"].networks["shop"].services["web"]
    assert (list(known.virtual_addresses), list(known.aliases)) == ([], ["www"])
    world.commit(a_task(state=SHUTDOWN))
    world.hear()
    world.hear("n2")
    assert not world.known["n1"].networks["shop"].services
    assert world.problems() == []


def test_a_service_without_virtual_addresses_has_none() -> None:
    world = a_world()
    plain = a_service()
    plain.spec.endpoint.mode = EndpointSpec.MODE_DNSRR
    del plain.virtual_addresses[:]
    world.commit(plain)
    world.hear()
    assert not world.known["n1"].networks["shop"].services["web"].virtual_addresses


def test_a_service_that_hides_its_clients_from_its_tasks_does_so_at_ports_of_all_nodes_alone() -> None:
    ingress, shop = a_network("i"), a_network()
    ingress.spec.ingress = True
    node = a_node("n1", "10.0.0.2")
    node.networks.add(network_id="i", addresses=["10.0.9.2"])
    task = a_task("t1", "n1", RUNNING)
    task.networks.add(network_id="i", addresses=["10.0.9.5"])
    service = a_service("web", "shop")
    world = World(ingress, shop, node, task, service, nodes=["n1"])
    hidden = a_service("web", "shop")
    hidden.spec.endpoint.snat = True
    world.commit(hidden)
    assert not world.known["n1"].networks["i"].services["web"].snat
    world.hear()
    assert world.known["n1"].networks["i"].services["web"].snat
    assert not world.known["n1"].networks["shop"].services["web"].snat
    assert world.problems() == []


def test_tasks_of_a_removed_network_keep_what_their_agent_knows_until_the_node_leaves() -> None:
    world = a_world()
    world.remove(Service, "web")
    world.remove(Network, "shop")
    world.commit(a_task("t2"))
    assert world.hear() == []
    before = world.known["n1"].everything()
    world.connect("n1")  # at another manager
    assert world.known["n1"].everything() == before
    assert world.problems() == []
    world.commit(a_node("n1"))
    world.hear()
    assert not world.known["n1"].networks


def test_a_network_made_again_under_its_name_is_another_one() -> None:
    world = a_world()
    world.remove(Network, "shop")
    again = a_network("shop2")
    again.spec.annotations.name, again.vxlan_id = "shop", 6000
    node = a_node("n1", "10.0.0.2")
    node.networks.add(network_id="shop2", addresses=["10.0.0.2"])
    world.commit(again, node, a_task("t9", network_id="shop2"))
    world.hear()
    assert world.known["n1"].networks["shop2"].network.vxlan_id == 6000
    assert world.known["n1"].networks["shop2"].endpoints.keys() == {"t9"}
    world.commit(a_node("n1", "10.0.0.2", "shop2"))
    world.hear()
    assert world.known["n1"].networks.keys() == {"shop2"}


def test_what_a_task_needs_comes_no_later_than_the_task() -> None:
    world = a_world()
    world.commit(a_task("t2"))
    messages = world.sets["n1"].changes(world.tables, ["t2"])
    first = next(one for one in messages if one.tasks)
    heard = [one for one in messages if one.sequence <= first.sequence]
    assert any(endpoint.task_id == "t2" for one in heard for endpoint in one.networks[0].endpoints)


def test_a_large_network_goes_out_in_pieces_that_add_up() -> None:
    tasks = [a_task(f"t{number}", "n2") for number in range(8000)]
    for task in tasks:
        task.spec.container.hostname = "h" * 200
    world = a_world(*tasks)
    messages = AssignmentSet("n1").complete(world.tables)
    assert len(messages) > 1
    assert all(message.more for message in messages[:-1])
    assert all(message.ByteSize() < 2_000_000 for message in messages)
    assert len(world.known["n1"].networks["shop"].endpoints) == 8000
    assert world.problems() == []


def test_pieces_are_bounded_and_add_up() -> None:
    whole = OverlayChanges(network_id="shop", removed_task_ids=["gone"])
    whole.network.id = "shop"
    for number in range(3000):
        whole.endpoints.add(task_id=f"t{number}", name="x" * 200)
        whole.services.add(service_id=f"s{number}")
    parts = list(pieces(whole))
    assert len(parts) > 2
    assert all(part.ByteSize() <= PIECE_BYTES for part in parts)
    assert [part.HasField("network") for part in parts] == [True] + [False] * (len(parts) - 1)
    state = OverlayState()
    state.apply(parts)
    assert len(state.networks["shop"].endpoints) == len(state.networks["shop"].services) == 3000


def test_the_index_tells_how_much_a_message_says() -> None:
    world = a_world()
    world.commit(a_task("t2"))
    (message,) = world.hear()
    assert message.index == world.tables.index == 1


def test_the_data_path_port_of_the_cluster_and_the_mtu_of_the_network_are_told() -> None:
    network, cluster = a_network(), Cluster(id="c")
    network.spec.driver_options["com.docker.network.driver.mtu"] = "1400"
    network.spec.driver_options["encrypted"] = ""
    cluster.spec.data_path_port = 7789
    world = World(network, cluster, a_node("n1", "10.0.0.2"), nodes=["n1"])
    told = world.known["n1"].networks["shop"].network
    assert (told.mtu, told.encrypted, told.data_path_port) == (1400, True, 7789)


def an_encrypted_world() -> World:
    network, nodes = a_network(), [a_node(f"n{number}", f"10.0.0.{number}") for number in (1, 2, 3)]
    network.spec.driver_options["encrypted"] = ""
    for node in nodes:
        node.description.tunnel_key = node.id.encode()
    return World(a_cluster(b"s" * 32), network, *nodes, nodes=("n1", "n2", "n3"))


def test_nodes_of_an_encrypted_network_hear_each_others_keys_and_a_secret_of_each_pair() -> None:
    world = an_encrypted_world()
    one, other = (world.known[node_id].networks["shop"] for node_id in ("n1", "n2"))
    assert (one.network.node_address, one.network.tunnel_port) == ("192.0.2.1", 4788)
    assert one.peers["n2"].tunnel_key == b"n2"
    assert one.peers["n2"].preshared_key == other.peers["n1"].preshared_key
    shared = {one.peers["n2"].preshared_key, one.peers["n3"].preshared_key, other.peers["n3"].preshared_key}
    assert len(shared) == 3
    assert {len(key) for key in shared} == {32}
    assert b"s" * 32 not in shared


def test_another_key_of_the_cluster_or_of_a_node_is_heard_of_at_once() -> None:
    world = an_encrypted_world()
    before = world.known["n1"].networks["shop"].peers["n2"].preshared_key
    world.commit(a_cluster(b"t" * 32))
    (message,) = world.hear()
    assert world.known["n1"].networks["shop"].peers["n2"].preshared_key != before
    anew = copy_of(world.tables.nodes.get("n2"))
    anew.description.tunnel_key = b"anew"
    world.commit(anew)
    world.hear()
    assert world.known["n1"].networks["shop"].peers["n2"].tunnel_key == b"anew"
    for node_id in ("n2", "n3"):
        world.hear(node_id)
    assert world.problems() == []
    assert message


def test_a_node_that_was_removed_takes_its_key_with_it() -> None:
    world = an_encrypted_world()
    world.remove(Node, "n2")
    world.hear()
    assert world.known["n1"].networks["shop"].peers.keys() == {"n3"}


def test_keys_are_no_matter_of_plain_networks() -> None:
    world = a_world(a_cluster(b"s" * 32))
    world.commit(a_cluster(b"t" * 32))
    assert world.hear() == []
    peer = world.known["n1"].networks["shop"].peers["n2"]
    assert not peer.tunnel_key
    assert not peer.preshared_key
    assert not world.known["n1"].networks["shop"].network.node_address


def test_the_checker_compares_keys_and_shows_no_secret() -> None:
    world = an_encrypted_world()
    wrong = copy_of(world.known["n1"].networks["shop"].peers["n2"])  # type: ignore[type-var]
    wrong.preshared_key = b"w" * 32
    world.known["n1"].networks["shop"].peers["n2"] = wrong
    (line,) = differences(world.tables, "n1", world.known["n1"])
    assert "node n2: is known as" in line
    assert "redacted" in line or b64encode(b"(redacted)").decode() in line
    assert b64encode(b"w" * 32).decode() not in line


NETWORKS, NODES, SERVICES = ("shop", "back"), ("n1", "n2", "n3"), ("web", "db")
TASKS = tuple(f"t{number}" for number in range(8))


def _anything(rng: random.Random) -> Object | tuple[type, str]:
    """Return an object as it may be next, or one to remove."""
    kind = rng.choice((Task, Task, Task, Task, Node, Node, Service, Network, Attachment, Cluster))
    if kind is Task:
        one = rng.choice(TASKS)
        if rng.random() < 0.1:
            return Task, one
        number = TASKS.index(one)  # says what never changes of a task
        task = a_task(one, NODES[number % 3], rng.choice((PENDING, ASSIGNED, RUNNING, SHUTDOWN)))
        task.service_id, task.desired_state = SERVICES[number % 2], rng.choice((RUNNING, SHUTDOWN))
        task.networks[0].network_id = NETWORKS[number // 4]
        task.status.container.health.state = rng.choice(
            (HealthState.HEALTH_STATE_NONE, HealthState.HEALTH_STATE_UNHEALTHY)
        )
        return task
    if kind is Node:
        node = a_node(rng.choice(NODES), state=rng.choice(NodeState.values()))
        node.description.tunnel_key = rng.choice((b"", b"one", b"two"))
        node.description.data_path_addr = rng.choice(("", "192.0.2.1", "192.0.2.2", "198.51.100.7"))
        for network_id in rng.sample(NETWORKS, rng.randrange(3)):
            node.networks.add(network_id=network_id, addresses=[f"10.0.0.{rng.randrange(2, 5)}"])
        return node
    if kind is Service:
        one = rng.choice(SERVICES)
        if rng.random() < 0.2:
            return Service, one
        service = a_service(one, *rng.sample(NETWORKS, rng.randrange(1, 3)))
        service.spec.endpoint.affinity = rng.choice(EndpointSpec.Affinity.values())
        if rng.random() < 0.5:
            service.previous_spec.CopyFrom(a_service(one, rng.choice(NETWORKS)).spec)
        return service
    if kind is Attachment:
        number = rng.randrange(3)
        if rng.random() < 0.2:
            return Attachment, f"c{number}"
        attachment = Attachment(id=f"c{number}", node_id=NODES[number], serving=rng.random() < 0.5)
        for network_id in rng.sample(NETWORKS, rng.randrange(3)):
            attachment.wanted.add(network_id=network_id)
            attachment.networks.add(network_id=network_id, addresses=[f"10.0.2.{number}"])
        return attachment
    return a_cluster(rng.randbytes(32)) if kind is Cluster else _any_network(rng)


def _any_network(rng: random.Random) -> Network:
    network_id = rng.choice(NETWORKS)
    network = a_network(network_id)
    network.spec.internal = rng.random() < 0.5
    if network_id == "back":
        network.spec.driver_options["encrypted"] = ""
    return network


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_a_node_that_has_heard_all_knows_what_the_store_says(seed: int) -> None:
    rng = random.Random(seed)
    start: list[Object] = [a_cluster(), *map(a_network, NETWORKS), *map(a_node, NODES)]
    world = World(*start, nodes=NODES, seed=seed)
    for _ in range(80):
        for change in [_anything(rng) for _ in range(rng.randrange(1, 4))]:
            if isinstance(change, tuple):
                world.remove(*change)
            else:
                world.commit(change)
        for node_id in NODES:
            if rng.random() < 0.5:
                world.hear(node_id)
            elif rng.random() < 0.1:
                world.connect(node_id)
    for node_id in NODES:
        world.hear(node_id)
    assert world.problems() == []


def test_the_checker_finds_what_is_missing_too_much_or_different() -> None:
    world = a_world()
    state = world.known["n1"].networks["shop"]
    state.endpoints["ghost"] = OverlayEndpoint(task_id="ghost")
    state.endpoints["t1"] = OverlayEndpoint(task_id="t1")
    del state.peers["n2"]
    lines = "\n".join(differences(world.tables, "n1", world.known["n1"]))
    assert "task ghost: known, and not there" in lines
    assert "task t1: is known as" in lines
    assert "node n2: not known" in lines
    assert differences(world.tables, "n1", OverlayState()) == ["network shop: not known"]
    assert differences(world.tables, "n9", world.known["n1"]) == [
        "network shop: known, and the node is not in it"
    ]
    assert facts.joined(world.tables, "n9") == ()


def an_attachment(container_id: str = "c1", node_id: str = "n1", *, serving: bool = True) -> Attachment:
    attachment = Attachment(id=container_id, node_id=node_id, name="db", serving=serving)
    attachment.wanted.add(network_id="shop", aliases=["cache"])
    attachment.networks.add(network_id="shop", addresses=["10.0.2.1"])
    return attachment


def test_a_container_of_no_service_has_a_route_while_it_is_there_and_names_while_it_runs() -> None:
    world = a_world(an_attachment(serving=False))
    found = world.endpoint("c1", "n2")
    assert found is not None
    assert (found.name, list(found.aliases), found.serving) == ("db", ["cache"], False)
    world.commit(an_attachment())
    assert world.endpoint("c1", "n2").serving  # type: ignore[union-attr]
    left = an_attachment()
    del left.wanted[:], left.networks[:]
    world.commit(left)
    assert world.endpoint("c1", "n2") is None
    world.commit(an_attachment())
    world.commit(a_node("n1", "10.0.0.2", state=DOWN))
    assert world.endpoint("c1", "n2") is None
    assert world.endpoint("c1", "n1") is not None
    world.commit(a_node("n1", "10.0.0.2"))
    assert world.endpoint("c1", "n2") is not None
    world.remove(Attachment, "c1")
    assert world.endpoint("c1", "n2") is None
    world.hear("n1")
    assert world.problems() == []


@pytest.mark.parametrize(
    ("driver", "known"), [("bridge", {"t1"}), ("macvlan", {"t1", "t2"}), ("", {"t1", "t2"})]
)
def test_tasks_of_bridges_are_known_to_their_own_node_only(driver: str, known: set[str]) -> None:
    tables = Tables()
    network = a_network()
    network.spec.driver = driver
    tables.networks.put(network)
    for number in (1, 2):
        node = a_node(f"n{number}")
        node.networks.add(network_id="shop")  # to know names; without a router there
        tables.nodes.put(node)
        tables.tasks.put(a_task(f"t{number}", f"n{number}"))
    tables.services.put(a_service())
    said = facts.everything_of(tables, "shop", "n1")
    assert said is not None
    assert {one.task_id for one in said.endpoints} == known
    assert not said.peers
    assert said.network.driver == driver
