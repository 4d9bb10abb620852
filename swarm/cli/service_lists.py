"""Options of a service that may be repeated: environment, labels, mounts, constraints, ports."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import click

from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import PlacementPreference, PortConfig
from swarm.cli import (
    container_options,
    data_options,
    dependency_options,
    network_options,
    parse,
    placement_options,
    route_options,
)
from swarm.cli.not_there import tell_not_there
from swarm.errors import InvalidArgument

Given = dict[str, Any]

LISTS = (
    ("-e|--env", "KEY=VALUE, or KEY to pass on your own value."),
    ("-l|--label", "Label of the service, KEY=VALUE."),
    ("--container-label", "Label of the containers, KEY=VALUE."),
    ("--constraint", "Where tasks may run, e.g. node.role==worker, 'node.labels.zone in (a, b)'."),
    ("--placement-pref", "Spread tasks, e.g. spread=node.labels.zone."),
    ("--mount", "type=volume|bind|tmpfs,src=NAME|PATH,dst=PATH[,readonly]."),
    ("-p|--publish", "Publish a port: published=8080,target=80,mode=host."),
    *placement_options.LISTS,
    *dependency_options.LISTS,
    *container_options.LISTS,
    *data_options.LISTS,
    *network_options.LISTS,
    *route_options.LISTS,
)
ENV_FILE = ("--env-file", "File with a KEY=VALUE in each line.")
ADDS = tuple((f"--{flag.split('--')[-1]}-add", text) for flag, text in LISTS)
REMOVES = (
    ("--env-rm", "Variable to remove, by KEY."),
    ("--label-rm", "Label to remove, by KEY."),
    ("--container-label-rm", "Container label to remove, by KEY."),
    ("--constraint-rm", "Constraint to remove."),
    ("--placement-pref-rm", "Placement preference to remove."),
    ("--mount-rm", "Mount to remove, by its target."),
    ("--publish-rm", "Port to remove, by its target port."),
    *placement_options.REMOVES,
    *dependency_options.REMOVES,
    *container_options.REMOVES,
    *data_options.REMOVES,
    *network_options.REMOVES,
    *route_options.REMOVES,
)


def many(*options: tuple[str, str]) -> Callable[[Any], Any]:
    """Add options that may be repeated, given as (flags, help)."""

    def decorate(command: Any) -> Any:
        for flags, text in reversed(options):
            command = click.option(*flags.split("|"), multiple=True, help=text)(command)
        return command

    return decorate


def add_lists(spec: ServiceSpec, given: Given, suffix: str) -> None:
    """Add what `--env`, … (with suffix `_add`: `--env-add`, …) gave; `_add` replaces what it matches."""
    container, placement = spec.task.container, spec.task.placement
    spec.annotations.labels.update(parse.key_values(given[f"label{suffix}"], "--label"))
    container.labels.update(parse.key_values(given[f"container_label{suffix}"], "--container-label"))
    of_files = parse.file_lines(given.get("env_file") or ())
    for text in parse.environment((*of_files, *given[f"env{suffix}"]), os.environ):
        _drop(container.env, _same_key(text))
        container.env.append(text)
    for text in given[f"mount{suffix}"]:
        new = parse.mount(text)
        if suffix:
            _drop(container.mounts, _same_target(new.target))
        container.mounts.append(new)
    for text in given[f"constraint{suffix}"]:
        if text not in placement.constraints:
            placement.constraints.append(text)
    for text in given[f"placement_pref{suffix}"]:
        placement.preferences.append(PlacementPreference(spread=_spread(text)))
    placement_options.add_placement(spec, given, suffix)
    dependency_options.add_dependencies(spec, given, suffix)
    container_options.add_container_lists(spec, given, suffix)
    data_options.add_references(spec, given, suffix)
    network_options.add_networks(spec, given, suffix)
    route_options.add_routes(spec, given, suffix)
    for text in given[f"publish{suffix}"]:
        for port in parse.publish(text):
            if suffix:  # another port of the nodes for the same one of the containers comes beside it
                _drop(spec.endpoint.ports, _published_alike(port))
            spec.endpoint.ports.append(port)


def remove_lists(spec: ServiceSpec, given: Given) -> None:
    """Remove what `--env-rm`, `--label-rm`, … named; what is not there is told."""
    container, placement = spec.task.container, spec.task.placement
    _remove_keys(given["label_rm"], spec.annotations.labels, "--label-rm")
    _remove_keys(given["container_label_rm"], container.labels, "--container-label-rm")
    _remove(given["env_rm"], container.env, lambda old: str(old).partition("=")[0], "--env-rm")
    _remove(given["mount_rm"], container.mounts, lambda old: str(old.target), "--mount-rm")
    _remove(given["constraint_rm"], placement.constraints, str, "--constraint-rm")
    _remove(
        given["placement_pref_rm"],
        placement.preferences,
        lambda old: f"spread={old.spread}",
        "--placement-pref-rm",
    )
    placement_options.remove_placement(spec, given)
    dependency_options.remove_dependencies(spec, given)
    container_options.remove_container_lists(spec, given)
    data_options.remove_references(spec, given)
    network_options.remove_networks(spec, given)
    route_options.remove_routes(spec, given)
    for text in given["publish_rm"]:
        _remove_port(spec, text)


def _remove_port(spec: ServiceSpec, text: str) -> None:
    """Remove by target port, as Docker does: `80`, `80/udp`, or as it was published."""
    for wanted in parse.publish(text):
        if any(_same_port(wanted)(port) for port in spec.endpoint.ports):
            _drop(spec.endpoint.ports, _same_port(wanted))
        else:
            tell_not_there("--publish-rm", text, "target port")


def _spread(text: str) -> str:
    strategy, _, descriptor = text.partition("=")
    if strategy != "spread" or not descriptor:
        raise InvalidArgument(f'--placement-pref "{text}": write spread=node.labels.KEY')
    return descriptor


def _same_key(text: str) -> Callable[[str], bool]:
    return lambda old: old.partition("=")[0] == text.partition("=")[0]


def _same_target(target: str) -> Callable[[Any], bool]:
    return lambda old: old.target == target


def _same_port(new: PortConfig) -> Callable[[PortConfig], bool]:
    return lambda old: (old.target_port, old.protocol) == (new.target_port, new.protocol)


def _published_alike(new: PortConfig) -> Callable[[PortConfig], bool]:
    same = _same_port(new)
    return lambda old: same(old) and (old.published_port, old.host_ip) == (new.published_port, new.host_ip)


def _drop(items: Any, unwanted: Callable[[Any], bool]) -> None:
    kept = [item for item in items if not unwanted(item)]
    del items[:]
    items.extend(kept)


def _remove_keys(wanted: Iterable[str], labels: Any, option: str) -> None:
    for key in wanted:
        if key in labels:
            del labels[key]
        else:
            tell_not_there(option, key, "label")


def _remove(wanted: Iterable[str], items: Any, key: Callable[[Any], str], option: str) -> None:
    unwanted = set(wanted)
    there = {key(item) for item in items}
    for missing in sorted(unwanted - there):
        tell_not_there(option, missing)
    if not unwanted & there:
        return  # even an empty change would make the message present in the spec
    _drop(items, lambda item: key(item) in unwanted)
