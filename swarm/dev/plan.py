"""A dev cluster on paper: its nodes, their addresses and folders. Nothing here looks at the machine."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from swarm.errors import InvalidArgument, NotFound

PORT = 2377
METRICS_PORT = 9323
NODES_MAX = 200
SOCKET_BYTES_MAX = 107  # sun_path less its terminating zero byte
DEFAULT_NAME = "dev"
HOST_NUMBER = 254  # the host's own address in the cluster's subnet

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the dev clusters of one user are."""

    data: Path  # survives a reboot
    run: Path

    @classmethod
    def of(cls, environment: Mapping[str, str], user_id: int) -> "Folders":
        """Return root's folders in the system, anybody else's among their own."""
        if user_id == 0:
            return cls(Path("/var/lib/swarm-dev"), Path("/run/swarm-dev"))
        home = Path(environment.get("HOME", "/"))
        data = Path(environment.get("XDG_DATA_HOME") or home / ".local/share") / "swarm-dev"
        runtime = environment.get("XDG_RUNTIME_DIR")
        # Sockets need a short path, and folders in /tmp a name that is nobody else's.
        return cls(data, Path(runtime) / "swarm-dev" if runtime else Path(f"/tmp/swarm-dev-{user_id}"))  # noqa: S108


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a dev cluster."""

    name: str
    is_manager: bool
    address: IPv4Address
    data: Path
    run: Path

    @property
    def number(self) -> int:
        """Return the last byte of the address: 1 for the first node."""
        return self.address.packed[-1]

    @property
    def state_dir(self) -> Path:
        """Return what the daemon gets as --state-dir."""
        return self.data / "state"

    @property
    def log(self) -> Path:
        """Return the file with everything that the node's daemons have printed."""
        return self.data / "swarmd.log"

    @property
    def socket(self) -> Path:
        """Return the socket for swarmctl."""
        return self.run / "swarmd.sock"

    @property
    def host(self) -> str:
        """Return the value of SWARMCTL_HOST that points swarmctl at this node."""
        return f"unix://{self.socket}"

    @property
    def peer_addr(self) -> str:
        """Return HOST:PORT at which the other nodes reach this one."""
        return f"{self.address}:{PORT}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One dev cluster."""

    name: str
    isolated: bool  # a network namespace per node; else loopback addresses and plain processes
    subnet: IPv4Network
    managers: int
    workers: int
    folders: Folders

    @property
    def data(self) -> Path:
        """Return the folder of what survives a reboot."""
        return self.folders.data / self.name

    @property
    def run(self) -> Path:
        """Return the folder of what does not."""
        return self.folders.run / self.name

    @property
    def host_address(self) -> IPv4Address:
        """Return the host's address among the nodes."""
        return self.subnet.network_address + HOST_NUMBER

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes, managers first."""
        names = [f"manager-{n}" for n in range(1, self.managers + 1)]
        names += [f"worker-{n}" for n in range(1, self.workers + 1)]
        return tuple(
            Node(
                name,
                name.startswith("manager"),
                self.subnet.network_address + number,
                self.data / name,
                self.run / name,
            )
            for number, name in enumerate(names, start=1)
        )

    def node(self, name: str) -> Node:
        """Return the node of that name; raises NotFound listing those there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.nodes)
        raise NotFound(f"cluster {self.name} has no node {name}; it has {names}")

    def namespace(self, node: Node) -> Path:
        """Return the network namespace of a node."""
        return self.run / "netns" / node.name

    @property
    def switch(self) -> Path:
        """Return the namespace with the bridge between the nodes."""
        return self.run / "netns" / "switch"

    @property
    def host_link(self) -> str:
        """Return the name of the host's interface to the nodes."""
        return f"swdev-{hashlib.sha256(str(self.run).encode()).hexdigest()[:8]}"

    @property
    def table(self) -> str:
        """Return the name of the host's nft table."""
        return f"swarm_dev_{self.name.replace('-', '_')}"

    @property
    def cgroup(self) -> str:
        """Return the cgroup that holds every container of the cluster."""
        return f"swarm-dev/{self.name}"


def check(plan: Plan) -> Plan:
    """Return the plan; raises InvalidArgument for what no machine can do."""
    check_name(plan.name)
    if plan.managers < 1:
        raise InvalidArgument("a cluster needs at least one manager")
    if plan.workers < 0 or plan.managers + plan.workers > NODES_MAX:
        raise InvalidArgument(f"a dev cluster has at most {NODES_MAX} nodes")
    longest = max(len(str(node.socket).encode()) for node in plan.nodes)
    if longest > SOCKET_BYTES_MAX:
        raise InvalidArgument(f"{plan.run} is too long a path for sockets; choose a shorter --name")
    return plan


def check_name(name: str) -> None:
    """Raise InvalidArgument unless `name` can be that of a cluster."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name!r} cannot name a dev cluster: up to 32 lower-case letters, digits and hyphens"
        )


def choose_subnet(name: str, isolated: bool, taken: Iterable[IPv4Network]) -> IPv4Network:
    """Return a subnet for the nodes that overlaps none of `taken`, the same one for a name where possible.

    Raises InvalidArgument when all are taken.
    """
    candidates = [
        IPv4Network(f"10.{second}.0.0/24" if isolated else f"127.{second}.0.0/24")
        for second in (range(200, 255) if isolated else range(64, 128))
    ]
    busy = list(taken)
    start = 0 if name == DEFAULT_NAME else int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    for step in range(len(candidates)):
        subnet = candidates[(start + step) % len(candidates)]
        if not any(subnet.overlaps(other) for other in busy):
            return subnet
    raise InvalidArgument("there is no free subnet for another dev cluster on this machine")
