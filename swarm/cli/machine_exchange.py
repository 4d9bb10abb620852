"""`swarmctl machine export` and `import`: the same machines for colleagues, and for other programs."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

import click

from swarm.clock import SystemClock
from swarm.errors import InvalidArgument, NameConflict
from swarm.machine import ssh_config
from swarm.machine.host_keys import known_hosts_text, parse_known_hosts
from swarm.machine.store import MachineStore, Record, default_root, parse_record

FORMATS = ("json", "ssh-config", "ansible")


@click.command(
    epilog="\b\nExamples:\n  swarmctl machine export > machines.json\n"
    "  swarmctl machine export --format ssh-config > ~/.ssh/swarm.conf\n"
    "  swarmctl machine export --format ansible > hosts.ini"
)
@click.argument("names", nargs=-1)
@click.option("--format", "layout", type=click.Choice(FORMATS), default="json", show_default=True)
def export(names: tuple[str, ...], layout: str) -> None:
    """Write what is on record of machines, pinned host keys included, keys and passwords not."""
    store = MachineStore(default_root())
    records = [store.load(name) for name in names] or store.load_all()
    if layout == "json":
        click.echo(json.dumps({"machines": [_exported(store, record) for record in records]}, indent=2))
    elif layout == "ssh-config":
        known = [store.folder(record.name) / "known_hosts" for record in records]
        reached = [record.endpoint for record in records]
        click.echo(ssh_config.config_text([record.name for record in records], reached, known), nl=False)
    else:
        click.echo(inventory_text(records), nl=False)


def _exported(store: MachineStore, record: Record) -> dict[str, Any]:
    return {**asdict(record), "known_hosts": known_hosts_text(store.host_keys(record.name))}


def inventory_text(records: list[Record]) -> str:
    """Return an Ansible inventory, with a group for each role."""
    lines = []
    for role in ("manager", "worker", ""):
        found = [record for record in records if record.role == role]
        if not found:
            continue
        lines.append(f"[{role + 's' if role else 'others'}]")
        for record in found:
            hop = record.endpoint.hop
            words = [
                record.name,
                f"ansible_host={hop.host}",
                f"ansible_port={hop.port}",
                f"ansible_user={hop.user}",
            ]
            if record.endpoint.key:
                words.append(f"ansible_ssh_private_key_file={record.endpoint.key}")
            if record.endpoint.jumps:
                jumps = ",".join(map(str, record.endpoint.jumps))
                words.append(f"ansible_ssh_common_args='-o ProxyJump={jumps}'")
            lines.append(" ".join(words))
        lines.append("")
    return "\n".join(lines)


@click.command(
    "import",
    epilog="\b\nExamples:\n  swarmctl machine import machines.json\n"
    "  vagrant ssh-config | swarmctl machine import --ssh-config --role worker -",
)
@click.argument("file", type=click.File())
@click.option(
    "--ssh-config",
    "is_config",
    is_flag=True,
    help="FILE is an SSH configuration: one machine for each Host.",
)
@click.option(
    "--cluster", default="default", show_default=True, help="Cluster of machines of an SSH configuration."
)
@click.option(
    "--role", type=click.Choice(["manager", "worker"]), help="Role of machines of an SSH configuration."
)
def import_(file: TextIO, cluster: str, role: str | None, *, is_config: bool) -> None:
    """Take over machines from `export` or from an SSH configuration; nothing is done to them."""
    store = MachineStore(default_root())
    text = file.read()
    found = _of_config(text, cluster, role or "") if is_config else _of_export(text)
    taken = [record.name for record, _ in found if record.name in store.names()]
    if taken:
        raise NameConflict(f"there are machines {', '.join(taken)} already; nothing was imported")
    for record, known in found:
        store.add(record)
        store.save_host_keys(record.name, parse_known_hosts(known))
        click.echo(record.name)


def _of_export(text: str) -> list[tuple[Record, str]]:
    try:
        found = []
        for item in json.loads(text)["machines"]:
            known = item.pop("known_hosts", "")
            found.append((parse_record({"schema": 1, **item}), str(known)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArgument(f"this is not what `swarmctl machine export` writes: {error}") from error
    return found


def _of_config(text: str, cluster: str, role: str) -> list[tuple[Record, str]]:
    import tempfile

    hosts = [
        word
        for line in text.splitlines()
        if line.split()[:1] in (["Host"], ["host"])
        for word in line.split()[1:]
        if not set(word) & set("*?!")
    ]
    if not hosts:
        raise InvalidArgument("there is no Host in this SSH configuration")
    now = SystemClock().now_ns()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as copy:
        copy.write(text)
        copy.flush()
        blank = Record(name="", driver="generic", endpoint=ssh_config.endpoint(hosts[0]))
        return [
            (
                replace(
                    blank,
                    name=host,
                    cluster=cluster,
                    role=role,
                    created_ns=now,
                    endpoint=ssh_config.endpoint(host, config=Path(copy.name)),
                ),
                "",
            )
            for host in hosts
        ]
