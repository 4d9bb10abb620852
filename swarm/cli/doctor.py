"""`swarmctl doctor`: is a machine fit, and what mends it?"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from swarm.cli.machine_options import confirmed, existing_config, reaching, ways
from swarm.clock import SECOND
from swarm.firewalls import closed
from swarm.machine import ssh_config
from swarm.machine.doctor import NODE_PORTS, Finding, examine, parse_signs
from swarm.machine.probe import script
from swarm.machine.provision import Ways
from swarm.machine.ssh import KeyRing, linked
from swarm.machine.store import Record

TIMEOUT_S = 60.0
SIGNS = {"ok": "ok  ", "warning": "WARN", "bad": "BAD "}


def _ports(_context: click.Context, _option: click.Parameter, texts: Sequence[str]) -> Sequence[str]:
    for text in texts:
        number, _, protocol = text.partition("/")
        if protocol not in ("tcp", "udp") or not number.isdecimal() or not 0 < int(number) < 65536:
            raise click.BadParameter(f"{text!r} is not like 4789/udp")
    return texts or tuple(NODE_PORTS)


@click.command(
    epilog="\b\nExamples:\n  swarmctl doctor\n  swarmctl doctor m1\n"
    "  swarmctl doctor admin@10.0.0.9 --ssh-key ~/.ssh/id\n"
    "  sudo swarmctl doctor --port 2377/tcp --port 8472/udp   # of a cluster with another --data-path-port"
)
@click.argument("machine", required=False)
@click.option(
    "--ssh-key", default="", help="File with the private key, for a host that is no machine of ours."
)
@click.option(
    "--port",
    "ports",
    multiple=True,
    metavar="PORT/PROTOCOL",
    callback=_ports,
    help="Port that other nodes need, in place of 2377/tcp, 4789/udp and 4788/udp; repeatable.",
)
@click.option("--format", "layout", type=click.Choice(["", "json"]), default="")
@reaching
def doctor(machine: str | None, ssh_key: str, ports: Sequence[str], layout: str, **given: Any) -> int:
    """Look whether this machine, MACHINE or [USER@]HOST can run containers and be in a cluster."""
    reach = ways(given)
    if machine is None:
        done = subprocess.run(
            ["sh", "-c", _script(ports)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        text = done.stdout
    else:
        record = _record(reach, machine, ssh_key)
        text = confirmed(reach, lambda way: _ask(way, record, ports))
    findings = examine(parse_signs(text), reach.clock.now_ns() // SECOND, ports)
    for finding in findings:
        click.echo(json.dumps(asdict(finding)) if layout == "json" else _line(finding))
    return 1 if any(finding.level == "bad" for finding in findings) else 0


def _line(finding: Finding) -> str:
    fix = f"\n      → {finding.fix}" if finding.fix else ""
    return f"{SIGNS[finding.level]}  {finding.what}{fix}"


def _record(reach: Ways, text: str, key: str) -> Record:
    """Return a machine of ours, else what the text says as an address."""
    if text in reach.store.names():
        return reach.store.load(text)
    return Record(
        name="", driver="none", endpoint=ssh_config.endpoint(text, key=key, config=existing_config(None))
    )


def _script(ports: Sequence[str]) -> str:
    return closed.script(ports) + script("doctor.sh")


async def _ask(reach: Ways, record: Record, ports: Sequence[str]) -> str:
    known = reach.store.host_keys(record.name) if record.name else {}
    ring = KeyRing(known, reach.policy, dict(reach.trusted))
    async with linked(record.endpoint, reach.secrets, ring, reach.timeout_s) as link:
        return (await link.run(_script(ports), timeout_s=TIMEOUT_S)).out
