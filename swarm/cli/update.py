"""`swarmctl update`: how the cluster as a whole behaves."""

from typing import Any

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.specs_pb2 import ClusterSpec
from swarm.cli.cluster_options import apply_options, cluster_options
from swarm.cli.connect import Connection, connect
from swarm.cli.lock import tell_away, tell_key
from swarm.errors import InvalidArgument, StaleVersion

ATTEMPTS = 3  # others may change the cluster at the same moment

EPILOG = """\b
Examples:
  swarmctl update --autolock=true
  swarmctl update --task-history-limit 10 --dispatcher-heartbeat 5s
  swarmctl update --placement-strategy binpack
  swarmctl update --default-addr-pool 10.20.0.0/16 --default-addr-pool fd00:20::/48
  swarmctl update --rotate-overlay-keys --overlay-key-period 6h
  swarmctl update --snapshot-interval 5000 --max-snapshots 2
  swarmctl update --raise-level   (after the upgrade of all managers)

With names of containers it is `swarmctl container update`.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--autolock",
    type=click.BOOL,
    is_flag=False,
    flag_value=True,
    metavar="true|false",
    help="Whether a manager that restarts must be given the unlock key.",
)
@click.option(
    "--rotate-overlay-keys",
    is_flag=True,
    default=None,
    help="Change the keys of encrypted networks now. No packet is lost.",
)
@click.option(
    "--raise-level",
    is_flag=True,
    default=None,
    help="Use what is new in the version that all managers have now; older versions cannot come back.",
)
@cluster_options
@click.pass_obj
def update(host: str, /, **given: Any) -> None:
    """Change settings of the cluster; what is not named stays as it is. They count at once, everywhere."""
    if all(value in (None, ()) for value in given.values()):
        raise InvalidArgument("nothing to change: name at least one setting (swarmctl update --help)")
    apply_options(ClusterSpec(), given)  # what is wrong with them is wrong without a cluster, too
    with connect(host) as node:
        answer = _update(node, given)
    click.echo("Cluster updated.")
    if given["raise_level"]:
        tell_level(answer)
    if answer.unlock_key:
        tell_key(answer.unlock_key)
    elif given["autolock"] is False and answer.away:
        tell_away(answer.away)


def tell_level(answer: c.UpdateClusterResponse) -> None:
    """Say which level the cluster is at, and why at no higher one."""
    level = answer.cluster.level or 1
    click.echo(
        f"The cluster stays at level {level}: {answer.level_kept}."
        if answer.level_kept
        else f"The cluster is at level {level} now."
    )


def _update(node: Connection, given: dict[str, Any]) -> c.UpdateClusterResponse:
    for attempt in range(1, ATTEMPTS + 1):
        cluster = node.control.GetCluster(c.GetClusterRequest()).cluster
        request = c.UpdateClusterRequest(version=cluster.meta.version.index, spec=cluster.spec)
        apply_options(request.spec, given)
        request.raise_level = bool(given["raise_level"])
        try:
            answer: c.UpdateClusterResponse = node.control.UpdateCluster(request)
        except StaleVersion:
            if attempt == ATTEMPTS:
                raise
        else:
            return answer
    raise AssertionError
