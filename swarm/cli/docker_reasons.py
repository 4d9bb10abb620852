"""Why commands and flags of Docker are not here, and what to do instead: for errors, and docs/docker.md."""

from collections.abc import Mapping

_RANGES = "addresses of a network are given by the cluster, so that no node needs a range of its own"

# command -> reason
ABSENT: Mapping[str, str] = {
    "image import": "an archive without a configuration is no image; `image build` with `ADD`, `image load`",
}

# "flag", or "command --flag" where the reason is another one there -> reason
REASONS: Mapping[str, str] = {
    "isolation": "of Windows containers",
    "credential-spec": "of Windows containers",
    "details": "output has no attributes here: its nodes keep it themselves",
    "external-ca": "signing by another authority is for the `ca` command alone: `ca --rotate --external-ca`",
    "device-cgroup-rule": "name the devices with `--device`",
    "link": "links are Docker's network before there were names; give `--network` and an alias",
    "link-local-ip": "addresses are the cluster's to give",
    "mac-address": "addresses are the cluster's to give",
    "oom-kill-disable": "not with cgroup version 2",
    "runtime": "a node has one runtime: `swarmd --runtime`",
    "storage-opt": "containers write to the node's file system; quotas are not per container",
    "checkpoint": "containers are not frozen to disk",
    "checkpoint-dir": "containers are not frozen to disk",
    "tree": "an image is listed once, whatever platforms it has",
    "no-prune": "layers that nothing uses are collected by the nodes",
    "config-only": _RANGES,
    "config-from": _RANGES,
    "ipam-opt": "the cluster gives addresses, and has no such options",
    "gw-priority": "the default route is always that of the node's own network",
    "cache-from": "the builder keeps its own cache",
    "iidfile": "`-q` prints the id",
    "ssh": "secrets of a build are the builder's",
    "all-tags": "name what you want: registries list their tags slowly, and some have thousands",
    "platform": "a node takes what fits it",
    "image prune --filter": "`-a` or nothing",
    "data-path-addr": "data between nodes goes by the address that others reach a node at: "
    "`--advertise-addr`, `node update --addr`",
    "image build --add-host": "builds see the network of the node",
    "image build --network": "builds see the network of the node",
    "image build --secret": "secrets of a build are the builder's",
    "network create --ipam-driver": "addresses are the cluster's to give",
    "network create --scope": "networks are the cluster's",
}


def reason_for(command: str, flag: str) -> str | None:
    """Return why a flag is not here; None where nobody wrote it down."""
    return REASONS.get(f"{command} --{flag}", REASONS.get(flag))
