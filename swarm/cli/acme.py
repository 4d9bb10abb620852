"""Certificates by ACME, as `swarmctl ingress` asks for them and shows them."""

from collections.abc import Iterable, Sequence
from typing import Any

from swarm.api.v1.objects_pb2 import AcmeCertificate, AcmeTrouble, Cluster, Service
from swarm.api.v1.specs_pb2 import HttpIngress
from swarm.clock import SystemClock, nanoseconds
from swarm.errors import InvalidArgument
from swarm.model.acme import certificate_of
from swarm.timestamps import SECOND

CERTIFICATE_COLUMNS = tuple((one.upper(), one) for one in ("Host", "State", "Expires", "Renewal", "Problem"))


def apply_acme(wanted: HttpIngress, given: dict[str, Any]) -> None:
    """Write what was given of ACME into `wanted`; None was not. Raises InvalidArgument."""
    email, directory, ca = given["acme_email"], given["acme_directory"], given["acme_ca"]
    rest = directory is not None or ca is not None or given["acme_agree_tos"]
    if email == "":
        if rest:
            raise InvalidArgument("--acme-email '' ends certificates by ACME: no other --acme option fits")
        wanted.ClearField("acme")
    if not email and not rest:
        return
    acme = wanted.acme
    acme.SetInParent()
    if email is not None:
        acme.email = email
    if directory is not None and directory != acme.directory:
        acme.directory, acme.terms_agreed = directory, False  # its terms are others, and so is its CA
        acme.ClearField("ca_pem")
    if ca is not None:
        acme.ca_pem = ca.read_bytes()
    acme.terms_agreed |= given["acme_agree_tos"]


def certificate_rows(cluster: Cluster, services: Iterable[Service]) -> list[dict[str, str]]:
    """Return a row for each host with a route that asks for a certificate, by name."""
    hosts = {route.host for one in services for route in one.spec.endpoint.routes if route.acme}
    enabled, now_ns = cluster.spec.http_ingress.HasField("acme"), SystemClock().now_ns()
    rows = []
    for host in sorted(hosts):
        one = certificate_of(cluster, host) or AcmeCertificate()
        problem = _problem(one.trouble) or _problem(cluster.acme.trouble)
        if not enabled:
            problem = (
                "nobody gets certificates: swarmctl ingress enable --acme-email ADDRESS --acme-agree-tos"
            )
        rows.append(
            {
                "Host": host,
                "State": _state(one, problem, now_ns),
                "Expires": _moment(one.not_after) if one.secret_id else "",
                "Renewal": _moment(one.renew_at) if one.secret_id else "",
                "Problem": problem,
            }
        )
    return rows


def all_served(rows: Sequence[dict[str, str]]) -> bool:
    """Whether every host has a certificate that is valid."""
    return all(row["State"] in ("valid", "renewing") for row in rows)


def _state(one: AcmeCertificate, problem: str, now_ns: int) -> str:
    if one.secret_id and nanoseconds(one.not_after) > now_ns:
        return "renewing" if one.HasField("order") else "valid"
    if problem:
        return "failing"
    return "expired" if one.secret_id and not one.HasField("order") else "ordering"


def _problem(trouble: AcmeTrouble) -> str:
    if not trouble.problem:
        return ""
    again = f" (again at {_moment(trouble.retry_at)})" if trouble.HasField("retry_at") else ""
    return f"{trouble.problem}{again}"


def _moment(stamp: Any) -> str:
    return str(stamp.ToJsonString()) if nanoseconds(stamp) % SECOND == 0 else f"{stamp.ToJsonString()[:19]}Z"
