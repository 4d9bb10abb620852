"""A second network between the hosts of a cluster, beside the one in which its managers meet."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from swarm.agent.network import links, namespaces
from swarm.agent.network.netlink import Netlink
from swarm.agent.network.vxlan import set_mtu
from swarm.dev import fabric
from swarm.dev.cluster import DevCluster
from swarm.dev.plan import Node

_BRIDGE, _PORTS, _ETH1 = 500, 510, 600  # numbers of interfaces that nobody else has there


@dataclass(frozen=True, slots=True)
class SecondNetwork:
    """Every host is in it with the interface eth1 and one address."""

    network: IPv4Network | IPv6Network
    mtu: int = 1500

    def address(self, node: Node) -> IPv4Address | IPv6Address:
        return self.network.network_address + node.number

    def wire(self, cluster: DevCluster) -> None:
        """Make it, before the daemons start."""
        plan = cluster.plan
        fabric.ensure(plan)
        with namespaces.entered(plan.switch):
            switch = Netlink()
        with switch:
            switch.run(links.bridge("second", _BRIDGE))
            for node in plan.nodes:
                port = _PORTS + node.number
                with plan.namespace(node).open("rb") as place, namespaces.entered(plan.namespace(node)):
                    inside = Netlink()
                    inner = links.End("eth1", _ETH1, namespace=place.fileno())
                    outer = links.End(f"second{node.number}", port, up=True, master=_BRIDGE)
                    switch.run(links.veth(outer, inner))
                with inside:
                    inside.run(
                        set_mtu(_ETH1, self.mtu),
                        links.set_up(_ETH1),
                        links.address(_ETH1, self.address(node), self.network.prefixlen),
                    )
