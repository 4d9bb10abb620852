"""Options of `service create` and `service update` that have the number of replicas follow the load."""

from typing import Any

import click

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import Autoscale, ServiceSpec
from swarm.errors import InvalidArgument
from swarm.model.autoscale import (
    autoscaling_of,
    parse_rule,
    parse_step,
    rule_name,
    rule_text,
    wanted_replicas,
)
from swarm.model.units import parse_duration

Given = dict[str, Any]

OPTIONS = (
    click.option("--replicas-min", type=click.IntRange(min=0), help="Least replicas (default 1)."),
    click.option("--replicas-max", type=click.IntRange(min=1), help="Most replicas."),
    click.option(
        "--scale-on",
        multiple=True,
        help="Have as many replicas as it takes: cpu=70 or memory=80 (percent of what a task reserves, on "
        "average), or 'prometheus=URL|QUERY=TARGET' (so much for each replica). The largest wish wins.",
    ),
    click.option(
        "--scale-up-window", help="More replicas only if wanted for so long, e.g. 1m (default 0s)."
    ),
    click.option("--scale-down-window", help="Fewer replicas only if wanted for so long (default 5m)."),
    click.option(
        "--scale-up-step", help="Most replicas added at once: 4 or 100% (default: the larger one)."
    ),
    click.option("--scale-down-step", help="Most replicas removed at once, e.g. 1 or 50% (default 100%)."),
)
UPDATE_OPTIONS = (
    click.option(
        "--scale-on-rm", multiple=True, help="Rule to remove: cpu, memory or prometheus=URL|QUERY."
    ),
    click.option("--scale-off", is_flag=True, help="Scale by hand again; --replicas or as many as now."),
)
_SINGLE = (
    "replicas_min",
    "replicas_max",
    "scale_up_window",
    "scale_down_window",
    "scale_up_step",
    "scale_down_step",
)


def autoscale_options(command: Any) -> Any:
    """Add the options that both commands share."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def autoscale_update_options(command: Any) -> Any:
    """Add the options of `service update`."""
    for option in reversed((*OPTIONS, *UPDATE_OPTIONS)):
        command = option(command)
    return command


def apply_autoscale(spec: ServiceSpec, given: Given) -> None:
    """Write the options that were given into `spec`."""
    changed = any(given[name] is not None for name in _SINGLE) or given["scale_on"]
    removed = given.get("scale_on_rm") or ()
    if given.get("scale_off"):
        if changed or removed:
            raise InvalidArgument("--scale-off ends autoscaling: no other option of it goes with it")
        if not spec.HasField("autoscale"):
            raise InvalidArgument(f"--scale-off: service {spec.annotations.name} is not autoscaled")
        spec.ClearField("autoscale")
        return
    if removed:
        _remove_rules(spec, removed)
    if not changed:
        return
    _apply_single(spec.autoscale, given)
    for text in given["scale_on"]:
        rule = parse_rule(text)
        named = next((one for one in spec.autoscale.rules if rule_name(one) == rule_name(rule)), None)
        (spec.autoscale.rules.add() if named is None else named).CopyFrom(rule)
    settings = autoscaling_of(spec)
    assert settings is not None
    said = spec.replicated
    if (
        given["replicas"] is None
        and said.HasField("replicas")
        and (settings.bounded(said.replicas) != said.replicas)
    ):
        # It was said before there were these bounds; the number there is now is kept as far as they allow.
        spec.replicated.ClearField("replicas")


def _apply_single(autoscale: Autoscale, given: Given) -> None:
    for name in ("replicas_min", "replicas_max"):
        if given[name] is not None:
            setattr(autoscale, name, given[name])
    for name, field in (("scale_up_window", "up_window_ns"), ("scale_down_window", "down_window_ns")):
        if given[name] is not None:
            setattr(autoscale, field, parse_duration(given[name]))
    for name, field in (("scale_up_step", "up_step"), ("scale_down_step", "down_step")):
        if given[name] is not None:
            getattr(autoscale, field).CopyFrom(parse_step(given[name], f"--{name.replace('_', '-')}"))
    autoscale.SetInParent()


def keep_count(spec: ServiceSpec, given: Given, found: Service) -> None:
    """Have a service that is no longer autoscaled as large as it is, unless somebody said otherwise."""
    if given["scale_off"] and given["replicas"] is None:
        spec.replicated.replicas = wanted_replicas(found)


def _remove_rules(spec: ServiceSpec, names: tuple[str, ...]) -> None:
    rules = list(spec.autoscale.rules) if spec.HasField("autoscale") else []
    for name in names:
        kept = [rule for rule in rules if name not in (rule_name(rule), rule_text(rule))]
        if len(kept) == len(rules):
            raise InvalidArgument(f"--scale-on-rm {name}: the service is not scaled on that")
        rules = kept
    del spec.autoscale.rules[:]
    spec.autoscale.rules.extend(rules)


def count_as_by_hand(spec: ServiceSpec) -> None:
    """Note that the number of replicas was said anew, also if it is the same as in the spec before."""
    if spec.HasField("autoscale"):
        spec.autoscale.scaled_by_hand += 1
