"""What this node has promised to its tasks: addresses and ports, in a small file.

Written before the kernel is changed, so that a successor of a killed agent knows what may be half made.
The kernel says what is really there.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from swarm.agent.network.base import LocalSubnet, PublishedPort, TaskNetwork
from swarm.agent.network.ports import Key, key


class Access(StrEnum):
    """What a task may reach, and be reached by, through the node's own network."""

    OPEN = "open"  # everything: it is in this network
    OUTSIDE = "outside"  # what is not a task of this node: those it meets in networks of its own
    CLOSED = "closed"  # nothing, but it answers: its networks are internal


@dataclass(frozen=True, slots=True)
class Grant:
    """What one task was given."""

    address: IPv4Address
    ports: tuple[PublishedPort, ...] = ()
    networks: tuple[TaskNetwork, ...] = ()
    access: Access = Access.OPEN
    mac: str = ""  # of its interface in the node's own network; empty: made of its address


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every grant of this node, and the address given last."""

    grants: Mapping[str, Grant] = field(default_factory=dict)
    last_address: IPv4Address | None = None

    def with_grant(self, task_id: str, grant: Grant) -> "Ledger":
        """Return the ledger with one more grant."""
        return Ledger({**self.grants, task_id: grant}, grant.address)

    def changed(self, task_id: str, grant: Grant) -> "Ledger":
        """Return the ledger with another grant for a task that has one."""
        return replace(self, grants={**self.grants, task_id: grant})

    def without(self, task_id: str) -> "Ledger":
        """Return the ledger without the grant of a task."""
        return replace(self, grants={id_: grant for id_, grant in self.grants.items() if id_ != task_id})

    def addresses(self) -> frozenset[IPv4Address]:
        """Return the addresses that are given away."""
        return frozenset(grant.address for grant in self.grants.values())

    def ports(self) -> dict[Key, str]:
        """Return the ports that are given away, each with the task that has it."""
        return {key(port): task_id for task_id, grant in self.grants.items() for port in grant.ports}

    def networks(self) -> dict[str, tuple[TaskNetwork, ...]]:
        """Return the networks of every task that is in any."""
        return {task_id: grant.networks for task_id, grant in self.grants.items() if grant.networks}

    def having(self, access: Access) -> frozenset[IPv4Address]:
        """Return the addresses of the tasks with that access."""
        return frozenset(grant.address for grant in self.grants.values() if grant.access is access)


def load(path: Path) -> Ledger:
    """Return the ledger in the file; an empty one when there is none, or none that can be read.

    A file that cannot be read is no reason to stop: what belongs to no grant is swept from the kernel.
    """
    try:
        return decode(path.read_text())
    except (OSError, ValueError, KeyError, TypeError):
        return Ledger()


def save(path: Path, ledger: Ledger) -> None:
    """Replace the file; a reader sees the old or the new ledger, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(encode(ledger))
    draft.replace(path)


def encode(ledger: Ledger) -> str:
    """Return the ledger as JSON."""
    return json.dumps(
        {
            "last_address": str(ledger.last_address) if ledger.last_address else None,
            "grants": {task_id: _encode_grant(grant) for task_id, grant in ledger.grants.items()},
        },
        indent=1,
    )


def decode(text: str) -> Ledger:
    """Return the ledger written by `encode`; raises ValueError, KeyError or TypeError for anything else."""
    data = json.loads(text)
    last = data["last_address"]
    grants = {task_id: _decode_grant(grant) for task_id, grant in data["grants"].items()}
    return Ledger(grants, IPv4Address(last) if last else None)


def _encode_grant(grant: Grant) -> dict[str, Any]:
    return {
        "address": str(grant.address),
        "ports": [asdict(port) for port in grant.ports],
        "networks": [asdict(network) for network in grant.networks],
        "access": grant.access.value,
        "mac": grant.mac,
    }


def _decode_grant(data: dict[str, Any]) -> Grant:
    return Grant(
        IPv4Address(data["address"]),
        tuple(PublishedPort(**port) for port in data["ports"]),
        tuple(_decode_network(network) for network in data.get("networks", ())),
        Access(data.get("access", Access.OPEN)),
        data.get("mac", ""),
    )


def _decode_network(data: dict[str, Any]) -> TaskNetwork:
    return TaskNetwork(
        data["network_id"],
        tuple(data["addresses"]),
        data["driver"],
        tuple(
            LocalSubnet(one["subnet"], one["range"], tuple(one["reserved"]), one.get("gateway", ""))
            for one in data["subnets"]
        ),
        tuple(data["families"]),
        data["internal"],
        data.get("position", -1),
        tuple((key, value) for key, value in data.get("options", ())),
        data.get("mac", ""),
    )
