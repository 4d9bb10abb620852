"""Enumerations as people read and write them."""

from collections.abc import Mapping

from swarm.api.v1 import objects_pb2 as o
from swarm.api.v1 import specs_pb2 as s
from swarm.api.v1 import types_pb2 as t

AVAILABILITY = {
    "active": t.NODE_AVAILABILITY_ACTIVE,
    "pause": t.NODE_AVAILABILITY_PAUSE,
    "drain": t.NODE_AVAILABILITY_DRAIN,
}
ROLE = {"worker": t.NODE_ROLE_WORKER, "manager": t.NODE_ROLE_MANAGER}
RESTART_CONDITION = {
    "any": t.RestartPolicy.CONDITION_ANY,
    "on-failure": t.RestartPolicy.CONDITION_ON_FAILURE,
    "none": t.RestartPolicy.CONDITION_NONE,
}
CONCURRENCY_POLICY = {
    "allow": s.CronJob.CONCURRENCY_POLICY_ALLOW,
    "forbid": s.CronJob.CONCURRENCY_POLICY_FORBID,
    "replace": s.CronJob.CONCURRENCY_POLICY_REPLACE,
}
FAILURE_ACTION = {
    "pause": t.UpdateConfig.FAILURE_ACTION_PAUSE,
    "continue": t.UpdateConfig.FAILURE_ACTION_CONTINUE,
    "rollback": t.UpdateConfig.FAILURE_ACTION_ROLLBACK,
}
ORDER = {
    "stop-first": t.UpdateConfig.ORDER_STOP_FIRST,
    "start-first": t.UpdateConfig.ORDER_START_FIRST,
}
PLACEMENT_STRATEGY = {
    "spread": t.PLACEMENT_STRATEGY_SPREAD,
    "binpack": t.PLACEMENT_STRATEGY_BINPACK,
    "least-reserved": t.PLACEMENT_STRATEGY_LEAST_RESERVED,
}
REBALANCE = {"off": s.REBALANCE_MODE_OFF, "auto": s.REBALANCE_MODE_AUTO}
ENDPOINT_AFFINITY = {"none": t.EndpointSpec.AFFINITY_NONE, "client-ip": t.EndpointSpec.AFFINITY_CLIENT_IP}
ENDPOINT_MODE = {"vip": t.EndpointSpec.MODE_VIP, "dnsrr": t.EndpointSpec.MODE_DNSRR}
REBALANCE_STATE = {
    "moving": o.Rebalance.STATE_MOVING,
    "completed": o.Rebalance.STATE_COMPLETED,
    "stopped": o.Rebalance.STATE_STOPPED,
}
UPDATE_STATE = {
    "updating": t.UpdateStatus.STATE_UPDATING,
    "paused": t.UpdateStatus.STATE_PAUSED,
    "completed": t.UpdateStatus.STATE_COMPLETED,
    "rollback_started": t.UpdateStatus.STATE_ROLLBACK_STARTED,
    "rollback_paused": t.UpdateStatus.STATE_ROLLBACK_PAUSED,
    "rollback_completed": t.UpdateStatus.STATE_ROLLBACK_COMPLETED,
    "canary": t.UpdateStatus.STATE_CANARY,
}
TASK_STATE = {name.removeprefix("TASK_STATE_").lower(): number for name, number in t.TaskState.items()}
NODE_STATE = {name.removeprefix("NODE_STATE_").lower(): number for name, number in t.NodeState.items()}
PROTOCOL = {0: "tcp", 1: "udp", 2: "sctp"}
PUBLISH_MODE = {0: "ingress", 1: "host"}
MOUNT_TYPE = {0: "bind", 1: "tmpfs", 2: "volume", 140: "image", 141: "cluster"}
ANY_ADDRESS = "0.0.0.0"  # noqa: S104  what Docker writes for a port at every address of its node
REACHABILITY = {0: "Unknown", 1: "Unreachable", 2: "Reachable"}


def word(names: Mapping[str, int], number: int) -> str:
    """Return the word for a number of an enumeration, `unknown` for one from a newer version."""
    return next((name for name, value in names.items() if value == number), "unknown")
