"""Routes that services ask for, and the proxies of a cluster."""

import pytest

from swarm.api.v1.control_pb2 import UpdateServiceRequest
from swarm.api.v1.objects_pb2 import Cluster, Secret
from swarm.api.v1.specs_pb2 import ClusterSpec, ServiceSpec
from swarm.clock import SECOND
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.manager.controlapi import http_ingress
from swarm.manager.controlapi.lock import update_cluster
from swarm.manager.controlapi.networks import remove_network
from swarm.manager.controlapi.references import check_unused
from swarm.manager.controlapi.services import create_service, update_service
from swarm.manager.store.tables import copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.http_certificates import self_signed
from swarm.model.http_routes import parse_route
from swarm.model.limits import Limit
from tests.unit.controlapi.fakes import a_spec
from tests.unit.controlapi.test_networks import a_transaction, able
from tests.unit.controlapi.test_published import publishing


def routed(name: str, *routes: str) -> ServiceSpec:
    spec = a_spec(name)
    spec.endpoint.routes.extend(map(parse_route, routes))
    return spec


def a_secret(name: str, data: bytes) -> Secret:
    secret = Secret(id=f"{name}-id")
    secret.spec.annotations.name, secret.spec.secret_data = name, data
    return secret


def cluster(*secrets: Secret) -> Transaction:
    return a_transaction(able("overlay", "ingress"), Cluster(id="c"), *secrets)


def enable(tx: Transaction, **ports: int) -> None:
    assert tx.cluster is not None
    spec = ClusterSpec()
    spec.CopyFrom(tx.cluster.spec)
    spec.http_ingress.SetInParent()
    for name, port in ports.items():
        setattr(spec.http_ingress, name, port)
    update_cluster(tx, tx.cluster.meta.version.index, spec, b"")


def test_a_host_and_path_is_one_service_s() -> None:
    tx = cluster()
    create_service(tx, routed("web", "host=a.org,port=80", "host=a.org,path=/x,port=80"), "web")
    create_service(tx, routed("api", "host=a.org,path=/api,port=80", "host=*.a.org,port=80"), "api")
    with pytest.raises(FailedPrecondition, match=r"a\.org/x is one of service web.*--route-rm a\.org/x web"):
        create_service(tx, routed("other", "port=80", "host=a.org,path=/x/,port=80"), "other")
    assert tx.services.by_name("other") is None
    (network,) = tx.networks
    assert network.spec.ingress


def test_a_route_that_a_service_gives_up_is_free_for_another() -> None:
    tx = cluster()
    web = create_service(tx, routed("web", "host=a.org,port=80"), "web")
    request = UpdateServiceRequest(id="web", version=web.meta.version.index)
    request.spec.CopyFrom(routed("web", "host=b.org,port=80"))
    update_service(tx, request, 1)
    create_service(tx, routed("other", "host=a.org,port=80"), "other")


def test_a_certificate_has_to_be_one_and_stays_while_it_is_served() -> None:
    good = a_secret("good", self_signed("a.org", 1_700_000_000 * SECOND))
    tx = cluster(good, a_secret("bad", b"hello"))
    with pytest.raises(InvalidArgument, match=r"there is no secret none.*secret create"):
        create_service(tx, routed("web", "port=80,tls=none"), "web")
    with pytest.raises(InvalidArgument, match="secret bad is no certificate"):
        create_service(tx, routed("web", "port=80,tls=bad"), "web")
    created = create_service(tx, routed("web", "port=80,tls=good"), "web")
    assert created.spec.endpoint.routes[0].tls_secret_id == "good-id"
    with pytest.raises(FailedPrecondition, match="certificate of route"):
        check_unused(tx, good, "secret")


def test_hosts_with_certificates_by_acme_are_counted_in_the_whole_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_ingress, "ACME_HOSTS", Limit("ACME_HOSTS", 2, "hosts", "of a test"))
    tx = cluster()
    create_service(tx, routed("web", "host=a.org,port=80,tls=acme", "host=b.org,port=80,tls=acme"), "web")
    create_service(tx, routed("api", "host=a.org,path=/x,port=80,tls=acme"), "api")
    with pytest.raises(FailedPrecondition, match="ACME_HOSTS"):
        create_service(tx, routed("other", "host=c.org,port=80,tls=acme"), "other")


def test_a_certificate_that_came_by_acme_stays_while_the_cluster_has_it() -> None:
    tx = cluster(a_secret("s", b"pem"))
    (secret,) = tx.secrets
    assert tx.cluster is not None
    changed = copy_of(tx.cluster)
    changed.acme.certificates["a.org"].secret_id = secret.id
    tx.update(changed)
    with pytest.raises(FailedPrecondition, match=r"host a\.org, which came by ACME"):
        check_unused(tx, secret, "secret")


def test_routes_need_a_network_in_which_tasks_are_reached() -> None:
    tx = a_transaction(able("overlay", "ingress", "host"))
    spec = routed("web", "port=80")
    spec.task.networks.add(network_name="host")
    with pytest.raises(InvalidArgument, match="network host"):
        create_service(tx, spec, "web")
    with pytest.raises(FailedPrecondition, match="its routes"):
        create_service(a_transaction(able("bridge")), routed("web", "port=80"), "web")


def test_proxies_and_published_ports_keep_out_of_each_other_s_way() -> None:
    tx = cluster()
    create_service(tx, publishing("web", 80), "web")
    with pytest.raises(FailedPrecondition, match="port 80 is published by service web"):
        enable(tx)
    enable(tx, http_port=8080)
    with pytest.raises(FailedPrecondition, match="443/tcp is where the nodes listen"):
        create_service(tx, publishing("other", 443), "other")
    create_service(tx, publishing("third", 81), "third")


def test_the_network_of_the_proxies_stays_while_there_are_some() -> None:
    tx = cluster()
    enable(tx)
    with pytest.raises(FailedPrecondition, match="ingress disable"):
        remove_network(tx, "ingress")
