"""What nodes hear of their HTTP proxies."""

from swarm.agent.http.commands import wanted_standings
from swarm.agent.http.plan import Wanted, wanted_proxy
from swarm.api.v1.objects_pb2 import Cluster, Network, Node, Secret, Service, Task
from swarm.debug.http import differences, expected_proxy, routes_shown
from swarm.model.http_routes import parse_route
from swarm.model.task_state import SHUTDOWN
from tests.unit.dispatcher.test_overlay_news import World, a_node, a_task


def ingress() -> Network:
    network = Network(id="shop", vxlan_id=5000)
    network.spec.annotations.name, network.spec.ingress = "ingress", True
    network.subnets.add(subnet="10.0.0.0/16")
    return network


def a_cluster(*constraints: str, enabled: bool = True) -> Cluster:
    cluster = Cluster(id="c")
    if enabled:
        cluster.spec.http_ingress.SetInParent()
        cluster.spec.http_ingress.constraints.extend(constraints)
    return cluster


def routed(*routes: str, secret_id: str = "") -> Service:
    service = Service(id="web")
    service.spec.annotations.name = "web"
    for route in map(parse_route, routes):
        route.tls_secret_id = secret_id
        service.spec.endpoint.routes.append(route)
    return service


def labelled(node_id: str, router: str, edge: str) -> Node:
    node = a_node(node_id, router)
    node.spec.annotations.labels["edge"] = edge
    return node


def a_world(*objects: Cluster | Service | Node | Secret | Task) -> World:
    return World(ingress(), a_node("n1", "10.0.0.2"), a_node("n2", "10.0.0.3"), *objects)


def proxy(world: World, node_id: str = "n1") -> Wanted | None:
    world.hear(node_id)
    assert not world.problems() or node_id == "n1"
    found = wanted_proxy(world.known[node_id])
    assert found == expected_proxy(world.tables, node_id)
    return found


def test_proxies_come_and_go_with_the_spec_of_the_cluster() -> None:
    world = a_world(a_cluster(enabled=False))
    assert proxy(world) is None
    world.commit(a_cluster())
    found = proxy(world)
    assert found is not None
    assert (found.http_port, found.https_port, found.backends) == (80, 443, ())
    world.commit(a_cluster(enabled=False))
    assert proxy(world) is None


def test_a_label_of_a_node_decides_whether_it_has_one() -> None:
    world = a_world(a_cluster("node.labels.edge==yes"))
    assert proxy(world) is None
    world.commit(labelled("n1", "10.0.0.2", "yes"))
    assert proxy(world) is not None
    world.commit(labelled("n1", "10.0.0.2", "no"))
    assert proxy(world) is None


def test_a_route_is_known_before_its_service_has_tasks_and_follows_it() -> None:
    world = a_world(a_cluster(), routed("host=a.org,port=80"))
    found = proxy(world)
    assert found is not None
    assert [(one.host, dict(one.servers)) for one in found.backends] == [("a.org", {})]
    world.commit(a_task())
    found = proxy(world)
    assert found is not None
    assert [list(one.servers) for one in found.backends] == [["t1"]]
    world.commit(routed("host=b.org,port=81"))
    found = proxy(world)
    assert found is not None
    assert [(one.host, one.port) for one in found.backends] == [("b.org", 81)]
    world.remove(Service, "web")
    found = proxy(world)
    assert found is not None
    assert not found.backends


def test_a_task_that_is_to_stop_gets_nothing_new() -> None:
    world = a_world(a_cluster(), routed("port=80"), a_task())
    world.commit(a_task(desired_state=SHUTDOWN))
    found = proxy(world)
    assert found is not None
    assert [one.serving for one in found.backends[0].servers.values()] == [False]


def test_a_node_has_the_certificates_that_its_proxy_serves_and_no_others() -> None:
    secret = Secret(id="s1")
    secret.spec.secret_data = b"pem"
    world = a_world(a_cluster("node.labels.edge==yes"), secret)
    world.commit(routed("port=80", secret_id="s1"))
    assert not [one for message in world.hear() for one in message.secrets]
    world.commit(labelled("n1", "10.0.0.2", "yes"))
    assert [one.spec.secret_data for message in world.hear() for one in message.secrets] == [b"pem"]
    assert not [one for message in world.hear("n2") for one in message.secrets]
    world.commit(labelled("n1", "10.0.0.2", "no"))
    assert [list(message.removed_data_ids) for message in world.hear()] == [["s1"]]


def with_acme(secret_id: str = "", **proofs: str) -> Cluster:
    cluster = a_cluster()
    cluster.spec.http_ingress.acme.email = "ops@example.org"
    cluster.acme.certificates["a.org"].secret_id = secret_id
    for number, (name, proof) in enumerate(proofs.items()):
        order = cluster.acme.certificates[f"{number}.org"].order
        order.proof_name, order.proof = name, proof
    return cluster


def test_a_certificate_by_acme_reaches_proxies_when_it_comes_and_its_successor_takes_its_place() -> None:
    secrets = [Secret(id=name) for name in ("s1", "s2")]
    for secret in secrets:
        secret.spec.secret_data = secret.id.encode()
    world = a_world(with_acme(), routed("host=a.org,port=80,tls=acme"), *secrets)
    found = proxy(world)
    assert found is not None
    assert not found.secret_ids
    for name in ("s1", "s2"):
        world.commit(with_acme(name))
        heard = [one for message in world.hear() for one in message.secrets]
        assert [one.spec.secret_data for one in heard] == [name.encode()]
        found = proxy(world)
        assert found is not None
        assert found.backends[0].tls_secret_id == name
    world.commit(a_cluster())
    found = proxy(world)
    assert found is not None
    assert not found.secret_ids


def test_every_proxy_hears_of_acme_challenges_while_they_are_open() -> None:
    world = a_world(with_acme(one="1", two="2"))
    found = proxy(world)
    assert found is not None
    assert found.proofs == {"one": "1", "two": "2"}
    world.commit(with_acme(two="2"))
    found = proxy(world)
    assert found is not None
    assert found.proofs == {"two": "2"}


def test_the_checker_names_what_a_proxy_has_otherwise() -> None:
    world = a_world(a_cluster(), routed("host=a.org,port=80"), a_task())
    wanted = expected_proxy(world.tables, "n1")
    assert wanted is not None
    routes = routes_shown("".join(f"0x55 {prefix} {name}\n" for prefix, name in wanted.routes.items()))
    tasks = wanted_standings(wanted)
    assert differences(world.tables, "n1", routes, tasks) == []
    assert len(differences(world.tables, "n1", {}, {})) == 2
    assert differences(world.tables, "n1", None, {}) == ["no proxy runs"]
