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
  swarmctl update --snapshot-interval 5000 --max-snapshots 2
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
    if answer.unlock_key:
        tell_key(answer.unlock_key)
    elif given["autolock"] is False and answer.away:
        tell_away(answer.away)


def _update(node: Connection, given: dict[str, Any]) -> c.UpdateClusterResponse:
    for attempt in range(1, ATTEMPTS + 1):
        cluster = node.control.GetCluster(c.GetClusterRequest()).cluster
        request = c.UpdateClusterRequest(version=cluster.meta.version.index, spec=cluster.spec)
        apply_options(request.spec, given)
        try:
            answer: c.UpdateClusterResponse = node.control.UpdateCluster(request)
        except StaleVersion:
            if attempt == ATTEMPTS:
                raise
        else:
            return answer
    raise AssertionError
