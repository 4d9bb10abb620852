"""`x-…` keys of `deploy`: what services can do here and the specification has no word for.

They have the words of the options of `swarmctl service create`.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from swarm.api.v1.specs_pb2 import REBALANCE_MODE_AUTO, REBALANCE_MODE_OFF, CronJob, ServiceSpec
from swarm.api.v1.types_pb2 import EndpointSpec, PlacementStrategy
from swarm.compose import autoscale, values
from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument
from swarm.model.affinity import read_affinity

T = TypeVar("T")
Apply = Callable[[ServiceSpec, Tree], None]

_NAMED = re.compile(r"^(service\s*[!=]=\s*)(\S+)$")
_REBALANCE = {"off": REBALANCE_MODE_OFF, "auto": REBALANCE_MODE_AUTO}
_COMPLETING = ("cron", "replicated_job")


def apply_extensions(spec: ServiceSpec, deploy: Tree | None, full_name: Callable[[str], str]) -> list[str]:
    """Write what the `x-…` keys below `deploy` say into `spec`, whose mode is there already.

    `full_name` returns the name in the cluster of a service in the file. Return a warning for each key
    that is unknown; raises InvalidArgument with the place.
    """
    warnings: list[str] = []
    for path, known in EXTENSIONS.items():
        entry = deploy.get(*path) if deploy is not None else None
        if entry is None:
            continue
        for key, apply in known.items():
            if (said := entry.get(key)) is not None and said.value is not None:
                apply(spec, said)
        for key, one in entry.entries.items():
            if key.startswith("x-") and key not in known and key != autoscale.KEY:
                place = one.key_place or one.place
                names = ", ".join([*known, *([] if path else [autoscale.KEY])])
                warnings.append(f"{place}: {key} is ignored: keys known here are {names}")
    for affinity in spec.task.placement.affinities if spec.task.HasField("placement") else ():
        affinity.expression = _NAMED.sub(lambda match: match[1] + full_name(match[2]), affinity.expression)
    return warnings


def _priority(spec: ServiceSpec, entry: Tree) -> None:
    spec.task.priority = values.integer(entry)


def _preempt(spec: ServiceSpec, entry: Tree) -> None:
    spec.task.preempt = values.truth(entry)


def _rebalance(spec: ServiceSpec, entry: Tree) -> None:
    spec.rebalance = _word(entry, _REBALANCE)


def _max_concurrent(spec: ServiceSpec, entry: Tree) -> None:
    mode = spec.WhichOneof("mode")
    if mode not in _COMPLETING:
        raise entry.problem("only a service of mode replicated-job runs so many tasks at a time")
    getattr(spec, mode).max_concurrent = values.number(entry)


def _cron(spec: ServiceSpec, entry: Tree) -> None:
    if spec.WhichOneof("mode") != "replicated_job":
        raise entry.problem("only a service of mode replicated-job can run by the clock")
    job = CronJob()
    for field in ("total_completions", "max_concurrent"):
        if spec.replicated_job.HasField(field):
            setattr(job, field, getattr(spec.replicated_job, field))
    _check_keys(entry, "x-cron", _CRON)
    if entry.get("schedule") is None:
        raise entry.problem("x-cron: schedule must be said, e.g. '*/5 * * * *' or @daily")
    for key, apply in _CRON.items():
        if (one := entry.get(key)) is not None:
            apply(job, one)
    spec.cron.CopyFrom(job)


def _endpoint(spec: ServiceSpec, entry: Tree) -> None:
    _check_keys(entry, "x-endpoint", {"affinity": None, "drain": None, "snat": None})
    if (one := entry.get("affinity")) is not None:
        spec.endpoint.affinity = values.word(one, EndpointSpec.Affinity, "AFFINITY_")
    if (one := entry.get("drain")) is not None:
        spec.endpoint.drain_ns = values.duration_ns(one)
    if (one := entry.get("snat")) is not None:
        spec.endpoint.snat = values.truth(one)


def _canary(spec: ServiceSpec, entry: Tree) -> None:
    spec.update.canary = values.number(entry)


def _affinity(spec: ServiceSpec, entry: Tree) -> None:
    for item in entry.items if isinstance(entry.value, list) else [entry]:
        try:
            spec.task.placement.affinities.append(read_affinity(values.text(item)))
        except InvalidArgument as problem:
            raise item.problem(str(problem)) from None


def _strategy(spec: ServiceSpec, entry: Tree) -> None:
    known = {
        name.removeprefix("PLACEMENT_STRATEGY_").lower().replace("_", "-"): number
        for name, number in PlacementStrategy.items()
    }
    del known["unspecified"]
    _word(entry, known)
    spec.task.placement.strategy = values.word(entry, PlacementStrategy, "PLACEMENT_STRATEGY_")


def _sticky(spec: ServiceSpec, entry: Tree) -> None:
    spec.task.container.sticky = values.truth(entry)


def _word(entry: Tree, known: Mapping[str, T]) -> T:
    # YAML 1.1 would read `off` as a truth; ours does not, but people quote it all the same.
    found = known.get(values.text(entry))
    if found is None:
        raise entry.problem(f'"{entry.value}" is not one of {", ".join(known)}')
    return found


def _check_keys(entry: Tree, name: str, known: Mapping[str, object]) -> None:
    if not isinstance(entry.value, dict):
        raise entry.problem(f"{name} is a mapping with {', '.join(known)}")
    for key, unknown in entry.entries.items():
        if key not in known:
            place = unknown.key_place or unknown.place
            raise InvalidArgument(f'{place}: {name} has no "{key}"; it has {", ".join(known)}')


def _schedule(job: CronJob, entry: Tree) -> None:
    job.schedule = values.text(entry)


def _timezone(job: CronJob, entry: Tree) -> None:
    job.timezone = values.text(entry)


def _policy(job: CronJob, entry: Tree) -> None:
    job.concurrency_policy = values.word(entry, CronJob.ConcurrencyPolicy, "CONCURRENCY_POLICY_")


def _history(job: CronJob, entry: Tree) -> None:
    job.history = values.number(entry)


def _deadline(job: CronJob, entry: Tree) -> None:
    job.starting_deadline_ns = values.duration_ns(entry)


_CRON: Mapping[str, Callable[[CronJob, Tree], None]] = {
    "schedule": _schedule,
    "timezone": _timezone,
    "concurrency_policy": _policy,
    "history": _history,
    "starting_deadline": _deadline,
}
# By the path below `deploy`; x-cron comes before what changes the job that it makes.
EXTENSIONS: Mapping[tuple[str, ...], Mapping[str, Apply]] = {
    (): {
        "x-cron": _cron,
        "x-max-concurrent": _max_concurrent,
        "x-priority": _priority,
        "x-preempt": _preempt,
        "x-rebalance": _rebalance,
        "x-endpoint": _endpoint,
    },
    ("placement",): {"x-affinity": _affinity, "x-strategy": _strategy, "x-sticky": _sticky},
    ("update_config",): {"x-canary": _canary},
    ("rollback_config",): {},
    ("restart_policy",): {},
    ("resources",): {},
}
