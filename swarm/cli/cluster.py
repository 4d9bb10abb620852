"""`swarmctl init`, `join`, `join-token`, `leave`, `info`: this node and its cluster."""

from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli import names
from swarm.cli.cluster_options import apply_options, cluster_options
from swarm.cli.connect import connect
from swarm.errors import SwarmError

AVAILABILITIES = click.Choice(list(names.AVAILABILITY))
JOIN_TIMEOUT_S = 300.0  # reaching the manager, the certificate, and for managers the first log entries
LEAVE_TIMEOUT_S = 120.0  # every task is stopped first, with its grace period
DATA_PATH_ADDR = click.option(
    "--data-path-addr",
    default="",
    help="Address or interface of this node for what containers of different nodes say to each other"
    " (default: as other nodes see this one).",
)


def _tell_join(addr: str, token: str) -> None:
    click.echo(f"\n    swarmctl join --token {token} {addr}\n")


@click.command(
    epilog="\b\nExamples:\n  swarmctl init\n  swarmctl init --advertise-addr 10.0.0.1\n"
    "  swarmctl init --advertise-addr eth0 --data-path-addr eth1\n"
    "  swarmctl init --force-new-cluster   (the other managers are lost for good)"
)
@click.option(
    "--advertise-addr", default="", help="Address (HOST[:PORT] or interface) that other nodes use."
)
@DATA_PATH_ADDR
@click.option("--listen-addr", default="", help="Address to listen on (default 0.0.0.0:2377).")
@click.option("--availability", type=AVAILABILITIES, default="active", show_default=True)
@click.option(
    "--data-path-port",
    type=click.IntRange(1024, 49151),
    help="UDP port between the nodes of an overlay network (default 4789).",
)
@click.option(
    "--encrypted-data-path-port",
    type=click.IntRange(1024, 49151),
    help="UDP port between the nodes of encrypted networks (default 4788).",
)
@click.option("--autolock", is_flag=True, help="A manager that restarts must be given the unlock key.")
@cluster_options
@click.option("--ca-cert", type=click.Path(path_type=Path), help="Root certificate to use (PEM).")
@click.option("--ca-key", type=click.Path(path_type=Path), help="Its key (PEM, no passphrase).")
@click.option(
    "--force-new-cluster",
    is_flag=True,
    help="Go on with the cluster of this manager, as its only one, when too many managers are lost for good."
    " Services, tasks, nodes and tokens stay; the other managers become workers.",
)
@click.pass_obj
def init(
    host: str,
    /,
    advertise_addr: str,
    data_path_addr: str,
    listen_addr: str,
    availability: str,
    ca_cert: Path | None,
    ca_key: Path | None,
    *,
    force_new_cluster: bool,
    **given: Any,
) -> None:
    """Start a cluster with this node as its first manager."""
    from swarm.cli.ca import read_pem
    from swarm.cli.lock import tell_key

    request = c.InitRequest(
        advertise_addr=advertise_addr, data_path_addr=data_path_addr, listen_addr=listen_addr
    )
    request.force_new_cluster = force_new_cluster
    request.availability = names.AVAILABILITY[availability]
    apply_options(request.spec, given)
    if (ca_cert is None) != (ca_key is None):
        raise click.UsageError("--ca-cert and --ca-key belong together")
    if ca_cert is not None and ca_key is not None:
        request.ca_cert_pem, request.ca_key_pem = (
            read_pem(ca_cert, "--ca-cert"),
            read_pem(ca_key, "--ca-key"),
        )
    with connect(host) as node:
        answer = node.local.Init(request, timeout=JOIN_TIMEOUT_S)
    if force_new_cluster:
        _tell_recovery(answer)
        return
    click.echo(f"Cluster initialized: node {answer.node_id} is now a manager.")
    click.echo("\nTo add a worker, run this on the other machine:")
    _tell_join(answer.addr, answer.worker_token)
    click.echo("To add a manager, run `swarmctl join-token manager` here and follow its instructions.")
    if answer.unlock_key:
        tell_key(answer.unlock_key)


def _tell_recovery(answer: c.InitResponse) -> None:
    click.echo(f"Node {answer.node_id} is the only manager of cluster {answer.cluster_id} now.")
    for peer in answer.former_managers:
        click.echo(f"  no manager any more: node {peer.node_id} at {peer.addr}")
    click.echo(
        "Former managers that come back become workers; never start two of them where they cannot reach "
        "this node.\nRemove those that are gone (swarmctl node rm --force NODE), and make others managers:"
    )
    click.echo("\n    swarmctl node promote NODE\n\nTo add a manager from elsewhere, run there:")
    _tell_join(answer.addr, answer.manager_token)


@click.command(
    epilog="\b\nExample:\n  swarmctl join --token SWMTKN-1-... 10.0.0.1:2377"
    "\n  swarmctl join --token-file - 10.0.0.1:2377 < token"
)
@click.argument("addresses", metavar="HOST:PORT", nargs=-1, required=True)
@click.option("--token", default="", help="Join token; it decides between worker and manager.")
@click.option(
    "--token-file",
    type=click.File(),
    help="File with the token, - for stdin: what is on a command line, others can read.",
)
@click.option(
    "--advertise-addr", default="", help="Address (HOST[:PORT] or interface) that other nodes use."
)
@DATA_PATH_ADDR
@click.option("--listen-addr", default="", help="Address to listen on (managers; default 0.0.0.0:2377).")
@click.option("--availability", type=AVAILABILITIES, default="active", show_default=True)
@click.pass_obj
def join(
    host: str,
    addresses: tuple[str, ...],
    token: str,
    token_file: TextIO | None,
    advertise_addr: str,
    data_path_addr: str,
    listen_addr: str,
    availability: str,
) -> None:
    """Join this node to a cluster, as the worker or manager that the token says."""
    if bool(token) == bool(token_file):
        raise click.UsageError("give the join token, with --token or with --token-file")
    token = token or (token_file.readline().strip() if token_file else "")
    request = c.JoinRequest(
        remote_addrs=addresses,
        token=token,
        advertise_addr=advertise_addr,
        data_path_addr=data_path_addr,
        listen_addr=listen_addr,
    )
    request.availability = names.AVAILABILITY[availability]
    with connect(host) as node:
        answer = node.local.Join(request, timeout=JOIN_TIMEOUT_S)
    click.echo(f"This node joined the cluster as a {names.word(names.ROLE, answer.role)}.")


@click.command(
    "join-token", epilog="\b\nExamples:\n  swarmctl join-token worker\n  swarmctl join-token -q manager"
)
@click.argument("role", type=click.Choice(list(names.ROLE)))
@click.option("--rotate", is_flag=True, help="Make a new token; the old one stops working, members stay.")
@click.option("-q", "--quiet", is_flag=True, help="Print the token only.")
@click.pass_obj
def join_token(host: str, role: str, *, rotate: bool, quiet: bool) -> None:
    """Show or rotate the token that lets nodes join as worker or manager."""
    with connect(host) as node:
        if rotate:
            node.control.RotateJoinToken(c.RotateJoinTokenRequest(role=names.ROLE[role]))
        tokens = node.control.GetJoinTokens(c.GetJoinTokensRequest())
    token = tokens.worker if role == "worker" else tokens.manager
    if quiet:
        click.echo(token)
        return
    if rotate:
        click.echo(f"The {role} token was rotated; the old one no longer works.\n")
    click.echo(f"To add a {role} to this cluster, run this on the other machine:")
    _tell_join(tokens.manager_addrs[0] if tokens.manager_addrs else "HOST:2377", token)


@click.command(
    epilog="\b\nExamples:\n"
    "  swarmctl leave\n"
    "  swarmctl leave --force   (a manager: the others must be able to decide without it)"
)
@click.option("-f", "--force", is_flag=True, help="Leave although this node is a manager.")
@click.pass_obj
def leave(host: str, *, force: bool) -> None:
    """Take this node out of its cluster: its tasks stop here and run elsewhere."""
    with connect(host) as node:
        node.local.Leave(c.LeaveRequest(force=force), timeout=LEAVE_TIMEOUT_S)
    click.echo("Node left the cluster.")


@click.command(
    epilog="\b\nExamples:\n  swarmctl info\n  swarmctl info --format '{{.NodeID}}'\n"
    "  swarmctl info --format '{{.Swarm.LocalNodeState}}'"
)
@click.option(
    "-f", "--format", "layout", default="", help="json, yaml, or a template such as '{{.Swarm.Nodes}}'."
)
@click.pass_obj
def info(host: str, layout: str) -> None:
    """Show what this node is and knows of its cluster."""
    from swarm.cli import info_view
    from swarm.cli.render import show_object

    cluster, nodes = None, None
    with connect(host) as node:
        answer = node.local.Info(c.InfoRequest())
        if answer.is_manager and answer.state != c.InfoResponse.STATE_LOCKED:
            with suppress(SwarmError):  # it says why it cannot tell; the node itself is what is asked about
                cluster = node.control.GetCluster(c.GetClusterRequest()).cluster
                nodes = node.control.ListNodes(c.ListNodesRequest())
    view = info_view.info(answer, cluster, nodes)
    if layout:
        show_object(view, layout)
    else:
        click.echo("\n".join(info_view.lines(view)))
