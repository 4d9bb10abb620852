"""`swarmctl node`: the machines of the cluster."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1 import types_pb2 as t
from swarm.api.v1.backup_pb2 import RejoinRequest
from swarm.api.v1.specs_pb2 import NodeSpec
from swarm.cli import names, objects, parse
from swarm.cli.ca_view import tls_status
from swarm.cli.connect import Connection, connect
from swarm.cli.flags import FlagGroup
from swarm.cli.natural_order import natural
from swarm.cli.plan import dry_run_options, show_node_plan
from swarm.cli.roles import pending, wait_for_role
from swarm.cli.tasks import list_tasks, ps_options
from swarm.errors import InvalidArgument, OutcomeUnknown, StaleVersion

REJOIN_TIMEOUT_S = 60.0
ATTEMPTS_MAX = 5  # of a change, when the node is written by others at the same time
COLUMNS = (
    ("ID", "IDMark"),
    ("HOSTNAME", "Hostname"),
    ("STATUS", "StatusMark"),
    ("AVAILABILITY", "Availability"),
    ("MANAGER STATUS", "ManagerStatus"),
    ("ENGINE VERSION", "EngineVersion"),
)
RAW = (
    ("node_id", "ID"),
    ("hostname", "Hostname"),
    ("status", "Status"),
    ("availability", "Availability"),
    ("manager_status", "ManagerStatus"),
)
FILTERS = ("id", "name", "role", "label", "node.label", "membership")


@click.group(cls=FlagGroup)
def node() -> None:
    """Nodes of the cluster."""


def _row(item: o.Node, self_id: str, root: c.RootStatus) -> dict[str, Any]:
    status = item.manager_status
    state = names.word(names.NODE_STATE, item.status.state).capitalize() + _conditions(item)
    warnings = _warnings(item)
    reach = names.REACHABILITY[status.reachability] if item.HasField("manager_status") else ""
    reach = "Joining" if status.learner else reach
    return {
        "ID": item.id,
        "IDMark": f"{item.id} *" if item.id == self_id else item.id,
        "Self": item.id == self_id,  # no text, as templates ask {{if .Self}}
        "Hostname": item.description.hostname,
        "Status": state,
        "StatusMark": f"{state} ({warnings})" if warnings else state,
        "Warnings": warnings,
        "Availability": names.word(names.AVAILABILITY, item.spec.availability).capitalize(),
        "ManagerStatus": "Leader" if status.leader else reach,
        "EngineVersion": item.description.engine_version,
        "Address": item.status.addr,
        "TLSStatus": tls_status(item, root),
    }


def _conditions(item: o.Node) -> str:
    """Return what keeps new tasks away, e.g. ` (disk pressure)`."""
    found = _types(item.description.conditions)
    return f" ({found})" if found else ""


def _warnings(item: o.Node) -> str:
    """Return what people should mend, e.g. `data path blocked`; nothing of a node that is not heard."""
    return _types(item.description.warnings) if item.status.state == t.NODE_STATE_READY else ""


def _types(conditions: Iterable[t.NodeCondition]) -> str:
    return ", ".join(one.type.lower().replace("_", " ") for one in conditions)


def _filters(texts: tuple[str, ...]) -> c.Filters:
    found = parse.filters(texts, FILTERS)
    result = c.Filters(
        id_prefixes=found.get("id", []),
        name_prefixes=found.get("name", []),
        labels=found.get("label", []),
        node_labels=found.get("node.label", []),
    )
    for role in found.get("role", []):
        if role not in names.ROLE:
            raise InvalidArgument(f"--filter role={role}: write worker or manager")
        result.roles.append(names.ROLE[role])
    return result


def _members(texts: tuple[str, ...]) -> bool:
    """Whether filters speak of those who are members: as with Docker's, every node is accepted at once."""
    wanted = parse.filters(texts, FILTERS).get("membership", ["accepted"])
    for state in wanted:
        if state not in {"accepted", "pending"}:
            raise InvalidArgument(f"--filter membership={state}: write accepted or pending")
    return "accepted" in wanted


@node.command(
    "ls", epilog="\b\nExamples:\n  swarmctl node ls --filter role=manager\n  swarmctl node ls --format json"
)
@click.option("-f", "--filter", "filters", multiple=True, help=f"KEY=VALUE; keys: {', '.join(FILTERS)}.")
@click.option("--format", "layout", default="", help="json, yaml, TEMPLATE or 'table TEMPLATE'.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
@click.pass_obj
def ls(host: str, filters: tuple[str, ...], layout: str, *, quiet: bool) -> None:
    """List the nodes."""
    from swarm.cli.docker_settings import layout_of
    from swarm.cli.render import show

    layout = layout_of("nodesFormat", layout, quiet=quiet)
    with connect(host) as conn:
        answer = conn.control.ListNodes(c.ListNodesRequest(filters=_filters(filters)))
        # The root is asked for only when somebody wants to see what depends on it.
        asked = layout in {"json", "yaml"} or "TLS" in layout or "json" in layout
        root = conn.control.GetCA(c.GetCARequest()).status if asked else None
    found = answer.nodes if _members(filters) else ()
    rows = [_row(item, answer.self_id, root or c.RootStatus()) for item in found]
    rows.sort(key=lambda row: (natural(row["Hostname"]), row["ID"]))
    if layout in {"json", "yaml"}:
        for row in rows:
            del row["IDMark"], row["StatusMark"]
    show(rows, COLUMNS, layout, "ID" if quiet else "", RAW)


@node.command(
    "inspect",
    epilog="\b\nExamples:\n  swarmctl node inspect self\n  swarmctl node inspect -f '{{.Status.State}}' w1",
)
@objects.inspect_options("self|NODE...")
@click.pass_context
def inspect(ctx: click.Context, refs: tuple[str, ...], layout: str, *, pretty: bool) -> None:
    """Show everything known of nodes."""
    from swarm.cli.pretty import pretty_node

    with connect(ctx.obj) as conn:

        def get(ref: str) -> Any:
            item = conn.control.GetNode(c.GetNodeRequest(ref=ref)).node
            return pretty_node(item) if pretty else described(conn, item)

        ctx.exit(objects.inspect(refs, get, layout, pretty=pretty))


def described(conn: Connection, item: o.Node) -> dict[str, Any]:
    """Return a node as `inspect` prints it, with the certificate of its root."""
    from swarm.cli import ca_view, inspect_view

    view = inspect_view.node(item)
    if item.description.tls_info.trust_digest:
        state = conn.control.GetCA(c.GetCARequest()).status
        view["Description"]["TLSInfo"] = ca_view.tls_info(item, state)
    return view


@node.command(
    "ps",
    epilog="\b\nExamples:\n  swarmctl node ps w1\n  swarmctl node ps --filter desired-state=running w1 w2",
)
@click.argument("refs", metavar="[NODE...]", nargs=-1)
@ps_options
@click.pass_context
def ps(
    ctx: click.Context, /, refs: tuple[str, ...], filters: tuple[str, ...], layout: str, **flags: bool
) -> None:
    """List the tasks of nodes (default: the node asked)."""
    with connect(ctx.obj) as conn:
        ids, problems = objects.found(
            refs or ("self",), lambda ref: str(conn.control.GetNode(c.GetNodeRequest(ref=ref)).node.id)
        )
        if ids:
            list_tasks(conn, c.Filters(node_ids=ids), filters, layout, flags)
    ctx.exit(objects.failures(problems))


def update_node(conn: Any, ref: str, change: Callable[[NodeSpec], None]) -> o.Node:
    """Read a node, let `change` edit a copy of its spec, write it back.

    Managers write to nodes as well, e.g. what a new leader hears of them: then it is read and changed again.
    """
    attempts = 0
    while True:
        attempts += 1
        found = conn.control.GetNode(c.GetNodeRequest(ref=ref)).node
        change(found.spec)
        request = c.UpdateNodeRequest(id=found.id, version=found.meta.version.index, spec=found.spec)
        try:
            updated: o.Node = conn.control.UpdateNode(request).node
        except StaleVersion:
            if attempts == ATTEMPTS_MAX:
                raise
        else:
            return updated


@node.command(
    "update",
    epilog="\b\nExamples:\n"
    "  swarmctl node update --availability drain w1\n"
    "  swarmctl node update --availability drain --dry-run w1   (where would its tasks go?)\n"
    "  swarmctl node update --label-add zone=a w1\n"
    "  swarmctl node update --addr 10.0.0.7:2377 m3   (m3 moved; run this on another manager)",
)
@click.argument("ref", metavar="NODE")
@click.option("--availability", type=click.Choice(list(names.AVAILABILITY)))
@click.option("--role", type=click.Choice(list(names.ROLE)))
@click.option("--label-add", multiple=True, metavar="KEY=VALUE", help="Add or change a label.")
@click.option("--label-rm", multiple=True, metavar="KEY", help="Remove a label.")
@click.option("--addr", metavar="HOST:PORT", help="Where the others reach this manager from now on.")
@dry_run_options
@click.pass_context
def update(
    ctx: click.Context,
    /,
    ref: str,
    availability: str | None,
    role: str | None,
    label_add: tuple[str, ...],
    label_rm: tuple[str, ...],
    addr: str | None,
    **given: Any,
) -> None:
    """Change availability, role or labels of a node, or the address of a manager.

    A manager must answer at its new address already. One that is started with another --advertise-addr
    tells the others by itself.
    """

    def change(spec: Any) -> None:
        for key in label_rm:
            if key not in spec.annotations.labels:
                raise InvalidArgument(f'node {ref} has no label "{key}"')
            del spec.annotations.labels[key]
        for key, value in parse.key_values(label_add, "--label-add").items():
            spec.annotations.labels[key] = value
        if availability is not None:
            spec.availability = names.AVAILABILITY[availability]
        if role is not None:
            spec.desired_role = names.ROLE[role]

    with connect(ctx.obj) as conn:
        if given["dry_run"]:
            if addr is not None:
                raise InvalidArgument("--addr cannot be tried: leave it out, or --dry-run")
            ctx.exit(show_node_plan(conn, [ref], change, given["layout"]))
        if addr is not None:
            found = conn.control.GetNode(c.GetNodeRequest(ref=ref)).node
            conn.control.UpdateNode(c.UpdateNodeRequest(id=found.id, addr=addr))
        if availability is not None or role is not None or label_add or label_rm:
            update_node(conn, ref, change)
    click.echo(ref)


@node.command(
    epilog="\b\nExamples:\n"
    "  swarmctl node drain --dry-run w1       (where would its tasks go? would all fit?)\n"
    "  swarmctl node drain --wait w1 && reboot-machine w1\n"
    "  swarmctl node drain --timeout 10m w1   (wait long for replacements)\n"
    "  swarmctl node drain --timeout 0 w1     (stop everything now)\n"
    "  swarmctl node update --availability active w1   (take tasks again)"
)
@click.argument("refs", metavar="NODE...", nargs=-1, required=True)
@click.option("--wait", is_flag=True, help="Return when the nodes are empty; exit 1 if a task runs nowhere.")
@click.option("--timeout", help="Stop tasks without a running replacement after so long (default 1m).")
@dry_run_options
@click.pass_context
def drain(
    ctx: click.Context, refs: tuple[str, ...], timeout: str | None, layout: str, *, wait: bool, dry_run: bool
) -> None:
    """Empty nodes: every task is replaced elsewhere first, then stopped.

    A replacement that finds no node, or does not run in time, is waited for no longer than --timeout. Tasks
    of jobs and global services, and of services with --update-order stop-first, are stopped at once.
    """
    from swarm.cli.drain import all_tasks, ask_to_drain, places_on, wait_drained
    from swarm.cli.live import watched
    from swarm.clock import SystemClock
    from swarm.model.units import parse_duration

    timeout_ns = parse_duration(timeout) if timeout is not None else None
    with connect(ctx.obj) as conn:
        if dry_run:
            ctx.exit(show_node_plan(conn, refs, lambda spec: ask_to_drain(spec, timeout_ns), layout))
        started = {}

        def begin(ref: str) -> str:
            node_id = conn.control.GetNode(c.GetNodeRequest(ref=ref)).node.id
            places = places_on(node_id, all_tasks(conn))
            started[ref] = _set(conn, node_id, lambda spec: ask_to_drain(spec, timeout_ns)), places
            return ref

        code = objects.each(refs, begin)
        if wait:
            now_ns = SystemClock().now_ns()

            def follow(ref: str) -> str:
                later = f"the drain goes on in the background; `swarmctl node ps {ref}` shows it"
                with watched(later) as show:
                    return wait_drained(conn, *started[ref], ref, now_ns, show)

            code |= objects.each(started, follow)
        ctx.exit(code)


def _set(conn: Any, node_id: str, change: Callable[[NodeSpec], None]) -> o.Node:
    """Change a node in a way that may be repeated: a leader that is demoted may take its answer along."""
    try:
        return update_node(conn, node_id, change)
    except OutcomeUnknown:
        return update_node(conn, node_id, change)


def _set_role(ctx: click.Context, refs: tuple[str, ...], role: str, *, detach: bool) -> None:
    with connect(ctx.obj) as conn:

        def act(ref: str) -> str:
            found = conn.control.GetNode(c.GetNodeRequest(ref=ref)).node
            if found.spec.desired_role == names.ROLE[role] and not pending(found):
                return f"Node {ref} is already a {role}."

            def change(spec: Any) -> None:
                spec.desired_role = names.ROLE[role]

            changed = _set(conn, found.id, change)
            if detach:
                return f"Node {ref} is to become a {role}; swarmctl node ls shows when it is done."
            wait_for_role(conn, changed, ref)
            done = "promoted to a manager" if role == "manager" else "demoted to a worker"
            return f"Node {ref} {done} in the cluster."

        ctx.exit(objects.each(refs, act))


_DETACH = click.option("-d", "--detach", is_flag=True, help="Do not wait until it is done.")


@node.command(epilog="\b\nExample:\n  swarmctl node promote w1 w2")
@click.argument("refs", metavar="NODE...", nargs=-1, required=True)
@_DETACH
@click.pass_context
def promote(ctx: click.Context, refs: tuple[str, ...], *, detach: bool) -> None:
    """Make nodes managers, one after another; returns when they have a vote."""
    _set_role(ctx, refs, "manager", detach=detach)


@node.command(
    epilog="\b\nExamples:\n"
    "  swarmctl node demote m2\n"
    "  swarmctl node demote m3 && swarmctl node rm --force m3   (m3 is gone for good)"
)
@click.argument("refs", metavar="NODE...", nargs=-1, required=True)
@_DETACH
@click.pass_context
def demote(ctx: click.Context, refs: tuple[str, ...], *, detach: bool) -> None:
    """Make managers workers again, also ones that are dead; returns when they have no vote any more.

    A leader hands over first. Refused when the managers that are left could not decide anything.
    """
    _set_role(ctx, refs, "worker", detach=detach)


@node.command(
    epilog="\b\nExamples:\n  swarmctl node rm w1\n  swarmctl node rm --force w2   (it will not come back)"
)
@click.argument("refs", metavar="NODE...", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="Remove although the node is up; its tasks are given up.")
@click.pass_context
def rm(ctx: click.Context, refs: tuple[str, ...], *, force: bool) -> None:
    """Remove nodes that left or are gone for good.

    A manager has to be demoted first. A removed node that comes back is refused and forgets the cluster.
    """
    with connect(ctx.obj) as conn:

        def act(ref: str) -> str:
            conn.control.RemoveNode(c.RemoveNodeRequest(ref=ref, force=force))
            return ref

        ctx.exit(objects.each(refs, act))


@node.command(epilog="\b\nExample (on the node itself):\n  swarmctl node rejoin 10.0.0.9:2377")
@click.argument("addresses", metavar="HOST:PORT...", nargs=-1, required=True)
@click.pass_obj
def rejoin(host: str, addresses: tuple[str, ...]) -> None:
    """Tell this node where its managers are now, when none of those that it knows is left.

    It keeps its identity and its containers; whoever answers there must be a manager of the same cluster.
    """
    with connect(host) as conn:
        answer = conn.local.Rejoin(RejoinRequest(manager_addrs=addresses), timeout=REJOIN_TIMEOUT_S)
    click.echo(f"Node {answer.node_id} has found its cluster {answer.cluster_id}.")
