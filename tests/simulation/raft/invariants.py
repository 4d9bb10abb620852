"""What must be true after a run, whatever went wrong in it."""

from tests.simulation.raft.simulator import Cluster


def broken(cluster: Cluster) -> list[str]:
    """Return what was violated: nothing acknowledged is lost, nothing differs, nothing happens twice."""
    violations = list(cluster.record.violations)
    for raft_id, member in sorted(cluster.members.items()):
        if member.core.applied_index < max(cluster.record.acknowledged.values(), default=0):
            continue  # not there yet: `unsettled` says so
        lost = [command for command in cluster.record.acknowledged if command not in member.host.state_set]
        if lost:
            violations.append(f"{raft_id} lacks {len(lost)} acknowledged commands, e.g. {lost[0]!r}")
    return violations


def unsettled(cluster: Cluster) -> list[str]:
    """Return why the cluster does not work as one, long after the last fault."""
    leaders = cluster.leaders()
    if len(leaders) != 1:
        return [f"leaders: {[member.raft_id for member in leaders]}"]
    end = leaders[0].core.last_index
    return [
        f"{raft_id} has applied {member.core.applied_index} of {end}"
        for raft_id, member in sorted(cluster.members.items())
        if member.core.applied_index < end and raft_id in leaders[0].host.membership.members
    ]
