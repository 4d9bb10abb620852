"""`swarmctl machine`: bare machines become nodes, over SSH."""

from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from swarm.cli.cloud_options import cloud_options, with_cloud_settings
from swarm.cli.late import late_group
from swarm.cli.machine_options import (
    DRY_RUN,
    EXIT_CODES,
    KEEP_FAILED,
    confirmed,
    existing_config,
    for_each,
    membership,
    options_of,
    reaching,
    tell,
    ways,
)
from swarm.errors import InvalidArgument, NameConflict, NotFound
from swarm.machine import ssh_config
from swarm.machine.drivers.base import check_options, check_provisions, driver
from swarm.machine.endpoint import SSH_PORT, Endpoint, Hop, parse_jumps
from swarm.machine.making import make_node, resumed
from swarm.machine.provision import Order, Outcome, Ways, provision
from swarm.machine.store import Record

_ELSEWHERE = {
    "ls": "swarm.cli.machine_view:ls",
    "inspect": "swarm.cli.machine_view:inspect",
    "ip": "swarm.cli.machine_view:ip",
    "url": "swarm.cli.machine_view:url",
    "status": "swarm.cli.machine_view:status",
    "env": "swarm.cli.machine_view:env",
    "rm": "swarm.cli.machine_remove:rm",
    "trust": "swarm.cli.machine_remove:trust",
    "ssh": "swarm.cli.machine_access:ssh",
    "scp": "swarm.cli.machine_access:scp",
    "exec": "swarm.cli.machine_access:exec_",
    "logs": "swarm.cli.machine_access:logs",
    "start": "swarm.cli.machine_power:start",
    "stop": "swarm.cli.machine_power:stop",
    "restart": "swarm.cli.machine_power:restart",
    "export": "swarm.cli.machine_exchange:export",
    "import": "swarm.cli.machine_exchange:import_",
    "upgrade": "swarm.cli.machine_upgrade:upgrade",
    "bundle": "swarm.cli.machine_bundle:bundle_",
    "regenerate-certs": "swarm.cli.machine_certs:regenerate_certs",
}


@click.group(cls=late_group(_ELSEWHERE), epilog=EXIT_CODES)
def machine() -> None:
    """Make bare machines nodes of a cluster, over SSH."""


@machine.command(
    epilog="\b\nExamples:\n"
    "  swarmctl machine create --ssh-host 10.0.0.1 --role manager m1     (starts a cluster)\n"
    "  swarmctl machine create --ssh-host admin@10.0.0.2 --ask-sudo-pass --role worker w1\n"
    "  swarmctl machine create --ssh-host 10.1.0.3 --ssh-jump gate.example.com --role worker w2\n"
    "  swarmctl machine create --ssh-host 10.0.0.1 --role manager --dry-run m1\n"
    "  swarmctl machine create -d cloud --cloud-region eu-central-1 --cloud-image ami-0123456789abcdef0 \\\n"
    "    --cloud-size t3.small --cloud-security-group swarm --role worker w3\n"
    f"\n{EXIT_CODES}"
)
@click.argument("name")
@click.option("-d", "--driver", default="generic", show_default=True, help="Who makes the machine.")
@click.option("--driver-opt", "driver_opts", multiple=True, help="NAME=VALUE for the driver; repeatable.")
@click.option(
    "--role",
    type=click.Choice(["manager", "worker"]),
    help="What it becomes; without: only swarm is installed.",
)
@click.option(
    "--cluster", default="default", show_default=True, help="Name, here, of the cluster that it belongs to."
)
@click.option("--ssh-host", default="", help="[USER@]HOST[:PORT], or a name of ~/.ssh/config.")
@click.option("--ssh-user", default="", help="Who to log in as (default root, driver cloud: admin).")
@click.option("--ssh-port", type=click.IntRange(1, 65535), help="Port of the SSH server (default 22).")
@click.option("--ssh-key", default="", help="File with the private key (default: agent and ~/.ssh).")
@click.option(
    "--ssh-jump", help="Hosts to go through, [USER@]HOST[:PORT],…; none: as the configuration would."
)
@click.option("--ssh-config", type=click.Path(path_type=Path, exists=True), help="Instead of ~/.ssh/config.")
@click.option("--advertise-addr", default="", help="Address at which other nodes reach it.")
@click.option(
    "--data-path-addr", default="", help="Its address or interface for what containers say to each other."
)
@click.option("--label", "labels", multiple=True, help="KEY=VALUE, label of the node; repeatable.")
@click.option(
    "--no-packages", is_flag=True, help="Install no packages of the distribution (crun, nftables, …)."
)
@click.option("--adopt", is_flag=True, help="It may be a member of a cluster already: it stays what it is.")
@KEEP_FAILED
@cloud_options
@DRY_RUN
@reaching
def create(name: str, **given: Any) -> None:
    """Make a machine a node: install swarm on it, then start or join the cluster.

    The same command again goes on where a cut one ended, and changes nothing when all is done.
    """
    reach = ways(given)
    record = _record(reach, name, given)
    order = Order(dry_run=given["dry_run"], packages=not given["no_packages"], adopt=given["adopt"])
    if not driver(record.driver).provisions:
        _remember(reach, record, dry_run=order.dry_run)
        return

    def bring(way: Ways) -> Coroutine[Any, Any, Outcome]:
        now = record if order.dry_run else way.store.load(name)  # with what was noted by now
        return make_node(way, now, membership(way, now.cluster), order, tell, keep=given["keep_failed"])

    if order.dry_run:
        outcome = confirmed(reach, bring)
    else:
        with reach.store.lock(name):
            # Looked at again: whoever held the lock before may have noted what must not be asked for twice.
            reach.store.save(_record(reach, name, given))
            outcome = confirmed(reach, bring)
    _report(outcome, order)


def _remember(reach: Ways, record: Record, *, dry_run: bool) -> None:
    """Keep a machine that others look after."""
    if not dry_run:
        with reach.store.lock(record.name):
            reach.store.save(replace(record, state="ready"))
    click.echo(f"{record.name}: {'would be' if dry_run else 'is'} remembered, nothing is done to it")


def _record(reach: Ways, name: str, given: dict[str, Any]) -> Record:
    """Return the machine as it is to be: the one of before when a creation is resumed."""
    reach.store.folder(name)
    made_by = driver(given["driver"])
    named = options_of(given["driver_opts"], "--driver-opt")
    options = with_cloud_settings(made_by.name, named, given)
    check_options(made_by, options)
    wanted = Record(
        name=name,
        driver=made_by.name,
        endpoint=_reached(given, makes=made_by.makes),
        cluster=given["cluster"],
        role=given["role"] or "",
        advertise_addr=given["advertise_addr"],
        data_path_addr=given["data_path_addr"],
        labels=options_of(given["labels"], "--label"),
        options=options,
        created_ns=reach.clock.now_ns(),
    )
    try:
        before = reach.store.load(name)
    except NotFound:
        return wanted
    host, host_before = wanted.endpoint.hop.host, before.endpoint.hop.host
    if (before.cluster, before.role) != (wanted.cluster, wanted.role) or host not in ("", host_before):
        raise NameConflict(
            f"there is a machine {name} already: {before.role or 'no node'} of {before.cluster} at "
            f"{before.endpoint.hop}; take another name, or swarmctl machine rm {name}"
        )
    return resumed(before, wanted)


def _reached(given: dict[str, Any], *, makes: bool) -> Endpoint:
    """Return what the user says of how it is reached; raises InvalidArgument. `makes`: its driver knows."""
    if makes and given["ssh_host"]:
        raise InvalidArgument(f"--ssh-host: the driver {given['driver']} knows where its machines are")
    if makes:
        user = given["ssh_user"]
        hop = Hop("", given["ssh_port"] or SSH_PORT, user)
        return Endpoint(hop, given["ssh_key"], parse_jumps(given["ssh_jump"] or "", user or "root"))
    if not given["ssh_host"]:
        raise InvalidArgument("where is it? Add --ssh-host [USER@]HOST[:PORT]")
    return ssh_config.endpoint(
        given["ssh_host"],
        user=given["ssh_user"],
        port=given["ssh_port"] or 0,
        key=given["ssh_key"],
        jumps=given["ssh_jump"],
        config=existing_config(given["ssh_config"]),
    )


@machine.command("provision", epilog="\b\nExample:\n  swarmctl machine provision m1 m2\n\n" + EXIT_CODES)
@click.argument("names", nargs=-1, required=True)
@click.option("--no-packages", is_flag=True, help="Install no packages of the distribution.")
@DRY_RUN
@reaching
def provision_(names: tuple[str, ...], **given: Any) -> None:
    """Bring machines to where they should be: what is missing is installed, started, joined."""
    reach = ways(given)
    order = Order(dry_run=given["dry_run"], packages=not given["no_packages"])

    def bring(name: str) -> None:
        record = reach.store.load(name)
        check_provisions(record)
        with reach.store.lock(name):
            outcome = confirmed(
                reach, lambda way: provision(way, record, membership(way, record.cluster), order, tell)
            )
        _report(outcome, order)

    for_each(names, bring)


def _report(outcome: Outcome, order: Order) -> None:
    record = outcome.record
    for note in outcome.notes:
        tell(record.name, f"note: {note}")
    if order.dry_run:
        for step in outcome.steps:
            click.echo(f"{record.name}: would {step.title}")
        if not outcome.steps:
            click.echo(f"{record.name}: nothing to do")
        return
    what = "unchanged" if not outcome.steps else "ready"
    member = f", {record.role} {record.node_id}" if record.node_id else ""
    click.echo(f"{record.name}: {what} ({record.release}{member})")
