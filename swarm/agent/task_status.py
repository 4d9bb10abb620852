"""What does a task's status say? Built here and nowhere else on the node."""

from swarm.agent.health import UNHEALTHY_PREFIX, reported
from swarm.agent.network.base import Sandbox
from swarm.api.v1.types_pb2 import HealthStatus, PortConfig, TaskState, TaskStatus
from swarm.clock import timestamp
from swarm.model.exit_code import exit_reason
from swarm.model.limits import STATUS_CHARACTERS
from swarm.model.task_state import COMPLETE, FAILED, REJECTED, STARTING, is_terminal
from swarm.model.truncate import cut
from swarm.model.units import format_memory
from swarm.runtime.base import ContainerInfo

TEXT_LIMIT = STATUS_CHARACTERS.value

NOT_HEALTHY = "; not healthy yet"  # behind what is said of a container that runs

PROTOCOLS = {
    "tcp": PortConfig.PROTOCOL_TCP,
    "udp": PortConfig.PROTOCOL_UDP,
    "sctp": PortConfig.PROTOCOL_SCTP,
}


class Reason:
    """Messages that stand for more than one place."""

    RETRY = "trying again"


def moved(
    old: TaskStatus,
    state: "TaskState",
    message: str,
    now_ns: int,
    *,
    err: str = "",
    sandbox: Sandbox | None = None,
    info: ContainerInfo | None = None,
) -> TaskStatus:
    """Return the status after `old`; `old` itself when that would be a step back."""
    if state < old.state or is_terminal(old.state):
        return old
    since = old.timestamp if state == old.state else timestamp(now_ns)  # what is said of a state may change
    status = TaskStatus(timestamp=since, state=state, message=_cut(message), err=_cut(err))
    status.ports.extend(old.ports)
    status.address = old.address
    if old.HasField("container"):
        status.container.CopyFrom(old.container)
    if sandbox is not None:
        _set_network(status, sandbox)
    if info is not None:
        _set_container(status, info)
    return status


def final(
    old: TaskStatus,
    state: "TaskState",
    message: str,
    now_ns: int,
    *,
    err: str = "",
    info: ContainerInfo | None = None,
) -> TaskStatus:
    """Return the last status of a task: it has no address and no ports any more."""
    status = moved(old, state, message, now_ns, err=err, info=info)
    if status is not old:
        del status.ports[:]
        status.address = ""
    return status


def with_health(
    old: TaskStatus, state: "TaskState", message: str, now_ns: int, health: HealthStatus, *, err: str = ""
) -> TaskStatus:
    """Return the status after `old` with that health."""
    news = reported(health)
    if state == old.state and old.container.health == news and not err:
        return old
    status = moved(old, state, message, now_ns, err=err)
    if status is not old:
        status.container.health.CopyFrom(news)
    return status


def loggable_reason(status: TaskStatus) -> str:
    """Return the error of a status without what the user's own programs said: that may be secret."""
    return UNHEALTHY_PREFIX.rstrip(": ") if status.err.startswith(UNHEALTHY_PREFIX) else status.err


def started_message(info: ContainerInfo) -> str:
    """Return what to say of a container that runs, with what it lacks of what was asked for."""
    return "; ".join(("started", *info.warnings))


def rejected_or_failed(old: TaskStatus, error: str, now_ns: int) -> TaskStatus:
    """Return the end of a task that could not be prepared, or not be started."""
    if old.state < STARTING:
        return final(old, REJECTED, "rejected", now_ns, err=error)
    return final(old, FAILED, "failed", now_ns, err=error)


def ended(old: TaskStatus, info: ContainerInfo, now_ns: int, memory_limit_bytes: int = 0) -> TaskStatus:
    """Return the end of a task whose container ended by itself."""
    if info.exit_code == 0 and not info.error:
        return final(old, COMPLETE, "finished", now_ns, info=info)
    limit = format_memory(memory_limit_bytes) if memory_limit_bytes else ""
    how = exit_reason(info.exit_code, oom_killed=info.oom_killed, memory_limit=limit)
    error = info.error or f"the container ended with {how}"
    return final(old, FAILED, "failed", now_ns, err=error, info=info)


def _set_network(status: TaskStatus, sandbox: Sandbox) -> None:
    status.address = sandbox.address
    del status.ports[:]
    for port in sandbox.ports:
        status.ports.add(
            protocol=PROTOCOLS[port.protocol],
            target_port=port.target_port,
            published_port=port.published_port,
            publish_mode=PortConfig.PUBLISH_MODE_HOST,
            host_ip=port.host_ip,
        )


def _set_container(status: TaskStatus, info: ContainerInfo) -> None:
    status.container.container_id = info.id
    # The process id of an ended container belongs to somebody else by now.
    status.container.pid = 0 if is_terminal(status.state) else info.pid
    status.container.exit_code = info.exit_code
    status.container.oom_killed = info.oom_killed


def _cut(text: str) -> str:
    return cut(text, TEXT_LIMIT)
