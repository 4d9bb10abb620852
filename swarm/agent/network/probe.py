"""Which kinds of networks can this kernel do?"""

import errno
from pathlib import Path

from swarm.agent.network import lan, links, namespaces, vxlan
from swarm.agent.network.layout import Layout
from swarm.agent.network.netlink import NetlinkError
from swarm.agent.network.plumbing import netlink_in
from swarm.agent.network.vxlan import Vxlan
from swarm.model.network_support import INGRESS, SCTP
from swarm.model.networks import MACVLAN

_SCTP_TIMEOUT = Path("/proc/sys/net/netfilter/nf_conntrack_sctp_timeout_established")
ALWAYS = frozenset({"host", "none", "bridge"})
_PROBE = Vxlan("probe", 998, 0xFFFFFF, 4789, 4, "02:42:00:00:00:00", 1450)


def drivers(layout: Layout) -> frozenset[str]:
    """Return the names of the drivers that work, see `swarm.model.network_support`.

    What a kernel can do is found out by asking it to, in the router's namespace; nothing is left there.
    """
    found = set(ALWAYS)
    if _makes_vxlan(layout):
        found |= {"overlay", INGRESS}
    if lan.works(layout):
        found.add(MACVLAN)
    if _follows_sctp(layout):
        found.add(SCTP)
    return frozenset(found)


def _follows_sctp(layout: Layout) -> bool:
    """Whether connections of SCTP can be led to tasks: the kernel has timeouts for what it knows."""
    with namespaces.entered(layout.router):
        return _SCTP_TIMEOUT.exists()


def _makes_vxlan(layout: Layout) -> bool:
    with netlink_in(layout.router) as router, layout.router.open("rb") as namespace:
        try:
            router.run(vxlan.vxlan(_PROBE, namespace.fileno()))
        except NetlinkError:
            return False
        router.run(links.delete_link(_PROBE.index), ignore={errno.ENODEV})
    return True
