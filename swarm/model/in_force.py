"""A service's spec with what holds where nobody said anything, as `service inspect` shows it."""

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import UpdateConfig
from swarm.model import defaults
from swarm.model.job import job_of, mode_of, restart_of


def in_force(spec: ServiceSpec) -> ServiceSpec:
    """Return `spec` with the defaults that scripts ask for in the place of what is not there."""
    whole = ServiceSpec()
    whole.CopyFrom(spec)
    whole.task.container.stop_grace_period_ns = defaults.stop_grace_period_ns(spec.task.container)
    whole.task.resources.SetInParent()
    whole.task.placement.SetInParent()
    policy = restart_of(spec)
    whole.task.restart.condition = policy.condition
    whole.task.restart.delay_ns = policy.delay_ns
    whole.task.restart.max_attempts = policy.max_attempts
    whole.endpoint.SetInParent()
    job = job_of(spec)
    if job is None:
        _fill(whole.update, defaults.update(spec))
        _fill(whole.rollback, defaults.rollback(spec))
    elif not job.is_global:
        run = whole.cron if job.cron is not None else whole.replicated_job
        run.total_completions, run.max_concurrent = job.total, job.max_concurrent
    if mode_of(spec) == "replicated" and not spec.HasField("autoscale"):
        whole.replicated.replicas = defaults.replicas(spec)
    return whole


def _fill(config: UpdateConfig, values: defaults.Update) -> None:
    config.parallelism = values.parallelism
    config.failure_action = values.failure_action
    config.monitor_ns = values.monitor_ns
    config.max_failure_ratio = values.max_failure_ratio
    config.order = values.order
