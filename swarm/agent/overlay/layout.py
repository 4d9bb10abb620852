"""Names and numbers of what overlay networks are made of on one node."""

from dataclasses import dataclass
from pathlib import Path

from swarm.agent.network.layout import TASK_INDEX

VXLAN_LINK = "vxlan"
VXLAN_INDEX = 999
FIRST_TASK_LINK = (
    1000  # never the number of the other end, which is small: see swarm/agent/network/layout.py
)
FIRST_TASK_TABLE = 1000  # of routes, in the namespace of a task
_NAME_MAX = 15


@dataclass(frozen=True, slots=True)
class OverlayLayout:
    """The overlay networks of one node on paper."""

    run_dir: Path

    @property
    def routers(self) -> Path:
        """Return the folder of the routers' namespaces."""
        return self.run_dir / "overlays"

    def task(self, task_id: str) -> Path:
        """Return the namespace of a task, see `swarm.agent.network.layout`."""
        return self.run_dir / "netns" / task_id

    def router(self, network_id: str) -> Path:
        """Return the namespace of a network's router."""
        return self.routers / network_id


def router_link(task_id: str) -> str:
    """Return the name of a router's interface to a task; ids are random, so their beginnings differ."""
    return f"t{task_id}"[:_NAME_MAX]


def nic_index(position: int) -> int:
    """Return the number of a task's interface to its network at `position`, counted from 0."""
    return TASK_INDEX + 1 + position


def nic_name(position: int) -> str:
    """Return the name of that interface: the first behind eth0, which leads to the node's own network."""
    return f"eth{position + 1}"
