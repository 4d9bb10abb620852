"""A whole cluster on this machine: real daemons, real containers, a network namespace per node.

What `swarmctl dev` and the integration tests stand on. Every method may be repeated, and continues what an
earlier call, killed at any moment, has begun.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from swarm.dev import fabric, leftovers, loopback, processes, state
from swarm.dev.plan import Folders, Node, Plan, check, check_name, choose_subnet
from swarm.errors import FailedPrecondition, NotFound, Unavailable

# Many daemons start and tidy up at once, on a machine that may be busy with others.
READY_TIMEOUT_S = 120.0
_CLEANUP_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 60.0  # a busy disk keeps also who is killed
_LOG_TAIL = 5

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class NodeState:
    """What can be seen of a node from outside."""

    node: Node
    pid: int  # 0: not running
    suspended: bool
    island: str  # empty: connected with the others

    @property
    def word(self) -> str:
        """Return the state in one word."""
        if not self.pid:
            return "stopped"
        return "suspended" if self.suspended else "running"


class DevCluster:
    """One dev cluster of this user. Blocks; raises SwarmErrors."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @classmethod
    def create(cls, name: str, managers: int, workers: int) -> "DevCluster":
        """Return the cluster of that name, planned now unless there is one; nothing of it runs yet.

        Raises InvalidArgument for impossible wishes, FailedPrecondition when it has other numbers of nodes.
        """
        check_name(name)
        folders = own_folders()
        with state.lock(folders):
            plan = state.load(folders, name)
            if plan is None:
                plan = check(_new_plan(folders, name, managers, workers))
                state.save(plan)
        if (plan.managers, plan.workers) != (managers, workers):
            raise FailedPrecondition(
                f"there is a cluster {name} with {plan.managers} managers and {plan.workers} workers; "
                f"remove it first (swarmctl dev down --name {name}) or choose another --name"
            )
        return cls(plan)

    @classmethod
    def open(cls, name: str) -> "DevCluster":
        """Return the cluster of that name; raises NotFound."""
        check_name(name)
        plan = state.load(own_folders(), name)
        if plan is None:
            raise NotFound(f"there is no dev cluster {name}; start one with: swarmctl dev up --name {name}")
        return cls(plan)

    @classmethod
    def remains(cls, name: str) -> "DevCluster":
        """Return the cluster of that name, or what its folders say of it, in order to take it down."""
        check_name(name)
        folders = own_folders()
        return cls(state.load(folders, name) or _plan_of_remains(folders, name))

    def node(self, name: str) -> Node:
        """Return the node of that name; raises NotFound."""
        return self.plan.node(name)

    def up(self, report: Report = lambda _: None, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start every node that does not run, and return when all are ready and all managers have a vote."""
        from swarm.dev import formation

        deadline = time.monotonic() + timeout_s
        self._wire()
        running = processes.find(self.plan)
        absent = [node for node in self.plan.nodes if node.name not in running]
        if absent:
            report(f"Starting {len(absent)} nodes")
        for node in absent:
            processes.start(self.plan, node)
        formation.wait_for_sockets(self.plan, self._check_alive, deadline)
        formation.form(self.plan, report, deadline)
        formation.wait_until_ready(self.plan, deadline)

    def down(self) -> Sequence[str]:
        """Remove everything of the cluster; return what is left nevertheless, normally nothing."""
        for pid in processes.find(self.plan).values():
            processes.send(pid, signal.SIGKILL, _STOP_TIMEOUT_S)
        self._clean_nodes()
        with state.lock(self.plan.folders):
            leftovers.remove(self.plan)
        return leftovers.find(self.plan)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a node's daemon; return when it is gone, if the signal ends it."""
        pid = processes.find(self.plan).get(self.node(name).name)
        if pid is None:
            raise FailedPrecondition(f"{name} is not running")
        processes.send(pid, number, _STOP_TIMEOUT_S)

    def start(self, *names: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start the daemons of these nodes again, all at once, and return when they answer."""
        from swarm.dev import client

        nodes = [self.node(name) for name in names]
        running = processes.find(self.plan)
        for node in nodes:
            if node.name in running:
                raise FailedPrecondition(f"{node.name} is running")
        self._wire()
        for node in nodes:
            processes.start(self.plan, node)
        deadline = time.monotonic() + timeout_s
        for node in nodes:
            client.wait_for_socket(node, deadline, self._check_alive)

    def partition(self, names: Sequence[str]) -> None:
        """Cut nodes off from all others, and from the world; among themselves they stay connected."""
        fabric.partition(self._isolated_plan(), [self.node(name) for name in names])

    def heal(self) -> None:
        """Connect all nodes again."""
        fabric.heal(self._isolated_plan())

    def run(self, name: str, *command: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command as if on the node and return what it said."""
        return processes.run(self.plan, self.node(name), command, timeout_s)

    def states(self) -> Sequence[NodeState]:
        """Return what can be seen of each node."""
        pids = processes.find(self.plan)
        islands = fabric.islands(self.plan) if self.plan.isolated else {}
        return [
            NodeState(node, pid, bool(pid) and processes.is_stopped(pid), islands.get(node.name, ""))
            for node in self.plan.nodes
            for pid in [pids.get(node.name, 0)]
        ]

    def entry(self) -> Node:
        """Return the node to talk to: the first manager that runs, else the first."""
        running = processes.find(self.plan)
        return next((node for node in self.plan.nodes if node.name in running), self.plan.nodes[0])

    def _wire(self) -> None:
        if self.plan.isolated:
            with state.lock(self.plan.folders):
                fabric.ensure(self.plan)

    def _isolated_plan(self) -> Plan:
        if not self.plan.isolated:
            raise FailedPrecondition("nodes share one network here; partitions need root's namespaces")
        return self.plan

    def _check_alive(self, node: Node) -> None:
        """Raise Unavailable with the end of its log when a daemon has ended."""
        if node.name in processes.find(self.plan):
            return
        lines = node.log.read_text(errors="replace").splitlines() if node.log.exists() else []
        raise Unavailable("\n".join([f"{node.name} ended at once; its last words:", *lines[-_LOG_TAIL:]]))

    def _clean_nodes(self) -> None:
        """Let each node's own program remove its containers; what it cannot is left to `leftovers`."""
        there = [node for node in self.plan.nodes if node.data.exists() or node.run.exists()]
        with ThreadPoolExecutor(max(1, len(there))) as pool:
            list(pool.map(self._clean_node, there))

    def _clean_node(self, node: Node) -> None:
        command = processes.cleanup_command(self.plan, node)
        try:
            processes.run(self.plan, node, command, _CLEANUP_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired):
            return


def own_folders() -> Folders:
    """Return where the clusters of the user of this process are."""
    return Folders.of(os.environ, os.geteuid())


def names() -> Sequence[str]:
    """Return the names of this user's clusters."""
    return state.names(own_folders())


def _new_plan(folders: Folders, name: str, managers: int, workers: int) -> Plan:
    isolated = os.geteuid() == 0
    plans = (state.load(folders, other) for other in state.names(folders))
    taken = [plan.subnet for plan in plans if plan is not None]
    taken += fabric.used_subnets() if isolated else loopback.used_subnets()
    return Plan(name, isolated, choose_subnet(name, isolated, taken), managers, workers, folders)


def _plan_of_remains(folders: Folders, name: str) -> Plan:
    found = {path.name for folder in (folders.data, folders.run) for path in folder.glob(f"{name}/*")}
    counts = [
        max((int(part) for entry in found if (part := entry.removeprefix(role)).isdigit()), default=0)
        for role in ("manager-", "worker-")
    ]
    isolated = os.geteuid() == 0
    subnet = choose_subnet(name, isolated, [])  # not needed for taking down
    return Plan(name, isolated, subnet, max(1, counts[0]), counts[1], folders)
