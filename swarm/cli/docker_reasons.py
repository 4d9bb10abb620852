"""Why commands and flags of Docker are not here, and what to do instead: for errors, and docs/docker.md."""

from collections.abc import Mapping

_RANGES = "addresses of a network are given by the cluster, so that no node needs a range of its own"

# command -> reason
ABSENT: Mapping[str, str] = {}

# "flag", or "command --flag" where the reason is another one there -> reason
REASONS: Mapping[str, str] = {
    "isolation": "of Windows containers",
    "credential-spec": "of Windows containers",
    "external-ca": "signing by another authority is for the `ca` command alone: `ca --rotate --external-ca`",
    "device-cgroup-rule": "name the devices with `--device`",
    "link": "links are Docker's network before there were names; give `--network` and an alias",
    "link-local-ip": "addresses are the cluster's to give",
    "oom-kill-disable": "not with cgroup version 2",
    "runtime": "a node has one runtime: `swarmd --runtime`",
    "storage-opt": "containers write to the node's file system; quotas are not per container",
    "checkpoint": "containers are not frozen to disk",
    "checkpoint-dir": "containers are not frozen to disk",
    "config-only": _RANGES,
    "config-from": _RANGES,
    "ipam-opt": "the cluster gives addresses, and has no such options",
    "gw-priority": "the default route is always that of the node's own network",
    "cache-from": "the builder keeps its own cache",
    "platform": "a node takes what fits it",
    "network create --ipam-driver": "addresses are the cluster's to give",
    "network create --scope": "networks are the cluster's",
}


def reason_for(command: str, flag: str) -> str | None:
    """Return why a flag is not here; None where nobody wrote it down."""
    return REASONS.get(f"{command} --{flag}", REASONS.get(flag))
