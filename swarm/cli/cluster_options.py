"""Options that say how a cluster behaves: for `swarmctl init` and `swarmctl update`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.cli.ca import expiry_ns
from swarm.cli.placement_options import CLUSTER_STRATEGY, apply_cluster_strategy
from swarm.errors import InvalidArgument
from swarm.model.units import parse_duration

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--task-history-limit", type=int, help="Finished tasks kept per slot (default 5)."),
    click.option("--dispatcher-heartbeat", help="How often agents must be heard (default 2.5s)."),
    click.option("--cert-expiry", help="How long node certificates are valid, e.g. 2160h."),
    click.option("--snapshot-interval", type=click.IntRange(1), help="Log entries between Raft snapshots."),
    CLUSTER_STRATEGY,
    click.option(
        "--default-addr-pool",
        multiple=True,
        help="What subnets of networks are cut from, e.g. 10.20.0.0/16; repeatable.",
    ),
    click.option(
        "--default-addr-pool-mask-length",
        type=int,
        help="Prefix length of subnets from IPv4 pools (default 24); of IPv6 it is 64.",
    ),
    click.option(
        "--overlay-key-period", help="How often the keys of encrypted networks are changed (default 12h)."
    ),
    click.option(
        "--max-snapshots", type=click.IntRange(0), help="Old Raft snapshots kept beside those needed."
    ),
)


def cluster_options(command: Command) -> Command:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def apply_options(spec: ClusterSpec, given: dict[str, Any]) -> None:
    """Write what was given into `spec`; None was not. Raises InvalidArgument."""
    if given.get("autolock") is not None:
        spec.autolock = given["autolock"]
    if given.get("task_history_limit") is not None:
        spec.task_history_limit = given["task_history_limit"]
    if given.get("dispatcher_heartbeat") is not None:
        spec.heartbeat_period_ns = _heartbeat(given["dispatcher_heartbeat"])
    if given.get("cert_expiry") is not None:
        spec.node_cert_expiry_ns = expiry_ns(given["cert_expiry"])
    if given.get("snapshot_interval") is not None:
        spec.snapshot_interval = given["snapshot_interval"]
    apply_cluster_strategy(spec, given)
    if given.get("default_addr_pool"):
        del spec.default_address_pools[:]
        spec.default_address_pools.extend(given["default_addr_pool"])
    if given.get("default_addr_pool_mask_length") is not None:
        spec.subnet_length = given["default_addr_pool_mask_length"]
    if given.get("data_path_port") is not None:
        spec.data_path_port = given["data_path_port"]
    _apply_encryption(spec, given)
    if given.get("max_snapshots") is not None:
        spec.keep_old_snapshots = given["max_snapshots"]


def _apply_encryption(spec: ClusterSpec, given: dict[str, Any]) -> None:
    if given.get("encrypted_data_path_port") is not None:
        spec.tunnel_port = given["encrypted_data_path_port"]
    if given.get("overlay_key_period") is not None:
        spec.overlay_key_period_ns = parse_duration(given["overlay_key_period"])
    if given.get("rotate_overlay_keys"):
        spec.overlay_key_rotation += 1


def _heartbeat(text: str) -> int:
    value = parse_duration(text)
    if value <= 0:
        raise InvalidArgument(f'--dispatcher-heartbeat "{text}": it must be longer than 0')
    return value
