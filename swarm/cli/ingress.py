"""`swarmctl ingress`: HTTP proxies on the nodes, for services with routes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.api.v1.types_pb2 import NodeState
from swarm.cli.acme import CERTIFICATE_COLUMNS, all_served, apply_acme, certificate_rows
from swarm.cli.connect import Connection, connect
from swarm.cli.flags import FlagGroup
from swarm.errors import StaleVersion
from swarm.model.constraint import node_matches, parse_constraints
from swarm.model.http_routes import place, ports_of, route_text

ATTEMPTS = 3  # others may change the cluster at the same moment
NODE_COLUMNS = tuple((one.upper(), one) for one in ("Node", "State", "Ports", "Version", "Problem"))
ROUTE_COLUMNS = tuple((one.upper(), one) for one in ("Route", "Service", "Port", "Options"))


@click.group(cls=FlagGroup)
def ingress() -> None:
    """HTTP ingress: nodes that bring requests to services, by host and path (service create --route)."""


@ingress.command(
    epilog="\b\nExamples:\n"
    "  swarmctl ingress enable                      # ports 80 and 443 of every node\n"
    "  swarmctl ingress enable --constraint node.labels.edge==true\n"
    "  swarmctl ingress enable --http-port 8080 --https-port 8443\n"
    "  swarmctl ingress enable --tls wildcard-cert   # for hosts without a certificate of their own\n"
    "  swarmctl ingress enable --acme-email ops@example.org --acme-agree-tos   # for routes with tls=acme"
)
@click.option("--http-port", type=click.IntRange(1, 65535), help="Port for HTTP (default 80).")
@click.option("--https-port", type=click.IntRange(1, 65535), help="Port for HTTPS (default 443).")
@click.option(
    "--constraint",
    "constraints",
    multiple=True,
    help="Which nodes listen, e.g. node.labels.edge==true; in place of those before ('': all nodes).",
)
@click.option(
    "--tls",
    "certificate",
    help="Secret with the certificate for hosts without one of their own ('': each node makes one).",
)
@click.option(
    "--acme-email",
    help="Get certificates for routes with tls=acme, with an account of this address ('': no more).",
)
@click.option("--acme-directory", help="URL of the ACME server ('', the default: Let's Encrypt).")
@click.option(
    "--acme-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the CA of the ACME server's own certificate, where the system does not know it.",
)
@click.option("--acme-agree-tos", is_flag=True, help="You agree to the terms of the ACME server.")
@click.pass_obj
def enable(host: str, /, **given: Any) -> None:
    """Have nodes listen for HTTP, or change how they do; what is not named stays as it is."""

    def change(spec: ClusterSpec) -> None:
        apply_options(spec, given)

    change(ClusterSpec())  # what is wrong with them is wrong without a cluster, too
    with connect(host) as conn:
        cluster = _update(conn, change)
    http_port, https_port = ports_of(cluster.spec.http_ingress)
    click.echo(
        f"HTTP ingress is enabled at ports {http_port} (HTTP) and {https_port} (HTTPS); "
        "see how the nodes are: swarmctl ingress status"
    )


def apply_options(spec: ClusterSpec, given: dict[str, Any]) -> None:
    """Write what was given into `spec`; None was not. Raises InvalidArgument."""
    wanted = spec.http_ingress
    wanted.SetInParent()
    if given["http_port"] is not None:
        wanted.http_port = given["http_port"]
    if given["https_port"] is not None:
        wanted.https_port = given["https_port"]
    if given["constraints"]:
        texts = [text for text in given["constraints"] if text]
        parse_constraints(texts)
        del wanted.constraints[:]
        wanted.constraints.extend(texts)
    if given["certificate"] is not None:
        wanted.tls_secret_name, wanted.tls_secret_id = given["certificate"], ""
    apply_acme(wanted, given)


@ingress.command(epilog="\b\nExample:\n  swarmctl ingress disable")
@click.pass_obj
def disable(host: str) -> None:
    """Have no node listen for HTTP any more; services keep their routes for the next time."""
    with connect(host) as conn:
        _update(conn, lambda spec: spec.ClearField("http_ingress"))
    click.echo("HTTP ingress is disabled.")


def _update(conn: Connection, change: Callable[[ClusterSpec], None]) -> o.Cluster:
    for attempt in range(1, ATTEMPTS + 1):
        cluster = conn.control.GetCluster(c.GetClusterRequest()).cluster
        request = c.UpdateClusterRequest(version=cluster.meta.version.index, spec=cluster.spec)
        change(request.spec)
        try:
            changed: o.Cluster = conn.control.UpdateCluster(request).cluster
        except StaleVersion:
            if attempt == ATTEMPTS:
                raise
        else:
            return changed
    raise AssertionError


@ingress.command(
    epilog="\b\nExamples:\n  swarmctl ingress status\n  swarmctl ingress status --format json\n\n"
    "Exit code 1: it is disabled, a node that should listen does not, or a host with tls=acme\n"
    "has no certificate that is valid."
)
@click.option(
    "--format", "layout", default="table", help="table, json, yaml or TEMPLATE.", show_default=True
)
@click.pass_context
def status(ctx: click.Context, layout: str) -> None:
    """Show which nodes listen for HTTP, and which routes there are."""
    from swarm.cli.render import show, show_object

    with connect(ctx.obj) as conn:
        cluster = conn.control.GetCluster(c.GetClusterRequest()).cluster
        nodes = conn.control.ListNodes(c.ListNodesRequest()).nodes
        services = conn.control.ListServices(c.ListServicesRequest()).services
    certificates = certificate_rows(cluster, services)
    node_rows = node_states(cluster.spec, nodes)
    routes = route_rows(services)
    enabled = cluster.spec.HasField("http_ingress")
    if layout not in {"", "table"}:
        told = {"Enabled": enabled, "Nodes": node_rows, "Routes": routes, "Certificates": certificates}
        show_object(told, layout)
    elif not enabled:
        click.echo("HTTP ingress is disabled; enable it with: swarmctl ingress enable")
    else:
        show(node_rows, NODE_COLUMNS, "")
        click.echo()
        show(routes, ROUTE_COLUMNS, "")
        if certificates:
            click.echo()
            show(certificates, CERTIFICATE_COLUMNS, "")
    fine = all(row["State"] == "running" for row in node_rows) and all_served(certificates)
    ctx.exit(0 if enabled and fine else 1)


def node_states(spec: ClusterSpec, nodes: Any) -> list[dict[str, str]]:
    """Return a row for each node that should listen, by name."""
    if not spec.HasField("http_ingress"):
        return []
    constraints = parse_constraints(spec.http_ingress.constraints)
    rows = []
    for node in nodes:
        if not node_matches(constraints, node):
            continue
        told = node.description.HasField("http_proxy")
        found = node.description.http_proxy
        state = "running" if found.running and not found.problem else "failing" if told else "starting"
        if node.status.state != NodeState.NODE_STATE_READY:
            state = "unreachable"
        rows.append(
            {
                "Node": node.spec.annotations.name or node.description.hostname,
                "State": state,
                "Ports": f"{found.http_port}, {found.https_port}" if told else "",
                "Version": found.version,
                "Problem": found.problem,
            }
        )
    return sorted(rows, key=lambda row: row["Node"])


def route_rows(services: Any) -> list[dict[str, str]]:
    """Return a row for each route, by host and path."""
    rows = []
    for service in services:
        for route in service.spec.endpoint.routes:
            told = [part for part in route_text(route).split(",") if part.partition("=")[0] not in _NAMED]
            rows.append(
                {
                    "Route": place(route),
                    "Service": service.spec.annotations.name,
                    "Port": str(route.port),
                    "Options": ", ".join(told),
                }
            )
    return sorted(rows, key=lambda row: row["Route"])


_NAMED = ("host", "path", "port")
