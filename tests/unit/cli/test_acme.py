"""Options of `ingress enable` for ACME, and what `ingress status` says of certificates."""

from pathlib import Path
from typing import Any

import pytest

from swarm.api.v1.objects_pb2 import Cluster, Service
from swarm.api.v1.specs_pb2 import HttpIngress
from swarm.cli.acme import all_served, apply_acme, certificate_rows
from swarm.clock import SystemClock
from swarm.errors import InvalidArgument
from swarm.model.http_routes import parse_route
from swarm.timestamps import SECOND, timestamp

NONE: dict[str, Any] = {
    "acme_email": None,
    "acme_directory": None,
    "acme_ca": None,
    "acme_agree_tos": False,
}
HOST = "shop.example.org"


def enabled() -> HttpIngress:
    found = HttpIngress()
    apply_acme(found, NONE | {"acme_email": "ops@example.org", "acme_agree_tos": True})
    return found


def test_what_is_not_named_stays_as_it_is() -> None:
    untouched = HttpIngress()
    apply_acme(untouched, NONE)
    assert not untouched.HasField("acme")
    found = enabled()
    apply_acme(found, NONE | {"acme_email": "other@example.org"})
    assert (found.acme.email, found.acme.terms_agreed) == ("other@example.org", True)


def test_another_server_has_other_terms_and_another_ca(tmp_path: Path) -> None:
    (tmp_path / "ca").write_bytes(b"pem")
    found = enabled()
    apply_acme(found, NONE | {"acme_ca": tmp_path / "ca"})
    assert found.acme.ca_pem == b"pem"
    apply_acme(found, NONE | {"acme_directory": "https://ca.example.org"})
    assert (found.acme.ca_pem, found.acme.terms_agreed) == (b"", False)


def test_an_empty_address_ends_it_and_goes_with_nothing_else() -> None:
    found = enabled()
    with pytest.raises(InvalidArgument, match="no other --acme option"):
        apply_acme(found, NONE | {"acme_email": "", "acme_agree_tos": True})
    assert found.HasField("acme")
    apply_acme(found, NONE | {"acme_email": ""})
    assert not found.HasField("acme")


def a_cluster() -> Cluster:
    cluster = Cluster(id="c")
    cluster.spec.http_ingress.CopyFrom(enabled())
    return cluster


def row_of(cluster: Cluster) -> dict[str, str]:
    service = Service(id="web")
    service.spec.endpoint.routes.append(parse_route(f"host={HOST},port=80,tls=acme"))
    (row,) = certificate_rows(cluster, [service])
    return row


def test_a_host_is_ordering_then_valid_then_renewing_and_at_last_expired() -> None:
    cluster, now_ns = a_cluster(), SystemClock().now_ns()
    assert row_of(cluster)["State"] == "ordering"
    assert not all_served([row_of(cluster)])
    one = cluster.acme.certificates[HOST]
    one.secret_id = "s"
    one.not_after.CopyFrom(timestamp(now_ns + 3600 * SECOND))
    assert row_of(cluster)["State"] == "valid"
    one.order.url = "u"
    assert row_of(cluster)["State"] == "renewing"
    assert all_served([row_of(cluster)])
    one.ClearField("order")
    one.not_after.CopyFrom(timestamp(now_ns - SECOND))
    assert row_of(cluster)["State"] == "expired"


def test_what_the_server_said_is_shown_with_the_time_of_the_next_try() -> None:
    cluster = a_cluster()
    trouble = cluster.acme.certificates[HOST].trouble
    trouble.problem = "unauthorized: 404"
    trouble.retry_at.CopyFrom(timestamp(1_800_000_000 * SECOND + 5))
    row = row_of(cluster)
    assert row["State"] == "failing"
    assert row["Problem"] == "unauthorized: 404 (again at 2027-01-15T08:00:00Z)"


def test_without_acme_the_way_to_it_is_named() -> None:
    assert "--acme-email" in row_of(Cluster(id="c"))["Problem"]
