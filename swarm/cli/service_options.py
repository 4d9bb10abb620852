"""Options that `service create` and `service update` share, and how they change a spec.

An option that was not given leaves the spec as it is, so that an inspected spec says what the user said.
"""

from collections.abc import Callable
from typing import Any

import click

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import UpdateConfig
from swarm.cli import container_options, health_options, names, network_options, placement_options
from swarm.cli.log_options import apply_log, log_options
from swarm.errors import InvalidArgument
from swarm.model.units import parse_bytes, parse_cpus, parse_duration

Given = dict[str, Any]

SINGLE: tuple[Callable[[Any], Any], ...] = (
    click.option("--hostname", help="Host name inside the containers."),
    click.option("-u", "--user", help="User (and group) of the process: NAME|UID[:GROUP|GID]."),
    click.option("-w", "--workdir", help="Working directory inside the containers."),
    click.option("--entrypoint", help="Replaces the image's entrypoint."),
    click.option("--init/--no-init", default=None, help="Run a small init that reaps zombies."),
    click.option("--read-only/--no-read-only", default=None, help="Root file system read only."),
    click.option("-t", "--tty/--no-tty", default=None, help="Give the process a terminal."),
    click.option("--limit-cpu", help="Most CPUs to use, e.g. 0.5."),
    click.option("--limit-memory", help="Most memory to use, e.g. 64m."),
    click.option(
        "--limit-pids", "--pids-limit", type=click.IntRange(min=-1), help="Most processes (0: no limit)."
    ),
    click.option("--reserve-cpu", help="CPUs to keep free for each task."),
    click.option("--reserve-memory", help="Memory to keep free for each task."),
    click.option("--restart-condition", type=click.Choice(list(names.RESTART_CONDITION))),
    click.option("--restart-delay", help="Wait before a restart, e.g. 5s."),
    click.option(
        "--restart-max-attempts", type=click.IntRange(min=0), help="Give up after so many (0: never)."
    ),
    click.option(
        "--restart-max-delay", help="Most that the delay grows to while tasks crash, e.g. 1m (0: constant)."
    ),
    click.option("--restart-window", help="Count only restarts within this time, e.g. 1m."),
    click.option("--stop-grace-period", help="Time between the stop signal and the kill, e.g. 10s."),
    click.option("--stop-signal", help="Signal that asks the process to stop."),
    *health_options.OPTIONS,
    log_options,
    placement_options.SERVICE_STRATEGY,
    placement_options.GPUS,
    placement_options.STICKY,
    placement_options.PRIORITY,
    placement_options.PREEMPT,
    *container_options.SINGLE,
    network_options.ENDPOINT_MODE,
    network_options.ENDPOINT_AFFINITY,
    network_options.ENDPOINT_DRAIN,
    network_options.ENDPOINT_SNAT,
    click.option("--replicas-max-per-node", type=click.IntRange(min=0), help="0: no limit."),
    click.option("--with-registry-auth", is_flag=True, help="Send your registry credentials to the nodes."),
    click.option("--no-resolve-image", is_flag=True, help="Do not check now that the image exists."),
    click.option("-d", "--detach", is_flag=True, help="Return at once instead of waiting for convergence."),
    click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
    click.option(
        "--rebalance",
        type=click.Choice(list(names.REBALANCE)),
        help="auto: move tasks when nodes come back or are added (default off).",
    ),
    click.option(
        "--timeout", help="Exit 1 if the service has not converged by then, e.g. 2m (default: wait)."
    ),
)


def _update_options(kind: str) -> tuple[Callable[[Any], Any], ...]:
    return (
        click.option(f"--{kind}-parallelism", type=click.IntRange(min=0), help="Tasks at a time (0: all)."),
        click.option(f"--{kind}-delay", help="Pause between tasks, e.g. 10s."),
        click.option(f"--{kind}-monitor", help="How long a new task is watched for failure, e.g. 5s."),
        click.option(
            f"--{kind}-max-failure-ratio",
            type=click.FloatRange(0, 1),
            help="Failed tasks to bear with, 0 to 1.",
        ),
        click.option(
            f"--{kind}-failure-action",
            type=click.Choice([word for word in names.FAILURE_ACTION if kind == "update" or word != kind]),
            help="What to do when more fail (default pause).",
        ),
        click.option(
            f"--{kind}-order",
            type=click.Choice(list(names.ORDER)),
            help="Which of the two tasks of a slot comes first (default stop-first).",
        ),
    )


CANARY = click.option(
    "--update-canary",
    type=click.IntRange(min=0),
    help="Update so many tasks, then wait for `service promote` or `service rollback` (0: do not wait).",
)


def spec_options(command: Any) -> Any:
    """Add the options that both commands share."""
    for option in reversed((*SINGLE, *_update_options("update"), CANARY, *_update_options("rollback"))):
        command = option(command)
    return command


def apply_single(spec: ServiceSpec, given: Given) -> None:
    """Write the options that were given into `spec`."""
    container = spec.task.container
    for option, field in (
        ("hostname", "hostname"),
        ("user", "user"),
        ("workdir", "dir"),
        ("stop_signal", "stop_signal"),
        ("init", "init"),
        ("read_only", "read_only"),
        ("tty", "tty"),
    ):
        if given.get(option) is not None:
            setattr(container, field, given[option])
    if given.get("entrypoint") is not None:
        del container.command[:]
        container.command.extend(words(given["entrypoint"], "--entrypoint"))
    if given.get("stop_grace_period") is not None:
        container.stop_grace_period_ns = parse_duration(given["stop_grace_period"])
    if given.get("replicas_max_per_node") is not None:
        spec.task.placement.max_replicas_per_node = given["replicas_max_per_node"]
    health_options.apply_health(spec, given)
    apply_log(spec, given)
    placement_options.apply_strategy(spec, given)
    placement_options.apply_gpus(spec, given)
    placement_options.apply_sticky(spec, given)
    placement_options.apply_priority(spec, given)
    container_options.apply_container_options(spec, given)
    network_options.apply_endpoint_mode(spec, given)
    if given.get("rebalance") is not None:
        spec.rebalance = names.REBALANCE[given["rebalance"]]
    _apply_resources(spec, given)
    _apply_restart(spec, given)
    for kind in ("update", "rollback"):
        _apply_update_config(spec, kind, given)


def words(text: str, option: str) -> list[str]:
    """Return the words of a command as a shell would split them."""
    import shlex

    try:
        return shlex.split(text)
    except ValueError as problem:
        raise InvalidArgument(f'{option} "{text}": {problem}') from None


def _apply_resources(spec: ServiceSpec, given: Given) -> None:
    readers: tuple[tuple[str, str, str, Callable[[Any], int]], ...] = (
        ("limit_cpu", "limits", "nano_cpus", parse_cpus),
        ("limit_memory", "limits", "memory_bytes", parse_bytes),
        ("limit_pids", "limits", "pids", lambda count: max(0, count)),  # Docker also has -1 for none
        ("reserve_cpu", "reservations", "nano_cpus", parse_cpus),
        ("reserve_memory", "reservations", "memory_bytes", parse_bytes),
    )
    for option, part, field, read in readers:
        if given.get(option) is not None:
            setattr(getattr(spec.task.resources, part), field, read(given[option]))


def _apply_restart(spec: ServiceSpec, given: Given) -> None:
    policy = spec.task.restart
    if given.get("restart_condition") is not None:
        policy.condition = names.RESTART_CONDITION[given["restart_condition"]]
    if given.get("restart_delay") is not None:
        policy.delay_ns = parse_duration(given["restart_delay"])
    if given.get("restart_max_attempts") is not None:
        policy.max_attempts = given["restart_max_attempts"]
    if given.get("restart_max_delay") is not None:
        policy.max_delay_ns = parse_duration(given["restart_max_delay"])
    if given.get("restart_window") is not None:
        policy.window_ns = parse_duration(given["restart_window"])


def _apply_update_config(spec: ServiceSpec, kind: str, given: Given) -> None:
    config: UpdateConfig = getattr(spec, kind)
    readers: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
        ("parallelism", "parallelism", int),
        ("delay", "delay_ns", parse_duration),
        ("monitor", "monitor_ns", parse_duration),
        ("max_failure_ratio", "max_failure_ratio", float),
        ("failure_action", "failure_action", names.FAILURE_ACTION.__getitem__),
        ("order", "order", names.ORDER.__getitem__),
        ("canary", "canary", int),
    )
    for option, field, read in readers:
        if given.get(f"{kind}_{option}") is not None:
            setattr(config, field, read(given[f"{kind}_{option}"]))
