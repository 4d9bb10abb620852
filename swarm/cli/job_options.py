"""Options of `service create` and `service update` that make and change jobs."""

from typing import Any

import click

from swarm.api.v1.specs_pb2 import CronJob, ReplicatedJob, ServiceSpec
from swarm.cli import names
from swarm.cli.autoscale_options import count_as_by_hand
from swarm.errors import InvalidArgument
from swarm.model.job import mode_of
from swarm.model.units import parse_duration

Given = dict[str, Any]

MODES = ("replicated", "global", "replicated-job", "global-job", "cron")

_COMPLETIONS = ("replicated-job", "cron")
_CRON = ("schedule", "timezone", "concurrency_policy", "history", "starting_deadline")

OPTIONS = (
    click.option("--max-concurrent", type=click.IntRange(min=1), help="Job tasks at a time (default: all)."),
    click.option("--schedule", help="When a cron job runs, e.g. '*/5 * * * *' or @daily."),
    click.option("--timezone", help="Time zone of the schedule, e.g. Europe/Berlin (default UTC)."),
    click.option(
        "--concurrency-policy",
        type=click.Choice(list(names.CONCURRENCY_POLICY)),
        help="While the run before goes on: run too, skip this time, or stop it (default allow).",
    ),
    click.option("--history", type=click.IntRange(min=1), help="Runs whose tasks are kept (default 3)."),
    click.option("--starting-deadline", help="How late a cron job may begin, e.g. 10m (default 1h)."),
)


def job_options(command: Any) -> Any:
    """Add the options of jobs."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def set_mode(spec: ServiceSpec, given: Given) -> None:
    """Give a new spec its mode; raises InvalidArgument for options of another mode."""
    mode = given["mode"]
    if mode in ("global", "global-job"):
        if given["replicas"] is not None:
            raise InvalidArgument(f"--replicas cannot be used with --mode {mode}: every node runs one task")
        if given["replicas_max_per_node"]:
            raise InvalidArgument(
                f"--replicas-max-per-node cannot be used with --mode {mode}: every node runs one task"
            )
        getattr(spec, "global" if mode == "global" else "global_job").SetInParent()
    elif mode == "replicated":
        spec.replicated.SetInParent()
    elif mode == "replicated-job":
        spec.replicated_job.SetInParent()
    else:
        if given["schedule"] is None:
            raise InvalidArgument("--mode cron needs a --schedule, e.g. --schedule '*/5 * * * *'")
        spec.cron.SetInParent()
    change_mode(spec, given)


def change_mode(spec: ServiceSpec, given: Given) -> None:
    """Write the options that were given and that the mode of `spec` knows; refuse the others."""
    mode = mode_of(spec)
    if given["max_concurrent"] is not None and mode not in _COMPLETIONS:
        raise InvalidArgument(
            f"--max-concurrent: a service of mode {mode} has none (only {' and '.join(_COMPLETIONS)})"
        )
    for option in _CRON:
        if given[option] is not None and mode != "cron":
            raise InvalidArgument(f"--{option.replace('_', '-')}: only a service of mode cron has one")
    if given["replicas"] is not None:
        set_replicas(spec, given["replicas"])
    if given["max_concurrent"] is not None:
        _completing(spec).max_concurrent = given["max_concurrent"]
    if mode == "cron":
        _change_cron(spec.cron, given)


def set_replicas(spec: ServiceSpec, count: int) -> None:
    """Set the number of replicas, or of completions of a job."""
    if count < 0:
        raise InvalidArgument(f"replicas {count}: the number of replicas cannot be negative")
    mode = mode_of(spec)
    if mode == "replicated":
        spec.replicated.replicas = count
        count_as_by_hand(spec)
    elif mode in _COMPLETIONS:
        _completing(spec).total_completions = count
    else:
        name = spec.annotations.name
        raise InvalidArgument(
            f"service {name} is {mode}: it has no number of replicas to change, every node runs one task"
        )


def _completing(spec: ServiceSpec) -> ReplicatedJob | CronJob:
    return spec.cron if spec.HasField("cron") else spec.replicated_job


def _change_cron(cron: CronJob, given: Given) -> None:
    if given["schedule"] is not None:
        cron.schedule = given["schedule"]
    if given["timezone"] is not None:
        cron.timezone = given["timezone"]
    if given["concurrency_policy"] is not None:
        cron.concurrency_policy = names.CONCURRENCY_POLICY[given["concurrency_policy"]]
    if given["history"] is not None:
        cron.history = given["history"]
    if given["starting_deadline"] is not None:
        cron.starting_deadline_ns = parse_duration(given["starting_deadline"])
