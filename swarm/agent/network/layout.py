"""Names, addresses and paths of one node's network: all that can be said before looking at the machine."""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from swarm.agent.network.addresses import RESERVED
from swarm.agent.network.families import FAMILIES, IPV4, Family
from swarm.errors import InvalidArgument

GATEWAY = IPv4Address("169.254.1.1")  # the same in every task; nobody else has it, no ARP asks for it
GATEWAY6 = IPv6Address("fe80::1")  # likewise
# Numbers of interfaces. Both ends of a cable must not have the same: the kernel would take up to a second to
# notice that such a cable is connected.
ROUTER_INDEX = 999
ROUTER_LINK = "uplink"
TASK_INDEX = 2
_FIRST_TASK_LINK = 1000
TASK_LINK = "eth0"


@dataclass(frozen=True, slots=True)
class Layout:
    """One node's network on paper."""

    run_dir: Path
    subnet: IPv4Network
    prefix6: IPv6Network | None = None  # of what tasks have besides; None: no IPv6

    def __post_init__(self) -> None:
        if self.subnet.num_addresses < 4 * RESERVED:
            raise InvalidArgument(f"node_subnet {self.subnet} is too small: at least /26 is needed")

    @property
    def tag(self) -> str:
        """Return what tells the nodes of one machine apart: a digest of the run folder."""
        return hashlib.sha256(str(self.run_dir).encode()).hexdigest()[:8]

    @property
    def table(self) -> str:
        """Return the name of the nft table."""
        return f"swarm_{self.tag}"

    @property
    def uplink(self) -> str:
        """Return the node's end of the cable to the router."""
        return f"swarm-{self.tag}"

    @property
    def node_address(self) -> IPv4Address:
        """Return the node's address as its tasks see it."""
        return self.subnet.network_address + 1

    @property
    def router_address(self) -> IPv4Address:
        """Return the router's address on the uplink."""
        return self.subnet.network_address + 2

    @property
    def ingress_address(self) -> IPv4Address:
        """Return the address of the router through which ports of all nodes are published."""
        return self.subnet.network_address + 3

    @property
    def families(self) -> tuple[Family, ...]:
        """Return the families of addresses that tasks have."""
        return (IPV4,) if self.prefix6 is None else FAMILIES

    def address6(self, address: IPv4Address) -> IPv6Address | None:
        """Return the IPv6 address of whoever has this address, if there is IPv6 here."""
        return self.prefix6[int(address)] if self.prefix6 is not None else None

    def of_family(self, address: IPv4Address, family: Family) -> IPv4Address | IPv6Address:
        """Return the address in one of `families`."""
        return address if family is IPV4 else self.address6(address) or address

    def addresses(self, address: IPv4Address) -> tuple[IPv4Address | IPv6Address, ...]:
        """Return every address of whoever has this one."""
        return tuple(self.of_family(address, family) for family in self.families)

    @property
    def namespaces(self) -> Path:
        """Return the folder of the namespaces."""
        return self.run_dir / "netns"

    @property
    def local_routers(self) -> Path:
        """Return the folder of the routers of networks that this node makes for itself."""
        return self.run_dir / "bridges"

    @property
    def router(self) -> Path:
        """Return the router's namespace; no task id looks like this."""
        return self.namespaces / "router"

    @property
    def tunnel(self) -> Path:
        """Return the namespace out of which there is no way but the encrypted one."""
        return self.run_dir / "tunnel"

    @property
    def tunnel_link(self) -> str:
        """Return the name of that way."""
        return f"swg-{self.tag}"

    @property
    def journal(self) -> Path:
        """Return the file of what was promised."""
        return self.run_dir / "network.json"

    @property
    def forwarding(self) -> Path:
        """Return the file of what the node's own switches were before, see `forwarding`."""
        return self.run_dir / "forwarding.json"

    def resolv_conf(self, *, in_networks: bool) -> Path:
        """Return the file that tasks see as /etc/resolv.conf."""
        return self.run_dir / ("networks-resolv.conf" if in_networks else "resolv.conf")

    def namespace(self, task_id: str) -> Path:
        """Return the namespace of a task."""
        return self.namespaces / task_id

    def index(self, address: IPv4Address) -> int:
        """Return the number of the router's interface to the task with this address."""
        return _FIRST_TASK_LINK + int(address) - int(self.subnet.network_address)

    def link(self, address: IPv4Address) -> str:
        """Return the name of the router's interface to the task with this address."""
        return f"t{address.packed.hex()}"
